/* dump.c - a guest's memory in a file of a claim's directory: asked for by the VMI's annotation
 * hanok.io/memory-dump ("CLAIM/FILE"), answered by hanok.io/memory-dump-result. libvirt writes the
 * file (an ELF core of memory only), under another name until it is whole. It does so as root, and
 * follows links: until then nobody else has the claim's directory, and nothing is there by that
 * name.
 *
 *   ASKING (what does libvirt do with the guest?) --nothing that lasts--> DUMPING --> TELLING
 *      `--> gone; looked at again soon
 *
 * For what an agent before this one asked for goes on without it: its file is not touched, and it
 * is done anew when that has ended. */
#include <stdio.h>

#include "node/vm/snapshot/snapshots_internal.h"

#define ASKED "hanok.io/memory-dump"
#define RESULT "hanok.io/memory-dump-result"
#define DUMP_TIMEOUT_MS 1800000u
#define DUMP_MEMORY_ONLY 16u
#define AGAIN_MS 1000

struct dump {
	struct vm_snapshots *s;
	char uid[37];
	char *file, *path, *fresh;
	char *held; /* directory; NULL = none */
	struct libvirt_call *call;
	struct client_call *patch;
};

static void release(struct dump *d)
{
	if (d->held)
		disks_release(d->s->n->disks, d->held);
	free(TAKE_PTR(d->held));
}

static void dump_free(struct dump *d)
{
	release(d);
	free(d->file);
	free(d->path);
	free(d->fresh);
	free(d);
}

void dump_destroy(struct dump *d)
{
	if (d->call)
		libvirt_call_cancel(d->call);
	if (d->patch)
		client_cancel(d->s->n->client, d->patch);
	dump_free(d);
}

static void on_told(void *user, const struct client_result *r)
{
	struct dump *d = user;

	/* What could not be told is done, and told, again. */
	table_remove(&d->s->dumps, d->uid);
	dump_free(d);
}

static void tell(struct dump *d, const struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct vm_worker *w = table_get(&d->s->m->workers, d->uid);
	struct json *patch = json_new_object(&a), *meta = json_object_at(&a, patch, "metadata");
	struct json *result = json_new_object(&a);

	if (!w || !w->object) {
		on_told(d, NULL);
		return;
	}
	if (err)
		vm_say(w, "Warning", "MemoryDumpFailed", "%s", err->msg);
	else
		vm_say(w, "Normal", "MemoryDumpCompleted", "Wrote the guest's memory to %s",
			d->file);
	json_set_str(&a, result, "file", d->file);
	if (err)
		json_set_str(&a, result, "error", err->msg);
	json_set_str(&a, meta, "uid", d->uid);
	json_set_str(&a, json_object_at(&a, meta, "annotations"), RESULT, json_text(&a, result));
	d->patch = client_patch(d->s->n->client, d->s->m->kind, w->object->namespace,
		w->object->name, NULL, "application/merge-patch+json", patch, on_told, d);
}

static void on_dumped(void *user, const struct libvirt_reply *r)
{
	struct dump *d = user;
	struct err err = ERR_INIT;

	d->call = NULL;
	if (!r->ok)
		err_set(&err, -EIO, "write the guest's memory: %s", r->message);
	else if (rename(d->fresh, d->path) < 0)
		err_errno(&err, -errno, "make '%s'", d->path);
	if (err.code)
		(void)unlink(d->fresh);
	release(d);
	tell(d, err.code ? &err : NULL);
}

static void write_memory(struct dump *d, const struct vm_worker *w)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;
	struct err err = ERR_INIT;

	if (unlink(d->fresh) < 0 && errno != ENOENT) {
		err_errno(&err, -errno, "remove '%s'", d->fresh);
		release(d);
		tell(d, &err);
		return;
	}
	xdr_put_domain(&args, &w->domain);
	xdr_put_string(&args, d->fresh);
	xdr_put_u32(&args, 0); /* the plain format */
	xdr_put_u32(&args, DUMP_MEMORY_ONLY);
	d->call = libvirt_call(d->s->m->libvirt, LIBVIRT_DOMAIN_CORE_DUMP_WITH_FORMAT, &args,
		DUMP_TIMEOUT_MS, on_dumped, d);
}

static void on_job_info(void *user, const struct libvirt_reply *r)
{
	struct dump *d = user;
	struct vm_worker *w = table_get(&d->s->m->workers, d->uid);
	struct xdr_reader body = r->body;

	d->call = NULL;
	if (w && r->ok && xdr_get_u32(&body) == LIBVIRT_JOB_NONE && !body.bad) {
		write_memory(d, w);
		return;
	}
	wakeup_in(d->s->look, AGAIN_MS);
	on_told(d, NULL);
}

/* A name that a disk of the claim has use for. */
static bool is_of_disks(const char *file)
{
	size_t size = strlen(file);

	return streq(file, DISK_IMAGE_NAME) || streq(file, DISK_RECORD_NAME) ||
	       streq(file, DISK_MEMORY_NAME) || (size >= 6 && streq(file + size - 6, ".qcow2"));
}

static void begin(struct vm_snapshots *s, struct vm_worker *w, const char *claim, const char *file,
	const struct claim_place *place)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;
	struct dump *d = xcalloc(1, sizeof(*d));
	struct err err = ERR_INIT;

	d->s = s;
	memcpy(d->uid, w->uid, sizeof(d->uid));
	d->file = xstrdup(file);
	table_set(&s->dumps, w->uid, d);
	if (!place->directory) {
		err_set(&err, -ENOTDIR, "PVC %s is %s: memory is written to files of this node",
			claim, place->nfs ? "on an NFS server" : "a block device");
		tell(d, &err);
		return;
	}
	if (is_of_disks(file)) {
		err_set(&err, -EINVAL, "memory is not written to '%s': that is a name of disks",
			file);
		tell(d, &err);
		return;
	}
	d->path = xasprintf("%s/%s", place->directory, file);
	d->fresh = xasprintf("%s/" DISK_NEW_PREFIX "%s", place->directory, file);
	d->held = xstrdup(place->directory);
	disks_hold(s->n->disks, d->held);
	xdr_put_domain(&args, &w->domain);
	d->call =
		libvirt_call(s->m->libvirt, LIBVIRT_DOMAIN_GET_JOB_INFO, &args, 0, on_job_info, d);
}

void dump_follow(struct vm_snapshots *s, struct vm_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct claim_place place;
	const char *asked, *slash, *claim, *reason;
	struct json *annotations;
	struct err err = ERR_INIT;

	if (!w->object || w->core.sm.state != VM_RUNNING || !vm_core_alive(&w->core) ||
		table_get(&s->dumps, w->uid) || !libvirt_is_up(s->m->libvirt) ||
		!memmem(w->object->bytes->data, w->object->bytes->size, "\"" ASKED "\"",
			sizeof(ASKED) + 1))
		return;
	annotations = json_path(object_doc(w->object, &a), "metadata.annotations");
	asked = json_str_or(json_get(annotations, ASKED), "");
	slash = strchr(asked, '/');
	if (json_get(annotations, RESULT) || !slash || slash[1] == '.' || strchr(slash + 1, '/') ||
		strlen(slash + 1) > 240)
		return;
	claim = arena_printf(&a, "%.*s", (int)(slash - asked), asked);
	/* Not bound yet, or somebody else has it: looked at again with the next step, and by and
	 * by. */
	if (claim_place_find(s->n->disks, &a, w->object->namespace, claim, &place, &reason, &err) ==
			0 &&
		!(place.directory &&
			(disks_held(s->n->disks, place.directory) ||
				disks_check_pods(s->n, w->object->namespace, claim, &err) < 0)))
		begin(s, w, claim, slash + 1, &place);
	else
		wakeup_in(s->look, AGAIN_MS);
}
