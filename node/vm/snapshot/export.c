/* export.c - see export.h.
 *
 *   LOOKING (a thread reads which layers) --> STARTING (qemu-nbd opens its socket) --> HELLO,
 *     OPENING --> REPLY, DATA: a piece is asked for when the client has room, and goes there,
 *     compressed, if asked, while qemu-nbd reads the next --> over
 *
 * A directory that holds no disk (a memory dump) goes as what tar writes of it:
 *   ARCHIVE --> over
 */
#include "node/vm/snapshot/export.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "lib/http/http.h"
#include "lib/http/http_range.h"
#include "node/child/child.h"
#include "node/disk/fill.h"
#include "node/disk/lend.h"
#include "node/vm/control/control.h"
#include "node/vm/snapshot/gzip.h"
#include "node/vm/snapshot/nbd.h"
#include "node/vm/snapshot/snapshots_internal.h"
#include "node/volume/volume.h"

#define PIECE_BYTES (512u << 10)
#define CONNECT_MS 20
#define CONNECT_TRIES 500
#define READ_TIMEOUT_MS (24u * 3600 * 1000)
#define QEMU_NBD_MEMORY_BYTES (UINT64_C(2) << 30)
/* Each has a program of its own, and who has a token may ask as often as he likes. */
#define AT_ONCE_MAX 16
#define AT_ONCE_OF_NAMESPACE_MAX 8 /* others have the rest */
#define TAR_MEMORY_BYTES (UINT64_C(256) << 20)
#define SOCKET_PREFIX ".export-"
/* A disk that is read can't be started from: who takes nothing for so long has gone. */
#define STALLED_MS 60000
#define STALL_LOOK_MS 5000

enum export_state { LOOKING, STARTING, HELLO, OPENING, REPLY, DATA, ARCHIVE };

struct export
{
	struct list link; /* in s->exports */
	struct vm_snapshots *s;
	struct http_request *req; /* NULL = the client has gone */
	enum export_state state;
	char *ns, *directory, *socket;
	bool held, begun, waits; /* waits: for the client */
	bool lent;		 /* the directory's layers, to `run_as` */
	uid_t run_as;		 /* whom qemu-nbd runs as; 0 = with rights */
	struct disk_chain chain;
	struct arena arena;
	struct file_job *job;
	struct child *child;
	struct stream_connect *connect;
	struct stream *stream;
	struct wakeup *timer, *stall;
	size_t queued; /* when it was looked at last, and for how long there is as much */
	unsigned stalled_ms;
	char etag[48]; /* of these bytes, with its quotes; "" = none */
	unsigned tries;
	struct buf in;
	uint64_t at, stop; /* what was asked for so far, and where the client's part ends */
	uint32_t asked;
	struct gzip *gzip; /* NULL = as it is */
	struct buf packed;
};

/* What it was lent for, until it is a disk as any other again. */
struct giving_back {
	struct node *n;
	char *directory;
};

static void give_back(void *user)
{
	disk_take_back_in(((struct giving_back *)user)->directory);
}

static void on_given_back(void *user, bool cancelled)
{
	struct giving_back *g = user;

	if (cancelled) /* it may not have been done */
		give_back(g);
	else if (g->n->disks)
		disks_release(g->n->disks, g->directory);
	free(g->directory);
	free(g);
}

static void let_go(struct export *e)
{
	struct giving_back *g;

	if (!e->held || !e->s->n->disks)
		return;
	/* A look that is under way may be lending just now: taken back behind it. */
	if (!e->lent && !e->job) {
		disks_release(e->s->n->disks, e->directory);
		return;
	}
	g = xcalloc(1, sizeof(*g));
	g->n = e->s->n;
	g->directory = xstrdup(e->directory);
	file_work_queue(e->s->n->files, g->directory, give_back, on_given_back, g);
}

static void remove_socket(struct export *e)
{
	char *slash = strrchr(e->socket, '/');

	(void)unlink(e->socket);
	*slash = '\0';
	(void)rmdir(e->socket);
}

static void end(struct export *e, const char *problem)
{
	struct http_request *req = TAKE_PTR(e->req);

	list_remove(&e->link);
	e->s->export_count--;
	if (e->connect)
		stream_connect_cancel(e->connect);
	stream_close(e->stream);
	child_cancel(e->child);
	file_job_cancel(e->job);
	wakeup_destroy(e->timer);
	wakeup_destroy(e->stall);
	let_go(e);
	gzip_destroy(e->gzip);
	buf_finish(&e->packed);
	if (e->socket)
		remove_socket(e);
	if (problem)
		log_warn("export", "directory", e->directory, "problem", problem, NULL);
	if (req) {
		req->cancelled = NULL;
		req->user = NULL;
		if (e->begun && problem)
			http_abort(req); /* cut off: the client sees that it is not whole */
		else if (e->begun)
			http_stream_end(req);
		else
			vm_answer_status(req, 500, "InternalError", "%s", problem);
	}
	buf_finish(&e->in);
	arena_finish(&e->arena);
	free(e->ns);
	free(e->directory);
	free(e->socket);
	free(e);
}

static void on_client_gone(struct http_request *req)
{
	struct export *e = req->user;

	e->req = NULL;
	req->cancelled = NULL;
	req->user = NULL;
	end(e, NULL);
	http_abort(req);
}

/* ---- pieces ---- */

/* The next piece. */
static void ask(struct export *e)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;

	e->asked = (uint32_t)MIN((uint64_t)PIECE_BYTES, e->stop - e->at);
	nbd_put_read(&out, e->at, e->at, e->asked);
	e->state = REPLY;
	stream_write(e->stream, out.data, out.size);
}

static void give_packed(struct export *e)
{
	if (e->packed.size)
		http_stream_write(e->req, e->packed.data, e->packed.size);
	buf_clear(&e->packed);
}

static void give(struct export *e, const char *data, size_t size)
{
	if (!e->gzip) {
		http_stream_write(e->req, data, size);
		return;
	}
	gzip_add(e->gzip, data, size, &e->packed);
	give_packed(e);
}

static void end_whole(struct export *e)
{
	if (e->gzip) {
		gzip_end(e->gzip, &e->packed);
		give_packed(e);
	}
	end(e, NULL);
}

/* Behind the server's own buffers, which take more at a time: some kilobytes in a second are the
 * least that a client must take. */
static void on_stall_look(void *user)
{
	struct export *e = user;
	size_t queued = http_stream_queued(e->req);

	e->stalled_ms =
		e->waits && queued && queued >= e->queued ? e->stalled_ms + STALL_LOOK_MS : 0;
	e->queued = queued;
	if (e->stalled_ms >= STALLED_MS)
		end(e, "the client has taken nothing for 60 seconds");
	else
		wakeup_in(e->stall, STALL_LOOK_MS);
}

static void on_drained(struct http_request *req)
{
	struct export *e = req->user;

	if (!e || !e->waits)
		return;
	e->waits = false;
	if (e->state == ARCHIVE)
		child_pause(e->child, false);
	else
		ask(e);
}

/* What the client is told before the first byte; false: that is all that it gets. */
static bool begin_answer(struct export *e, uint64_t size)
{
	bool sole = streq(e->req->method, "HEAD");
	const char *range = http_header_get(e->req, "Range");
	const char *condition = http_header_get(e->req, "If-Range");
	const char *extra = "Accept-Ranges: bytes\r\n";
	enum http_range part = HTTP_RANGE_NONE;

	e->stop = size;
	if (*e->etag)
		extra = arena_printf(
			&e->req->arena, "Accept-Ranges: bytes\r\nETag: %s\r\n", e->etag);
	/* RFC 9110, 13.1.5: the part of other bytes than the client has is of no use to it. */
	if (!e->gzip && !sole && (!condition || (*e->etag && streq(condition, e->etag))))
		part = http_range_parse(range, size, &e->at, &e->stop);
	e->begun = true;
	if (part == HTTP_RANGE_BEYOND) {
		extra = arena_printf(
			&e->req->arena, "Content-Range: bytes */%" PRIu64 "\r\n", size);
		http_stream_begin_sized(e->req, 416, "text/plain", extra, 0);
		return false;
	}
	if (e->gzip) {
		http_stream_begin(e->req, 200, "application/gzip", NULL);
		return !sole;
	}
	if (part == HTTP_RANGE_PART) {
		e->stop += e->at;
		extra = arena_printf(&e->req->arena,
			"%sContent-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", extra,
			e->at, e->stop - 1, size);
	}
	http_stream_begin_sized(e->req, part == HTTP_RANGE_PART ? 206 : 200,
		"application/octet-stream", extra, e->stop - e->at);
	return !sole && e->at < e->stop;
}

/* ---- the protocol ---- */

static size_t wanted(const struct export *e)
{
	switch (e->state) {
	case HELLO:
		return NBD_HELLO_BYTES;
	case OPENING:
		return NBD_EXPORT_BYTES;
	case REPLY:
		return NBD_REPLY_BYTES;
	default:
		return e->asked;
	}
}

static int take(struct export *e, struct err *err)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	int r = 0;

	switch (e->state) {
	case HELLO:
		r = nbd_hello(e->in.data, &out, err);
		if (r == 0)
			stream_write(e->stream, out.data, out.size);
		e->state = OPENING;
		break;
	case REPLY:
		r = nbd_reply(e->in.data, e->at, err);
		e->state = DATA;
		break;
	default:
		break;
	}
	return r;
}

/* A piece is there: qemu-nbd reads the next one while this one is compressed. */
static void take_data(struct export *e)
{
	uint32_t size = e->asked;

	e->at += size;
	if (e->at < e->stop && http_stream_queued(e->req) <= STREAM_HIGH_BYTES)
		ask(e);
	else
		e->waits = e->at < e->stop;
	give(e, e->in.data, size);
	buf_drop_front(&e->in, size);
	if (e->at == e->stop)
		end_whole(e);
}

static void take_size(struct export *e)
{
	uint64_t size = nbd_export_size(e->in.data);

	buf_drop_front(&e->in, NBD_EXPORT_BYTES);
	if (!begin_answer(e, size)) {
		end(e, NULL);
		return;
	}
	http_stream_on_drained(e->req, on_drained);
	wakeup_in(e->stall, STALL_LOOK_MS);
	ask(e);
}

static void on_read(void *user, const char *data, size_t size)
{
	struct export *e = user;
	struct err err = ERR_INIT;

	buf_add(&e->in, data, size);
	while (e->in.size >= wanted(e)) {
		size_t used = wanted(e);

		/* qemu-nbd says no more than it was asked for: these are the last bytes. */
		if (e->state == OPENING) {
			take_size(e);
			return;
		}
		if (e->state == DATA) {
			take_data(e);
			return;
		}
		if (take(e, &err) < 0) {
			end(e, err.msg);
			return;
		}
		buf_drop_front(&e->in, used);
	}
}

static void on_eof(void *user)
{
	end(user, "qemu-nbd ended early");
}

static void on_error(void *user, int code, const char *text)
{
	end(user, text);
}

static void on_connected(void *user, struct stream *s, const struct err *err)
{
	static const struct stream_handler handler = {
		.read = on_read, .eof = on_eof, .error = on_error};
	struct export *e = user;

	e->connect = NULL;
	if (!s) {
		/* It is not there yet. */
		if (++e->tries == CONNECT_TRIES)
			end(e, err->msg);
		else
			wakeup_in(e->timer, CONNECT_MS);
		return;
	}
	e->stream = s;
	e->state = HELLO;
	stream_set_handler(s, &handler, e);
	stream_read_start(s);
}

static void on_timer(void *user)
{
	struct export *e = user;
	_cleanup_(free_p) char *address = xasprintf("unix://%s", e->socket);

	e->connect = stream_connect(e->s->n->loop, address, NULL, NULL, 0, on_connected, e);
}

static void on_child(void *user, const struct child_result *r, const struct err *failure)
{
	struct export *e = user;

	e->child = NULL;
	/* It ends by itself when all was read and we have gone. */
	if (failure)
		end(e, failure->msg);
}

/* qemu-nbd makes its socket there. */
static int make_place(struct export *e, struct err *err)
{
	_cleanup_(free_p) char *dir =
		xstrndup(e->socket, (size_t)(strrchr(e->socket, '/') - e->socket));

	if (mkdir(dir, 0700) < 0 || (e->run_as && chown(dir, e->run_as, e->run_as) < 0))
		return err_errno(err, -errno, "make '%s'", dir);
	return 0;
}

static void start_reader(struct export *e)
{
	const struct disk_layer *top = &e->chain.layers[0];
	const char *argv[] = {"qemu-nbd", "--read-only", "--format", top->format, "--socket",
		e->socket, top->name, NULL};
	struct err err = ERR_INIT;

	e->state = STARTING;
	if (make_place(e, &err) < 0) {
		end(e, err.msg);
		return;
	}
	e->child = child_run(&(struct child_options){
		.loop = e->s->n->loop,
		.argv = argv,
		.directory = e->directory,
		.timeout_ms = READ_TIMEOUT_MS,
		.memory_bytes_max = QEMU_NBD_MEMORY_BYTES,
		.unprivileged = e->run_as != 0,
		.run_as = e->run_as,
		.mortal = true,
		.done = on_child,
		.user = e,
	});
	wakeup_in(e->timer, CONNECT_MS);
}

void exports_sweep(const char *data_dir)
{
	DIR *d = opendir(data_dir);

	for (struct dirent *e; d && (e = readdir(d));)
		if (str_has_prefix(e->d_name, SOCKET_PREFIX)) {
			_cleanup_(free_p) char *path = xasprintf("%s/%s", data_dir, e->d_name);

			(void)!volume_remove_tree(path, NULL);
		}
	if (d)
		closedir(d);
}

/* ---- archives ---- */

static void begin_archive(struct export *e)
{
	e->begun = true;
	http_stream_begin(e->req, 200, "application/gzip", NULL);
	http_stream_on_drained(e->req, on_drained);
	wakeup_in(e->stall, STALL_LOOK_MS);
}

static void on_archive(void *user, const char *p, size_t size)
{
	struct export *e = user;

	if (!e->begun)
		begin_archive(e);
	e->waits = http_stream_queued(e->req) + size > STREAM_HIGH_BYTES;
	child_pause(e->child, e->waits);
	http_stream_write(e->req, p, size);
}

static void on_archived(void *user, const struct child_result *r, const struct err *failure)
{
	struct export *e = user;

	e->child = NULL;
	if (!e->begun && !failure)
		begin_archive(e);
	end(e, failure ? failure->msg : NULL);
}

/* Links are archived, never followed; what a disk is made of has downloads of its own. */
static void start_archive(struct export *e)
{
	static const char *const argv[] = {"tar", "--create", "--use-compress-program=gzip -1",
		"--numeric-owner", "--one-file-system", "--exclude=./.*", "--exclude=./disk.json",
		"--exclude=./*.qcow2", ".", NULL};

	e->state = ARCHIVE;
	e->child = child_run(&(struct child_options){
		.loop = e->s->n->loop,
		.argv = argv,
		.directory = e->directory,
		.timeout_ms = READ_TIMEOUT_MS,
		.memory_bytes_max = TAR_MEMORY_BYTES,
		.unprivileged = true,
		.reads_all = true,
		.output = on_archive,
		.done = on_archived,
		.user = e,
	});
}

void exports_end(struct vm_snapshots *s)
{
	while (!list_empty(&s->exports))
		end(CONTAINER_OF(s->exports.next, struct export, link), "the node agent stops");
}

/* ---- which layers ---- */

struct look {
	struct export *e; /* not looked at by the thread */
	char *directory;
	bool held, read; /* read: what it has, not only how large it is */
	bool lent;
	uid_t run_as;
	struct arena arena;
	struct disk_chain chain;
	char etag[48];
	int result;
	struct err err;
};

/* Which bytes they are: of the top layer, for those below it are frozen. Who merges them names
 * another top. */
static void tell_bytes(struct look *l)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	struct stat st;

	if (lstat(l->chain.layers[0].path, &st) < 0)
		return;
	buf_printf(&text, "%s %lld %llu %lld %lld.%09ld", l->chain.layers[0].name,
		(long long)l->chain.size_bytes, (unsigned long long)st.st_ino,
		(long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	snprintf(l->etag, sizeof(l->etag), "\"%016" PRIx64 "%08" PRIx64 "\"",
		fnv1a_64(text.data, text.size), (uint64_t)st.st_mtim.tv_nsec);
}

/* What guests and strangers made of a qcow2 file is read without rights. A raw one has nothing that
 * could be misread, and may be a file of somebody's own. */
static void lend(struct look *l)
{
	struct err err = ERR_INIT;

	if (l->chain.count == 1 && streq(l->chain.layers[0].format, "raw"))
		return;
	l->run_as = child_user_new();
	/* Of a snapshot all is frozen, and nothing need be lent. */
	l->lent = l->held;
	if (disk_lend(&l->chain, l->run_as, false, &err) < 0) {
		l->run_as = 0;
		if (err.code != -EACCES)
			l->result = err_set(&l->err, err.code, "%s", err.msg);
	}
}

static void look_on_thread(void *user)
{
	struct look *l = user;

	l->result = disk_dir_read(&l->arena, l->directory, &l->chain, &l->err);
	/* Of a snapshot all layers are frozen. */
	if (l->result == -EBUSY)
		l->result = disk_dir_read_layer(&l->arena, l->directory, NULL, &l->chain, &l->err);
	if (l->result == 0)
		tell_bytes(l);
	if (l->result == 0 && l->read)
		lend(l);
}

static void on_looked(void *user, bool cancelled)
{
	struct look *l = user;
	struct export *e = l->e;
	struct err err = l->err;
	int result = l->result;

	if (!cancelled) {
		e->job = NULL;
		e->chain = l->chain;
		memcpy(e->etag, l->etag, sizeof(e->etag));
		e->lent = l->lent;
		e->run_as = l->run_as;
		e->arena = l->arena;
	} else {
		if (l->lent)
			disk_take_back_in(l->directory);
		arena_finish(&l->arena);
	}
	free(l->directory);
	free(l);
	if (cancelled)
		return;
	if (result < 0) {
		end(e, err.msg);
	} else if (streq(e->req->method, "HEAD")) {
		(void)begin_answer(e, (uint64_t)e->chain.size_bytes);
		end(e, NULL);
	} else {
		start_reader(e);
	}
}

static void begin(struct vm_snapshots *s, struct http_request *req, const char *ns,
	const char *directory, bool hold)
{
	struct export *e = xcalloc(1, sizeof(*e));
	struct look *l;
	struct random random = RANDOM_SYSTEM;
	const char *format = http_query_get(req, "format", 0);
	char uuid[37];

	random_uuid(&random, uuid);
	list_append(&s->exports, &e->link);
	s->export_count++;
	e->s = s;
	e->req = req;
	e->ns = xstrdup(ns);
	e->directory = xstrdup(directory);
	/* Short enough for a socket's name. */
	e->socket = xasprintf("%s/" SOCKET_PREFIX "%.13s/s", s->n->data_dir, uuid);
	if (format && streq(format, "gzip"))
		e->gzip = gzip_create();
	e->timer = wakeup_create(s->n->loop, s->n->clock, on_timer, e);
	e->stall = wakeup_create(s->n->loop, s->n->clock, on_stall_look, e);
	e->held = hold;
	if (hold)
		disks_hold(s->n->disks, directory);
	req->user = e;
	req->cancelled = on_client_gone;
	if (format && streq(format, "tar")) {
		if (streq(req->method, "HEAD")) {
			begin_archive(e);
			end(e, NULL);
		} else {
			start_archive(e);
		}
		return;
	}
	l = xcalloc(1, sizeof(*l));
	l->e = e;
	l->directory = xstrdup(directory);
	l->held = hold;
	l->read = !streq(req->method, "HEAD");
	e->job = file_work_queue(s->n->files, directory, look_on_thread, on_looked, l);
}

static void serve_claim(
	struct vm_snapshots *s, struct http_request *req, const char *ns, const char *claim)
{
	struct claim_place place;
	const char *reason;
	struct vm_worker *w;
	struct err err = ERR_INIT;

	if (claim_place_find(s->n->disks, &req->arena, ns, claim, &place, &reason, &err) < 0)
		vm_answer_status(req, 404, "NotFound", "%s", err.msg);
	else if (!place.directory)
		vm_answer_status(req, 400, "BadRequest", "PVC %s/%s is %s: it can't be exported",
			ns, claim, place.nfs ? "on an NFS server" : "a block device");
	/* A pod could put a link to another file where qemu-nbd looks for the disk. */
	else if (disks_check_pods(s->n, ns, claim, &err) < 0)
		vm_answer_status(req, 409, "Conflict", "%s", err.msg);
	else if (disks_use(s, ns, &claim, 1, &w) != DISK_FREE ||
		 disks_held(s->n->disks, place.directory))
		vm_answer_status(req, 409, "Conflict", "PVC %s/%s is in use", ns, claim);
	else
		begin(s, req, ns, place.directory, true);
}

static void serve_content(struct vm_snapshots *s, struct http_request *req, const char *ns,
	const char *content, const char *volume)
{
	struct object *o = informer_get(s->contents, ns, content);

	if (!o || *volume == '.')
		vm_answer_status(req, 404, "NotFound",
			"VirtualMachineSnapshotContent %s/%s is not on this node", ns, content);
	else
		begin(s, req, ns, disk_snapshot_directory(&req->arena, s->n, o->uid, volume),
			false);
}

static bool too_many(const struct vm_snapshots *s, const char *ns)
{
	unsigned count = 0;

	LIST_FOR_EACH(e, (struct list *)(uintptr_t)&s->exports, struct export, link)
		count += streq(e->ns, ns);
	return s->export_count >= AT_ONCE_MAX || count >= AT_ONCE_OF_NAMESPACE_MAX;
}

void vm_exports_serve(
	struct vm_manager *m, struct http_request *req, const char *const *parts, size_t count)
{
	if (!m->snapshots || !informer_synced(m->instances))
		vm_answer_status(req, 503, "ServiceUnavailable", "the node agent is starting");
	else if (!streq(req->method, "GET") && !streq(req->method, "HEAD"))
		vm_answer_status(req, 405, "MethodNotAllowed", "use GET");
	else if (count >= 2 && too_many(m->snapshots, parts[1]))
		vm_answer_status(req, 429, "TooManyRequests",
			"too many downloads of disks are under way on this node (it takes %d, and "
			"%d of a namespace): try again later",
			AT_ONCE_MAX, AT_ONCE_OF_NAMESPACE_MAX);
	else if (count == 3 && streq(parts[0], "claims"))
		serve_claim(m->snapshots, req, parts[1], parts[2]);
	else if (count == 4 && streq(parts[0], "contents"))
		serve_content(m->snapshots, req, parts[1], parts[2], parts[3]);
	else
		vm_answer_status(req, 404, "NotFound", "there is no such export");
}
