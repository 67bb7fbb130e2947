#include "node/net/networks/net_leases.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/file.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"

#define KEY_MAX_BYTES 1024

struct lease {
	struct net_address address;
	char *key;
	struct timespec since;
};
typedef VEC(struct lease) leases;

static char *path_of(const char *directory, const struct net_address *address)
{
	char text[NET_ADDRESS_TEXT];

	return xasprintf("%s/%s", directory, net_address_format(address, text));
}

static void read_all(const char *directory, leases *ret)
{
	DIR *dir = opendir(directory);

	for (struct dirent *e; dir && (e = readdir(dir));) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		_cleanup_(free_p) char *path = xasprintf("%s/%s", directory, e->d_name);
		struct lease one;
		struct stat st;
		struct str text;

		if (net_address_parse(e->d_name, &one.address) < 0 || stat(path, &st) < 0 ||
			file_load(&a, path, KEY_MAX_BYTES, &text, NULL) < 0)
			continue;
		one.key = xstrndup(text.p, text.size);
		one.since = st.st_mtim;
		VEC_PUSH(ret, one);
	}
	if (dir)
		closedir(dir);
}

static void finish(leases *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->items[i].key);
	VEC_FINISH(l);
}

static bool in_range(const struct net_config *c, const struct net_address *a)
{
	uint32_t n = ntohl(net_address_to_v4(a));

	return a->family == AF_INET && n >= ntohl(net_address_to_v4(&c->from)) &&
	       n <= ntohl(net_address_to_v4(&c->to)) && !net_address_eq(a, &c->gateway) &&
	       !net_config_is_fixed(c, a);
}

/* The first that nobody has; false when there is none. */
static bool find_free(const struct net_config *c, const leases *l, struct net_address *ret)
{
	struct table taken = TABLE_INIT;
	uint32_t last = ntohl(net_address_to_v4(&c->to));
	bool found = false;
	char text[NET_ADDRESS_TEXT];

	for (size_t i = 0; i < l->count; i++)
		table_set(&taken, net_address_format(&l->items[i].address, text), &taken);
	for (uint64_t n = ntohl(net_address_to_v4(&c->from)); !found && n <= last; n++) {
		struct net_address a = net_address_v4(htonl((uint32_t)n));

		if (!in_range(c, &a) || table_get(&taken, net_address_format(&a, text)))
			continue;
		*ret = a;
		found = true;
	}
	table_finish(&taken);
	return found;
}

static bool older(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* Of those whose guests are away the one that is so for longest. */
static const struct lease *find_old(
	const struct net_config *c, const leases *l, const struct net_leases_user *u)
{
	const struct lease *oldest = NULL;

	for (size_t i = 0; i < l->count; i++) {
		const struct lease *one = &l->items[i];

		if (in_range(c, &one->address) && !u->in_use(u->user, one->key) &&
			(!oldest || older(&one->since, &oldest->since)))
			oldest = one;
	}
	return oldest;
}

static int note(
	const char *directory, const struct net_address *address, const char *key, struct err *err)
{
	_cleanup_(free_p) char *path = path_of(directory, address);
	_cleanup_(free_p) char *fresh = xasprintf("%s/.new", directory);
	_cleanup_(close_p) int fd =
		open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	size_t size = strlen(key);

	if (fd < 0 || write(fd, key, size) != (ssize_t)size || fsync(fd) < 0 ||
		rename(fresh, path) < 0)
		return err_errno(err, -errno, "write %s", path);
	return 0;
}

int net_leases_choose(const char *directory, const struct net_config *c, const char *key,
	const uint8_t mac[6], const struct net_leases_user *u, struct net_address *ret,
	struct err *err)
{
	const struct net_config_host *fixed = net_config_host_of(c, mac);
	const struct lease *old = NULL;
	struct net_address address;
	leases l = {0};
	int r = 0;

	if (fixed) {
		*ret = fixed->address;
		return 0;
	}
	read_all(directory, &l);
	for (size_t i = 0; i < l.count && !old; i++)
		if (streq(l.items[i].key, key) && in_range(c, &l.items[i].address))
			old = &l.items[i];
	if (old) {
		*ret = old->address;
	} else {
		if (find_free(c, &l, &address)) {
			r = note(directory, &address, key, err);
		} else if ((old = find_old(c, &l, u))) {
			address = old->address;
			r = note(directory, &address, key, err);
		} else {
			r = err_set(err, -ENOSPC, "the network has no free address");
		}
		if (r == 0)
			*ret = address;
	}
	finish(&l);
	return r;
}

void net_leases_touch(const char *directory, const struct net_address *address)
{
	_cleanup_(free_p) char *path = path_of(directory, address);

	(void)!utimensat(AT_FDCWD, path, NULL, 0);
}
