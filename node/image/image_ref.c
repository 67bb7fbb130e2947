/* image_ref.c - see image_ref.h. */
#include "node/image/image_ref.h"

#include <ctype.h>

enum { NAME_MAX_CHARACTERS = 255, TAG_MAX_CHARACTERS = 128, ID_CHARACTERS = 64 };

static bool has_upper(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			return true;
	return false;
}

/* Where the path begins: behind a first part that looks like a host. */
static const char *path_of(const char *ref)
{
	const char *slash = strchr(ref, '/');

	if (!slash)
		return ref;
	size_t n = (size_t)(slash - ref);
	if (memchr(ref, '.', n) || memchr(ref, ':', n) || has_upper(ref, n) ||
		(n == 9 && memcmp(ref, "localhost", 9) == 0))
		return slash + 1;
	return ref;
}

static bool host_valid(const char *p, size_t n)
{
	const char *colon = memchr(p, ':', n);
	size_t name = colon ? (size_t)(colon - p) : n;

	if (*p == '[') { /* IPv6 */
		const char *end = memchr(p, ']', n);
		if (!end || end == p + 1 || (end < p + n - 1 && end[1] != ':'))
			return false;
		for (const char *c = p + 1; c < end; c++)
			if (!isxdigit((unsigned char)*c) && *c != ':')
				return false;
		name = (size_t)(end - p) + 1;
		colon = name < n ? end + 1 : NULL;
	} else {
		if (name == 0 || !isalnum((unsigned char)p[0]) ||
			!isalnum((unsigned char)p[name - 1]))
			return false;
		for (size_t i = 0; i < name; i++)
			if (!isalnum((unsigned char)p[i]) && p[i] != '.' && p[i] != '-')
				return false;
	}
	for (size_t i = name + 1; i < n; i++)
		if (!isdigit((unsigned char)p[i]))
			return false;
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
	if (n == 0 || n > TAG_MAX_CHARACTERS || p[0] == '.' || p[0] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)p[i]) && !memchr("_.-", p[i], 3))
			return false;
	return true;
}

/* NULL, or what is wrong with ALGORITHM:HEX. */
static const char *digest_fault(const char *p)
{
	static const struct {
		const char *name;
		size_t size;
	} algorithms[] = {{"sha256", 64}, {"sha384", 96}, {"sha512", 128}};
	const char *colon = strchr(p, ':');

	if (!colon || colon == p || strlen(colon + 1) < 32)
		return "invalid reference format";
	for (const char *c = colon + 1; *c; c++)
		if (!isxdigit((unsigned char)*c))
			return "invalid reference format";
	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
		if (!str_eq((struct str){p, (size_t)(colon - p)}, algorithms[i].name))
			continue;
		if (strlen(colon + 1) != algorithms[i].size)
			return "invalid checksum digest length";
		return has_upper(colon + 1, algorithms[i].size) ? "invalid checksum digest format"
								: NULL;
	}
	return "unsupported digest algorithm";
}

/* 64 hexadecimal digits are the id of an image, not a name. */
static bool is_id(const char *ref)
{
	size_t n = 0;

	while (isdigit((unsigned char)ref[n]) || (ref[n] >= 'a' && ref[n] <= 'f'))
		n++;
	return n == ID_CHARACTERS && !ref[n];
}

static int fault(struct err *err, const char *ref, const char *what)
{
	return err_set(err, -EINVAL, "couldn't parse image name \"%s\": %s", ref, what);
}

int image_ref_check(const char *ref, struct err *err)
{
	const char *path = path_of(ref);
	const char *digest = strchr(path, '@');
	size_t n = digest ? (size_t)(digest - path) : strlen(path);
	const char *tag = memchr(path, ':', n);
	size_t name = tag ? (size_t)(tag - path) : n;

	if (strlen(ref) > 1024)
		return err_set(err, -EINVAL, "couldn't parse image name \"%.64s...\": %s", ref,
			"invalid reference format");
	if (is_id(ref))
		return err_set(err, -EINVAL,
			"couldn't parse image name \"%s\": invalid repository name (%s), cannot "
			"specify 64-byte hexadecimal strings",
			ref, ref);
	if (has_upper(path, name))
		return err_set(err, -EINVAL,
			"couldn't parse image name \"%s\": invalid reference format: repository "
			"name (%s%.*s) must be lowercase",
			ref, path == ref && !memchr(path, '/', name) ? "library/" : "", (int)name,
			path);
	bool good = name > 0;
	if (good && path != ref)
		good = host_valid(ref, (size_t)(path - ref) - 1);
	if (good && tag)
		good = tag_valid(tag + 1, n - name - 1);
	struct str rest = {path, name}, part;
	while (good && str_split(&rest, '/', &part))
		good = component_valid(part.p, part.size);
	if (!good)
		return fault(err, ref, "invalid reference format");
	const char *bad_digest = digest ? digest_fault(digest + 1) : NULL;
	if (bad_digest)
		return fault(err, ref, bad_digest);
	if ((size_t)(path - ref) + name > NAME_MAX_CHARACTERS)
		return fault(err, ref, "repository name must not be more than 255 characters");
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
	const char *host =
		path == ref ? "docker.io" : arena_memdup(a, ref, (size_t)(path - ref) - 1);

	return streq(host, "index.docker.io") ? "docker.io" : host;
}

const char *image_ref_repository(struct arena *a, const char *ref)
{
	const char *path = path_of(ref);
	const char *host = image_ref_host(a, ref);
	const char *name = arena_memdup(a, path, strcspn(path, ":@"));
	bool official = streq(host, "docker.io") && !strchr(name, '/');

	return arena_printf(a, "%s/%s%s", host, official ? "library/" : "", name);
}
