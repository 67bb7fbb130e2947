/* bootstrap_token.c - tokens by which nodes and people join: Secrets of kube-system. */
#include <openssl/crypto.h>

#include "server/api/api_internal.h"
#include "server/api/auth/auth_internal.h"

#define TYPE "bootstrap.kubernetes.io/token"
#define ID_SIZE 6
#define SECRET_SIZE 16
#define GROUP_BOOTSTRAPPERS "system:bootstrappers"
#define GROUPS_MAX 64

static bool is_text(const char *s, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9')))
			return false;
	return true;
}

bool bootstrap_token_looks_so(const char *token)
{
	return strlen(token) == ID_SIZE + 1 + SECRET_SIZE && token[ID_SIZE] == '.' &&
	       is_text(token, ID_SIZE) && is_text(token + ID_SIZE + 1, SECRET_SIZE);
}

/* A value of the Secret; "" when it is absent or holds a NUL. */
static const char *value_of(struct arena *a, const struct json *data, const char *key)
{
	const char *text = json_str(json_get(data, key));
	char *plain;
	size_t size;
	if (!text || base64_decode(a, str_from(text), &plain, &size) < 0 || strlen(plain) != size)
		return "";
	return plain;
}

static bool is_past(const char *time, int64_t now_ns)
{
	int64_t at;
	return time_parse_rfc3339(time, &at) < 0 || at <= now_ns;
}

/* "system:bootstrappers:NAME", as upstream's pattern for further groups has it. */
static bool is_group(struct str s)
{
	static const char prefix[] = GROUP_BOOTSTRAPPERS ":";
	if (s.size < sizeof(prefix) || memcmp(s.p, prefix, sizeof(prefix) - 1) != 0)
		return false;
	for (size_t i = sizeof(prefix) - 1; i < s.size; i++)
		if (!is_text(&s.p[i], 1) && s.p[i] != ':' && s.p[i] != '-')
			return false;
	return is_text(&s.p[s.size - 1], 1);
}

static int read_groups(struct arena *a, const char *text, struct api_user *user)
{
	const char **groups = arena_alloc(a, (GROUPS_MAX + 2) * sizeof(*groups));
	size_t n = 0;
	groups[n++] = GROUP_BOOTSTRAPPERS;
	struct str rest = str_from(text), part;
	while (*text && str_split(&rest, ',', &part)) {
		if (n > GROUPS_MAX || !is_group(part))
			return -EINVAL;
		groups[n++] = arena_memdup(a, part.p, part.size);
	}
	groups[n++] = GROUP_AUTHENTICATED;
	user->groups = groups;
	user->group_count = n;
	return 0;
}

int bootstrap_token_user(
	struct api *api, struct arena *a, const char *token, struct api_user *ret, struct err *err)
{
	const char *id = arena_memdup(a, token, ID_SIZE), *secret = token + ID_SIZE + 1;
	const struct object *o = cache_get(api->cache, api->auth->secrets, "kube-system",
		arena_printf(a, "bootstrap-token-%s", id));
	if (!o || o->deleting)
		return err_set(err, -EACCES, "invalid bearer token");
	const struct json *doc = object_doc(o, a), *data = json_get(doc, "data");
	const char *held = value_of(a, data, "token-secret");
	const char *expiration = value_of(a, data, "expiration");
	if (!streq(json_str(json_get(doc, "type")), TYPE) ||
		!streq(value_of(a, data, "token-id"), id) || strlen(held) != SECRET_SIZE ||
		CRYPTO_memcmp(held, secret, SECRET_SIZE) != 0)
		return err_set(err, -EACCES, "invalid bearer token");
	if (json_get(data, "expiration") && is_past(expiration, api->clock->wall_ns(api->clock)))
		return err_set(err, -EACCES, "the bootstrap token has expired");
	if (!streq(value_of(a, data, "usage-bootstrap-authentication"), "true"))
		return err_set(err, -EACCES, "the bootstrap token is not for authentication");
	struct api_user user = {.name = arena_printf(a, "system:bootstrap:%s", id)};
	if (read_groups(a, value_of(a, data, "auth-extra-groups"), &user) < 0)
		return err_set(err, -EACCES, "the bootstrap token names groups that it may not");
	*ret = user;
	return 0;
}
