/* terminal.c
 *
 *     connecting --101--> joined --Ctrl-], close, failure--> ended
 *          \------------other answer, failure----------------^
 */
#include "cli/virt/terminal.h"

#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <termios.h>

#include "lib/base/sm.h"
#include "lib/client/endpoint.h"
#include "lib/http/websocket.h"
#include "lib/json/json.h"

#define ESCAPE '\x1d' /* Ctrl-], as virsh and telnet have it */
#define QUEUE_MAX_BYTES (64u << 10)

enum { CONNECTING, JOINED, ENDED };
static const struct sm_state states[] = {
	[CONNECTING] = {"connecting", SM_ALLOW(JOINED) | SM_ALLOW(ENDED), false},
	[JOINED] = {"joined", SM_ALLOW(ENDED), false},
	[ENDED] = {"ended", 0, true},
};
static const struct sm_class console_class = {"console", states, ARRAY_LEN(states), NULL};

struct console {
	uv_loop_t loop;
	struct sm sm;
	struct http_endpoint *endpoint;
	struct http_call *call;	     /* NULL once answered */
	struct websocket *websocket; /* NULL before the upgrade and after its end */
	const char *websocket_headers;
	uv_poll_t input;      /* terminals and pipes */
	uv_idle_t file_input; /* regular files are always readable */
	bool input_is_file, reading;
	/* Tells that nobody reads what is written: an epoll of its own, since libuv would make
	 * standard output non-blocking, for whoever has it after us, too. */
	uv_poll_t output;
	int output_fd; /* -1 = a file, which has no reader that can go */
	bool is_terminal;
	const char *terminal; /* what it is to a person; NULL = bytes for a program */
	int result;
	struct err err;
};

static struct termios saved_mode;
static bool mode_is_saved;

static void restore_terminal(void)
{
	if (mode_is_saved)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_mode);
	mode_is_saved = false;
}

static void make_terminal_raw(void)
{
	if (tcgetattr(STDIN_FILENO, &saved_mode) < 0)
		return;
	struct termios raw = saved_mode;
	cfmakeraw(&raw);
	mode_is_saved = true;
	atexit(restore_terminal);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

static void stop_reading(struct console *c)
{
	if (!c->reading)
		return;
	c->reading = false;
	if (c->input_is_file)
		uv_idle_stop(&c->file_input);
	else
		uv_poll_stop(&c->input);
}

static void end(struct console *c, int result)
{
	if (c->sm.state == ENDED)
		return;
	sm_move(&c->sm, ENDED, (int64_t)uv_hrtime());
	c->result = result;
	stop_reading(c);
	uv_stop(&c->loop);
}

static void start_reading(struct console *c);

static void read_input(struct console *c)
{
	char data[4096];
	ssize_t size = read(STDIN_FILENO, data, sizeof(data));
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size <= 0) {
		/* No more input; what the guest says is still shown. A terminal that is gone ends
		 * it. */
		stop_reading(c);
		if (c->is_terminal)
			end(c, 0);
		return;
	}
	char *escape = c->is_terminal ? memchr(data, ESCAPE, (size_t)size) : NULL;
	if (escape)
		size = escape - data;
	if (size > 0 && c->websocket)
		websocket_send(c->websocket, false, data, (size_t)size);
	if (escape)
		end(c, 0);
	else if (c->websocket && websocket_queued(c->websocket) > QUEUE_MAX_BYTES)
		stop_reading(c); /* until drained */
}

static void on_input(uv_poll_t *p, int status, int events)
{
	read_input(p->data);
}

static void on_file_input(uv_idle_t *i)
{
	read_input(i->data);
}

static void start_reading(struct console *c)
{
	if (c->reading)
		return;
	c->reading = true;
	if (c->input_is_file)
		uv_idle_start(&c->file_input, on_file_input);
	else
		uv_poll_start(&c->input, UV_READABLE | UV_DISCONNECT, on_input);
}

static void on_message(void *user, bool text, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t written = write(STDOUT_FILENO, data, size);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0 && errno == EAGAIN) {
			/* libuv made input non-blocking, and a terminal's output is the same. */
			poll(&(struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT}, 1, -1);
			continue;
		}
		if (written < 0) {
			struct console *c = user;
			end(c, err_errno(&c->err, -errno, "write to standard output"));
			return;
		}
		data += written;
		size -= (size_t)written;
	}
}

static void on_drained(void *user)
{
	start_reading(user);
}

static void on_closed(void *user, unsigned code)
{
	struct console *c = user;
	c->websocket = NULL;
	if (code == 1000 || code == 1001)
		end(c, 0);
	else
		end(c, err_set(&c->err, -ECONNRESET, "the connection ended (code %u)", code));
}

static const struct websocket_handler websocket_handler = {
	.message = on_message,
	.drained = on_drained,
	.closed = on_closed,
};

static void on_upgraded(void *user, struct stream *s, const struct http_response *r)
{
	struct console *c = user;
	c->call = NULL;
	if (!websocket_client_accepted(c->websocket_headers, r)) {
		stream_close(s);
		end(c, err_set(&c->err, -EPROTO, "the server's answer is no WebSocket"));
		return;
	}
	sm_move(&c->sm, JOINED, (int64_t)uv_hrtime());
	c->websocket = websocket_client(s, &websocket_handler, c);
	if (c->is_terminal) {
		fprintf(stderr, "Connected to %s; leave it by Ctrl-].\n", c->terminal);
		make_terminal_raw();
	}
	websocket_read_start(c->websocket);
	start_reading(c);
}

static void on_refused(void *user, const struct http_response *r, const struct err *err)
{
	struct console *c = user;
	c->call = NULL;
	if (!r) {
		end(c, err_set(&c->err, err->code, "%s", err->msg));
		return;
	}
	struct arena a = ARENA_INIT;
	struct json *status = NULL;
	const char *message = NULL;
	if (json_parse(&a, r->body, r->body_size, NULL, &status, NULL) == 0)
		message = json_str(json_get(status, "message"));
	end(c, err_set(&c->err, -EREMOTEIO, "%s", message ? message : "the server refused"));
	arena_finish(&a);
}

static void init_input(struct console *c)
{
	c->is_terminal = c->terminal && isatty(STDIN_FILENO);
	uv_idle_init(&c->loop, &c->file_input);
	c->file_input.data = c;
	c->input_is_file = uv_poll_init(&c->loop, &c->input, STDIN_FILENO) < 0;
	c->input.data = c;
}

/* After the end of the input only this tells that whoever asked has gone: ssh does not wait for us,
 * and the guest may keep its side open for minutes. */
static void on_output_gone(uv_poll_t *p, int status, int events)
{
	end(p->data, 0);
}

static void watch_output(struct console *c)
{
	struct epoll_event errors_only = {.events = 0};

	c->output_fd = epoll_create1(EPOLL_CLOEXEC);
	if (c->output_fd < 0)
		return;
	if (epoll_ctl(c->output_fd, EPOLL_CTL_ADD, STDOUT_FILENO, &errors_only) < 0 ||
		uv_poll_init(&c->loop, &c->output, c->output_fd) < 0) {
		close(c->output_fd);
		c->output_fd = -1;
		return;
	}
	c->output.data = c;
	uv_poll_start(&c->output, UV_READABLE, on_output_gone);
}

static void close_handle(uv_handle_t *h, void *user)
{
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

int virt_stdio(const struct kubeconfig *k, const char *path, const char *terminal, struct err *err)
{
	struct console c = {.terminal = terminal};
	struct arena a = ARENA_INIT;
	uv_loop_init(&c.loop);
	int r = client_endpoint_create(&c.loop, k, &c.endpoint, err);
	if (r < 0) {
		uv_loop_close(&c.loop);
		return r;
	}
	sm_init(&c.sm, &console_class, &c, path, CONNECTING, (int64_t)uv_hrtime());
	init_input(&c);
	watch_output(&c);
	_cleanup_(free_p) char *auth = client_auth_headers(k);
	c.websocket_headers = websocket_client_headers(&a, "plain.kubevirt.io");
	struct http_call_options o = {
		.method = "GET",
		.target = arena_printf(&a, "%s%s", k->path, path),
		.headers = arena_printf(&a, "%s%s", auth, c.websocket_headers),
		.done = on_refused,
		.upgraded = on_upgraded,
		.user = &c,
	};
	c.call = http_call(c.endpoint, &o);
	uv_run(&c.loop, UV_RUN_DEFAULT);
	restore_terminal();
	if (c.is_terminal && c.result == 0)
		fprintf(stderr, "\n");

	if (c.websocket)
		websocket_close(c.websocket, 1000);
	if (c.call)
		http_call_cancel(c.call);
	http_endpoint_destroy(c.endpoint);
	uv_close((uv_handle_t *)&c.file_input, NULL);
	if (!c.input_is_file)
		uv_close((uv_handle_t *)&c.input, NULL);
	if (c.output_fd >= 0)
		uv_close((uv_handle_t *)&c.output, NULL);
	uv_run(&c.loop, UV_RUN_DEFAULT);
	uv_walk(&c.loop, close_handle, NULL);
	uv_run(&c.loop, UV_RUN_DEFAULT);
	uv_loop_close(&c.loop);
	if (c.output_fd >= 0)
		close(c.output_fd);
	arena_finish(&a);
	return c.result < 0 ? err_set(err, c.result, "%s", c.err.msg) : 0;
}
