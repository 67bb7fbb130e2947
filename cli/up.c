/* up.c - `hanok up`: a server and a node agent on this machine, each a process of its own, started
 * again when one ends.
 *
 *     server: starting --ready line--> running --exit--> waiting (back-off) --> starting
 *     node:   (after the server is first ready)  starting --> running --exit--> waiting -->
 * starting
 *
 * Both are this same binary. Containers and virtual machines outlive them and are adopted at the
 * next start. */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <uv.h>

#include "cli/roles.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/str.h"

#define BACKOFF_FIRST_MS 500
#define BACKOFF_MAX_MS 30000
#define STEADY_MS 60000 /* a run that long resets the back-off */
#define STOP_GRACE_MS 20000

struct child {
	struct up *up;
	const char *name;
	char *argv[32];
	uv_process_t process;
	uv_pipe_t err_pipe; /* the child's stderr, passed on line by line */
	struct buf line;
	uv_timer_t restart;
	bool running;
	uint64_t started_ms;
	unsigned backoff_ms;
};

struct up {
	uv_loop_t loop;
	char exe[4096];
	const char *data_dir, *listen, *cri, *libvirt, *name;
	char *server_dir, *node_dir, *kubeconfig;
	struct child server, node;
	uv_signal_t sigterm, sigint;
	uv_timer_t stop_limit;
	bool node_started, stopping;
	int exit_code;
};

static void start_child(struct child *c);

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	static char room[8192];
	*buf = uv_buf_init(room, sizeof(room));
}

/* Runs `hanok kubeconfig` and keeps its output as the node's kubeconfig (0600). */
static int write_node_kubeconfig(struct up *u, struct err *err)
{
	_cleanup_(free_p) char *temporary = xasprintf("%s.new", u->kubeconfig);
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, -errno, "create '%s'", temporary);
	_cleanup_(free_p) char *url = xasprintf("https://%s", u->listen);
	char *argv[] = {u->exe, "kubeconfig", "--data", u->server_dir, "--node", (char *)u->name,
		"--server", url, NULL};
	pid_t pid = fork();
	if (pid == 0) {
		dup2(fd, STDOUT_FILENO);
		execv(u->exe, argv);
		_exit(127);
	}
	close(fd);
	int status = -1;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return err_set(err, -EIO,
			"issue the node's kubeconfig from '%s': `hanok kubeconfig` failed",
			u->server_dir);
	if (rename(temporary, u->kubeconfig) < 0)
		return err_errno(err, -errno, "rename '%s'", temporary);
	return 0;
}

static void on_server_ready(struct up *u)
{
	if (u->node_started || u->stopping)
		return;
	struct err err = ERR_INIT;
	if (write_node_kubeconfig(u, &err) < 0) {
		log_error("the node agent can't start", "reason", err.msg, NULL);
		return;
	}
	u->node_started = true;
	start_child(&u->node);
}

static void take_lines(struct child *c)
{
	char *end;
	while (c->line.size > 0 && (end = memchr(c->line.data, '\n', c->line.size)) != NULL) {
		size_t size = (size_t)(end - c->line.data) + 1;
		fwrite(c->line.data, 1, size, stderr);
		if (c == &c->up->server && size > 6 && memcmp(c->line.data, "ready ", 6) == 0)
			on_server_ready(c->up);
		buf_drop_front(&c->line, size);
	}
	if (c->line.size > 64 << 10) {
		fwrite(c->line.data, 1, c->line.size, stderr);
		buf_clear(&c->line);
	}
}

static void on_stderr(uv_stream_t *s, ssize_t count, const uv_buf_t *buf)
{
	struct child *c = s->data;
	if (count > 0) {
		buf_add(&c->line, buf->base, (size_t)count);
		take_lines(c);
	} else if (count < 0 && !uv_is_closing((uv_handle_t *)s)) {
		uv_close((uv_handle_t *)s, NULL);
	}
}

static void on_restart(uv_timer_t *t)
{
	start_child(t->data);
}

static void stop_if_all_ended(struct up *u)
{
	if (u->stopping && !u->server.running && !u->node.running)
		uv_stop(&u->loop);
}

static void on_ended(uv_process_t *p, int64_t code, int sig)
{
	struct child *c = p->data;
	struct up *u = c->up;
	c->running = false;
	uv_close((uv_handle_t *)p, NULL);
	if (u->stopping) {
		stop_if_all_ended(u);
		return;
	}
	if (code == 2) { /* it would say the same again */
		u->exit_code = 2;
		u->stopping = true;
		if (u->server.running)
			uv_process_kill(&u->server.process, SIGTERM);
		if (u->node.running)
			uv_process_kill(&u->node.process, SIGTERM);
		stop_if_all_ended(u);
		return;
	}
	if (uv_now(&u->loop) - c->started_ms > STEADY_MS)
		c->backoff_ms = 0;
	c->backoff_ms =
		c->backoff_ms ? MIN(c->backoff_ms * 2, (unsigned)BACKOFF_MAX_MS) : BACKOFF_FIRST_MS;
	char how[24], wait[24];
	log_error("a part ended; it is started again", "part", c->name, sig ? "signal" : "code",
		log_i64(how, sig ? sig : code), "in_ms", log_i64(wait, c->backoff_ms), NULL);
	uv_timer_start(&c->restart, on_restart, c->backoff_ms, 0);
}

static void start_child(struct child *c)
{
	struct up *u = c->up;
	if (u->stopping || c->running)
		return;
	uv_pipe_init(&u->loop, &c->err_pipe, 0);
	c->err_pipe.data = c;
	buf_clear(&c->line);
	uv_stdio_container_t stdio[3] = {
		{.flags = UV_IGNORE},
		{.flags = UV_INHERIT_FD, .data.fd = STDOUT_FILENO},
		{.flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_WRITABLE_PIPE),
			.data.stream = (uv_stream_t *)&c->err_pipe},
	};
	uv_process_options_t options = {
		.file = u->exe,
		.args = c->argv,
		.exit_cb = on_ended,
		.stdio = stdio,
		.stdio_count = 3,
	};
	c->process.data = c;
	c->started_ms = uv_now(&u->loop);
	int r = uv_spawn(&u->loop, &c->process, &options);
	if (r < 0) {
		log_error(
			"a part can't be started", "part", c->name, "reason", uv_strerror(r), NULL);
		uv_close((uv_handle_t *)&c->process, NULL);
		uv_timer_start(&c->restart, on_restart, BACKOFF_MAX_MS, 0);
		return;
	}
	c->running = true;
	uv_read_start((uv_stream_t *)&c->err_pipe, on_alloc, on_stderr);
}

static void on_stop_limit(uv_timer_t *t)
{
	struct up *u = t->data;
	struct child *all[] = {&u->server, &u->node};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i]->running)
			uv_process_kill(&all[i]->process, SIGKILL);
}

static void on_signal(uv_signal_t *h, int signum)
{
	struct up *u = h->data;
	if (u->stopping)
		return;
	u->stopping = true;
	/* The agent first: it may still write a last status. */
	if (u->node.running)
		uv_process_kill(&u->node.process, SIGTERM);
	if (u->server.running)
		uv_process_kill(&u->server.process, SIGTERM);
	uv_timer_start(&u->stop_limit, on_stop_limit, STOP_GRACE_MS, 0);
	stop_if_all_ended(u);
}

static void set_argv(struct child *c, struct up *u, const char *name, const char *const *args)
{
	c->up = u;
	c->name = name;
	size_t n = 0;
	c->argv[n++] = u->exe;
	c->argv[n++] = (char *)(uintptr_t)name;
	for (; *args; args++)
		c->argv[n++] = (char *)(uintptr_t)*args;
	c->argv[n] = NULL;
	uv_timer_init(&u->loop, &c->restart);
	c->restart.data = c;
}

static int make_dir(const char *path, mode_t mode)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST) {
		fprintf(stderr, "hanok up: create '%s': %s\n", path, strerror(errno));
		return -1;
	}
	return 0;
}

static void usage(FILE *to)
{
	fprintf(to, "usage: hanok up --data DIR [--listen ADDR:PORT] [--name NODE] [--cri "
		    "unix://PATH]\n"
		    "                [--libvirt URI]\n\n"
		    "Runs a server and a node agent on this machine; needs root, containerd and "
		    "libvirt.\n"
		    "  --data DIR     state of both (server/ and node/ below it)\n"
		    "  --listen A:P   where the API answers; default 127.0.0.1:6443\n"
		    "  --name NODE    name of the Node object; default the host name\n"
		    "  --cri ADDRESS  default unix:///run/containerd/containerd.sock\n"
		    "  --libvirt URI  default qemu:///system\n");
}

static int parse_options(struct up *u, int argc, char **argv)
{
	static const struct option options[] = {
		{"data", required_argument, NULL, 'd'},
		{"listen", required_argument, NULL, 'l'},
		{"name", required_argument, NULL, 'n'},
		{"cri", required_argument, NULL, 'c'},
		{"libvirt", required_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	static char host[256];
	if (gethostname(host, sizeof(host) - 1) < 0)
		strcpy(host, "localhost");
	u->listen = "127.0.0.1:6443";
	u->cri = "unix:///run/containerd/containerd.sock";
	u->libvirt = "qemu:///system";
	u->name = host;
	for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		switch (o) {
		case 'd':
			u->data_dir = optarg;
			break;
		case 'l':
			u->listen = optarg;
			break;
		case 'n':
			u->name = optarg;
			break;
		case 'c':
			u->cri = optarg;
			break;
		case 'v':
			u->libvirt = optarg;
			break;
		case 'h':
			usage(stdout);
			return 1;
		default:
			usage(stderr);
			return -1;
		}
	}
	if (!u->data_dir || optind < argc) {
		fprintf(stderr, "hanok up: %s\n",
			u->data_dir ? "unexpected argument" : "--data DIR is missing");
		usage(stderr);
		return -1;
	}
	return 0;
}

int up_main(int argc, char **argv)
{
	static struct up u;
	int r = parse_options(&u, argc, argv);
	if (r != 0)
		return r < 0 ? 2 : 0;
	ssize_t size = readlink("/proc/self/exe", u.exe, sizeof(u.exe) - 1);
	if (size < 0) {
		fprintf(stderr, "hanok up: read /proc/self/exe: %s\n", strerror(errno));
		return 1;
	}
	u.server_dir = xasprintf("%s/server", u.data_dir);
	u.node_dir = xasprintf("%s/node", u.data_dir);
	u.kubeconfig = xasprintf("%s/node.kubeconfig", u.data_dir);
	/* QEMU's user must get through to the disks of guests below node/, and see nothing else. */
	if (make_dir(u.data_dir, 0711) < 0 || make_dir(u.server_dir, 0700) < 0 ||
		make_dir(u.node_dir, 0711) < 0)
		return 1;
	uv_loop_init(&u.loop);
	set_argv(&u.server, &u, "server",
		(const char *const[]){"--data", u.server_dir, "--listen", u.listen, NULL});
	set_argv(&u.node, &u, "node",
		(const char *const[]){"--data", u.node_dir, "--kubeconfig", u.kubeconfig, "--name",
			u.name, "--cri", u.cri, "--libvirt", u.libvirt, NULL});
	uv_timer_init(&u.loop, &u.stop_limit);
	u.stop_limit.data = &u;
	uv_signal_init(&u.loop, &u.sigterm);
	uv_signal_init(&u.loop, &u.sigint);
	u.sigterm.data = u.sigint.data = &u;
	uv_signal_start(&u.sigterm, on_signal, SIGTERM);
	uv_signal_start(&u.sigint, on_signal, SIGINT);
	start_child(&u.server);
	uv_run(&u.loop, UV_RUN_DEFAULT);
	return u.exit_code;
}
