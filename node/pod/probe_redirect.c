/* probe_redirect.c - see probe_redirect.h. */
#include "node/pod/probe_redirect.h"

bool probe_redirect(struct arena *a, const char *location, const char *host, const char *path,
	bool *tls, int *port, const char **ret_path)
{
	const char *p = location, *scheme = *tls ? "https" : "http";
	bool to_tls = *tls;
	int to_port = *port;

	if (str_has_prefix(p, "http://") || str_has_prefix(p, "https://")) {
		to_tls = p[4] == 's';
		scheme = to_tls ? "https" : "http";
		p += strlen(scheme) + 1;
	} else if (strstr(p, "://") && strcspn(p, "/?#") > strcspn(p, ":")) {
		return false;
	}
	if (str_has_prefix(p, "//")) {
		p += 2;
		size_t size = strcspn(p, "/?#");
		const char *authority = arena_memdup(a, p, size), *at = strrchr(authority, '@');
		if (at)
			authority = at + 1;
		const char *end = *authority == '[' ? strchr(authority, ']') : NULL;
		const char *colon = strchr(end ? end : authority, ':');
		const char *name = *authority == '[' ? authority + 1 : authority;
		size_t name_size = end	   ? (size_t)(end - name)
				   : colon ? (size_t)(colon - name)
					   : strlen(name);
		if (strlen(host) != name_size || strncasecmp(name, host, name_size) != 0)
			return false;
		int64_t n = to_tls ? 443 : 80;
		if (colon && colon[1] &&
			(parse_i64(str_from(colon + 1), &n) < 0 || n <= 0 || n > 65535))
			return false;
		to_port = (int)n;
		p += size;
		*ret_path = *p == '/' ? arena_memdup(a, p, strcspn(p, "#"))
				      : arena_printf(a, "/%.*s", (int)strcspn(p, "#"), p);
	} else if (*p == '/') {
		*ret_path = arena_memdup(a, p, strcspn(p, "#"));
	} else if (*p == '?') {
		*ret_path = arena_printf(
			a, "%.*s%.*s", (int)strcspn(path, "?#"), path, (int)strcspn(p, "#"), p);
	} else {
		/* Beside what was asked for. */
		size_t size = strcspn(path, "?#");
		while (size > 0 && path[size - 1] != '/')
			size--;
		*ret_path = arena_printf(
			a, "%s%.*s%.*s", size ? "" : "/", (int)size, path, (int)strcspn(p, "#"), p);
	}
	*tls = to_tls;
	*port = to_port;
	return true;
}
