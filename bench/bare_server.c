/* bare_server.c - what TLS and sockets alone cost: epoll and OpenSSL, one thread, and the same 4.4
 * KB for whatever is asked. The mark that `hanok server` is measured against.
 *
 *     bare-server CERT KEY        prints the port, serves until it is ended */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "bench/common.h"

#define BODY_BYTES 4400
#define CONNECTIONS_MAX 4096

struct client {
	SSL *ssl;
	size_t size;
	char in[8192];
};

static struct client *clients[CONNECTIONS_MAX];
static char answer[BODY_BYTES + 256];
static size_t answer_size;

static void client_end(int fd)
{
	SSL_free(clients[fd]->ssl);
	free(clients[fd]);
	clients[fd] = NULL;
	close(fd);
}

static void client_serve(int fd)
{
	struct client *c = clients[fd];
	for (;;) {
		int n = SSL_read(c->ssl, c->in + c->size, (int)(sizeof(c->in) - c->size - 1));
		if (n <= 0) {
			if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ)
				client_end(fd);
			return;
		}
		c->size += (size_t)n;
		c->in[c->size] = 0;
		char *end;
		while ((end = strstr(c->in, "\r\n\r\n"))) {
			end += 4;
			c->size -= (size_t)(end - c->in);
			memmove(c->in, end, c->size + 1);
			if (SSL_write(c->ssl, answer, (int)answer_size) != (int)answer_size) {
				client_end(fd);
				return;
			}
		}
		if (c->size == sizeof(c->in) - 1) {
			client_end(fd);
			return;
		}
	}
}

static void accept_one(int listener, int epoll, SSL_CTX *ctx)
{
	int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0 || fd >= CONNECTIONS_MAX)
		bench_die("accept");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	struct client *c = xcalloc(1, sizeof(*c));
	c->ssl = SSL_new(ctx);
	SSL_set_fd(c->ssl, fd);
	SSL_set_accept_state(c->ssl);
	clients[fd] = c;
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		bench_die("usage: bare-server CERT KEY");
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
	if (SSL_CTX_use_certificate_chain_file(ctx, argv[1]) != 1 ||
		SSL_CTX_use_PrivateKey_file(ctx, argv[2], SSL_FILETYPE_PEM) != 1)
		bench_die("the certificate or its key can't be used");
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	int head = snprintf(answer, sizeof(answer),
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		BODY_BYTES);
	memset(answer + head, 'x', BODY_BYTES);
	answer_size = (size_t)head + BODY_BYTES;

	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);
	if (bind(listener, (struct sockaddr *)&a, size) < 0 || listen(listener, 128) < 0 ||
		getsockname(listener, (struct sockaddr *)&a, &size) < 0)
		bench_die("listen");
	printf("%u\n", ntohs(a.sin_port));
	fflush(stdout);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, events[64];
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
	for (;;) {
		int n = epoll_wait(epoll, events, 64, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				accept_one(listener, epoll, ctx);
			else
				client_serve(events[i].data.fd);
		}
	}
}
