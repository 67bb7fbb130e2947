/* space.c - a guest that QEMU paused because a disk had no room, and its going on when there is
 * some again.
 *
 *           paused by an I/O error      a disk is full            room again
 *   IDLE ------------------------> ASKING -------------> WATCHING -----------> resumed, IDLE
 *     ^                              |                       |
 *     |                              +--> OTHER              |
 *     +-----------------------------------+------------------+  it is not paused any more
 *
 * An error that is not about room is for people to mend: they unpause it. A guest that is paused
 * again soon waits longer each time.
 *
 * Of a disk on an NFS server QEMU's client does not say which error it was (a full file system is
 * EFAULT): such a disk stops the guest with every one (vm_nfs.c), and it goes on when the server
 * answers and has room. */
#include "node/vm/control/control.h"
#include "node/disk/disks.h"
#include "node/nfs/nfs.h"

#include <limits.h>
#include <stdio.h>

#define LOOK_MS 2000u
#define LOOK_MAX_MS 60000u
#define CALM_NS (60 * NS_PER_S) /* who ran that long starts with the shortest pause again */
#define ROOM_MIN_BYTES (16ull << 20)
#define DISK_ERRORS_MAX 64u

enum space_state { IDLE, ASKING, OTHER, WATCHING };

struct vm_space {
	struct vm_worker *w; /* NULL: it is gone, and the last look is waited for */
	enum space_state state;
	struct libvirt_call *call;
	uv_timer_t timer;
	uv_fs_t look;
	bool looking;
	struct arena arena;	     /* of nfs */
	const struct nfs_place *nfs; /* the server's directory that is watched; NULL = path is */
	struct nfs_call *call_nfs;
	char disk[128];	     /* its name in the VMI */
	char path[PATH_MAX]; /* of its file */
	char message[512];   /* for the condition */
	unsigned pause_ms;   /* between two looks */
	int64_t resumed_at_ns;
};

static int64_t now_of(const struct vm_worker *w)
{
	return w->m->node->clock->mono_ns(w->m->node->clock);
}

static void freed(uv_handle_t *h)
{
	struct vm_space *s = h->data;

	arena_finish(&s->arena);
	free(s);
}

static void on_timer(uv_timer_t *t);

static void idle(struct vm_space *s)
{
	if (s->call)
		libvirt_call_cancel(TAKE_PTR(s->call));
	nfs_call_cancel(TAKE_PTR(s->call_nfs));
	uv_timer_stop(&s->timer);
	s->nfs = NULL;
	arena_finish(&s->arena);
	s->arena = ARENA_INIT;
	s->state = IDLE;
	s->message[0] = '\0';
}

void vm_space_end(struct vm_worker *w)
{
	struct vm_space *s = TAKE_PTR(w->space);

	if (!s)
		return;
	idle(s);
	s->w = NULL;
	if (!s->looking)
		uv_close((uv_handle_t *)&s->timer, freed);
}

static void resumed(void *user, const struct libvirt_reply *r)
{
	struct vm_space *s = user;
	struct vm_worker *w = s->w;

	s->call = NULL;
	if (r->ok) {
		s->resumed_at_ns = now_of(w);
		vm_say(w, "Normal", "Resumed",
			s->nfs ? "Disk '%s' can be written again: the guest goes on"
			       : "There is room for disk '%s' again: the guest goes on",
			s->disk);
		idle(s);
	} else {
		uv_timer_start(&s->timer, on_timer, s->pause_ms, 0);
	}
	vm_worker_step(w);
}

static void go_on(struct vm_space *s)
{
	s->call = libvirt_call_domain(
		s->w->m->libvirt, LIBVIRT_DOMAIN_RESUME, &s->w->domain, 0, resumed, s);
}

static void looked(uv_fs_t *req)
{
	struct vm_space *s = req->data;
	const uv_statfs_t *fs = req->ptr;
	bool room = req->result == 0 && (uint64_t)fs->f_bavail * fs->f_bsize >= ROOM_MIN_BYTES;

	uv_fs_req_cleanup(req);
	s->looking = false;
	if (!s->w) {
		uv_close((uv_handle_t *)&s->timer, freed);
		return;
	}
	if (s->state != WATCHING || s->call)
		return;
	if (room && libvirt_is_up(s->w->m->libvirt))
		go_on(s);
	else
		uv_timer_start(&s->timer, on_timer, s->pause_ms, 0);
}

/* ---- on a server ---- */

static _printf_(2, 3) void tell_nfs(struct vm_space *s, const char *fmt, ...)
{
	char before[sizeof(s->message)], why[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	memcpy(before, s->message, sizeof(before));
	snprintf(s->message, sizeof(s->message), "VMI was paused, low-level IO error detected: %s",
		why);
	if (!streq(before, s->message))
		vm_worker_step(s->w);
}

static void nfs_looked(void *user, const struct json *answer, const struct err *err)
{
	struct vm_space *s = user;

	s->call_nfs = NULL;
	if (err) {
		tell_nfs(s, "disk '%s' can't be written: %.200s", s->disk, err->msg);
	} else if (json_int_or(json_get(answer, "available"), 0) < (int64_t)ROOM_MIN_BYTES) {
		tell_nfs(s, "no space left for disk '%s' (%.200s)", s->disk, s->path);
	} else if (libvirt_is_up(s->w->m->libvirt)) {
		go_on(s);
		return;
	}
	uv_timer_start(&s->timer, on_timer, s->pause_ms, 0);
}

/* Whether it is on a server, as the disk's claim says: a guest that was adopted has no paths. */
static bool find_nfs(struct vm_space *s, const struct vm_disk *d)
{
	struct vm_worker *w = s->w;
	struct claim_place place;
	const char *reason;

	if (!d || !d->claim || d->ephemeral ||
		claim_place_find(w->m->node->disks, &s->arena, w->spec.namespace, d->claim, &place,
			&reason, NULL) < 0 ||
		!place.nfs)
		return false;
	s->nfs = place.nfs;
	snprintf(s->path, sizeof(s->path), "%s", nfs_url(&s->arena, place.nfs, DISK_IMAGE_NAME));
	return true;
}

static void on_timer(uv_timer_t *t)
{
	struct vm_space *s = t->data;

	if (s->looking) {
		uv_timer_start(&s->timer, on_timer, LOOK_MS, 0);
		return;
	}
	if (s->nfs) {
		s->call_nfs = nfs_call(t->loop, s->nfs, "space", NULL, NULL, nfs_looked, s);
		return;
	}
	s->look.data = s;
	s->looking = uv_fs_statfs(t->loop, &s->look, s->path, looked) == 0;
	if (!s->looking)
		uv_timer_start(&s->timer, on_timer, s->pause_ms, 0);
}

static const struct vm_disk *disk_of(const struct vm_worker *w, const char *target)
{
	for (size_t i = 0; w->has_spec && i < w->spec.disk_count; i++)
		if (streq(w->spec.disks[i].target, target))
			return &w->spec.disks[i];
	return NULL;
}

/* The one whose I/O failed for want of room; its path is the event's when the spec was not read
 * with paths (a guest that was adopted). */
static void errors_here(void *user, const struct libvirt_reply *r)
{
	struct vm_space *s = user;
	struct vm_worker *w = s->w;
	struct xdr_reader body = r->body;
	bool full = false;

	s->call = NULL;
	for (uint32_t left = r->ok ? xdr_get_u32(&body) : 0; left && !body.bad && !full; left--) {
		char target[32];
		int error;

		xdr_get_text(&body, target, sizeof(target));
		error = (int)xdr_get_u32(&body);
		const struct vm_disk *d = body.bad ? NULL : disk_of(w, target);
		bool on_server = find_nfs(s, d);
		if (body.bad || (error != LIBVIRT_DISK_ERROR_NO_SPACE && !on_server))
			continue;
		full = true;
		snprintf(s->disk, sizeof(s->disk), "%s", d ? d->name : target);
		if (on_server)
			break;
		if (d && (d->path || d->host_path))
			snprintf(s->path, sizeof(s->path), "%s", d->path ? d->path : d->host_path);
		else if (!s->path[0])
			snprintf(s->path, sizeof(s->path), "%s", w->m->directory);
	}
	if (!full) {
		s->state = OTHER;
	} else {
		bool calm = now_of(w) - s->resumed_at_ns > CALM_NS;

		s->pause_ms = calm || !s->pause_ms ? LOOK_MS : MIN(s->pause_ms * 2, LOOK_MAX_MS);
		s->state = WATCHING;
		snprintf(s->message, sizeof(s->message),
			s->nfs ? "VMI was paused, low-level IO error detected: disk '%s' (%.300s)"
			       : "VMI was paused, low-level IO error detected: no space left for "
				 "disk '%s' (%.300s)",
			s->disk, s->path);
		uv_timer_start(&s->timer, on_timer, s->nfs ? 0 : s->pause_ms, 0);
	}
	vm_worker_step(w);
}

static struct vm_space *space_of(struct vm_worker *w)
{
	struct vm_space *s = w->space;

	if (s)
		return s;
	s = w->space = xcalloc(1, sizeof(*s));
	s->w = w;
	uv_timer_init(w->m->node->loop, &s->timer);
	s->timer.data = s;
	return s;
}

void vm_space_told(struct vm_worker *w, const char *path)
{
	struct vm_space *s = space_of(w);

	if (s->state == IDLE)
		snprintf(s->path, sizeof(s->path), "%s", path);
}

static void ask(struct vm_worker *w)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;
	struct vm_space *s = space_of(w);

	s->state = ASKING;
	xdr_put_domain(&args, &w->domain);
	xdr_put_u32(&args, DISK_ERRORS_MAX);
	xdr_put_u32(&args, 0);
	s->call = libvirt_call(
		w->m->libvirt, LIBVIRT_DOMAIN_GET_DISK_ERRORS, &args, 0, errors_here, s);
}

void vm_space_follow(struct vm_worker *w)
{
	bool failed =
		w->core.domain == VM_DOMAIN_PAUSED && w->pause_reason == LIBVIRT_PAUSED_IOERROR;
	bool is_idle = !w->space || w->space->state == IDLE;

	if (failed && is_idle)
		ask(w);
	else if (!failed && !is_idle)
		idle(w->space);
}

const char *vm_space_message(const struct vm_worker *w)
{
	return w->space && w->space->message[0] ? w->space->message : NULL;
}
