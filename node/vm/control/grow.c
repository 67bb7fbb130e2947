/* grow.c - a claim that has grown under a running guest: its disk grows, too, and the guest is
 * told.
 *
 *   the claim's capacity rose --> the disk's size is read (on a thread) --> libvirt resizes it
 *
 * What an agent that was down has missed is mended when the guest starts the next time
 * (node/disk/claim_disk.c). */
#include "lib/object/quantity.h"
#include "node/disk/disks.h"
#include "node/nfs/nfs.h"
#include "node/vm/control/control.h"
#include "node/volume/file_work.h"

#define RESIZE_IN_BYTES 1u
#define RESIZE_TIMEOUT_MS 60000u

struct growth {
	struct list link; /* in m->growths */
	struct vm_manager *m;
	char uid[37], target[8];
	char *name, *directory;
	int64_t wanted_bytes, size_bytes;
	struct file_job *job;
	struct nfs_call *ask; /* in the place of job, for a disk on a server */
	struct libvirt_call *call;
};

static void growth_free(struct growth *g)
{
	list_remove(&g->link);
	free(g->name);
	free(g->directory);
	free(g);
}

void vm_grow_end(struct vm_manager *m)
{
	LIST_FOR_EACH(g, &m->growths, struct growth, link) {
		if (g->call)
			libvirt_call_cancel(g->call);
		nfs_call_cancel(TAKE_PTR(g->ask));
		list_remove(&g->link);
		g->m = NULL;
		if (g->job)
			file_job_cancel(g->job); /* frees it */
		else
			growth_free(g);
	}
}

static void on_resized(void *user, const struct libvirt_reply *r)
{
	struct growth *g = user;
	struct vm_worker *w = table_get(&g->m->workers, g->uid);

	g->call = NULL;
	if (w && r->ok)
		vm_say(w, "Normal", "VolumeResized", "Disk '%s' has %lld bytes now", g->name,
			(long long)g->wanted_bytes);
	else if (w)
		vm_say(w, "Warning", "VolumeResizeFailed",
			"Disk '%s' could not be grown; it is when the guest starts again: %s",
			g->name, r->message);
	growth_free(g);
}

static void resize(struct growth *g)
{
	struct vm_worker *w = table_get(&g->m->workers, g->uid);
	_cleanup_(buf_finish) struct buf args = BUF_INIT;

	if (!w || !vm_core_alive(&w->core) || g->size_bytes <= 0 ||
		g->size_bytes >= g->wanted_bytes) {
		growth_free(g);
		return;
	}
	xdr_put_domain(&args, &w->domain);
	xdr_put_string(&args, g->target);
	xdr_put_u64(&args, (uint64_t)g->wanted_bytes);
	xdr_put_u32(&args, RESIZE_IN_BYTES);
	g->call = libvirt_call(g->m->libvirt, LIBVIRT_DOMAIN_BLOCK_RESIZE, &args, RESIZE_TIMEOUT_MS,
		on_resized, g);
}

static void read_size(void *user)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct growth *g = user;
	struct disk_chain chain;

	if (disk_dir_read(&a, g->directory, &chain, NULL) == 0)
		g->size_bytes = chain.size_bytes;
}

static void on_read(void *user, bool cancelled)
{
	struct growth *g = user;

	g->job = NULL;
	if (cancelled || !g->m)
		growth_free(g);
	else
		resize(g);
}

static void on_asked(void *user, const struct json *answer, const struct err *err)
{
	struct growth *g = user;

	g->ask = NULL;
	g->size_bytes = err ? 0 : json_int_or(json_get(answer, "size"), 0);
	resize(g);
}

static void begin(struct vm_manager *m, struct vm_worker *w, const struct vm_disk *d,
	const struct claim_place *place)
{
	struct growth *g = xcalloc(1, sizeof(*g));

	g->m = m;
	memcpy(g->uid, w->uid, sizeof(g->uid));
	memcpy(g->target, d->target, sizeof(g->target));
	g->name = xstrdup(d->name);
	g->directory = xstrdup(place->directory ? place->directory : "");
	g->wanted_bytes = place->capacity_bytes / 512 * 512;
	list_append(&m->growths, &g->link);
	if (place->nfs)
		g->ask = nfs_call(
			m->node->loop, place->nfs, "size", DISK_IMAGE_NAME, NULL, on_asked, g);
	else
		g->job = file_work_queue(m->node->files, g->directory, read_size, on_read, g);
}

static void look_at(struct vm_manager *m, struct vm_worker *w, const struct object *claim)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct claim_place place;
	struct vm_spec spec;
	const char *reason;

	if (!w->object || !streq(w->object->namespace, claim->namespace) ||
		!vm_core_alive(&w->core) ||
		vm_spec_read(&a, object_doc(w->object, &a), &spec, NULL) < 0 ||
		claim_place_find(m->node->disks, &a, claim->namespace, claim->name, &place, &reason,
			NULL) < 0 ||
		(!place.directory && !place.nfs))
		return;
	for (size_t i = 0; i < spec.disk_count; i++)
		if (streq(spec.disks[i].claim, claim->name) && !spec.disks[i].ephemeral)
			begin(m, w, &spec.disks[i], &place);
}

static int64_t capacity(const struct object *claim)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	return quantity_json_value(json_path(object_doc(claim, &a), "status.capacity.storage"), 0);
}

static void on_claim(void *user, const struct object *old, const struct object *new)
{
	struct node *n = user;

	if (!n->vms || !old || !new || capacity(old) <= 0 || capacity(new) <= capacity(old))
		return;
	for (struct table_iter i = table_iterate(&n->vms->workers); table_next(&i);)
		look_at(n->vms, i.value, new);
}

void vm_grow_start(struct vm_manager *m)
{
	static const struct informer_handler claims = {.changed = on_claim};

	informer_add_handler(m->node->claims, &claims, m->node);
}
