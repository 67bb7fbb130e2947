/* node_facts.c - see node_facts.h. */
#include "node/node_facts.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

/* First line of a small file, without white space at its end; "" when it can't be read. */
static void first_line(const char *path, char *ret, size_t room)
{
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, ret, room - 1);

	n = MAX(n, 0);
	ret[n] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
	for (size_t i = strlen(ret); i > 0 && isspace((unsigned char)ret[i - 1]); i--)
		ret[i - 1] = '\0';
}

static int64_t meminfo(const char *name)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[256];
	size_t size = strlen(name);
	int64_t kib = -1;

	if (!f)
		return -1;
	while (kib < 0 && fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, size) == 0 && line[size] == ':')
			kib = strtoll(line + size + 1, NULL, 10);
	}
	fclose(f);
	return kib < 0 ? -1 : kib * 1024;
}

static void os_name(char *ret, size_t room)
{
	FILE *f = fopen("/etc/os-release", "re");
	char line[512];

	snprintf(ret, room, "Linux");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (!str_has_prefix(line, "PRETTY_NAME="))
			continue;
		char *value = line + strlen("PRETTY_NAME=");
		value += *value == '"';
		value[strcspn(value, "\"\n")] = '\0';
		snprintf(ret, room, "%.100s", value);
	}
	fclose(f);
}

void node_facts_read(const char *data_dir, struct node_facts *ret)
{
	struct utsname u;
	struct statvfs fs;

	*ret = (struct node_facts){0};
	ret->cpu_count = sysconf(_SC_NPROCESSORS_ONLN);
	ret->memory_bytes = MAX(meminfo("MemTotal"), 0);
	ret->swap_bytes = meminfo("SwapTotal");
	if (statvfs(data_dir, &fs) == 0)
		ret->disk_bytes = (int64_t)fs.f_blocks * (int64_t)fs.f_frsize;
	if (uname(&u) == 0) {
		snprintf(ret->hostname, sizeof(ret->hostname), "%s", u.nodename);
		snprintf(ret->kernel, sizeof(ret->kernel), "%s", u.release);
		ret->architecture = streq(u.machine, "x86_64")	  ? "amd64"
				    : streq(u.machine, "aarch64") ? "arm64"
								  : "unknown";
	}
	for (char *p = ret->hostname; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	os_name(ret->os_image, sizeof(ret->os_image));
	first_line("/etc/machine-id", ret->machine_id, sizeof(ret->machine_id));
	first_line("/sys/class/dmi/id/product_uuid", ret->system_uuid, sizeof(ret->system_uuid));
	if (!*ret->system_uuid)
		snprintf(ret->system_uuid, sizeof(ret->system_uuid), "%s", ret->machine_id);
	first_line("/proc/sys/kernel/random/boot_id", ret->boot_id, sizeof(ret->boot_id));
}

static bool is_loopback(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	}
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
	return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static bool towards(const char *host, char ret[64])
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *list;
	struct sockaddr_storage own;
	socklen_t size = sizeof(own);
	bool found = false;

	if (getaddrinfo(host, "6443", &hints, &list) != 0)
		return false;
	_cleanup_(close_p) int fd = socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
	/* Connecting a UDP socket asks the routing table and sends nothing. */
	if (fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) == 0 &&
		getsockname(fd, (struct sockaddr *)&own, &size) == 0 &&
		!is_loopback((struct sockaddr *)&own))
		found = getnameinfo((struct sockaddr *)&own, size, ret, 64, NULL, 0,
				NI_NUMERICHOST) == 0;
	freeaddrinfo(list);
	return found;
}

bool node_address_find(const char *server_host, char ret[64])
{
	struct ifaddrs *list;
	bool found = false;

	if (towards(server_host, ret))
		return true;
	if (getifaddrs(&list) < 0)
		return false;
	for (struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || is_loopback(i->ifa_addr) ||
			!(i->ifa_flags & IFF_UP) ||
			/* our own bridge is for pods */
			streq(i->ifa_name, "hanok0"))
			continue;
		found = getnameinfo(i->ifa_addr, sizeof(struct sockaddr_in), ret, 64, NULL, 0,
				NI_NUMERICHOST) == 0;
	}
	freeifaddrs(list);
	return found;
}

bool node_address_find6(const char *ipv4, char ret[64])
{
	struct ifaddrs *list;
	const char *interface = NULL;
	bool found = false;
	char text[64];

	if (getifaddrs(&list) < 0)
		return false;
	for (struct ifaddrs *i = list; i && !interface; i = i->ifa_next)
		if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET &&
			getnameinfo(i->ifa_addr, sizeof(struct sockaddr_in), text, sizeof(text),
				NULL, 0, NI_NUMERICHOST) == 0 &&
			streq(text, ipv4))
			interface = i->ifa_name;
	for (struct ifaddrs *i = list; i && interface && !found; i = i->ifa_next) {
		const struct sockaddr_in6 *in = (const void *)i->ifa_addr;

		if (!in || in->sin6_family != AF_INET6 || !streq(i->ifa_name, interface) ||
			IN6_IS_ADDR_LINKLOCAL(&in->sin6_addr))
			continue;
		found = getnameinfo(i->ifa_addr, sizeof(*in), ret, 64, NULL, 0, NI_NUMERICHOST) ==
			0;
	}
	freeifaddrs(list);
	return found;
}
