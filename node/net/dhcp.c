#include "node/net/dhcp.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "node/net/old_process.h"

#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 30000
#define BOOT_FILE_MAX_BYTES 127 /* the header's field (RFC 2131) */
#define OPTION_MAX_BYTES 255
#define FILE_MAX_BYTES 4096 /* of what dnsmasq is told of one guest */
#define SERVERS_MAX 16
#define STEADY_MS 2000 /* a dnsmasq that lived this long works */

struct dhcp {
	uv_loop_t *loop;
	char *bridge, *network, *netmask, *gateway, *directory, *hosts, *options, *pid_file;
	void (*report)(void *user, const char *problem);
	void *user;
	uv_process_t process;
	uv_pipe_t errors;
	uv_timer_t timer; /* runs: until it counts as steady; ended: until the next start */
	struct buf said;
	bool running, errors_open;
	bool renewing; /* told to end, and to be started again at once */
	bool destroyed;
	unsigned retry_ms;
	unsigned open; /* uv handles to be closed before the memory goes */
};

static void start(struct dhcp *d);

static void one_closed(struct dhcp *d)
{
	if (--d->open || !d->destroyed)
		return;
	free(d->bridge);
	free(d->network);
	free(d->netmask);
	free(d->gateway);
	free(d->directory);
	free(d->hosts);
	free(d->options);
	free(d->pid_file);
	buf_finish(&d->said);
	free(d);
}

static void handle_closed(uv_handle_t *h)
{
	one_closed(h->data);
}

static void on_timer(uv_timer_t *t)
{
	struct dhcp *d = t->data;

	if (!d->running) {
		start(d);
		return;
	}
	d->retry_ms = 0;
	d->report(d->user, NULL);
}

static void on_exit_(uv_process_t *p, int64_t status, int sig)
{
	struct dhcp *d = p->data;
	char text[512];

	d->running = false;
	uv_close((uv_handle_t *)p, handle_closed);
	if (d->destroyed)
		return;
	if (d->renewing) {
		d->renewing = false;
		uv_timer_start(&d->timer, on_timer, 0, 0);
		return;
	}
	while (d->said.size && strchr("\r\n", d->said.data[d->said.size - 1]))
		d->said.data[--d->said.size] = '\0';
	snprintf(text, sizeof(text), "dnsmasq ended (%s %d): %s", sig ? "signal" : "exit code",
		sig ? sig : (int)status, d->said.size ? d->said.data : "it did not say why");
	d->retry_ms = MIN(MAX(d->retry_ms * 2, (unsigned)RETRY_MIN_MS), (unsigned)RETRY_MAX_MS);
	d->report(d->user, text);
	uv_timer_start(&d->timer, on_timer, d->retry_ms, 0);
}

static void on_alloc(uv_handle_t *h, size_t want, uv_buf_t *ret)
{
	static char room[1024];

	*ret = uv_buf_init(room, sizeof(room));
}

static void on_errors(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct dhcp *d = s->data;

	if (n < 0) {
		if (d->errors_open) {
			d->errors_open = false;
			uv_close((uv_handle_t *)s, handle_closed);
		}
		return;
	}
	buf_add(&d->said, b->base, (size_t)n);
	if (d->said.size > 400)
		buf_drop_front(&d->said, d->said.size - 400);
}

/* An earlier agent that was killed left its dnsmasq: it holds the port. */
void dhcp_end_earlier(const char *directory)
{
	_cleanup_(free_p) char *hosts = xasprintf("%s/hosts", directory);
	_cleanup_(free_p) char *pid_file = xasprintf("%s/dnsmasq.pid", directory);
	char text[32];
	_cleanup_(close_p) int fd = open(pid_file, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	int64_t pid;

	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text));
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	if (n <= 0 || parse_i64((struct str){text, (size_t)n}, &pid) < 0 || pid <= 1 ||
		pid > INT32_MAX)
		return;
	old_process_signal((pid_t)pid, "dnsmasq", hosts, SIGKILL);
	unlink(pid_file);
}

static bool is_reachable(const char *server)
{
	struct in_addr in;

	return inet_pton(AF_INET, server, &in) == 1 && ntohl(in.s_addr) >> 24 != 127;
}

static bool is_domain(const char *text)
{
	return *text && *text != '.' && *text != '-' &&
	       !text[strspn(text, "abcdefghijklmnopqrstuvwxyz"
				  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")];
}

/* Nothing that means something in dnsmasq's files. */
static bool is_boot_file(const char *s)
{
	size_t size = strlen(s);

	if (!size || size > BOOT_FILE_MAX_BYTES)
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("._~:/?&=%+@-", *s))
			return false;
	return true;
}

static void add_boot_options(struct buf *out, const char *id, const struct dhcp_resolvers *r)
{
	struct in_addr address;

	if (!r->boot_file || !is_boot_file(r->boot_file))
		return;
	buf_printf(out, "tag:%s,option:bootfile-name,%s\n", id, r->boot_file);
	if (r->boot_server && inet_pton(AF_INET, r->boot_server, &address) == 1)
		buf_printf(out,
			"tag:%s,option:server-ip-address,%s\ntag:%s,option:tftp-server,%s\n", id,
			r->boot_server, id, r->boot_server);
}

char *dhcp_resolver_options(const char *id, const struct dhcp_resolvers *r)
{
	struct buf out = BUF_INIT;
	const char *first = NULL;
	size_t count = 0, size = 0;

	buf_add_str(&out, "");
	for (const char *const *s = r->servers; *s; s++) {
		if (!is_reachable(*s) || count == SERVERS_MAX)
			continue;
		if (!count++)
			buf_printf(&out, "tag:%s,option:dns-server", id);
		buf_printf(&out, ",%s", *s);
	}
	if (count)
		buf_add_char(&out, '\n');
	for (const char *const *s = r->searches; *s; s++) {
		/* A byte of length before each label, a zero at the end. */
		size_t more = strlen(*s) + 2;
		if (!is_domain(*s) || size + more > OPTION_MAX_BYTES)
			continue;
		if (!first)
			buf_printf(&out, "tag:%s,option:domain-search", id);
		buf_printf(&out, ",%s", *s);
		first = first ? first : *s;
		size += more;
	}
	if (first)
		buf_printf(&out, "\ntag:%s,option:domain-name,%s\n", id, first);
	add_boot_options(&out, id, r);
	return buf_take(&out);
}

static void start(struct dhcp *d)
{
	_cleanup_(buf_finish) struct buf interface = BUF_INIT, range = BUF_INIT, router = BUF_INIT,
					 hosts = BUF_INIT, options = BUF_INIT, pid_file = BUF_INIT;
	char *argv[24];
	size_t n = 0;
	uv_stdio_container_t stdio[3] = {
		{.flags = UV_IGNORE},
		{.flags = UV_IGNORE},
		{.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
			.data.stream = (uv_stream_t *)&d->errors},
	};
	char *env[] = {"PATH=/usr/sbin:/sbin:/usr/bin:/bin", NULL};
	uv_process_options_t o = {
		.file = "dnsmasq",
		.args = argv,
		.env = env,
		.cwd = "/",
		.exit_cb = on_exit_,
		.stdio = stdio,
		.stdio_count = 3,
	};
	int r;

	if (d->errors_open) {
		d->errors_open = false;
		uv_close((uv_handle_t *)&d->errors, handle_closed);
	}
	if (d->open > 1) { /* the last one's handles are still closing */
		uv_timer_start(&d->timer, on_timer, 10, 0);
		return;
	}
	dhcp_end_earlier(d->directory);
	buf_clear(&d->said);
	buf_printf(&interface, "--interface=%s", d->bridge);
	buf_printf(&range, "--dhcp-range=%s,static,%s,12h", d->network, d->netmask);
	/* Left alone, it would name itself. */
	buf_printf(&router, "--dhcp-option=option:router%s%s", d->gateway ? "," : "",
		d->gateway ? d->gateway : "");
	buf_printf(&hosts, "--dhcp-hostsdir=%s", d->hosts);
	buf_printf(&options, "--dhcp-optsdir=%s", d->options);
	buf_printf(&pid_file, "--pid-file=%s", d->pid_file);
	argv[n++] = "dnsmasq";
	argv[n++] = "--keep-in-foreground";
	argv[n++] = "--conf-file=/dev/null";
	argv[n++] = "--log-facility=-";
	argv[n++] = "--quiet-dhcp";
	argv[n++] = "--port=0";
	argv[n++] = "--bind-interfaces";
	argv[n++] = "--except-interface=lo";
	argv[n++] = interface.data;
	argv[n++] = range.data;
	argv[n++] = router.data;
	argv[n++] = "--dhcp-authoritative";
	argv[n++] = "--dhcp-ignore=tag:!known";
	argv[n++] = "--no-ping"; /* addresses are allotted, not guessed */
	argv[n++] = "--leasefile-ro";
	argv[n++] = options.data; /* before those who have them */
	argv[n++] = hosts.data;
	argv[n++] = pid_file.data;
	argv[n] = NULL;

	uv_pipe_init(d->loop, &d->errors, 0);
	d->errors.data = d;
	d->errors_open = true;
	d->open++;
	d->process = (uv_process_t){.data = d};
	r = uv_spawn(d->loop, &d->process, &o);
	d->open++; /* the handle exists in either case */
	if (r < 0) {
		char text[256];

		uv_close((uv_handle_t *)&d->process, handle_closed);
		snprintf(text, sizeof(text),
			"dnsmasq can't be started: %s (Debian package dnsmasq-base)",
			uv_strerror(r));
		d->retry_ms =
			MIN(MAX(d->retry_ms * 2, (unsigned)RETRY_MIN_MS), (unsigned)RETRY_MAX_MS);
		d->report(d->user, text);
		uv_timer_start(&d->timer, on_timer, d->retry_ms, 0);
		return;
	}
	d->running = true;
	uv_read_start((uv_stream_t *)&d->errors, on_alloc, on_errors);
	uv_timer_start(&d->timer, on_timer, STEADY_MS, 0);
}

struct dhcp *dhcp_create(uv_loop_t *loop, const struct dhcp_config *c,
	void (*report)(void *user, const char *problem), void *user)
{
	struct dhcp *d = xcalloc(1, sizeof(*d));

	d->loop = loop;
	d->bridge = xstrdup(c->bridge);
	d->network = xstrdup(c->network);
	d->netmask = xstrdup(c->netmask);
	d->gateway = c->gateway ? xstrdup(c->gateway) : NULL;
	d->directory = xstrdup(c->directory);
	d->hosts = xasprintf("%s/hosts", c->directory);
	d->options = xasprintf("%s/options", c->directory);
	d->pid_file = xasprintf("%s/dnsmasq.pid", c->directory);
	d->report = report;
	d->user = user;
	mkdir(d->directory, 0755);
	mkdir(d->hosts, 0755);
	mkdir(d->options, 0755);
	uv_timer_init(loop, &d->timer);
	d->timer.data = d;
	d->open = 1;
	start(d);
	return d;
}

void dhcp_destroy(struct dhcp *d)
{
	if (!d || d->destroyed)
		return;
	d->destroyed = true;
	if (d->running)
		uv_process_kill(&d->process, SIGTERM);
	if (d->errors_open) {
		d->errors_open = false;
		uv_close((uv_handle_t *)&d->errors, handle_closed);
	}
	uv_close((uv_handle_t *)&d->timer, handle_closed);
}

/* dnsmasq learns of new files by itself, but adds what it reads to what it has, and hears of
 * removed ones only when told; 2.90 crashes at SIGHUP when a host with a tag has asked before. It
 * keeps no records: a new one, some milliseconds later, knows as much. */
static void renew(struct dhcp *d)
{
	if (!d->running || d->renewing)
		return;
	d->renewing = true;
	uv_process_kill(&d->process, SIGTERM);
}

static void forget_others(const char *directory, const char *part,
	bool (*known)(void *user, const char *id), void *user)
{
	_cleanup_(free_p) char *path = xasprintf("%s/%s", directory, part);
	DIR *dir = opendir(path);

	for (struct dirent *e; dir && (e = readdir(dir));)
		if (e->d_name[0] != '.' && !known(user, e->d_name))
			unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		closedir(dir);
}

void dhcp_forget_others(
	const char *directory, bool (*known)(void *user, const char *id), void *user)
{
	forget_others(directory, "hosts", known, user);
	forget_others(directory, "options", known, user);
}

enum there { NOTHING, ANOTHER, THE_SAME };

static enum there what_is_there(const char *path, const char *text)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct str old;
	int r = file_load(&a, path, FILE_MAX_BYTES, &old, &err);

	if (r < 0)
		return r == -ENOENT ? NOTHING : ANOTHER;
	return str_eq(old, text) ? THE_SAME : ANOTHER;
}

static int put(
	struct dhcp *d, const char *directory, const char *id, const char *text, struct err *err)
{
	_cleanup_(free_p) char *path = xasprintf("%s/%s", directory, id);
	_cleanup_(free_p) char *fresh = xasprintf("%s/.%s", d->directory, id);
	_cleanup_(close_p) int fd = -1;
	size_t size = strlen(text);
	enum there there = what_is_there(path, text);

	if (there == THE_SAME)
		return 0;
	/* Renamed into the watched directory: dnsmasq never sees half a line. */
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0 || write(fd, text, size) != (ssize_t)size || fchmod(fd, 0644) < 0 ||
		rename(fresh, path) < 0)
		return err_errno(err, -errno, "write %s", path);
	if (there == ANOTHER)
		renew(d);
	return 0;
}

int dhcp_add(struct dhcp *d, const char *id, const char *mac, const char *address,
	const char *hostname, const char *options, struct err *err)
{
	_cleanup_(free_p) char *line = xasprintf("%s,set:%s,%s%s%s\n", mac, id, address,
		hostname && *hostname ? "," : "", hostname ? hostname : "");
	int r = put(d, d->options, id, options, err);

	return r < 0 ? r : put(d, d->hosts, id, line, err);
}

void dhcp_remove(struct dhcp *d, const char *id)
{
	_cleanup_(free_p) char *path = xasprintf("%s/%s", d->hosts, id);
	_cleanup_(free_p) char *options = xasprintf("%s/%s", d->options, id);

	unlink(options);
	if (unlink(path) == 0)
		renew(d);
}
