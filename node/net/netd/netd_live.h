/* netd_live.h - for tests against a real kernel: a netd of their own in namespaces of their own.
 * One a test program; whatever goes wrong fails the test. */
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "node/net/address.h"
#include "node/net/netd/netd.h"
#include "node/net/netd/netd_proto.h"

static int netd_fd, netd_pid;
static int netd_home = -1; /* the network namespace that netd_live_enter made */
static uint32_t netd_serial;
static unsigned netd_lost_count; /* times that netd said its tables are gone */

static inline void sh(const char *command)
{
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static inline void netd_read(void *p, size_t size)
{
	for (char *at = p; size;) {
		ssize_t n = read(netd_fd, at, size);

		assert_true(n > 0);
		at += n;
		size -= (size_t)n;
	}
}

/* Returns netd's answer to the message. */
static inline int tell_netd(uint32_t type, const void *p, size_t size)
{
	struct netd_header h = {.size = (uint32_t)size, .type = type, .serial = ++netd_serial};
	char text[4096];

	assert_int_equal(write(netd_fd, &h, sizeof(h)), sizeof(h));
	for (size_t at = 0; at < size;) {
		ssize_t n = write(netd_fd, (const char *)p + at, size - at);

		assert_true(n > 0);
		at += (size_t)n;
	}
	do {
		netd_read(&h, sizeof(h));
		assert_true(h.size < sizeof(text));
		netd_read(text, h.size);
		text[h.size] = '\0';
		netd_lost_count += h.type == NETD_LOST;
	} while (h.type != NETD_RESULT);
	assert_int_equal(h.serial, netd_serial);
	if (h.code)
		print_message("netd: %s\n", text);
	return h.code;
}

static inline void netd_begin(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	netd_pid = fork();
	if (netd_pid == 0) {
		char *argv[] = {"netd", NULL};

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fds[0]);
		dup2(fds[1], 3);
		_exit(netd_main(1, argv));
	}
	close(fds[1]);
	netd_fd = fds[0];
}

/* Nobody else may hold its socket any more. */
static inline void netd_end(void)
{
	int status;

	close(netd_fd);
	waitpid(netd_pid, &status, 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* False when this host does not let us, or lacks nft and ip. */
static inline bool netd_live_enter(void)
{
	if (geteuid() != 0 ||
		system("command -v nft >/dev/null && command -v ip >/dev/null") != 0 ||
		unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("run", "/run", "tmpfs", 0, NULL) < 0)
		return false;
	netd_home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return netd_home >= 0;
}

/* A socket of a namespace stays there. "" is the node's own. */
static inline int socket_in(const char *ns, int family, int type, int proto)
{
	char path[64];
	int fd = -1, s;

	if (*ns) {
		snprintf(path, sizeof(path), "/run/netns/%s", ns);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0 && setns(fd, CLONE_NEWNET) == 0);
	}
	s = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, proto);
	if (fd >= 0) {
		close(fd);
		assert_int_equal(setns(netd_home, CLONE_NEWNET), 0);
	}
	assert_true(s >= 0);
	return s;
}

static inline socklen_t to_sockaddr(
	const char *address, uint16_t port, struct sockaddr_storage *ret)
{
	struct net_address a;

	assert_int_equal(net_address_parse(address, &a), 0);
	memset(ret, 0, sizeof(*ret));
	if (a.family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)ret;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, a.bytes, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, a.bytes, 16);
	return sizeof(*in6);
}
