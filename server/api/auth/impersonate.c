/* impersonate.c - Impersonate-User, -Group, -Uid and -Extra-*: acting as somebody else, when the
 * one who asks may `impersonate` every part of it. */
#include <strings.h>

#include "server/api/api_internal.h"
#include "server/api/auth/auth_internal.h"

#define PREFIX "Impersonate-"
#define EXTRA_PREFIX "Impersonate-Extra-"
#define AUTHENTICATION_GROUP "authentication.k8s.io"
#define HEADERS_MAX 256

struct wanted {
	const char *user, *uid;
	const char **groups;
	size_t group_count;
	struct json *extra;
};

static int fail(struct api_request *req, const char *what)
{
	return status_set(
		req->arena, &req->st, 500, "InternalError", "Internal error occurred: %s", what);
}

static int read_extra(struct api_request *req, const struct http_header *h, struct wanted *w)
{
	char *key;
	if (percent_decode(req->arena, str_from(h->name + sizeof(EXTRA_PREFIX) - 1), false, &key) <
		0)
		return status_bad_request(req->arena, &req->st, "malformed header %s", h->name);
	for (char *p = key; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	if (!w->extra)
		w->extra = json_new_object(req->arena);
	json_push(req->arena, json_array_at(req->arena, w->extra, key),
		json_new_string(req->arena, h->value));
	return 0;
}

static int read_headers(struct api_request *req, struct wanted *w)
{
	const struct http_request *http = req->http;
	int r = 0;
	size_t n = 0;
	for (size_t i = 0; i < http->header_count && r == 0; i++) {
		const struct http_header *h = &http->headers[i];
		if ((h->name[0] | 0x20) != 'i' ||
			strncasecmp(h->name, PREFIX, sizeof(PREFIX) - 1) != 0)
			continue;
		if (++n > HEADERS_MAX)
			return status_bad_request(
				req->arena, &req->st, "too many " PREFIX "* headers");
		const char *part = h->name + sizeof(PREFIX) - 1;
		if (!w->groups)
			w->groups = arena_alloc(
				req->arena, (http->header_count + 3) * sizeof(*w->groups));
		if (strcasecmp(part, "User") == 0)
			w->user = w->user ? w->user : h->value;
		else if (strcasecmp(part, "Uid") == 0)
			w->uid = w->uid ? w->uid : h->value;
		else if (strcasecmp(part, "Group") == 0)
			w->groups[w->group_count++] = h->value;
		else if (strncasecmp(h->name, EXTRA_PREFIX, sizeof(EXTRA_PREFIX) - 1) == 0)
			r = read_extra(req, h, w);
	}
	return r;
}

static int ask(struct api_request *req, struct access *x)
{
	const char *reason;
	x->user = &req->user;
	x->is_resource = true;
	x->version = "v1";
	access_set_verb(x, "impersonate");
	if (auth_decide(req->api->auth, req->arena, x, &reason))
		return 0;
	return access_forbidden(req->arena, &req->st, x, reason);
}

static int ask_all(
	struct api_request *req, const struct wanted *w, const char *ns, const char *name)
{
	struct access x = {.namespace = ns ? ns : "",
		.group = "",
		.resource = ns ? "serviceaccounts" : "users",
		.subresource = "",
		.name = ns ? name : w->user};
	int r = ask(req, &x);
	for (size_t i = 0; i < w->group_count && r == 0; i++) {
		x = (struct access){.namespace = "",
			.group = "",
			.resource = "groups",
			.subresource = "",
			.name = w->groups[i]};
		r = ask(req, &x);
	}
	JSON_FOR_EACH_MEMBER(m, w->extra)
		JSON_FOR_EACH_ITEM(value, m->value) {
			if (r < 0)
				break;
			x = (struct access){.namespace = "",
				.group = AUTHENTICATION_GROUP,
				.resource = "userextras",
				.subresource = m->name,
				.name = json_str(value)};
			r = ask(req, &x);
		}
	if (r == 0 && w->uid) {
		x = (struct access){.namespace = "",
			.group = AUTHENTICATION_GROUP,
			.resource = "uids",
			.subresource = "",
			.name = w->uid};
		r = ask(req, &x);
	}
	return r;
}

/* Everybody is either authenticated or not, and a service account is in the groups of all. */
static void complete_groups(struct api_request *req, struct wanted *w, const char *ns)
{
	bool told = false;
	if (ns && !w->group_count) {
		w->groups[w->group_count++] = "system:serviceaccounts";
		w->groups[w->group_count++] =
			arena_printf(req->arena, "system:serviceaccounts:%s", ns);
	}
	for (size_t i = 0; i < w->group_count; i++)
		told |= streq(w->groups[i], GROUP_AUTHENTICATED) ||
			streq(w->groups[i], GROUP_UNAUTHENTICATED);
	if (!told)
		w->groups[w->group_count++] = streq(w->user, USER_ANONYMOUS) ? GROUP_UNAUTHENTICATED
									     : GROUP_AUTHENTICATED;
}

int impersonate(struct api_request *req)
{
	struct wanted w = {0};
	int r = read_headers(req, &w);
	if (r < 0 || !w.groups)
		return r;
	if (!w.user || !*w.user) {
		if (w.group_count || w.extra || w.uid)
			return fail(req,
				"requested impersonation of groups, a uid or extra without "
				"impersonating a user");
		return 0;
	}
	const char *ns = NULL, *name = NULL;
	(void)user_service_account(req->arena, w.user, &ns, &name);
	r = ask_all(req, &w, ns, name);
	if (r < 0)
		return r;
	complete_groups(req, &w, ns);
	req->user = (struct api_user){
		.name = w.user,
		.uid = w.uid,
		.groups = w.groups,
		.group_count = w.group_count,
		.extra = w.extra,
	};
	return 0;
}
