/* backup.c - GET /hanok/backup: the store's file as it is at this moment, streamed.
 *
 *	copying (off the loop, into an unlinked file beside the store) ---> sending ---> ended
 *	   client gone, or the server stops: the copying is given up -------------------^
 *
 * One at a time, from the beginning to the end: a copy takes as much of the disk as the store, for
 * as long as its client takes to read it.
 *
 * Everything is in it, also Secrets: whoever may "get" this path by RBAC may read all. */
#include <inttypes.h>
#include <sys/stat.h>

#include "server/api/api_internal.h"

#define PIECE_BYTES (64u << 10)

struct backup {
	struct api_request *req;
	bool gone; /* the client; what is under way ends first */
	int fd;	   /* -1 while copying */
	off_t at, size;
};

static void on_closed(struct http_request *http)
{
	struct backup *b = http->user;
	b->req->api->backup_under_way = false;
	if (b->fd >= 0)
		close(b->fd);
	free(b);
}

/* As far as the client takes it; goes on when its queue has drained. */
static void pump(struct http_request *http)
{
	struct backup *b = http->user;
	char piece[PIECE_BYTES];
	while (b->at < b->size && http_stream_queued(http) <= STREAM_HIGH_BYTES) {
		ssize_t n = pread(b->fd, piece, sizeof(piece), b->at);
		if (n <= 0) {
			/* Cut short, so that the client does not take it for whole. */
			http_abort(http);
			return;
		}
		b->at += n;
		http_stream_write(http, piece, (size_t)n);
	}
	if (b->at == b->size)
		http_stream_end(http);
}

static void on_cancelled(struct http_request *http)
{
	struct backup *b = http->user;
	b->gone = true;
	if (b->fd >= 0)
		http_abort(http);
	else
		store_sqlite_backup_cancel(b->req->api->options.store);
}

static void on_copied(void *user, int r, int fd, const struct err *err)
{
	struct backup *b = user;
	struct api_request *req = b->req;
	struct stat st;
	b->fd = fd;
	if (b->gone) {
		http_abort(req->http);
		return;
	}
	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r == -ECANCELED) {
		status_set(
			req->arena, &req->st, 503, "ServiceUnavailable", "the server is stopping");
		api_fail(req);
		return;
	}
	if (r < 0) {
		status_from_err(req->arena, &req->st, err);
		api_fail(req);
		return;
	}
	b->size = st.st_size;
	http_stream_begin(req->http, 200, "application/vnd.sqlite3", NULL);
	http_stream_on_drained(req->http, pump);
	pump(req->http);
}

void api_backup_cancel(struct api *api)
{
	if (api->backup_under_way)
		store_sqlite_backup_cancel(api->options.store);
}

bool api_backup(struct api_request *req)
{
	if (!streq(req->path, API_BACKUP_PATH))
		return false;
	struct store *store = req->api->options.store;
	if (!streq(req->method, "GET")) {
		api_fail_method(req);
	} else if (!req->http || !store || !streq(store->ops->name, "sqlite")) {
		status_set(req->arena, &req->st, 501, "NotImplemented",
			"this server's store makes no backups");
		api_fail(req);
	} else if (req->api->backup_under_way || req->api->stopping) {
		status_set(req->arena, &req->st, 429, "TooManyRequests",
			"another backup is being made: try again when it has been taken");
		status_detail(
			req->arena, &req->st, "retryAfterSeconds", json_new_int(req->arena, 10));
		api_fail(req);
	} else {
		struct backup *b = xcalloc(1, sizeof(*b));
		b->req = req;
		b->fd = -1;
		req->http->user = b;
		req->http->closed = on_closed;
		req->http->cancelled = on_cancelled;
		req->api->backup_under_way = true;
		store_sqlite_backup(store, on_copied, b);
	}
	return true;
}
