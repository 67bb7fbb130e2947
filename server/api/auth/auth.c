#include "server/api/auth/auth.h"

#include <openssl/crypto.h>
#include <strings.h>

#include "lib/base/table.h"
#include "server/api/api_internal.h"
#include "server/api/auth/auth_internal.h"
#include "server/api/auth/tokens.h"

#define ISSUER_USUAL "https://kubernetes.default.svc.cluster.local"

int auth_create(
	struct api *api, const struct auth_options *options, struct auth **ret, struct err *err)
{
	struct auth *auth = xcalloc(1, sizeof(*auth));
	const struct auth_options *o = options;
	int r = rbac_create(api->cache, api->kinds, &auth->rbac, err);
	if (r == 0 && o && o->sa_key)
		r = tokens_create(
			&(struct tokens_options){
				.cache = api->cache,
				.kinds = api->kinds,
				.clock = api->clock,
				.issuer = o->issuer ? o->issuer : ISSUER_USUAL,
				.private_pem = o->sa_key,
				.public_pem = o->sa_pub,
			},
			&auth->tokens, err);
	if (r == 0 && o && o->token_file)
		r = static_tokens_parse(o->token_file, &auth->static_tokens, err);
	if (r < 0) {
		auth_destroy(auth);
		return r;
	}
	auth->secrets = kind_by_resource(api->kinds, "", "v1", "secrets");
	auth->ca_cert = o && o->ca_cert ? xstrdup(o->ca_cert) : NULL;
	auth->keys_url = o && o->keys_url ? xstrdup(o->keys_url) : NULL;
	*ret = auth;
	return 0;
}

void auth_close(struct auth *auth)
{
	rbac_close(auth->rbac);
}

void auth_destroy(struct auth *auth)
{
	if (!auth)
		return;
	rbac_destroy(auth->rbac);
	tokens_destroy(auth->tokens);
	static_tokens_finish(&auth->static_tokens);
	free(auth->ca_cert);
	free(auth->keys_url);
	free(auth);
}

struct rbac *auth_rbac(struct auth *auth)
{
	return auth->rbac;
}

struct tokens *auth_tokens(struct auth *auth)
{
	return auth->tokens;
}

const char *auth_ca_cert(const struct auth *auth)
{
	return auth->ca_cert;
}

/* Authentication. */

static const char **add_group(struct arena *a, const char **groups, size_t count, const char *more)
{
	const char **all = arena_alloc(a, (count + 1) * sizeof(*all));
	if (count)
		memcpy(all, groups, count * sizeof(*all));
	all[count] = more;
	return all;
}

int auth_token_user(struct api *api, struct arena *a, const char *token,
	const struct json *audiences, struct api_user *ret, struct json **ret_audiences,
	struct err *err)
{
	struct auth *auth = api->auth;
	const struct api_user *known = table_get(&auth->static_tokens, token);
	if (known || bootstrap_token_looks_so(token)) {
		/* These know no audience: they are for us, whoever that is. */
		if (ret_audiences)
			*ret_audiences = json_copy(a, audiences);
		if (!known)
			return bootstrap_token_user(api, a, token, ret, err);
		*ret = *known;
		return 0;
	}
	if (!auth->tokens)
		return err_set(err, -EACCES, "invalid bearer token");
	return tokens_authenticate(auth->tokens, a, token, audiences, ret, ret_audiences, err);
}

/* "Bearer TOKEN"; NULL for anything else, which then is no credential. */
static const char *bearer_of(struct arena *a, const char *authorization)
{
	if (!authorization || strncasecmp(authorization, "bearer ", 7) != 0)
		return NULL;
	const char *token = authorization + 7;
	size_t size = strcspn(token, " ");
	return size ? arena_memdup(a, token, size) : NULL;
}

/* Browsers can't set headers of WebSockets, so the token may come as one of the protocols that are
 * offered: base64url.bearer.authorization.k8s.io.TOKEN. */
static const char *websocket_bearer(struct arena *a, const struct http_request *http)
{
	static const char prefix[] = "base64url.bearer.authorization.k8s.io.";
	const char *protocol;
	if (!http_wants_upgrade(http, &protocol) || strcasecmp(protocol, "websocket") != 0)
		return NULL;
	const char *offered = http_header_get(http, "Sec-WebSocket-Protocol");
	struct str rest = str_from(offered), part;
	while (offered && str_split(&rest, ',', &part)) {
		while (part.size && (*part.p == ' ' || *part.p == '\t')) {
			part.p++;
			part.size--;
		}
		while (part.size && (part.p[part.size - 1] == ' ' || part.p[part.size - 1] == '\t'))
			part.size--;
		if (part.size < sizeof(prefix) || memcmp(part.p, prefix, sizeof(prefix) - 1) != 0)
			continue;
		part.p += sizeof(prefix) - 1;
		part.size -= sizeof(prefix) - 1;
		char *token;
		size_t size;
		/* What can't be decoded is still a credential, and a wrong one. */
		if (base64url_decode(a, part, &token, &size) < 0 || strlen(token) != size)
			return "";
		return token;
	}
	return NULL;
}

static int unauthorized(struct api_request *req)
{
	return status_set(req->arena, &req->st, 401, "Unauthorized", "Unauthorized");
}

static int authenticate(struct api_request *req)
{
	static const char *anonymous_groups[] = {GROUP_UNAUTHENTICATED};
	struct http_request *http = req->http;
	if (*http->peer_cn) {
		req->user = (struct api_user){
			.name = http->peer_cn,
			.groups = add_group(req->arena, http->peer_orgs, http->peer_org_count,
				GROUP_AUTHENTICATED),
			.group_count = http->peer_org_count + 1,
		};
		return 0;
	}
	const char *token = bearer_of(req->arena, http_header_get(http, "Authorization"));
	if (!token)
		token = websocket_bearer(req->arena, http);
	if (!token && http->peer_refused)
		return unauthorized(req);
	if (!token) {
		req->user = (struct api_user){
			.name = USER_ANONYMOUS, .groups = anonymous_groups, .group_count = 1};
		return 0;
	}
	/* Why it is wrong is not told to whoever shows it. */
	if (auth_token_user(req->api, req->arena, token, NULL, &req->user, NULL, NULL) < 0)
		return unauthorized(req);
	return 0;
}

int auth_authenticate(struct api_request *req)
{
	int r = authenticate(req);
	return r < 0 ? r : impersonate(req);
}

/* Authorization. */

bool auth_allows(struct api *api, const struct access *x)
{
	return user_in_group(x->user, GROUP_MASTERS) || rbac_allows(api->auth->rbac, x, NULL);
}

bool auth_decide(
	struct auth *auth, struct arena *a, const struct access *x, const char **ret_reason)
{
	struct rbac_grant grant;
	*ret_reason = "";
	if (user_in_group(x->user, GROUP_MASTERS))
		return true;
	bool allowed = rbac_allows(auth->rbac, x, &grant);
	*ret_reason =
		allowed ? rbac_allowed_reason(a, &grant) : rbac_denied_reason(a, auth->rbac, x);
	return allowed;
}

static int authorize(struct api_request *req, const char *verb)
{
	struct auth *auth = req->api->auth;
	if (!req->http || user_in_group(&req->user, GROUP_MASTERS))
		return 0;
	struct access x = access_of_request(
		req->arena, &req->user, req->method, req->path, &req->route, &req->query);
	if (verb)
		access_set_verb(&x, verb);
	if (rbac_allows(auth->rbac, &x, NULL))
		return 0;
	return access_forbidden(
		req->arena, &req->st, &x, rbac_denied_reason(req->arena, auth->rbac, &x));
}

int auth_authorize(struct api_request *req)
{
	return authorize(req, NULL);
}

int auth_authorize_verb(struct api_request *req, const char *verb)
{
	return authorize(req, verb);
}

/* OpenID discovery. */

bool api_openid(struct api_request *req)
{
	struct auth *auth = req->api->auth;
	struct arena *a = req->arena;
	static const char cache_control[] = "Cache-Control: public, max-age=3600\r\n";
	bool keys = streq(req->path, "/openid/v1/jwks");
	if (!auth->tokens || !(keys || streq(req->path, "/.well-known/openid-configuration")))
		return false;
	if (!streq(req->method, "GET") && !streq(req->method, "HEAD")) {
		api_fail_method(req);
		return true;
	}
	const char *issuer = tokens_issuer(auth->tokens);
	struct json *doc = keys ? tokens_key_set(a, auth->tokens) : json_new_object(a);
	if (!keys) {
		json_set_str(a, doc, "issuer", issuer);
		json_set_str(a, doc, "jwks_uri",
			auth->keys_url ? auth->keys_url
				       : arena_printf(a, "%s/openid/v1/jwks", issuer));
		json_push(a, json_array_at(a, doc, "response_types_supported"),
			json_new_string(a, "id_token"));
		json_push(a, json_array_at(a, doc, "subject_types_supported"),
			json_new_string(a, "public"));
		json_set(a, doc, "id_token_signing_alg_values_supported",
			tokens_algorithms(a, auth->tokens));
	}
	const char *text = json_text(a, doc);
	api_respond_text(req, 200, keys ? "application/jwk-set+json" : "application/json",
		cache_control, text, strlen(text));
	return true;
}
