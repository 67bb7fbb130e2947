/* transfer.c - downloads by lib/http's client, uploads by a request of our own: that client takes
 * bodies whole, and images are big.
 *
 *     connecting --> sending header and file --> reading the answer --> ended
 *          \-------------\---------------------------\--failure--^
 */
#include "cli/virt/transfer.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/buf.h"
#include "lib/http/http_client.h"
#include "lib/http/tls.h"
#include "lib/json/json.h"

#define PIECE_BYTES (256u << 10)
#define ANSWER_MAX_BYTES (64u << 10)
#define RESUME_AFTER_MS 1000

struct exchange {
	uv_loop_t loop;
	const struct transfer *transfer;
	struct stream *stream;
	int file;
	uint64_t size, at; /* of the file, and how far it is sent or taken; size 0 = not known */
	/* To an upload: header and the beginning of the body; to a download: why it is refused. */
	struct buf answer;
	int status;	/* of the last answer; 0 = none */
	char etag[128]; /* of a download's bytes, as the server named them first; "" = not at all */
	bool ended, cut; /* cut: the connection failed, not the file */
	int64_t shown;	 /* permille; -1 = nothing yet */
	int result;
	struct err err;
};

struct url {
	bool tls;
	char *address, *host, *name, *path;
};

static int parse_url(struct arena *a, const char *text, struct url *ret, struct err *err)
{
	bool tls = str_has_prefix(text, "https://");
	if (!tls && !str_has_prefix(text, "http://"))
		return err_set(err, -EINVAL, "'%s' is no http:// or https:// address", text);
	const char *host = strstr(text, "//") + 2, *slash = strchr(host, '/');
	char *authority =
		slash ? arena_printf(a, "%.*s", (int)(slash - host), host) : arena_strdup(a, host);
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= ' ')
			return err_set(err, -EINVAL, "'%s' has blanks", text);
	/* An IPv6 address is in brackets. */
	const char *colon = strrchr(authority, ':'), *bracket = strrchr(authority, ']');
	bool port = colon && (!bracket || colon > bracket);
	char *name = port ? arena_printf(a, "%.*s", (int)(colon - authority), authority)
			  : arena_strdup(a, authority);
	if (!*name || strchr(authority, '@'))
		return err_set(err, -EINVAL, "'%s' has no host", text);
	size_t length = strlen(name);
	bool brackets = name[0] == '[' && name[length - 1] == ']';
	*ret = (struct url){
		.tls = tls,
		.address = arena_printf(a, "tcp://%s%s", authority,
			port  ? ""
			: tls ? ":443"
			      : ":80"),
		.host = authority,
		.name = brackets ? arena_printf(a, "%.*s", (int)length - 2, name + 1) : name,
		.path = slash ? arena_strdup(a, slash) : arena_strdup(a, "/"),
	};
	return 0;
}

static void end(struct exchange *x, int result)
{
	if (x->ended)
		return;
	x->ended = true;
	x->result = result;
	uv_stop(&x->loop);
}

static void show(struct exchange *x)
{
	if (!x->transfer->title || !isatty(STDERR_FILENO))
		return;
	int64_t permille = x->size ? (int64_t)((double)x->at / (double)x->size * 1000) : 0;
	if (permille == x->shown)
		return;
	x->shown = permille;
	fprintf(stderr, "\r%s: %lld MiB", x->transfer->title, (long long)(x->at >> 20));
	if (x->size)
		fprintf(stderr, ", %lld.%lld%%", (long long)permille / 10,
			(long long)permille % 10);
}

static void send_more(struct exchange *x)
{
	/* Above the mark, not at it: else nobody tells when it has drained. */
	while (x->at < x->size && stream_queued(x->stream) <= STREAM_HIGH_BYTES) {
		char piece[PIECE_BYTES / 4];
		ssize_t n = read(x->file, piece, MIN(sizeof(piece), x->size - x->at));
		if (n <= 0) {
			end(x, n < 0 ? err_errno(&x->err, -errno, "read the file")
				     : err_set(&x->err, -EIO, "the file became shorter"));
			return;
		}
		stream_write(x->stream, piece, (size_t)n);
		x->at += (uint64_t)n;
	}
	show(x);
}

/* Where the answer's body begins; NULL = the header is not whole. */
static char *body_of(const struct exchange *x)
{
	char *at = x->answer.size ? memmem(x->answer.data, x->answer.size, "\r\n\r\n", 4) : NULL;
	return at ? at + 4 : NULL;
}

static int code_of(const struct exchange *x)
{
	int code = 0;
	if (!x->answer.size || sscanf(x->answer.data, "HTTP/1.%*1[01] %3d", &code) != 1)
		return 0;
	return code;
}

static int64_t length_of(const struct exchange *x)
{
	const char *at = strcasestr(x->answer.data, "\r\ncontent-length:");
	const char *stop = body_of(x);
	int64_t length = -1;
	if (!at || at > stop)
		return -1;
	at += strlen("\r\ncontent-length:");
	at += strspn(at, " \t");
	return parse_i64((struct str){at, strcspn(at, " \t\r")}, &length) == 0 ? length : -1;
}

static void judge(struct exchange *x)
{
	int code = code_of(x);
	const char *body = body_of(x);
	if (code >= 200 && code < 300)
		end(x, 0);
	else if (!body)
		end(x, err_set(&x->err, -ECONNRESET, "the server ended the connection"));
	else
		end(x, err_set(&x->err, -EREMOTEIO, "the server answered %d: %.*s", code,
			       (int)MIN(strcspn(body, "\r\n"), 400), body));
}

static void on_read(void *user, const char *data, size_t size)
{
	struct exchange *x = user;
	buf_add(&x->answer, data, MIN(size, ANSWER_MAX_BYTES - x->answer.size));
	char *body = body_of(x);
	if (!body && x->answer.size == ANSWER_MAX_BYTES) {
		end(x, err_set(&x->err, -EPROTO, "the server's answer is no HTTP"));
		return;
	}
	int64_t length = body ? length_of(x) : -1;
	if (length >= 0 && x->answer.size - (size_t)(body - x->answer.data) >= (uint64_t)length)
		judge(x);
}

static void on_eof(void *user)
{
	judge(user);
}

static void on_error(void *user, int code, const char *text)
{
	struct exchange *x = user;
	/* A server that refuses may close while the file is still on its way. */
	if (body_of(x))
		judge(x);
	else
		end(x, err_set(&x->err, code, "%s", text));
}

static void on_drained(void *user)
{
	send_more(user);
}

static const struct stream_handler handler = {
	.read = on_read, .eof = on_eof, .error = on_error, .drained = on_drained};

struct opening {
	struct exchange *x;
	const char *request;
};

static void on_connected(void *user, struct stream *s, const struct err *err)
{
	struct opening *o = user;
	if (!s) {
		end(o->x, err_set(&o->x->err, err->code, "%s", err->msg));
		return;
	}
	o->x->stream = s;
	stream_set_handler(s, &handler, o->x);
	stream_write(s, o->request, strlen(o->request));
	stream_read_start(s);
	send_more(o->x);
}

static int open_tls(const struct transfer *t, const struct url *url, SSL_CTX **ret, struct err *err)
{
	struct str ca = str_from(t->ca);
	*ret = NULL;
	return url->tls ? tls_client_context(t->ca ? &ca : NULL, NULL, NULL, ret, err) : 0;
}

static int post(struct exchange *x, struct err *err)
{
	struct arena a = ARENA_INIT;
	const struct transfer *t = x->transfer;
	struct url url;
	SSL_CTX *tls = NULL;
	int r = parse_url(&a, t->url, &url, err);
	if (r == 0)
		r = open_tls(t, &url, &tls, err);
	if (r < 0) {
		arena_finish(&a);
		return r;
	}
	struct opening o = {x, arena_printf(&a,
				       "POST %s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n"
				       "Connection: close\r\nContent-Length: %llu\r\n%s\r\n",
				       url.path, url.host, (unsigned long long)x->size,
				       t->headers ? t->headers : "")};
	uv_loop_init(&x->loop);
	x->shown = -1;
	stream_connect(&x->loop, url.address, tls, t->ca ? url.name : NULL, 0, on_connected, &o);
	while (!x->ended)
		uv_run(&x->loop, UV_RUN_DEFAULT);
	if (x->shown >= 0)
		fprintf(stderr, "\n");
	if (x->stream)
		stream_close(x->stream);
	uv_run(&x->loop, UV_RUN_DEFAULT);
	uv_loop_close(&x->loop);
	SSL_CTX_free(tls);
	buf_finish(&x->answer);
	arena_finish(&a);
	return x->result < 0 ? err_set(err, x->result, "%s", x->err.msg) : 0;
}

int transfer_upload(const struct transfer *t, const char *file, struct err *err)
{
	_cleanup_(close_p) int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, -errno, "read '%s'", file);
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return err_set(err, -EINVAL, "'%s' is no file with something in it", file);
	struct exchange x = {.transfer = t, .file = fd, .size = (uint64_t)st.st_size};
	int r = post(&x, err);
	return r < 0 ? err_context(err, r, "send '%s' to %s", file, t->url) : 0;
}

/* ---- downloads ---- */

/* The rest, or, where the server does not know what that is, the whole again. */
static int begin_anew(struct exchange *x, const struct http_response *r)
{
	const char *range = http_response_header(r, "content-range");
	unsigned long long from;

	if (x->at == 0)
		return 0;
	if (r->status == 206)
		return range && sscanf(range, "bytes %llu-", &from) == 1 && from == x->at
			       ? 0
			       : err_set(&x->err, -EPROTO, "the server sends another part");
	if (lseek(x->file, 0, SEEK_SET) < 0 || ftruncate(x->file, 0) < 0)
		return err_errno(&x->err, -errno, "begin the file anew");
	x->at = x->size = 0;
	return 0;
}

/* A weak one is no word about bytes (RFC 9110, 13.1.5). */
static void keep_etag(struct exchange *x, const char *etag)
{
	bool fits = etag && *etag == '"' && strlen(etag) < sizeof(x->etag);

	snprintf(x->etag, sizeof(x->etag), "%s", fits ? etag : "");
}

static void on_begin(void *user, const struct http_response *r)
{
	struct exchange *x = user;
	int64_t length;
	const char *text = http_response_header(r, "content-length");
	int result;

	x->status = r->status;
	if (r->status / 100 != 2)
		return;
	result = begin_anew(x, r);
	if (x->at == 0)
		keep_etag(x, http_response_header(r, "etag"));
	if (result < 0)
		end(x, result);
	else if (text && parse_i64(str_from(text), &length) == 0 && length > 0)
		x->size = x->at + (uint64_t)length;
}

static void on_piece(void *user, const char *p, size_t size)
{
	struct exchange *x = user;

	if (x->status / 100 != 2) {
		buf_add(&x->answer, p, MIN(size, ANSWER_MAX_BYTES - x->answer.size));
		return;
	}
	while (size > 0 && !x->ended) {
		ssize_t n = write(x->file, p, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			end(x, err_errno(&x->err, -errno, "write the file"));
			return;
		}
		p += n;
		size -= (size_t)n;
		x->at += (uint64_t)n;
	}
	show(x);
}

/* The message of a Status, or the answer's first line. */
static int refused(struct exchange *x)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err ignored = ERR_INIT;
	struct json *doc = NULL;
	const char *text;

	buf_add(&x->answer, "", 1);
	if (json_parse(&a, x->answer.data, x->answer.size - 1, NULL, &doc, &ignored) < 0)
		doc = NULL;
	text = json_path_str(doc, "message");
	if (!text)
		text = x->answer.data;
	return err_set(&x->err, -EREMOTEIO, "the server answered %d%s%.*s", x->status,
		*text ? ": " : "", (int)MIN(strcspn(text, "\r\n"), 400), text);
}

static void on_done(void *user, const struct http_response *r, const struct err *err)
{
	struct exchange *x = user;

	if (x->ended)
		return;
	x->cut = !r;
	if (!r)
		end(x, err_set(&x->err, err->code, "%s", err->msg));
	else
		end(x, x->status / 100 == 2 ? 0 : refused(x));
}

/* One request. */
static int ask(struct exchange *x, struct arena *a, const struct url *url, SSL_CTX *tls)
{
	const struct transfer *t = x->transfer;
	const char *headers = t->headers ? t->headers : "";

	/* Of what may be other bytes by now, all is asked for again. */
	if (x->at && *x->etag)
		headers = arena_printf(a, "%sRange: bytes=%llu-\r\nIf-Range: %s\r\n", headers,
			(unsigned long long)x->at, x->etag);
	x->ended = x->cut = false;
	x->err = (struct err)ERR_INIT;
	x->status = 0;
	buf_clear(&x->answer);
	uv_loop_init(&x->loop);
	struct http_endpoint_options o = {.loop = &x->loop,
		.address = url->address,
		.tls = tls,
		.tls_name = t->ca ? url->name : NULL,
		.host = url->host};
	struct http_endpoint *endpoint = http_endpoint_create(&o);
	struct http_call_options call = {.method = "GET",
		.target = url->path,
		.headers = headers,
		.timeout_ms = HTTP_NO_TIMEOUT,
		.begin = on_begin,
		.data = on_piece,
		.done = on_done,
		.user = x};
	http_call(endpoint, &call);
	while (!x->ended)
		uv_run(&x->loop, UV_RUN_DEFAULT);
	http_endpoint_destroy(endpoint);
	uv_run(&x->loop, UV_RUN_DEFAULT);
	uv_loop_close(&x->loop);
	return x->result;
}

static int get(struct exchange *x, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct url url;
	SSL_CTX *tls = NULL;
	int r = parse_url(&a, x->transfer->url, &url, err);

	if (r == 0)
		r = open_tls(x->transfer, &url, &tls, err);
	if (r < 0)
		return r;
	x->shown = -1;
	r = ask(x, &a, &url, tls);
	for (unsigned i = 0;
		i < x->transfer->resumes && r < 0 && x->cut && x->at && x->at != x->size; i++) {
		poll(NULL, 0, RESUME_AFTER_MS);
		r = ask(x, &a, &url, tls);
	}
	/* Cut when all had come. */
	if (r < 0 && x->cut && x->size && x->at == x->size)
		r = 0;
	if (x->shown >= 0)
		fprintf(stderr, "\n");
	SSL_CTX_free(tls);
	buf_finish(&x->answer);
	return r < 0 ? err_set(err, r, "%s", x->err.msg) : 0;
}

int transfer_download(const struct transfer *t, const char *file, int *ret_status, struct err *err)
{
	bool standard = streq(file, "-");
	char *part = standard ? NULL : xasprintf("%s.part", file);
	int fd = standard ? dup(STDOUT_FILENO)
			  : open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int r = fd < 0 ? err_errno(err, -errno, "write '%s'", file) : 0;
	*ret_status = 0;
	if (r == 0) {
		struct exchange x = {.transfer = t, .file = fd};
		r = get(&x, err);
		*ret_status = x.status;
		if (close(fd) < 0 && r == 0)
			r = err_errno(err, -errno, "write '%s'", file);
		if (r == 0 && part && rename(part, file) < 0)
			r = err_errno(err, -errno, "rename '%s' to '%s'", part, file);
		if (r < 0 && part)
			unlink(part);
		if (r < 0)
			err_context(err, r, "get %s", t->url);
	}
	free(part);
	return r;
}
