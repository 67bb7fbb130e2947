#include "node/net/lease.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/base/file.h"
#include "lib/base/vec.h"
#include "lib/json/json.h"

int lease_find(const char *store, const char *id, char ret[16])
{
	DIR *dir = opendir(store);
	size_t size = strlen(id);
	int r = -ENOENT;

	if (!dir)
		return -ENOENT;
	for (struct dirent *e; r == -ENOENT && (e = readdir(dir));) {
		char text[320];
		struct in_addr in;
		_cleanup_(close_p) int fd = -1;
		ssize_t n;

		if (inet_pton(AF_INET, e->d_name, &in) != 1)
			continue; /* locks, last_reserved_ip.0 */
		fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
		if (n < (ssize_t)size)
			continue;
		text[n] = '\0';
		/* "ID" or "ID\r\nINTERFACE" */
		if (strncmp(text, id, size) || (text[size] && !strchr("\r\n", text[size])))
			continue;
		snprintf(ret, 16, "%.15s", e->d_name);
		r = 0;
	}
	closedir(dir);
	return r;
}

#define KEPT "hanok-kept_"

/* The holder of an address is the content of its file; the plugin looks for free names of files
 * and, when one is given back, for its holder. */
static int rename_holder(const char *store, const char *address, const char *to)
{
	_cleanup_(free_p) char *path = xasprintf("%s/%s", store, address);
	_cleanup_(free_p) char *fresh = xasprintf("%s/.hanok-%s", store, address);
	_cleanup_(free_p) char *text = xasprintf("%s\r\neth0", to);
	_cleanup_(close_p) int fd =
		open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	ssize_t size = (ssize_t)strlen(text);

	if (fd < 0 || write(fd, text, (size_t)size) != size || rename(fresh, path) < 0)
		return -errno;
	return 0;
}

static int move(const char *store, const char *from, const char *to, char ret[16])
{
	char other[16];
	int r = lease_find(store, from, ret);

	if (r == 0 && lease_find(store, to, other) == 0)
		return -EEXIST;
	return r < 0 ? r : rename_holder(store, ret, to);
}

int lease_keep(const char *store, const char *id, const char *domain)
{
	_cleanup_(free_p) char *kept = xasprintf(KEPT "%s", domain);
	char address[16];

	return move(store, id, kept, address);
}

int lease_kept_take(const char *store, const char *domain, const char *id, char ret[16])
{
	_cleanup_(free_p) char *kept = xasprintf(KEPT "%s", domain);

	return move(store, kept, id, ret);
}

void lease_kept_drop(const char *store, const char *domain)
{
	_cleanup_(free_p) char *kept = xasprintf(KEPT "%s", domain), *path = NULL;
	char address[16];

	if (lease_find(store, kept, address) < 0)
		return;
	path = xasprintf("%s/%s", store, address);
	unlink(path);
}

void lease_kept_list_read(const char *store, struct lease_kept_list *ret)
{
	DIR *dir = opendir(store);

	for (struct dirent *e; dir && (e = readdir(dir));) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		_cleanup_(free_p) char *path = xasprintf("%s/%s", store, e->d_name);
		struct in_addr in;
		struct str text;

		if (inet_pton(AF_INET, e->d_name, &in) != 1 ||
			file_load(&a, path, 1024, &text, NULL) < 0 || !str_has_prefix(text.p, KEPT))
			continue;
		VEC_PUSH(ret,
			xstrndup(text.p + strlen(KEPT), strcspn(text.p + strlen(KEPT), "\r\n")));
	}
	if (dir)
		closedir(dir);
}

void lease_kept_list_finish(struct lease_kept_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->items[i]);
	VEC_FINISH(l);
}

static void write_ipam(struct buf *out, const char *range, const char *range6)
{
	buf_printf(out, "{\"type\":\"host-local\",\"ranges\":[[{\"subnet\":\"%s\"}]", range);
	if (*range6)
		buf_printf(out, ",[{\"subnet\":\"%s\"}]", range6);
	buf_add_str(out, "],\"routes\":[{\"dst\":\"0.0.0.0/0\"}");
	if (*range6)
		buf_add_str(out, ",{\"dst\":\"::/0\"}");
	buf_add_str(out, "]}");
}

static void write_bridge(struct buf *out, const char *bridge, const char *range, const char *range6)
{
	buf_printf(out,
		"\"type\":\"bridge\",\"bridge\":\"%s\",\"isGateway\":true,\"ipMasq\":false,"
		"\"hairpinMode\":true,\"ipam\":",
		bridge);
	write_ipam(out, range, range6);
}

void lease_write_conflist(
	struct buf *out, const char *bridge, const char *range, const char *range6)
{
	buf_add_str(out, "{\"cniVersion\":\"0.4.0\",\"name\":\"" CNI_NETWORK "\",\"plugins\":[{");
	write_bridge(out, bridge, range, range6);
	buf_add_str(out, "}]}\n");
}

void lease_write_bridge(struct buf *out, const char *bridge, const char *range, const char *range6)
{
	buf_add_str(out, "{\"cniVersion\":\"0.4.0\",\"name\":\"" CNI_NETWORK "\",");
	write_bridge(out, bridge, range, range6);
	buf_add_str(out, "}");
}

void lease_write_ipam(struct buf *out, const char *range)
{
	buf_printf(out, "{\"cniVersion\":\"0.4.0\",\"name\":\"%s\",\"ipam\":", CNI_NETWORK);
	write_ipam(out, range, "");
	buf_add_str(out, "}");
}

const char *lease_plugin(const char *name, char *ret, size_t room)
{
	static const char *const directories[] = {
		"/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"};

	for (size_t i = 0; i < ARRAY_LEN(directories); i++) {
		snprintf(ret, room, "%s/%s", directories[i], name);
		if (access(ret, X_OK) == 0)
			return directories[i];
	}
	return NULL;
}

int lease_read_answer(const char *text, size_t size, char ret[16], struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc;
	const char *address;
	size_t n;
	char room[16];
	struct in_addr in;
	int r = json_parse(&a, text, size, NULL, &doc, err);

	if (r < 0)
		return err_context(err, r, "answer of host-local");
	address = json_path_str(doc, "ips[0].address");
	n = address ? strcspn(address, "/") : 0;
	if (!n || n >= sizeof(room))
		return err_set(err, -EBADMSG, "answer of host-local has no address");
	memcpy(room, address, n);
	room[n] = '\0';
	if (inet_pton(AF_INET, room, &in) != 1)
		return err_set(err, -EBADMSG, "host-local's address '%s' is not IPv4", room);
	memcpy(ret, room, sizeof(room));
	return 0;
}
