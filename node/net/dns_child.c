/* dns_child.c - see dns_child.h. */
#include "node/net/dns_child.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "node/net/old_process.h"

enum { RETRY_MIN_MS = 500, RETRY_MAX_MS = 30 * 1000 };

/* One run of the program. */
struct run {
	struct dns_child *d; /* NULL: the agent does not care any more */
	uv_process_t process;
	uv_pipe_t out;
	unsigned open;
	bool serves;
	struct buf said;
};

struct dns_child {
	uv_loop_t *loop;
	char *program, *kubeconfig, *address, *domain, *resolv_conf, *directory;
	void (*report)(void *user, const char *problem);
	void *user;
	uv_timer_t timer;
	unsigned retry_ms;
	struct run *run;
};

static void start(struct dns_child *d);

static void on_timer(uv_timer_t *t)
{
	start(t->data);
}

static void try_again(struct dns_child *d, const char *why)
{
	d->retry_ms = MIN(MAX(d->retry_ms * 2, (unsigned)RETRY_MIN_MS), (unsigned)RETRY_MAX_MS);
	d->report(d->user, why);
	uv_timer_start(&d->timer, on_timer, d->retry_ms, 0);
}

/* ---- those before ---- */

static void end_others(struct dns_child *d, pid_t keep)
{
	DIR *dir = opendir(d->directory);
	int64_t pid;

	for (struct dirent *e; dir && (e = readdir(dir));) {
		if (parse_i64(str_from(e->d_name), &pid) < 0 || pid <= 1 || pid > INT32_MAX ||
			pid == keep)
			continue;
		old_process_signal((pid_t)pid, "hanok-dns", d->directory, SIGTERM);
		unlinkat(dirfd(dir), e->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

/* ---- one run ---- */

static void handle_closed(uv_handle_t *h)
{
	struct run *r = h->data;

	if (--r->open)
		return;
	buf_finish(&r->said);
	free(r);
}

static void on_alloc(uv_handle_t *h, size_t want, uv_buf_t *ret)
{
	static char room[256];

	*ret = uv_buf_init(room, sizeof(room));
}

static void on_said(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct run *r = s->data;
	struct dns_child *d = r->d;

	if (n < 0) {
		uv_read_stop(s);
		return;
	}
	if (!d || r->serves || r->said.size > sizeof("ready"))
		return;
	buf_add(&r->said, b->base, (size_t)n);
	if (!r->said.data || !strstr(r->said.data, "ready"))
		return;
	r->serves = true;
	d->retry_ms = 0;
	end_others(d, r->process.pid);
	d->report(d->user, NULL);
}

static void run_close(struct run *r)
{
	r->d = NULL;
	uv_close((uv_handle_t *)&r->process, handle_closed);
	uv_close((uv_handle_t *)&r->out, handle_closed);
}

static void on_exit_(uv_process_t *p, int64_t status, int sig)
{
	struct run *r = p->data;
	struct dns_child *d = r->d;
	char text[160];

	if (!d)
		return;
	snprintf(text, sizeof(text), "hanok-dns ended (%s %d): the agent's log has its reason",
		sig ? "signal" : "exit code", sig ? sig : (int)status);
	d->run = NULL;
	run_close(r);
	try_again(d, text);
}

static void start(struct dns_child *d)
{
	struct run *r = xcalloc(1, sizeof(*r));
	_cleanup_(free_p) char *metrics =
		xasprintf(strchr(d->address, ':') ? "[%s]:9153" : "%s:9153", d->address);
	char *argv[] = {"hanok-dns", "--kubeconfig", d->kubeconfig, "--listen", d->address,
		"--domain", d->domain, "--resolv-conf", d->resolv_conf, "--run-directory",
		d->directory, "--metrics", metrics, NULL};
	uv_stdio_container_t stdio[3] = {
		{.flags = UV_IGNORE},
		{.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&r->out},
		{.flags = UV_INHERIT_FD, .data.fd = 2},
	};
	uv_process_options_t o = {
		.file = d->program,
		.args = argv,
		.cwd = "/",
		.exit_cb = on_exit_,
		.stdio = stdio,
		.stdio_count = 3,
		.flags = UV_PROCESS_DETACHED, /* what ends the agent's session leaves it alone */
	};

	r->d = d;
	r->open = 2;
	r->process.data = r->out.data = r;
	uv_pipe_init(d->loop, &r->out, 0);
	int code = uv_spawn(d->loop, &r->process, &o);
	if (code < 0) {
		char text[512];
		snprintf(text, sizeof(text), "%s can't be started: %s", d->program,
			uv_strerror(code));
		run_close(r);
		try_again(d, text);
		return;
	}
	d->run = r;
	uv_read_start((uv_stream_t *)&r->out, on_alloc, on_said);
}

struct dns_child *dns_child_create(uv_loop_t *loop, const struct dns_child_config *c,
	void (*report)(void *user, const char *problem), void *user)
{
	struct dns_child *d = xcalloc(1, sizeof(*d));

	d->loop = loop;
	d->program = xstrdup(c->program);
	d->kubeconfig = xstrdup(c->kubeconfig);
	d->address = xstrdup(c->address);
	d->domain = xstrdup(c->domain);
	d->resolv_conf = xstrdup(c->resolv_conf);
	d->directory = xasprintf("%s/dns", c->directory);
	d->report = report;
	d->user = user;
	mkdir(d->directory, 0755);
	uv_timer_init(loop, &d->timer);
	d->timer.data = d;
	start(d);
	return d;
}

static void freed(uv_handle_t *h)
{
	struct dns_child *d = h->data;

	free(d->program);
	free(d->kubeconfig);
	free(d->address);
	free(d->domain);
	free(d->resolv_conf);
	free(d->directory);
	free(d);
}

void dns_child_destroy(struct dns_child *d)
{
	if (!d)
		return;
	if (d->run)
		run_close(d->run);
	uv_close((uv_handle_t *)&d->timer, freed);
}
