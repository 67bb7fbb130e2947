#include "server/api/requests/router.h"

#include "lib/base/str.h"

#define SEGMENT_MAX 12

/* Subresources of the Namespace object itself; any other third segment is a resource in it. */
static bool is_namespace_subresource(const char *s)
{
	return streq(s, "status") || streq(s, "finalize");
}

static bool has_root(const char *path, const char *root)
{
	return str_has_prefix(path, root) && (path[strlen(root)] == '/' || !path[strlen(root)]);
}

/* Splits "a/b/c" in place (of a copy); the last item keeps whatever is behind SEGMENT_MAX. An empty
 * segment in the middle is refused, one trailing slash is forgiven. -1 = bad. */
static int split(struct arena *a, const char *path, const char *ret[SEGMENT_MAX])
{
	int count = 0;
	char *p = arena_strdup(a, path);
	while (*p) {
		if (*p == '/' || count == SEGMENT_MAX)
			return -1;
		ret[count++] = p;
		p = strchr(p, '/');
		if (!p)
			break;
		*p++ = '\0';
	}
	return count;
}

static struct route parse_resource(
	struct arena *a, struct route r, const char **s, int n, const char *path)
{
	if (n > 0 && streq(s[0], "watch")) {
		r.watch = true;
		s++;
		n--;
	}
	if (n == 0)
		return r.watch ? (struct route){0} : r;
	r.type = ROUTE_RESOURCE;
	if (streq(s[0], "namespaces") && n >= 3 && !(n == 3 && is_namespace_subresource(s[2]))) {
		r.namespace = s[1];
		s += 2;
		n -= 2;
	}
	r.resource = s[0];
	r.name = n > 1 ? s[1] : NULL;
	r.subresource = n > 2 ? s[2] : NULL;
	if (n > 3) {
		/* The tail as it stands in the path, slashes and all. */
		size_t skip = 0;
		for (int i = 3; i < n; i++)
			skip += strlen(s[i]) + 1;
		size_t size = strlen(path);
		if (path[size - 1] == '/')
			skip++;
		r.rest = arena_strdup(a, path + size - skip + 1);
	}
	return r;
}

/* /api/v1/nodes/N/proxy/..., /api/v1/namespaces/NS/pods/N/proxy/...: what follows is another's
 * path, of any form. */
static const char *cut_proxied(struct arena *a, const char *path, const char **ret_rest)
{
	static const char version[] = "/api/v1/";
	if (!str_has_prefix(path, version))
		return path;
	const char *p = path + sizeof(version) - 1;
	int segments;
	if (str_has_prefix(p, "nodes/"))
		segments = 2;
	else if (str_has_prefix(p, "namespaces/"))
		segments = 4;
	else
		return path;
	while (segments-- > 0) {
		size_t size = strcspn(p, "/");
		if (size == 0 || !p[size])
			return path;
		p += size + 1;
	}
	if (!str_has_prefix(p, "proxy/"))
		return path;
	*ret_rest = arena_strdup(a, p + strlen("proxy/"));
	return arena_memdup(a, path, (size_t)(p - path) + strlen("proxy"));
}

struct route route_parse(struct arena *a, const char *path)
{
	struct route none = {.type = ROUTE_NONE};
	if (streq(path, "/version") || streq(path, "/version/"))
		return (struct route){.type = ROUTE_SERVER_VERSION};
	if (streq(path, "/metrics"))
		return (struct route){.type = ROUTE_METRICS};
	if (has_root(path, "/healthz") || has_root(path, "/livez") || has_root(path, "/readyz"))
		return (struct route){.type = ROUTE_HEALTH};
	if (has_root(path, "/openapi"))
		return (struct route){.type = ROUTE_OPENAPI};

	bool core = has_root(path, "/api");
	if (!core && !has_root(path, "/apis"))
		return none;
	const char *rest = NULL;
	if (core)
		path = cut_proxied(a, path, &rest);
	const char *segments[SEGMENT_MAX];
	const char *tail = path + (core ? 4 : 5);
	int n = split(a, *tail ? tail + 1 : tail, segments);
	if (n < 0)
		return none;
	const char **s = segments;
	struct route r = {.group = ""};
	if (n == 0) {
		r.type = core ? ROUTE_API : ROUTE_APIS;
		return r;
	}
	if (!core) {
		r.group = *s++;
		n--;
		r.type = ROUTE_GROUP;
		if (n == 0)
			return r;
	}
	r.version = *s++;
	n--;
	r.type = ROUTE_VERSION_LIST;
	r = parse_resource(a, r, s, n, path);
	if (rest)
		r.rest = rest;
	return r;
}
