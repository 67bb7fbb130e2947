/* bare_watch.c - what TLS and sockets alone take of an event for 100 watchers: one thread that
 * writes the same bytes to 100 connections, 16 events at a time, and a process that reads them. No
 * server that encrypts for each watcher can do with less.
 *
 *     bare-watch CERT KEY BYTES EVENTS        prints "per_second server_us client_us" */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "bench/common.h"

#define WATCHERS 100
#define EVENTS_TOGETHER 16
#define RECORD_BYTES 16384u

static SSL *attach(SSL_CTX *ctx, int fd)
{
	int on = 1;
	SSL *ssl = SSL_new(ctx);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!ssl || SSL_set_fd(ssl, fd) != 1)
		bench_die("no TLS");
	return ssl;
}

/* The client, on the last CPU: reads until all has come. */
static void read_all(const struct sockaddr_in *a, SSL_CTX *ctx, uint64_t total, int report)
{
	static char room[4 * RECORD_BYTES];
	SSL *all[WATCHERS];
	cpu_set_t cpus;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	CPU_ZERO(&cpus);
	CPU_SET((size_t)sysconf(_SC_NPROCESSORS_ONLN) - 1, &cpus);
	(void)sched_setaffinity(0, sizeof(cpus), &cpus);
	for (unsigned i = 0; i < WATCHERS; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0 || connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0)
			bench_die("connect");
		all[i] = attach(ctx, fd);
		if (SSL_connect(all[i]) != 1 || SSL_write(all[i], "x", 1) != 1)
			bench_die("handshake");
		fcntl(fd, F_SETFL, O_NONBLOCK);
		struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
	}
	int64_t began = bench_cpu_ns(getpid());
	while (total) {
		struct epoll_event e[64];
		int n = epoll_wait(epoll, e, 64, -1);
		for (int i = 0; i < n; i++) {
			SSL *ssl = all[e[i].data.u32];
			for (int r; (r = SSL_read(ssl, room, sizeof(room))) > 0;)
				total -= (uint64_t)r;
		}
	}
	int64_t took = bench_cpu_ns(getpid()) - began;
	if (write(report, &took, sizeof(took)) != sizeof(took))
		bench_die("report");
	_exit(0);
}

/* Records of a whole batch, and one send of them. */
static void write_batch(SSL *ssl, const char *data, size_t size)
{
	char *sealed;
	BIO *out = SSL_get_wbio(ssl);
	for (size_t at = 0; at < size;) {
		int n = SSL_write(ssl, data + at, (int)MIN(size - at, (size_t)RECORD_BYTES));
		if (n <= 0)
			bench_die("write");
		at += (size_t)n;
	}
	size_t left = (size_t)BIO_get_mem_data(out, &sealed);
	while (left) {
		ssize_t n = send(SSL_get_rfd(ssl), sealed, left, MSG_NOSIGNAL);
		if (n <= 0)
			bench_die("send");
		sealed += n;
		left -= (size_t)n;
	}
	(void)BIO_reset(out);
}

int main(int argc, char **argv)
{
	if (argc != 5)
		bench_die("usage: bare-watch CERT KEY BYTES EVENTS");
	size_t batch = (size_t)bench_number(argv[3], "BYTES") * EVENTS_TOGETHER;
	unsigned rounds = bench_number(argv[4], "EVENTS") / EVENTS_TOGETHER / WATCHERS + 1;
	SSL_CTX *server = SSL_CTX_new(TLS_server_method()),
		*client = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_ciphersuites(server, "TLS_AES_128_GCM_SHA256");
	SSL_CTX_set_read_ahead(client, 1);
	if (SSL_CTX_use_certificate_chain_file(server, argv[1]) != 1 ||
		SSL_CTX_use_PrivateKey_file(server, argv[2], SSL_FILETYPE_PEM) != 1)
		bench_die("the certificate or its key can't be used");
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), report[2];
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);
	if (bind(listener, (struct sockaddr *)&a, size) < 0 || listen(listener, WATCHERS) < 0 ||
		getsockname(listener, (struct sockaddr *)&a, &size) < 0 || pipe(report) < 0)
		bench_die("listen");
	pid_t pid = fork();
	if (pid == 0)
		read_all(&a, client, (uint64_t)batch * rounds * WATCHERS, report[1]);
	SSL *all[WATCHERS];
	for (unsigned i = 0; i < WATCHERS; i++) {
		char c;
		all[i] = attach(server, accept(listener, NULL, NULL));
		if (SSL_accept(all[i]) != 1 || SSL_read(all[i], &c, 1) != 1)
			bench_die("handshake");
		BIO_up_ref(SSL_get_rbio(all[i]));
		SSL_set0_wbio(all[i], BIO_new(BIO_s_mem()));
	}
	char *data = xmalloc(batch);
	memset(data, 'x', batch);
	int64_t began = bench_now_ns(), cpu = bench_cpu_ns(getpid()), client_cpu = 0;
	for (unsigned i = 0; i < rounds; i++)
		for (unsigned j = 0; j < WATCHERS; j++)
			write_batch(all[j], data, batch);
	cpu = bench_cpu_ns(getpid()) - cpu;
	if (read(report[0], &client_cpu, sizeof(client_cpu)) != sizeof(client_cpu))
		bench_die("the reader gave up");
	double events = (double)rounds * EVENTS_TOGETHER * WATCHERS;
	printf("%.0f %.2f %.2f\n", events * 1e9 / (double)(bench_now_ns() - began),
		(double)cpu / 1e3 / events, (double)client_cpu / 1e3 / events);
	waitpid(pid, NULL, 0);
	return 0;
}
