/* image_keyring.c - see image_keyring.h. */
#include "node/image/image_keyring.h"

#include <fnmatch.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "lib/base/str.h"
#include "node/image/image_ref.h"

struct image_key {
	const char *pattern; /* HOST[:PORT][/PATH] */
	bool of_node;
	size_t order; /* as it was added */
	struct image_auth auth;
};

#define DEFAULT_REGISTRY "index.docker.io"

void image_keyring_init(struct image_keyring *k, struct arena *a)
{
	*k = (struct image_keyring){.arena = a};
}

/* "https://host/v1/path/" -> "host/path" */
static const char *pattern_of(struct arena *a, const char *key)
{
	const char *p = strstr(key, "://");

	p = p ? p + 3 : key;
	size_t host = strcspn(p, "/");
	const char *path = p + host;
	if (str_has_prefix(path, "/v1/") || str_has_prefix(path, "/v2/"))
		path += 3;
	size_t size = strlen(path);
	if (size <= 1)
		return arena_memdup(a, p, host);
	return arena_printf(a, "%.*s%s", (int)host, p, path);
}

static void hash_auth(struct image_auth *auth)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	/* JSON strings keep the three apart, whatever is in them. */
	struct json *list = json_new_array(&a);
	json_push(&a, list, json_new_string(&a, auth->username));
	json_push(&a, list, json_new_string(&a, auth->password));
	json_push(&a, list, json_new_string(&a, auth->identity_token));
	char *text = json_text(&a, list);
	EVP_Digest(text, strlen(text), sum, &size, EVP_sha256(), NULL);
	snprintf(auth->hash, sizeof(auth->hash), "%s", hex_encode(&a, sum, 32));
}

/* "auth" is USER:PASSWORD in base64 and goes before the plain fields. False when there is nothing
 * to show. */
static bool auth_read(struct arena *a, const struct json *entry, struct image_auth *ret)
{
	const char *encoded = json_str_or(json_get(entry, "auth"), "");

	*ret = (struct image_auth){
		.username = json_str_or(json_get(entry, "username"), ""),
		.password = json_str_or(json_get(entry, "password"), ""),
		.identity_token = json_str_or(json_get(entry, "identitytoken"), ""),
	};
	if (*encoded) {
		char *plain, *colon;
		size_t size, n = strlen(encoded);
		/* Some tools leave the padding away. */
		const char *padded =
			n % 4 == 0 ? encoded
				   : arena_printf(a, "%s%.*s", encoded, (int)(4 - n % 4), "===");
		if (base64_decode(a, str_from(padded), &plain, &size) < 0 ||
			strlen(plain) != size || !(colon = strchr(plain, ':')))
			return false;
		*colon = '\0';
		ret->username = plain;
		ret->password = colon + 1;
	}
	if (!*ret->username && !*ret->password && !*ret->identity_token)
		return false;
	hash_auth(ret);
	return true;
}

static void add(struct image_keyring *k, const struct json *auths, const struct image_auth *from,
	bool of_node)
{
	JSON_FOR_EACH_MEMBER(m, auths) {
		struct image_auth auth;
		if (!auth_read(k->arena, m->value, &auth))
			continue;
		auth.secret_namespace = from->secret_namespace;
		auth.secret_name = from->secret_name;
		auth.secret_uid = from->secret_uid;
		if (k->count == k->room) {
			k->keys = arena_grow(k->arena, k->keys, k->room * sizeof(*k->keys),
				MAX(k->room * 2, (size_t)8) * sizeof(*k->keys));
			k->room = MAX(k->room * 2, (size_t)8);
		}
		k->keys[k->count] = (struct image_key){
			.pattern = pattern_of(k->arena, m->name),
			.of_node = of_node,
			.order = k->count,
			.auth = auth,
		};
		k->count++;
	}
}

void image_keyring_add_secret(struct image_keyring *k, const struct json *secret)
{
	const struct json *data = json_get(secret, "data");
	const char *new = json_str(json_get(data, ".dockerconfigjson"));
	const char *old = json_str(json_get(data, ".dockercfg"));
	struct image_auth from = {
		.secret_namespace = json_str_or(json_path(secret, "metadata.namespace"), ""),
		.secret_name = json_str_or(json_path(secret, "metadata.name"), ""),
		.secret_uid = json_str_or(json_path(secret, "metadata.uid"), ""),
	};
	struct json *config;
	char *text;
	size_t size;

	if ((!new && !old) ||
		base64_decode(k->arena, str_from(new ? new : old), &text, &size) < 0 ||
		json_parse(k->arena, text, size, NULL, &config, NULL) < 0)
		return;
	add(k, new ? json_get(config, "auths") : config, &from, false);
}

int image_keyring_add_file(struct image_keyring *k, const char *text, size_t size, struct err *err)
{
	struct json *config;
	int r = json_parse(k->arena, text, size, NULL, &config, err);

	if (r < 0)
		return r;
	const struct json *auths = json_get(config, "auths");
	add(k, auths ? auths : config, &(struct image_auth){0}, true);
	return 0;
}

struct location {
	const char *host, *port, *path;
};

static struct location location_of(struct arena *a, const char *text)
{
	size_t n = strcspn(text, "/");
	char *host = arena_memdup(a, text, n);
	char *colon = strrchr(host, ':');
	struct location l = {.host = host, .port = "", .path = text + n};

	/* The colons of an IPv6 address stand in brackets. */
	if (colon && !strchr(colon, ']')) {
		*colon = '\0';
		l.port = colon + 1;
	}
	return l;
}

static bool fits(struct arena *a, const char *pattern, const char *repository)
{
	struct location want = location_of(a, pattern), is = location_of(a, repository);
	struct str left = str_from(want.host), right = str_from(is.host), l, r;

	if (!streq(want.port, is.port) || !str_has_prefix(is.path, want.path))
		return false;
	for (;;) {
		bool more = str_split(&left, '.', &l);
		if (more != str_split(&right, '.', &r))
			return false;
		if (!more)
			return true;
		if (fnmatch(arena_memdup(a, l.p, l.size), arena_memdup(a, r.p, r.size), 0) != 0)
			return false;
	}
}

/* Reverse order of names: "h/a/b" before "h/a" before "h". */
static int compare(const void *a, const void *b)
{
	const struct image_key *x = a, *y = b;

	if (x->of_node != y->of_node)
		return x->of_node ? 1 : -1;
	int c = strcmp(y->pattern, x->pattern);
	return c ? c : (x->order > y->order) - (x->order < y->order);
}

size_t image_keyring_find(
	struct image_keyring *k, const char *image, struct image_auth *ret, size_t room)
{
	const char *repository = image_ref_repository(k->arena, image);
	bool standard = str_has_prefix(repository, "docker.io/");
	size_t n = 0;

	if (k->count > 0)
		qsort(k->keys, k->count, sizeof(*k->keys), compare);
	/* The default registry has a second name, which says less than one that fits. */
	for (int pass = 0; pass <= (standard ? 1 : 0); pass++) {
		for (size_t i = 0; i < k->count && n < room; i++) {
			const struct image_key *key = &k->keys[i];
			bool good = pass == 0 ? fits(k->arena, key->pattern, repository)
					      : streq(key->pattern, DEFAULT_REGISTRY);
			for (size_t j = 0; good && j < n; j++)
				good = !streq(ret[j].hash, key->auth.hash);
			if (good)
				ret[n++] = key->auth;
		}
	}
	return n;
}
