/* nfs_watch.c - NFS servers that running guests have disks on: whether they answer. A guest whose
 * server is away hangs in the midst of a request, and goes on when it is back; QEMU says nothing of
 * either.
 *
 *            two calls failed               a call succeeded
 *   ANSWERS -----------------> DOWN, told -----------------> ANSWERS, told
 */
#include <stdio.h>

#include "lib/client/wakeup.h"
#include "node/disk/disks.h"
#include "node/nfs/nfs.h"
#include "node/vm/control/control.h"

#define LOOK_MS 15000
#define LOOK_AGAIN_MS 5000 /* at one that failed */
#define FAILURES 2

struct server {
	struct list link;
	struct vm_nfs_watch *watch;
	struct arena arena;
	struct nfs_place place; /* one of the directories there */
	struct nfs_call *call;
	unsigned failures;
	bool used;
	char message[300];
};

struct vm_nfs_watch {
	struct vm_manager *m;
	struct wakeup *timer;
	struct list servers;
};

static void server_free(struct server *s)
{
	list_remove(&s->link);
	nfs_call_cancel(s->call);
	arena_finish(&s->arena);
	free(s);
}

static struct server *server_find(struct vm_nfs_watch *watch, const char *name)
{
	LIST_FOR_EACH(s, &watch->servers, struct server, link)
		if (streq(s->place.server, name))
			return s;
	return NULL;
}

/* Its directories there; `found` ends it by true. */
static bool walk(
	struct vm_worker *w, bool (*found)(void *user, const struct nfs_place *p), void *user)
{
	bool over = false;

	if (!vm_core_alive(&w->core) || !w->has_spec)
		return false;
	for (size_t i = 0; !over && i < w->spec.disk_count; i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		const struct vm_disk *d = &w->spec.disks[i];
		struct claim_place place;
		const char *reason;

		if (d->volume == VM_VOLUME_CLAIM && !d->ephemeral &&
			claim_place_find(w->m->node->disks, &a, w->spec.namespace, d->claim, &place,
				&reason, NULL) == 0 &&
			place.nfs)
			over = found(user, place.nfs);
	}
	return over;
}

static bool is_there(void *user, const struct nfs_place *p)
{
	const struct server *s = user;

	return streq(s->place.server, p->server);
}

static void tell(struct server *s)
{
	struct vm_manager *m = s->watch->m;
	bool down = s->failures > 0;

	for (struct table_iter i = table_iterate(&m->workers); table_next(&i);) {
		struct vm_worker *w = i.value;

		if (!walk(w, is_there, s))
			continue;
		if (down)
			vm_say(w, "Warning", "StorageUnreachable", "%s", s->message);
		else
			vm_say(w, "Normal", "StorageReachable", "NFS server %s answers again",
				s->place.server);
		vm_worker_step(w);
	}
}

static void on_answer(void *user, const struct json *answer, const struct err *err)
{
	struct server *s = user;
	bool was_down = s->failures >= FAILURES;

	s->call = NULL;
	if (err) {
		s->failures = MIN(s->failures + 1, (unsigned)FAILURES);
		snprintf(s->message, sizeof(s->message),
			"NFS server %s does not answer, the guest waits for it: %.200s",
			s->place.server, err->msg);
		wakeup_in(s->watch->timer, LOOK_AGAIN_MS);
	} else {
		s->failures = 0;
	}
	if (was_down != (s->failures >= FAILURES))
		tell(s);
}

static bool note(void *user, const struct nfs_place *p)
{
	struct vm_nfs_watch *watch = user;
	struct server *s = server_find(watch, p->server);

	if (!s) {
		s = xcalloc(1, sizeof(*s));
		s->watch = watch;
		list_append(&watch->servers, &s->link);
	}
	/* Each time anew: the directory that was asked for before may be gone. */
	if (!s->used) {
		struct arena old = s->arena;

		s->arena = ARENA_INIT;
		s->place = *p;
		s->place.server = arena_strdup(&s->arena, p->server);
		s->place.path = arena_strdup(&s->arena, p->path);
		arena_finish(&old);
	}
	s->used = true;
	return false;
}

static void look(void *user)
{
	struct vm_nfs_watch *watch = user;
	struct vm_manager *m = watch->m;

	wakeup_in(watch->timer, LOOK_MS);
	if (!m->node->disks)
		return;
	LIST_FOR_EACH(s, &watch->servers, struct server, link)
		s->used = false;
	for (struct table_iter i = table_iterate(&m->workers); table_next(&i);)
		walk(i.value, note, watch);
	LIST_FOR_EACH(s, &watch->servers, struct server, link) {
		if (!s->used)
			server_free(s);
		else if (!s->call)
			s->call = nfs_call(
				m->node->loop, &s->place, "space", NULL, NULL, on_answer, s);
	}
}

const char *vm_nfs_problem(struct vm_worker *w)
{
	struct vm_nfs_watch *watch = w->m->nfs_watch;

	if (!watch)
		return NULL;
	LIST_FOR_EACH(s, &watch->servers, struct server, link)
		if (s->failures >= FAILURES && walk(w, is_there, s))
			return s->message;
	return NULL;
}

struct vm_nfs_watch *vm_nfs_watch_create(struct vm_manager *m)
{
	struct vm_nfs_watch *watch = xcalloc(1, sizeof(*watch));

	watch->m = m;
	list_init(&watch->servers);
	watch->timer = wakeup_create(m->node->loop, m->node->clock, look, watch);
	wakeup_in(watch->timer, LOOK_MS);
	return watch;
}

void vm_nfs_watch_destroy(struct vm_nfs_watch *watch)
{
	if (!watch)
		return;
	LIST_FOR_EACH(s, &watch->servers, struct server, link)
		server_free(s);
	wakeup_destroy(watch->timer);
	free(watch);
}
