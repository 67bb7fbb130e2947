#include "node/net/netd_client.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include "lib/base/log.h"
#include "lib/http/stream.h"

#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 10000
#define RESULT_MAX_BYTES 4096
#define STEADY_MS 10000 /* a netd that lived this long works */

/*             spawned             process or socket ended
 *  WAITING ------------> RUNNING -------------------------> WAITING (a pause) ...
 */
struct netd_client {
	uv_loop_t *loop;
	char *program;
	struct netd_client_handler handler;
	void *user;
	struct stream *stream; /* NULL while WAITING */
	struct buf in;
	uv_timer_t timer;
	unsigned retry_ms;
	uint64_t started_ms;
	uint32_t serial;
	unsigned open; /* handles and streams still to be closed after destroy */
	bool destroyed;
};

static void start(struct netd_client *c);

static void one_closed(struct netd_client *c)
{
	if (--c->open || !c->destroyed)
		return;
	buf_finish(&c->in);
	free(c->program);
	free(c);
}

static void on_timer(uv_timer_t *t)
{
	start(t->data);
}

static void ended(struct netd_client *c)
{
	if (!c->stream)
		return;
	stream_close(TAKE_PTR(c->stream));
	if (c->destroyed)
		return;
	/* One that answers and dies of what comes next is not to be started ten times a second. */
	if (uv_now(c->loop) - c->started_ms >= STEADY_MS)
		c->retry_ms = 0;
	c->retry_ms = MIN(MAX(c->retry_ms * 2, (unsigned)RETRY_MIN_MS), (unsigned)RETRY_MAX_MS);
	log_warn("netd ended and is started again", NULL);
	uv_timer_start(&c->timer, on_timer, c->retry_ms, 0);
}

static void on_read(void *user, const char *data, size_t size)
{
	struct netd_client *c = user;
	size_t at = 0;

	buf_add(&c->in, data, size);
	while (c->stream && !c->destroyed && c->in.size - at >= sizeof(struct netd_header)) {
		struct netd_header h;
		char text[RESULT_MAX_BYTES + 1];

		memcpy(&h, c->in.data + at, sizeof(h));
		if (h.size > RESULT_MAX_BYTES) {
			ended(c);
			break;
		}
		if (c->in.size - at - sizeof(h) < h.size)
			break;
		memcpy(text, c->in.data + at + sizeof(h), h.size);
		text[h.size] = '\0';
		at += sizeof(h) + h.size;
		if (h.type == NETD_LOST)
			c->handler.fresh(c->user, text);
		else if (h.type == NETD_RESULT)
			c->handler.result(c->user, h.serial, h.code, text);
	}
	buf_drop_front(&c->in, MIN(at, c->in.size));
}

static void on_eof(void *user)
{
	ended(user);
}

static void on_error(void *user, int code, const char *text)
{
	ended(user);
}

static void on_closed(void *user)
{
	one_closed(user);
}

struct netd_process {
	uv_process_t process;
	struct netd_client *client;
};

static void process_closed(uv_handle_t *h)
{
	struct netd_process *p = h->data;

	one_closed(p->client);
	free(p);
}

static void on_exit_(uv_process_t *u, int64_t status, int sig)
{
	/* The socket's end tells it too, and is what counts; this only reaps. */
	uv_close((uv_handle_t *)u, process_closed);
}

static int spawn(struct netd_client *c, int fd)
{
	struct netd_process *p = xcalloc(1, sizeof(*p));
	char *argv[] = {"hanok", "netd", NULL};
	uv_stdio_container_t stdio[4] = {
		{.flags = UV_IGNORE},
		{.flags = UV_IGNORE},
		{.flags = UV_INHERIT_FD, .data.fd = 2},
		{.flags = UV_INHERIT_FD, .data.fd = fd},
	};
	uv_process_options_t o = {
		.file = c->program,
		.args = argv,
		.exit_cb = on_exit_,
		.stdio = stdio,
		.stdio_count = 4,
		.cwd = "/",
	};
	int r;

	p->client = c;
	p->process.data = p;
	c->open++;
	r = uv_spawn(c->loop, &p->process, &o);
	if (r < 0)
		uv_close((uv_handle_t *)&p->process, process_closed);
	return r;
}

static void start(struct netd_client *c)
{
	static const struct stream_handler h = {
		.read = on_read, .eof = on_eof, .error = on_error, .closed = on_closed};
	struct err err = ERR_INIT;
	int fds[2], r;

	if (c->destroyed || c->stream)
		return;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
		r = -errno;
		goto failed;
	}
	r = spawn(c, fds[1]);
	close(fds[1]);
	if (r < 0) {
		close(fds[0]);
		goto failed;
	}
	r = stream_from_fd(c->loop, fds[0], &c->stream, &err);
	if (r < 0) {
		close(fds[0]);
		goto failed;
	}
	c->open++;
	c->started_ms = uv_now(c->loop);
	buf_finish(&c->in);
	stream_set_handler(c->stream, &h, c);
	stream_read_start(c->stream);
	c->handler.fresh(c->user, "netd started");
	return;
failed:
	log_error("netd can't be started", "error", strerror(-r), NULL);
	c->retry_ms = MIN(MAX(c->retry_ms * 2, (unsigned)RETRY_MIN_MS), (unsigned)RETRY_MAX_MS);
	uv_timer_start(&c->timer, on_timer, c->retry_ms, 0);
}

struct netd_client *netd_client_create(
	uv_loop_t *loop, const char *program, const struct netd_client_handler *h, void *user)
{
	struct netd_client *c = xcalloc(1, sizeof(*c));

	c->loop = loop;
	c->program = xstrdup(program ? program : "/proc/self/exe");
	c->handler = *h;
	c->user = user;
	c->open = 1;
	uv_timer_init(loop, &c->timer);
	c->timer.data = c;
	uv_timer_start(&c->timer, on_timer, 0, 0);
	return c;
}

static void timer_closed(uv_handle_t *h)
{
	one_closed(h->data);
}

void netd_client_destroy(struct netd_client *c)
{
	if (!c || c->destroyed)
		return;
	c->destroyed = true;
	if (c->stream)
		stream_close(TAKE_PTR(c->stream));
	uv_close((uv_handle_t *)&c->timer, timer_closed);
}

uint32_t netd_client_send(struct netd_client *c, enum netd_message type, const void *p, size_t size)
{
	struct netd_header h = {.size = (uint32_t)size, .type = type};

	if (!c->stream || size > NETD_MESSAGE_MAX_BYTES)
		return 0;
	h.serial = ++c->serial;
	if (!h.serial)
		h.serial = ++c->serial;
	stream_write(c->stream, &h, sizeof(h));
	if (size)
		stream_write(c->stream, p, size);
	return h.serial;
}

bool netd_client_send_ops(struct netd_client *c, const struct netd_op *ops, size_t count,
	uint32_t *ret_first, uint32_t *ret_last)
{
	size_t most = NETD_MESSAGE_MAX_BYTES / sizeof(*ops);

	*ret_first = *ret_last = 0;
	for (size_t i = 0; i < count; i += most) {
		*ret_last =
			netd_client_send(c, NETD_OPS, ops + i, MIN(most, count - i) * sizeof(*ops));
		if (!*ret_last)
			return false;
		if (!*ret_first)
			*ret_first = *ret_last;
	}
	return count != 0;
}
