#include "node/nfs/nfs_ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"

#define ADDRESSES_MAX 8
#define WAIT_S 2      /* for a connection, for what it takes, and for the answers */
#define PATIENCE_S 20 /* for all addresses: those behind are told without ports */

#define RPCBIND_PORT 111
#define PROGRAM_PORTMAP 100000
#define PROGRAM_NFS 100003
#define PROGRAM_MOUNT 100005
#define VERSION_3 3
#define GETPORT 3
#define LAST_FRAGMENT 0x80000000u

static const struct {
	uint32_t program, proto;
} asked[] = {
	{PROGRAM_NFS, IPPROTO_TCP},
	{PROGRAM_NFS, IPPROTO_UDP},
	{PROGRAM_MOUNT, IPPROTO_TCP},
	{PROGRAM_MOUNT, IPPROTO_UDP},
};

/* A call and its answer, as RFC 5531 has them: words in network order, after the record's length.
 */
#define CALL_WORDS 15
#define ANSWER_WORDS 8

static bool ask(int fd)
{
	for (uint32_t i = 0; i < ARRAY_LEN(asked); i++) {
		uint32_t call[CALL_WORDS] = {
			LAST_FRAGMENT | (CALL_WORDS - 1) * 4,
			i + 1, /* xid */
			0,     /* a call */
			2,     /* of RPC version 2 */
			PROGRAM_PORTMAP,
			2,
			GETPORT,
			0,
			0,
			0,
			0, /* no credentials, no verifier */
			asked[i].program,
			VERSION_3,
			asked[i].proto,
			0,
		};

		for (size_t k = 0; k < CALL_WORDS; k++)
			call[k] = htonl(call[k]);
		if (send(fd, call, sizeof(call), MSG_NOSIGNAL) != sizeof(call))
			return false;
	}
	return true;
}

static bool receive(int fd, void *p, size_t size, int64_t until_ns)
{
	struct clock *clock = clock_system();

	for (char *at = p; size;) {
		ssize_t n = clock->mono_ns(clock) < until_ns ? recv(fd, at, size, 0) : 0;

		if (n <= 0)
			return false;
		at += n;
		size -= (size_t)n;
	}
	return true;
}

static void read_answers(struct arena *a, int fd, struct json *ports)
{
	struct clock *clock = clock_system();
	int64_t until_ns = clock->mono_ns(clock) + WAIT_S * NS_PER_S;
	uint32_t answer[ANSWER_WORDS];

	for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
		struct json *one;
		uint32_t xid, port;

		if (!receive(fd, answer, sizeof(answer), until_ns))
			return;
		xid = ntohl(answer[1]);
		port = ntohl(answer[7]);
		/* Accepted, without a verifier, and done: any other one has another length. */
		if (ntohl(answer[0]) != (LAST_FRAGMENT | (ANSWER_WORDS - 1) * 4) || !xid ||
			xid > ARRAY_LEN(asked) || ntohl(answer[2]) != 1 || answer[3] || answer[4] ||
			answer[5] || answer[6])
			return;
		if (!port || port > UINT16_MAX)
			continue;
		one = json_new_object(a);
		json_set_int(a, one, "proto", asked[xid - 1].proto);
		json_set_int(a, one, "port", port);
		json_push(a, ports, one);
	}
}

static void set_port(struct sockaddr_storage *to, uint16_t port)
{
	if (to->ss_family == AF_INET6)
		((struct sockaddr_in6 *)to)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)to)->sin_port = htons(port);
}

static struct json *ports_of(struct arena *a, struct sockaddr_storage *to, socklen_t size)
{
	struct json *ports = json_new_array(a);
	struct timeval wait = {.tv_sec = WAIT_S};
	int fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	set_port(to, RPCBIND_PORT);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) == 0 &&
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0 &&
		connect(fd, (struct sockaddr *)to, size) == 0 && ask(fd))
		read_answers(a, fd, ports);
	if (fd >= 0)
		close(fd);
	return ports;
}

/* What can be bound is of this host. */
static bool is_own(struct sockaddr_storage *to, socklen_t size)
{
	int fd = socket(to->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool own;

	set_port(to, 0);
	own = fd >= 0 && bind(fd, (struct sockaddr *)to, size) == 0;
	if (fd >= 0)
		close(fd);
	return own;
}

int nfs_ports_find(struct arena *a, const char *server, struct json *answer, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	struct json *addresses = json_new_array(a);
	struct clock *clock = clock_system();
	int64_t until_ns;
	int r = getaddrinfo(server, NULL, &hints, &list);

	if (r)
		return err_set(err, -EHOSTUNREACH, "NFS server %s: its name has no address: %s",
			server, gai_strerror(r));
	until_ns = clock->mono_ns(clock) + PATIENCE_S * NS_PER_S;
	for (struct addrinfo *i = list; i && json_count(addresses) < ADDRESSES_MAX;
		i = i->ai_next) {
		struct json *one = json_new_object(a);
		struct sockaddr_storage to = {0};
		char text[NI_MAXHOST];

		if (i->ai_addrlen > sizeof(to) ||
			(i->ai_family != AF_INET && i->ai_family != AF_INET6) ||
			getnameinfo(i->ai_addr, i->ai_addrlen, text, sizeof(text), NULL, 0,
				NI_NUMERICHOST))
			continue;
		memcpy(&to, i->ai_addr, i->ai_addrlen);
		text[strcspn(text, "%")] = '\0'; /* the scope of a link-local one */
		json_set_str(a, one, "address", text);
		json_set_bool(a, one, "own", is_own(&to, i->ai_addrlen));
		if (clock->mono_ns(clock) < until_ns)
			json_set(a, one, "ports", ports_of(a, &to, i->ai_addrlen));
		json_push(a, addresses, one);
	}
	freeaddrinfo(list);
	json_set(a, answer, "addresses", addresses);
	return 0;
}
