#include "node/vm/snapshot/snapshots_internal.h"

#include <dirent.h>
#include <stdio.h>

#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "node/vm/live/live.h"
#include "node/volume/volume.h"

#define NODE_LABEL "hanok.io/node"
#define LOOK_MS 50
#define RETRY_MS 2000

/* ---- who uses a disk ---- */

/* A guest that was asked to let a disk go writes to it until it does; its VMI does not name it any
 * more. */
static bool has_still(struct vm_snapshots *s, const struct vm_worker *w, const char *claim)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct claim_place place;
	const char *reason;

	return w->live &&
	       claim_place_find(s->n->disks, &a, w->spec.namespace, claim, &place, &reason, NULL) ==
		       0 &&
	       vm_live_has(w, claim_place_text(&a, &place));
}

/* A guest that an earlier agent left may have disks which its VMI does not name any more: that is
 * known once its domain was looked at. Claims are of its own namespace. */
static bool may_have_more(const struct vm_worker *w, const char *ns)
{
	int state = w->core.sm.state;

	if (state == VM_WAITING || state == VM_CLEAN || state == VM_RELEASED || w->prepared ||
		vm_live_known(w))
		return false;
	if (w->object && !streq(w->object->namespace, ns))
		return false;
	return w->core.domain == VM_DOMAIN_UNKNOWN || vm_core_alive(&w->core);
}

static bool uses(struct vm_snapshots *s, const struct vm_worker *w, const char *ns,
	const char *const *claims, size_t count)
{
	if (!w->has_spec || !streq(w->spec.namespace, ns))
		return false;
	for (size_t k = 0; k < count; k++)
		if (has_still(s, w, claims[k]))
			return true;
	for (size_t i = 0; i < w->spec.disk_count; i++) {
		const struct vm_disk *d = &w->spec.disks[i];

		for (size_t k = 0; k < count; k++)
			if (d->volume == VM_VOLUME_CLAIM && streq(d->claim, claims[k]))
				return true;
	}
	return false;
}

enum disk_use disks_use(struct vm_snapshots *s, const char *ns, const char *const *claims,
	size_t count, struct vm_worker **ret_worker)
{
	enum disk_use use = DISK_FREE;

	/* An agent that has just started: who has none here may come yet. */
	if (!informer_synced(s->m->instances))
		return DISK_BUSY;
	for (struct table_iter i = table_iterate(&s->m->workers); table_next(&i);) {
		struct vm_worker *w = i.value;
		int state = w->core.sm.state;

		/* Of what is left of a VMI nobody knows which disks it has: that is over soon. */
		if (!w->object && state != VM_CLEAN && state != VM_RELEASED)
			return DISK_BUSY;
		if (may_have_more(w, ns))
			return DISK_BUSY;
		if (!uses(s, w, ns, claims, count) || state == VM_WAITING || state == VM_CLEAN ||
			state == VM_RELEASED)
			continue;
		if (state != VM_RUNNING || !vm_core_alive(&w->core) || w->core.busy ||
			use == DISK_LIVE)
			return DISK_BUSY;
		use = DISK_LIVE;
		*ret_worker = w;
	}
	return use;
}

static bool claim_in_use(void *user, const char *ns, const char *claim)
{
	struct vm_snapshots *s = user;
	struct vm_worker *w;

	return disks_use(s, ns, &claim, 1, &w) != DISK_FREE;
}

static bool any_guest_has(void *user, const char *ns, const char *directory)
{
	struct vm_snapshots *s = user;

	if (!informer_synced(s->m->instances))
		return true;
	for (struct table_iter i = table_iterate(&s->m->workers); table_next(&i);) {
		const struct vm_worker *w = i.value;
		int state = w->core.sm.state;

		/* What is known of a guest that is over is old. */
		if (state != VM_WAITING && state != VM_CLEAN && state != VM_RELEASED &&
			(may_have_more(w, ns) || vm_live_has(w, directory)))
			return true;
	}
	return false;
}

/* ---- what has gone ---- */

struct sweep {
	struct vm_snapshots *s;
	VEC(char *) paths;
	size_t removed;
};

static void sweep_on_thread(void *user)
{
	struct sweep *w = user;

	for (size_t i = 0; i < w->paths.count; i++) {
		struct err err = ERR_INIT;

		if (volume_remove_tree(w->paths.items[i], &err) < 0)
			log_warn("snapshots", "problem", err.msg, NULL);
		else
			w->removed++;
	}
}

void sweep_soon(struct vm_snapshots *s)
{
	s->sweep_again = true;
	wakeup_in(s->look, LOOK_MS);
}

static void on_swept(void *user, bool cancelled)
{
	struct sweep *w = user;

	if (!cancelled) {
		w->s->sweep = NULL;
		if (w->removed)
			merges_soon(w->s->merges);
		if (w->s->sweep_again)
			wakeup_in(w->s->look, LOOK_MS);
	}
	for (size_t i = 0; i < w->paths.count; i++)
		free(w->paths.items[i]);
	VEC_FINISH(&w->paths);
	free(w);
}

/* Looked for here, and not by the thread: a content that comes while that works has its directory
 * made meanwhile, and is none of those that are known now. */
static void find_unclaimed(struct vm_snapshots *s, struct sweep *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct table known = TABLE_INIT;
	struct object **all;
	size_t count = informer_list(s->contents, NULL, &a, &all);
	DIR *d = opendir(s->directory);

	for (size_t i = 0; i < count; i++)
		table_set(&known, all[i]->uid, s);
	for (struct dirent *e; d && (e = readdir(d));)
		if (!streq(e->d_name, ".") && !streq(e->d_name, "..") &&
			!table_get(&known, e->d_name))
			VEC_PUSH(&w->paths, xasprintf("%s/%s", s->directory, e->d_name));
	if (d)
		closedir(d);
	table_finish(&known);
}

static void sweep(struct vm_snapshots *s)
{
	struct sweep *w;

	if (s->sweep || !informer_synced(s->contents))
		return;
	s->sweep_again = false;
	w = xcalloc(1, sizeof(*w));
	w->s = s;
	find_unclaimed(s, w);
	s->sweep = file_work_queue(s->n->files, s->directory, sweep_on_thread, on_swept, w);
}

/* ---- contents ---- */

static bool is_to_be_taken(const struct object *o)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	return !o->deleting && !json_path(object_doc(o, &a), "status.creationTime");
}

static void on_content(void *user, const struct object *old, const struct object *new)
{
	struct vm_snapshots *s = user;

	if (old && (!new || !streq(old->uid, new->uid) || new->deleting)) {
		take_cancel(table_get(&s->takes, old->uid));
		if (!new || !streq(old->uid, new->uid))
			sweep_soon(s);
	}
	if (new &&is_to_be_taken(new) && !table_get(&s->takes, new->uid))
		take_start(s, (struct object *)(uintptr_t) new);
}

static void on_synced(void *user)
{
	sweep_soon(user);
	merges_soon(((struct vm_snapshots *)user)->merges);
}

/* Its directory goes soon after it, and may have been the last to share a layer. */
static void on_volume(void *user, const struct object *old, const struct object *new)
{
	if (!new)
		merges_later(((struct vm_snapshots *)user)->merges);
}

/* Takes end, and leave the table, while they look. */
static void look_at_takes(struct vm_snapshots *s)
{
	VEC(char *) uids = {0};

	for (struct table_iter i = table_iterate(&s->takes); table_next(&i);)
		VEC_PUSH(&uids, xstrdup(i.key));
	for (size_t i = 0; i < uids.count; i++) {
		struct take *t = table_get(&s->takes, uids.items[i]);

		if (t)
			take_look(t);
		free(uids.items[i]);
	}
	VEC_FINISH(&uids);
}

static void on_look(void *user)
{
	struct vm_snapshots *s = user;

	look_at_takes(s);
	for (struct table_iter i = table_iterate(&s->m->workers); table_next(&i);)
		dump_follow(s, i.value);
	if (s->sweep_again)
		sweep(s);
	if (s->takes.count)
		wakeup_in(s->look, RETRY_MS);
}

bool vm_snapshots_under_way(const struct vm_snapshots *s)
{
	return s && s->takes.count > 0;
}

void vm_snapshots_follow(struct vm_snapshots *s, struct vm_worker *w)
{
	if (!s)
		return;
	thaw_if_left(s, w);
	if (w->core.sm.state == VM_RELEASED)
		table_remove(&s->thawed, w->uid);
	dump_follow(s, w);
	if (s->takes.count)
		wakeup_in(s->look, 0);
	if (w->core.sm.state == VM_CLEAN)
		merges_soon(s->merges);
}

struct vm_snapshots *vm_snapshots_create(struct vm_manager *m)
{
	static const struct informer_handler on_contents = {
		.changed = on_content, .synced = on_synced};
	static const struct informer_handler on_volumes = {.changed = on_volume};
	struct vm_snapshots *s = xcalloc(1, sizeof(*s));
	char selector[320];

	s->m = m;
	s->n = m->node;
	list_init(&s->exports);
	exports_sweep(s->n->data_dir);
	s->kind = kind_by_name(
		s->n->kinds, "snapshot.kubevirt.io", "v1beta1", "VirtualMachineSnapshotContent");
	s->directory = xasprintf("%s/local/.snapshots", s->n->data_dir);
	s->look = wakeup_create(s->n->loop, s->n->clock, on_look, s);
	s->merges = merges_create(s);
	disks_ask_guests(s->n->disks,
		&(struct disks_guests){.in_use = claim_in_use, .has = any_guest_has, .user = s});
	snprintf(selector, sizeof(selector), NODE_LABEL "=%s", s->n->name);
	s->contents = informer_create(s->n->client, s->kind, NULL, selector, NULL);
	informer_add_handler(s->contents, &on_contents, s);
	informer_start(s->contents);
	informer_add_handler(s->n->volumes, &on_volumes, s);
	return s;
}

void vm_snapshots_destroy(struct vm_snapshots *s)
{
	if (!s)
		return;
	disks_ask_guests(s->n->disks, NULL);
	exports_end(s);
	informer_destroy(s->contents);
	for (struct table_iter i = table_iterate(&s->takes); table_next(&i);)
		take_destroy(i.value);
	for (struct table_iter i = table_iterate(&s->dumps); table_next(&i);)
		dump_destroy(i.value);
	table_finish(&s->dumps);
	table_finish(&s->takes);
	table_finish(&s->thawed);
	file_job_cancel(s->sweep);
	merges_destroy(s->merges);
	wakeup_destroy(s->look);
	free(s->directory);
	free(s);
}
