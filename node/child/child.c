#include "node/child/child.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/buf.h"
#include "lib/base/random.h"
#include "lib/base/vec.h"

struct child {
	uv_process_t process;
	uv_pipe_t in, out, errors;
	uv_timer_t timer;
	uv_write_t write;
	char *input; /* until written */
	struct buf out_buf, errors_buf;
	size_t output_max;
	unsigned open_handles; /* uv handles whose close callback is still to come */
	unsigned waiting;      /* exit and both outputs' ends, before done */
	bool started, exited, finished, cancelled, timed_out, too_much;
	int start_error;
	int64_t exit_status;
	int signal;
	char *program;
	bool out_ended; /* nothing more is to be read */
	void (*output)(void *user, const char *p, size_t size);
	void (*done)(void *user, const struct child_result *r, const struct err *err);
	void *user;
};

static void child_free(struct child *c)
{
	buf_finish(&c->out_buf);
	buf_finish(&c->errors_buf);
	free(c->input);
	free(c->program);
	free(c);
}

static void handle_closed(uv_handle_t *h)
{
	struct child *c = h->data;

	if (!--c->open_handles)
		child_free(c);
}

static void close_handle(uv_handle_t *h)
{
	if (!uv_is_closing(h))
		uv_close(h, handle_closed);
}

static void close_all(struct child *c)
{
	c->finished = true;
	close_handle((uv_handle_t *)&c->in);
	close_handle((uv_handle_t *)&c->out);
	close_handle((uv_handle_t *)&c->errors);
	close_handle((uv_handle_t *)&c->timer);
	if (c->started)
		close_handle((uv_handle_t *)&c->process);
}

static void finish(struct child *c)
{
	struct child_result r = {
		.exit_code = c->exited && !c->signal ? (int)c->exit_status : -1,
		.signal = c->signal,
		.timed_out = c->timed_out,
	};
	struct err err = ERR_INIT;
	bool failed = true;

	while (c->errors_buf.size && strchr("\r\n ", c->errors_buf.data[c->errors_buf.size - 1]))
		c->errors_buf.data[--c->errors_buf.size] = '\0';
	r.out = c->out_buf.data ? c->out_buf.data : "";
	r.out_size = c->out_buf.size;
	r.errors = c->errors_buf.data ? c->errors_buf.data : "";
	if (c->start_error)
		err_errno(&err, c->start_error, "start %s", c->program);
	else if (c->timed_out)
		err_set(&err, -ETIMEDOUT, "%s took too long and was ended", c->program);
	else if (c->too_much)
		err_set(&err, -E2BIG, "%s wrote more than %zu bytes", c->program, c->output_max);
	else if (c->signal)
		err_set(&err, -EIO, "%s was ended by signal %d", c->program, c->signal);
	else if (c->exit_status)
		err_set(&err, -EIO, "%s: %s%s", c->program,
			*r.errors ? r.errors : "failed without saying why",
			c->exit_status == 127 ? " (is it installed?)" : "");
	else
		failed = false;
	close_all(c);
	if (!c->cancelled)
		c->done(c->user, &r, failed ? &err : NULL);
}

static void one_less(struct child *c)
{
	if (!--c->waiting && !c->finished)
		finish(c);
}

static void on_exit_(uv_process_t *p, int64_t status, int sig)
{
	struct child *c = p->data;

	c->exited = true;
	c->exit_status = status;
	c->signal = sig;
	one_less(c);
}

static void on_alloc(uv_handle_t *h, size_t want, uv_buf_t *ret)
{
	static char room[16384]; /* one loop, and the bytes are copied before it runs again */

	*ret = uv_buf_init(room, sizeof(room));
}

/* Never after it was reaped: its id may be somebody else's by then. */
static void end_process(struct child *c)
{
	if (c->started && !c->exited)
		uv_process_kill(&c->process, SIGKILL);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct child *c = s->data;

	if (n < 0) {
		uv_read_stop(s);
		c->out_ended |= s == (uv_stream_t *)&c->out;
		one_less(c);
		return;
	}
	if (s == (uv_stream_t *)&c->errors) {
		buf_add(&c->errors_buf, b->base, (size_t)n);
		if (c->errors_buf.size > CHILD_ERRORS_MAX_BYTES)
			buf_drop_front(&c->errors_buf, c->errors_buf.size - CHILD_ERRORS_MAX_BYTES);
		return;
	}
	if (c->output) {
		if (!c->cancelled)
			c->output(c->user, b->base, (size_t)n);
		return;
	}
	if (c->out_buf.size + (size_t)n > c->output_max) {
		c->too_much = true;
		end_process(c);
		return;
	}
	buf_add(&c->out_buf, b->base, (size_t)n);
}

static void on_written(uv_write_t *w, int status)
{
	struct child *c = w->data;

	free(c->input);
	c->input = NULL;
	close_handle((uv_handle_t *)&c->in);
}

static void on_timer(uv_timer_t *t)
{
	struct child *c = t->data;

	if (c->start_error) {
		finish(c);
		return;
	}
	c->timed_out = true;
	end_process(c);
	/* A grandchild may still hold the pipes: don't wait for their ends for ever. */
	uv_read_stop((uv_stream_t *)&c->out);
	uv_read_stop((uv_stream_t *)&c->errors);
	c->waiting = c->exited ? 0 : 1;
	if (!c->waiting)
		finish(c);
}

static const char *directory_of_programs = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
					   "/sbin:/bin";

struct words {
	const char **items;
	size_t count, room;
};

/* By this program itself, whatever an update has put in the place of its file. */
static void push_confine(struct words *argv, const struct child_network *n)
{
	const char *const files[][2] = {
		{n->name_switch, "/etc/nsswitch.conf"}, {n->resolv_conf, "/etc/resolv.conf"}};

	VEC_PUSH(argv, "/proc/self/exe");
	VEC_PUSH(argv, "confine");
	VEC_PUSH(argv, "--network");
	VEC_PUSH(argv, n->namespace);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (!files[i][0])
			continue;
		VEC_PUSH(argv, "--file");
		VEC_PUSH(argv, files[i][0]);
		VEC_PUSH(argv, files[i][1]);
	}
	VEC_PUSH(argv, "--");
}

uid_t child_user_new(void)
{
	struct random r = RANDOM_SYSTEM;

	return CHILD_USERS_FIRST + (uid_t)random_below(&r, CHILD_USERS);
}

static int spawn(struct child *c, const struct child_options *o)
{
	uid_t user = o->run_as ? o->run_as : o->unprivileged ? child_user_new() : 0;
	char limits[3][48], user_id[32], group_id[32];
	const char *const drop[] = {"setpriv", user_id, group_id, "--clear-groups",
		"--no-new-privs",
		o->reads_all ? "--inh-caps=-all,+dac_read_search" : "--inh-caps=-all",
		o->reads_all ? "--bounding-set=-all,+dac_read_search" : "--bounding-set=-all",
		o->reads_all ? "--ambient-caps=-all,+dac_read_search" : "--ambient-caps=-all",
		"--pdeathsig=KILL", "--"};
	static const char *const mortal[] = {"setpriv", "--pdeathsig=KILL", "--"};
	struct words argv = {0}, env = {0};
	unsigned limit_count = 0;
	uv_stdio_container_t stdio[3] = {
		{.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&c->in},
		{.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&c->out},
		{.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
			.data.stream = (uv_stream_t *)&c->errors},
	};
	uv_process_options_t po = {
		.exit_cb = on_exit_,
		.cwd = o->directory ? o->directory : "/",
		.stdio = stdio,
		.stdio_count = 3,
	};
	_cleanup_(close_p) int fd = -1;
	int r;

	snprintf(user_id, sizeof(user_id), "--reuid=%u", user);
	snprintf(group_id, sizeof(group_id), "--regid=%u", user);
	if (o->file_bytes_max)
		snprintf(limits[limit_count++], sizeof(limits[0]), "--fsize=%llu",
			(unsigned long long)o->file_bytes_max);
	if (o->memory_bytes_max)
		snprintf(limits[limit_count++], sizeof(limits[0]), "--as=%llu",
			(unsigned long long)o->memory_bytes_max);
	if (o->cpu_s_max)
		snprintf(limits[limit_count++], sizeof(limits[0]), "--cpu=%u", o->cpu_s_max);
	if (o->network)
		push_confine(&argv, o->network);
	if (limit_count)
		VEC_PUSH(&argv, "prlimit");
	for (unsigned i = 0; i < limit_count; i++)
		VEC_PUSH(&argv, limits[i]);
	for (size_t i = 0; o->unprivileged && i < ARRAY_LEN(drop); i++)
		VEC_PUSH(&argv, drop[i]);
	for (size_t i = 0; o->mortal && !o->unprivileged && i < ARRAY_LEN(mortal); i++)
		VEC_PUSH(&argv, mortal[i]);
	for (const char *const *a = o->argv; *a; a++)
		VEC_PUSH(&argv, *a);
	VEC_PUSH(&argv, NULL);
	VEC_PUSH(&env, directory_of_programs);
	VEC_PUSH(&env, "HOME=/root");
	VEC_PUSH(&env, "LANG=C.UTF-8");
	for (const char *const *e = o->env; e && *e; e++)
		VEC_PUSH(&env, *e);
	VEC_PUSH(&env, NULL);
	if (o->out_path) {
		fd = open(o->out_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0) {
			r = -errno;
			goto out;
		}
		stdio[1] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = fd};
	}
	po.file = argv.items[0];
	po.args = (char **)argv.items;
	po.env = (char **)env.items;
	r = uv_spawn(o->loop, &c->process, &po);
out:
	VEC_FINISH(&argv);
	VEC_FINISH(&env);
	return r;
}

struct child *child_run(const struct child_options *o)
{
	struct child *c = xcalloc(1, sizeof(*c));

	c->program = xstrdup(o->argv[0]);
	c->done = o->done;
	c->user = o->user;
	c->output = o->output;
	c->output_max = o->output_max ? o->output_max : CHILD_OUTPUT_MAX_BYTES;
	uv_pipe_init(o->loop, &c->in, 0);
	uv_pipe_init(o->loop, &c->out, 0);
	uv_pipe_init(o->loop, &c->errors, 0);
	uv_timer_init(o->loop, &c->timer);
	c->in.data = c->out.data = c->errors.data = c->timer.data = c->process.data =
		c->write.data = c;
	c->open_handles = 4;
	c->start_error = spawn(c, o);
	/* libuv registers the handle even when the program can't be started. */
	if (c->process.loop) {
		c->started = true;
		c->open_handles++;
	}
	if (c->start_error) {
		c->started = c->process.loop != NULL;
		c->waiting = UINT32_MAX;
		uv_timer_start(&c->timer, on_timer, 0, 0);
		return c;
	}
	c->waiting = o->out_path ? 2 : 3;
	uv_timer_start(&c->timer, on_timer, o->timeout_ms ? o->timeout_ms : 30000, 0);
	if (!o->out_path)
		uv_read_start((uv_stream_t *)&c->out, on_alloc, on_read);
	uv_read_start((uv_stream_t *)&c->errors, on_alloc, on_read);
	if (o->input_size) {
		uv_buf_t b;

		c->input = xmalloc(o->input_size);
		memcpy(c->input, o->input, o->input_size);
		b = uv_buf_init(c->input, (unsigned)o->input_size);
		if (uv_write(&c->write, (uv_stream_t *)&c->in, &b, 1, on_written) < 0)
			close_handle((uv_handle_t *)&c->in);
	} else {
		close_handle((uv_handle_t *)&c->in);
	}
	return c;
}

void child_pause(struct child *c, bool paused)
{
	if (!c || c->finished || c->cancelled || c->timed_out || c->out_ended || !c->output)
		return;
	if (paused)
		uv_read_stop((uv_stream_t *)&c->out);
	else
		uv_read_start((uv_stream_t *)&c->out, on_alloc, on_read);
}

void child_cancel(struct child *c)
{
	if (!c || c->finished)
		return;
	c->cancelled = true;
	if (c->started && !c->exited && !c->start_error) {
		end_process(c);
		uv_read_stop((uv_stream_t *)&c->out);
		uv_read_stop((uv_stream_t *)&c->errors);
		c->waiting = 1; /* reaped in on_exit_ */
		return;
	}
	close_all(c);
}
