#include "node/nfs/nfs_place.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

static bool only(const char *s, const char *others)
{
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr(others, *s))
			return false;
	return true;
}

static bool has_dots(const char *path)
{
	struct str rest = str_from(path), part;

	while (str_split(&rest, '/', &part))
		if (str_eq(part, ".") || str_eq(part, ".."))
			return true;
	return false;
}

int nfs_place_check(const char *server, const char *path, struct err *err)
{
	if (!server || !*server || strlen(server) > 253 || !isalnum((unsigned char)*server) ||
		!only(server, ".-"))
		return err_set(err, -EINVAL,
			"nfs.server: '%s' is neither a host's name nor an address of IPv4",
			server ? server : "");
	if (!path || *path != '/' || strlen(path) > 1024 || !only(path, "/._-+,=@~:") ||
		has_dots(path))
		return err_set(err, -EINVAL,
			"nfs.path: '%s' is not an absolute path of letters, digits and /._-+,=@~: "
			"without . and ..",
			path ? path : "");
	return 0;
}

int nfs_id_read(const char *text, uint32_t *ret, struct err *err)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || n >= UINT32_MAX)
		return err_set(err, -EINVAL, "'%s' is not the number of a user or group", text);
	*ret = (uint32_t)n;
	return 0;
}

static int read_id(const struct json *volume, const char *name, uint32_t *ret, struct err *err)
{
	const char *text = json_str(json_get(json_path(volume, "metadata.annotations"), name));
	int r = text ? nfs_id_read(text, ret, err) : 0;

	if (!text)
		*ret = NFS_ID_DEFAULT;
	if (r < 0)
		err_context(err, r, "annotation %s", name);
	return r;
}

int nfs_place_read(
	struct arena *a, const struct json *volume, struct nfs_place *ret, struct err *err)
{
	const struct json *nfs = json_path(volume, "spec.nfs");
	const char *server = json_str(json_get(nfs, "server")), *path;
	struct nfs_place p = {.read_only = json_bool_or(json_get(nfs, "readOnly"), false)};
	int r = nfs_place_check(server, json_str(json_get(nfs, "path")), err);
	char *own, *host;
	size_t size = 0;

	if (r == 0)
		r = read_id(volume, NFS_UID_ANNOTATION, &p.uid, err);
	if (r == 0)
		r = read_id(volume, NFS_GID_ANNOTATION, &p.gid, err);
	if (r < 0)
		return r;
	path = json_str(json_get(nfs, "path"));
	/* One file has one name: by that it is known who has it. */
	own = arena_strdup(a, path);
	for (; *path; path++)
		if (*path != '/' || path[1] != '/')
			own[size++] = *path;
	if (size > 1 && own[size - 1] == '/')
		size--;
	own[size] = '\0';
	host = arena_strdup(a, server);
	for (size = 0; host[size]; size++)
		host[size] = (char)tolower((unsigned char)host[size]);
	p.path = own;
	p.server = host;
	*ret = p;
	return 0;
}

char *nfs_url(struct arena *a, const struct nfs_place *p, const char *name)
{
	return arena_printf(a, "nfs://%s%s%s%s", p->server,
		streq(p->path, "/") && name ? "" : p->path, name ? "/" : "", name ? name : "");
}

char *nfs_url_as(struct arena *a, const struct nfs_place *p, const char *name)
{
	return arena_printf(a, "%s?uid=%u&gid=%u", nfs_url(a, p, name), p->uid, p->gid);
}
