/* pod_tokens.c - see pod_tokens.h. */
#include "node/pod/pod_tokens.h"

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/base/table.h"

#define DEFAULT_SECONDS 3600
#define KEEP_MAX_NS (24 * 3600 * NS_PER_S) /* a day, however long it would be good */

struct token {
	char *text;
	int64_t renew_ns, expires_ns; /* wall clock */
};

struct pod_tokens {
	struct table by_key; /* struct token */
};

struct pod_tokens *pod_tokens_create(void)
{
	return xcalloc(1, sizeof(struct pod_tokens));
}

static void token_free(struct token *t)
{
	if (!t)
		return;
	explicit_bzero(t->text, strlen(t->text));
	free(t->text);
	free(t);
}

void pod_tokens_destroy(struct pod_tokens *t)
{
	if (!t)
		return;
	for (struct table_iter it = table_iterate(&t->by_key); table_next(&it);)
		token_free(it.value);
	table_finish(&t->by_key);
	free(t);
}

char *pod_tokens_key(struct arena *a, const struct json *source)
{
	return arena_printf(a, "%lld/%s",
		(long long)json_int_or(json_get(source, "expirationSeconds"), DEFAULT_SECONDS),
		json_str_or(json_get(source, "audience"), ""));
}

const char *pod_tokens_get(const struct pod_tokens *t, const char *key, int64_t wall_ns)
{
	const struct token *have = table_get(&t->by_key, key);
	return have && wall_ns < have->expires_ns ? have->text : NULL;
}

bool pod_tokens_fresh(const struct pod_tokens *t, const char *key, int64_t wall_ns)
{
	const struct token *have = table_get(&t->by_key, key);
	return have && wall_ns < have->renew_ns;
}

int64_t pod_tokens_due_ns(const struct pod_tokens *t)
{
	int64_t due_ns = INT64_MAX;
	for (struct table_iter it = table_iterate(&t->by_key); table_next(&it);)
		due_ns = MIN(due_ns, ((const struct token *)it.value)->renew_ns);
	return due_ns;
}

char *pod_tokens_request(struct arena *a, const struct json *pod, const char *key)
{
	const char *slash = strchr(key, '/');
	int64_t seconds = DEFAULT_SECONDS;
	if (parse_i64((struct str){key, (size_t)(slash - key)}, &seconds) < 0)
		seconds = DEFAULT_SECONDS;
	struct json *doc = json_new_object(a), *spec = json_object_at(a, doc, "spec");
	json_set_str(a, doc, "apiVersion", "authentication.k8s.io/v1");
	json_set_str(a, doc, "kind", "TokenRequest");
	/* Without one the server takes its own. */
	struct json *audiences = json_new_array(a);
	if (slash[1])
		json_push(a, audiences, json_new_string(a, slash + 1));
	json_set(a, spec, "audiences", audiences);
	json_set_int(a, spec, "expirationSeconds", seconds);
	struct json *bound = json_object_at(a, spec, "boundObjectRef");
	json_set_str(a, bound, "kind", "Pod");
	json_set_str(a, bound, "apiVersion", "v1");
	json_set_str(a, bound, "name", json_str_or(json_path(pod, "metadata.name"), ""));
	json_set_str(a, bound, "uid", json_str_or(json_path(pod, "metadata.uid"), ""));
	return json_text(a, doc);
}

int pod_tokens_set(struct pod_tokens *t, const char *key, const struct json *answer,
	int64_t wall_ns, struct err *err)
{
	const char *text = json_path_str(answer, "status.token");
	const char *until = json_path_str(answer, "status.expirationTimestamp");
	int64_t expires_ns;
	if (!text || !*text || !until || time_parse_rfc3339(until, &expires_ns) < 0)
		return err_set(err, -EBADMSG, "the answer to a TokenRequest has no token");
	struct token *new = xcalloc(1, sizeof(*new));
	int64_t life_ns = MAX(expires_ns - wall_ns, 0);
	new->text = xstrdup(text);
	new->expires_ns = expires_ns;
	new->renew_ns = wall_ns + MIN(life_ns / 5 * 4, KEEP_MAX_NS);
	token_free(table_set(&t->by_key, key, new));
	return 0;
}
