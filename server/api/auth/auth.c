#include "server/api/auth/auth.h"

#include "server/api/api_internal.h"

struct auth {
	struct rbac *rbac;
};

int auth_create(
	struct cache *cache, const struct kind_registry *kinds, struct auth **ret, struct err *err)
{
	struct auth *auth = xcalloc(1, sizeof(*auth));
	int r = rbac_create(cache, kinds, &auth->rbac, err);
	if (r < 0) {
		free(auth);
		return r;
	}
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
	free(auth);
}

struct rbac *auth_rbac(struct auth *auth)
{
	return auth->rbac;
}

static const char **add_group(struct arena *a, const char **groups, size_t count, const char *more)
{
	const char **all = arena_alloc(a, (count + 1) * sizeof(*all));
	if (count)
		memcpy(all, groups, count * sizeof(*all));
	all[count] = more;
	return all;
}

static int unauthorized(struct api_request *req)
{
	return status_set(req->arena, &req->st, 401, "Unauthorized", "Unauthorized");
}

int auth_authenticate(struct api_request *req)
{
	static const char *anonymous_groups[] = {GROUP_UNAUTHENTICATED};
	struct http_request *http = req->http;
	const char *authorization = http_header_get(http, "Authorization");
	if (*http->peer_cn) {
		req->user = (struct api_user){
			.name = http->peer_cn,
			.groups = add_group(req->arena, http->peer_orgs, http->peer_org_count,
				GROUP_AUTHENTICATED),
			.group_count = http->peer_org_count + 1,
		};
		return 0;
	}
	if (authorization)
		return unauthorized(req);
	req->user = (struct api_user){
		.name = USER_ANONYMOUS, .groups = anonymous_groups, .group_count = 1};
	return 0;
}

bool auth_allows(struct api *api, const struct access *x)
{
	return user_in_group(x->user, GROUP_MASTERS) || rbac_allows(api->auth->rbac, x, NULL);
}

int auth_authorize(struct api_request *req)
{
	if (user_in_group(&req->user, GROUP_MASTERS))
		return 0;
	struct access x = access_of_request(
		req->arena, &req->user, req->method, req->path, &req->route, &req->query);
	if (rbac_allows(req->api->auth->rbac, &x, NULL))
		return 0;
	return access_forbidden(
		req->arena, &req->st, &x, rbac_denied_reason(req->arena, req->api->auth->rbac, &x));
}
