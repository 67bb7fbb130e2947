/* image_ref.c - see image_ref.h. */
#include "node/pod/image_ref.h"

#include <ctype.h>

/* Where the path begins: behind a first part that looks like a host. */
static const char *path_of(const char *ref)
{
	const char *slash = strchr(ref, '/');

	if (!slash)
		return ref;
	size_t n = (size_t)(slash - ref);
	if (memchr(ref, '.', n) || memchr(ref, ':', n) ||
		(n == 9 && memcmp(ref, "localhost", 9) == 0))
		return slash + 1;
	return ref;
}

static bool host_valid(const char *p, size_t n)
{
	const char *colon = memchr(p, ':', n);
	size_t name = colon ? (size_t)(colon - p) : n;

	if (*p == '[') /* IPv6 */
		return true;
	if (name == 0 || !isalnum((unsigned char)p[0]) || !isalnum((unsigned char)p[name - 1]))
		return false;
	for (size_t i = 0; i < name; i++) {
		if (!isalnum((unsigned char)p[i]) && p[i] != '.' && p[i] != '-')
			return false;
	}
	for (size_t i = name + 1; i < n; i++) {
		if (!isdigit((unsigned char)p[i]))
			return false;
	}
	return !colon || n > name + 1;
}

static bool lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Letters and digits, parted by one '.', one or two '_', or any number of '-'. */
static bool component_valid(const char *p, size_t n)
{
	if (n == 0 || !lower_alnum(p[0]) || !lower_alnum(p[n - 1]))
		return false;
	for (size_t i = 0; i < n;) {
		if (lower_alnum(p[i])) {
			i++;
			continue;
		}
		size_t run = 1;
		while (i + run < n && p[i + run] == p[i])
			run++;
		bool fine = p[i] == '-' || (p[i] == '.' && run == 1) || (p[i] == '_' && run <= 2);
		if (!fine || !lower_alnum(p[i + run]))
			return false;
		i += run;
	}
	return true;
}

static bool tag_valid(const char *p, size_t n)
{
	if (n == 0 || n > 128 || p[0] == '.' || p[0] == '-')
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!isalnum((unsigned char)p[i]) && !strchr("_.-", p[i]))
			return false;
	}
	return true;
}

static bool digest_valid(const char *p)
{
	const char *colon = strchr(p, ':');

	if (!colon || colon == p || strlen(colon + 1) < 32)
		return false;
	for (const char *c = colon + 1; *c; c++) {
		if (!isxdigit((unsigned char)*c))
			return false;
	}
	return true;
}

int image_ref_check(const char *ref, struct err *err)
{
	const char *path = path_of(ref);
	const char *digest = strchr(path, '@');
	size_t n = digest ? (size_t)(digest - path) : strlen(path);
	const char *tag = memchr(path, ':', n);
	size_t name = tag ? (size_t)(tag - path) : n;
	bool good = *ref && strlen(ref) <= 1024;

	if (good && path != ref)
		good = host_valid(ref, (size_t)(path - ref) - 1);
	if (good && tag)
		good = tag_valid(tag + 1, n - name - 1);
	if (good && digest)
		good = digest_valid(digest + 1);
	struct str rest = {path, name}, part;
	if (good && name > 255)
		good = false;
	while (good && str_split(&rest, '/', &part))
		good = component_valid(part.p, part.size);
	if (!good)
		return err_set(err, -EINVAL,
			"couldn't parse image name \"%s\": invalid reference format", ref);
	return 0;
}

bool image_ref_is_latest(const char *ref)
{
	const char *path = path_of(ref);

	if (strchr(path, '@'))
		return false;
	const char *tag = strchr(path, ':');
	return !tag || streq(tag + 1, "latest");
}

const char *image_ref_host(struct arena *a, const char *ref)
{
	const char *path = path_of(ref);

	return path == ref ? "docker.io" : arena_memdup(a, ref, (size_t)(path - ref) - 1);
}

/* "https://host/v1/" -> "host" */
static const char *registry_key_host(struct arena *a, const char *key)
{
	const char *p = strstr(key, "://");

	p = p ? p + 3 : key;
	const char *host = arena_memdup(a, p, strcspn(p, "/"));
	return streq(host, "index.docker.io") ? "docker.io" : host;
}

bool registry_auth_find(
	struct arena *a, const struct json *secret, const char *ref, struct registry_auth *ret)
{
	const struct json *data = json_get(secret, "data");
	const char *encoded = json_str(json_get(data, ".dockerconfigjson"));
	bool old = !encoded;
	char *text;
	size_t size;
	struct json *config;

	if (old)
		encoded = json_str(json_get(data, ".dockercfg"));
	if (!encoded || base64_decode(a, str_from(encoded), &text, &size) < 0 ||
		json_parse(a, text, size, NULL, &config, NULL) < 0)
		return false;
	const char *host = image_ref_host(a, ref);
	JSON_FOR_EACH_MEMBER(m, old ? config : json_get(config, "auths")) {
		if (!streq(registry_key_host(a, m->name), host))
			continue;
		*ret = (struct registry_auth){
			.username = json_str(json_get(m->value, "username")),
			.password = json_str(json_get(m->value, "password")),
			.auth = json_str(json_get(m->value, "auth")),
			.identity_token = json_str(json_get(m->value, "identitytoken")),
		};
		return true;
	}
	return false;
}
