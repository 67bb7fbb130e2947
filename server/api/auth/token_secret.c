/* token_secret.c - Secrets of type kubernetes.io/service-account-token: the old way to get a token
 * is to write an empty one and to read what the server put into it. It is filled while it is
 * written; one without an account is left empty, and a control loop takes it away. */
#include "server/api/api_internal.h"
#include "server/api/auth/auth.h"
#include "server/api/auth/tokens.h"

#define ANNOTATION "kubernetes.io/service-account."

static void fill(struct arena *a, struct json *data, const char *key, const char *text)
{
	if (text && !json_get(data, key))
		json_set_str(a, data, key, base64_encode(a, text, strlen(text)));
}

void token_secret_fill(struct hook *h, struct json *doc)
{
	struct arena *a = h->arena;
	struct tokens *tokens = h->api ? auth_tokens(h->api->auth) : NULL;
	if (!tokens ||
		!streq(json_str(json_get(doc, "type")), "kubernetes.io/service-account-token"))
		return;
	struct json *annotations = json_path(doc, "metadata.annotations");
	const char *name = json_str_or(json_get(annotations, ANNOTATION "name"), "");
	const char *uid = json_str_or(json_get(annotations, ANNOTATION "uid"), "");
	const char *ns = json_str_or(json_path(doc, "metadata.namespace"), "");
	const char *secret = json_str_or(json_path(doc, "metadata.name"), "");
	const struct object *account = cache_get(h->api->cache,
		kind_by_resource(h->api->kinds, "", "v1", "serviceaccounts"), ns, name);
	if (!account || account->deleting || !*secret || (*uid && !streq(uid, account->uid)))
		return;
	char *token = NULL;
	struct json *data = json_object_at(a, doc, "data");
	if (!json_get(data, "token") &&
		tokens_issue_for_secret(tokens, a, account, secret, &token, NULL) < 0)
		return;
	json_set_str(a, annotations, ANNOTATION "uid", account->uid);
	fill(a, data, "token", token);
	fill(a, data, "namespace", ns);
	fill(a, data, "ca.crt", auth_ca_cert(h->api->auth));
}
