/* start_bench.c - from the exec of `hanok server` to /readyz answering 200.
 *
 *     start-bench HANOK DATA PORT
 *
 * Prints milliseconds ("hanok N"), and on stderr the CPU time until then. The server is asked again
 * a millisecond after each refusal, and stopped by SIGTERM in the end. */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "bench/common.h"
#include "lib/http/http_client.h"
#include "lib/http/tls.h"

extern char **environ;

struct probe {
	struct http_endpoint *endpoint;
	uv_timer_t again;
	int64_t ready_ns;
	bool done;
};

static void ask(struct probe *p);

static void on_again(uv_timer_t *timer)
{
	ask(timer->data);
}

static void on_answer(void *user, const struct http_response *r, const struct err *err)
{
	struct probe *p = user;
	if (r && r->status == 200) {
		p->ready_ns = bench_now_ns();
		p->done = true;
	} else {
		uv_timer_start(&p->again, on_again, 1, 0);
	}
}

static void ask(struct probe *p)
{
	struct http_call_options options = {
		.method = "GET", .target = "/readyz", .done = on_answer, .user = p};
	http_call(p->endpoint, &options);
}

static pid_t start_server(char *hanok, char *data, char *listen, const char *log)
{
	char *argv[] = {hanok, "server", "--data", data, "--listen", listen, NULL};
	posix_spawn_file_actions_t files;
	pid_t pid;
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 2, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (posix_spawn(&pid, hanok, &files, NULL, argv, environ) != 0)
		bench_die("%s can't be run", hanok);
	posix_spawn_file_actions_destroy(&files);
	return pid;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		bench_die("usage: start-bench HANOK DATA PORT");
	uv_loop_t loop;
	uv_loop_init(&loop);
	struct probe p = {0};
	uv_timer_init(&loop, &p.again);
	p.again.data = &p;
	SSL_CTX *tls = NULL;
	struct err err = ERR_INIT;
	/* The authority is made by the very process that is measured. */
	bench_must(tls_client_context(NULL, NULL, NULL, &tls, &err), &err, "TLS");
	_cleanup_(free_p) char *listen = xasprintf("127.0.0.1:%s", argv[3]);
	_cleanup_(free_p) char *address = xasprintf("tcp://%s", listen);
	_cleanup_(free_p) char *log = xasprintf("%s.log", argv[2]);
	p.endpoint = http_endpoint_create(
		&(struct http_endpoint_options){.loop = &loop, .address = address, .tls = tls});

	int64_t start = bench_now_ns();
	pid_t pid = start_server(argv[1], argv[2], listen, log);
	ask(&p);
	bench_wait(&loop, &p.done, 30, "/readyz");
	printf("hanok %.1f\n", (double)(p.ready_ns - start) / 1e6);
	fprintf(stderr, "%.1f ms of CPU\n", (double)bench_cpu_ns(pid) / 1e6);

	int status;
	if (kill(pid, SIGTERM) < 0 || waitpid(pid, &status, 0) < 0)
		bench_die("the server can't be ended: %s", strerror(errno));
	if (status != 0)
		bench_die("the server ended by %s %d, see %s",
			WIFSIGNALED(status) ? "signal" : "exit code",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), log);
	return 0;
}
