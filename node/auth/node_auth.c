/* node_auth.c - see node_auth.h. A request goes through two questions, each answered from memory,
 *by joining one that is under way, or by asking:
 *
 *	who? (token -> user) ---> may it? (user, verb, subresource -> yes/no) ---> done
 *	  `-> 401                    `-> next subresource, else 403
 */
#include "node/auth/node_auth.h"

#include <openssl/sha.h>
#include <strings.h>

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/table.h"

enum {
	ENTRIES_MAX = 4096,
	ASK_MS = 10000,
	TOKEN_MAX_BYTES = 16 << 10,
	SUBRESOURCES_MAX = 3, /* and NULL */
};

/* What is known, or being asked: of a token (user) or of a right (allowed). */
struct entry {
	char *key;
	int64_t expires_ns; /* monotonic; of what is known */
	bool known, yes;
	struct json *user; /* of a token: {username, uid, groups, extra} in `arena` */
	struct arena arena;
	struct node_auth *auth;
	struct client_call *call; /* NULL = not being asked */
	struct list waiters;	  /* struct check */
};

struct check {
	struct list link; /* in the entry that is being asked, or on its own */
	struct http_request *req;
	node_auth_done *done;
	void *user;
	const struct json *who; /* in the request's arena */
	const char *subresources[SUBRESOURCES_MAX];
	size_t at;
};

struct node_auth {
	struct client *client;
	const struct node_config *config;
	char *node_name;
	struct table tokens, rights; /* key -> struct entry */
};

static int64_t now_ns(const struct node_auth *a)
{
	return a->client->clock->mono_ns(a->client->clock);
}

/* ---- attributes ---- */

static bool is_below(const char *path, const char *root)
{
	size_t size = strlen(root);

	return str_has_prefix(path, root) && (path[size] == '\0' || path[size] == '/');
}

void node_auth_subresources(const char *path, const char *ret[SUBRESOURCES_MAX])
{
	static const char *const roots[][2] = {
		{"/stats", "stats"},
		{"/metrics", "metrics"},
		{"/logs", "log"},
		{"/checkpoint", "checkpoint"},
	};
	/* These have names of their own besides what they always were. */
	static const char *const finer[][2] = {
		{"/pods", "pods"},
		{"/runningpods", "pods"},
		{"/healthz", "healthz"},
		{"/configz", "configz"},
	};
	size_t n = 0;
	const char *last = "proxy";

	for (size_t i = 0; i < ARRAY_LEN(finer); i++) {
		if (is_below(path, finer[i][0]))
			ret[n++] = finer[i][1];
	}
	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		if (is_below(path, roots[i][0]))
			last = roots[i][1];
	}
	ret[n++] = last;
	ret[n] = NULL;
}

static const char *verb_of(const char *method)
{
	return streq(method, "POST")	 ? "create"
	       : streq(method, "GET")	 ? "get"
	       : streq(method, "PUT")	 ? "update"
	       : streq(method, "PATCH")	 ? "patch"
	       : streq(method, "DELETE") ? "delete"
					 : "";
}

/* ---- entries ---- */

static void entry_free(struct entry *e)
{
	arena_finish(&e->arena);
	free(e->key);
	free(e);
}

static void forget(struct table *t, int64_t now, bool all)
{
	for (struct table_iter i = table_iterate(t); table_next(&i);) {
		struct entry *e = i.value;
		if (e->call || !list_empty(&e->waiters) ||
			(!all && e->known && e->expires_ns > now))
			continue;
		table_remove(t, e->key);
		entry_free(e);
	}
}

/* NULL when there are too many. */
static struct entry *entry_get(struct node_auth *a, struct table *t, const char *key)
{
	struct entry *e = table_get(t, key);

	if (e)
		return e;
	if (t->count >= ENTRIES_MAX)
		forget(t, now_ns(a), false);
	if (t->count >= ENTRIES_MAX)
		forget(t, 0, true);
	if (t->count >= ENTRIES_MAX)
		return NULL;
	e = xcalloc(1, sizeof(*e));
	e->key = xstrdup(key);
	e->auth = a;
	e->arena = ARENA_INIT;
	list_init(&e->waiters);
	table_set(t, key, e);
	return e;
}

static bool is_fresh(const struct node_auth *a, const struct entry *e)
{
	return e->known && e->expires_ns > now_ns(a);
}

/* ---- checks ---- */

static void check_end(struct check *c, int status, const char *text)
{
	list_remove(&c->link);
	c->done(c->user, c->req, status, text);
	free(c);
}

static const char *who_and_what(struct check *c, const char *words)
{
	struct arena *a = &c->req->arena;
	const char *all = c->subresources[0];

	for (size_t i = 1; c->subresources[i]; i++)
		all = arena_printf(a, "%s %s", all, c->subresources[i]);
	if (c->subresources[1])
		return arena_printf(a,
			"%s (user=%s, verb=%s, resource=nodes, subresource(s)=[%s])\n", words,
			json_path_str(c->who, "username"), verb_of(c->req->method), all);
	return arena_printf(a, "%s (user=%s, verb=%s, resource=nodes, subresource=%s)", words,
		json_path_str(c->who, "username"), verb_of(c->req->method), all);
}

static void check_right(struct node_auth *a, struct check *c);

static void right_known(struct node_auth *a, struct check *c, bool yes)
{
	if (yes)
		check_end(c, 200, NULL);
	else if (c->subresources[++c->at])
		check_right(a, c);
	else
		check_end(c, 403, who_and_what(c, "Forbidden"));
}

/* Out of the entry first: its end may come with the first answer. */
static void take_waiters(struct entry *e, struct list *ret)
{
	list_init(ret);
	LIST_FOR_EACH(c, &e->waiters, struct check, link) {
		list_remove(&c->link);
		list_append(ret, &c->link);
	}
}

static void on_right(void *user, const struct client_result *r)
{
	struct entry *e = user;
	struct node_auth *a = e->auth;
	_cleanup_(arena_finish) struct arena arena = ARENA_INIT;
	struct json *doc;

	e->call = NULL;
	bool ok = client_ok(r) &&
		  json_parse(&arena, r->body, r->body_size, NULL, &doc, NULL) >= 0 &&
		  json_path(doc, "status");
	if (ok) {
		e->yes = json_path_bool(doc, "status.allowed", false);
		e->known = true;
		e->expires_ns = now_ns(a) + (e->yes ? a->config->authz_allow_cache_ms
						    : a->config->authz_deny_cache_ms) *
						    NS_PER_MS;
	} else {
		log_warn("the server could not be asked for a right", "reason", r->message, NULL);
	}
	bool yes = e->yes;
	struct list waiters;
	take_waiters(e, &waiters);
	LIST_FOR_EACH(c, &waiters, struct check, link) {
		list_remove(&c->link);
		if (ok)
			right_known(a, c, yes);
		else
			check_end(c, 500, who_and_what(c, "Authorization error"));
	}
}

static struct client_call *ask(struct node_auth *a, const char *path, const struct json *doc,
	client_done *done, void *user)
{
	_cleanup_(buf_finish) struct buf body = BUF_INIT;

	json_write(&body, doc);
	return client_request(a->client,
		&(struct client_request){
			.method = "POST",
			.path = path,
			.body = body.data,
			.body_size = body.size,
			.timeout_ms = ASK_MS,
		},
		done, user);
}

static void ask_right(struct node_auth *a, struct entry *e, const struct check *c)
{
	_cleanup_(arena_finish) struct arena arena = ARENA_INIT;
	struct json *doc = json_new_object(&arena), *what = json_new_object(&arena);
	const struct json *who = c->who;

	json_set_str(&arena, doc, "apiVersion", "authorization.k8s.io/v1");
	json_set_str(&arena, doc, "kind", "SubjectAccessReview");
	json_path_set(&arena, doc, "spec.user", json_copy(&arena, json_get(who, "username")));
	static const char *const more[][2] = {
		{"uid", "spec.uid"}, {"groups", "spec.groups"}, {"extra", "spec.extra"}};
	for (size_t i = 0; i < ARRAY_LEN(more); i++) {
		if (json_get(who, more[i][0]))
			json_path_set(&arena, doc, more[i][1],
				json_copy(&arena, json_get(who, more[i][0])));
	}
	json_set_str(&arena, what, "verb", verb_of(c->req->method));
	json_set_str(&arena, what, "group", "");
	json_set_str(&arena, what, "version", "v1");
	json_set_str(&arena, what, "resource", "nodes");
	json_set_str(&arena, what, "subresource", c->subresources[c->at]);
	json_set_str(&arena, what, "name", a->node_name);
	json_path_set(&arena, doc, "spec.resourceAttributes", what);
	e->call = ask(a, "/apis/authorization.k8s.io/v1/subjectaccessreviews", doc, on_right, e);
}

static void check_right(struct node_auth *a, struct check *c)
{
	struct arena *arena = &c->req->arena;
	const char *key = arena_printf(arena, "%s %s %s", verb_of(c->req->method),
		c->subresources[c->at], json_text(arena, c->who));
	struct entry *e = entry_get(a, &a->rights, key);

	if (!e) {
		check_end(c, 503, "too many users at a time");
		return;
	}
	if (is_fresh(a, e)) {
		right_known(a, c, e->yes);
		return;
	}
	list_append(&e->waiters, &c->link);
	if (!e->call)
		ask_right(a, e, c);
}

static void who_known(struct node_auth *a, struct check *c)
{
	if (a->config->always_allow)
		check_end(c, 200, NULL);
	else
		check_right(a, c);
}

/* ---- who ---- */

static void user_known(struct node_auth *a, struct check *c, const struct json *user)
{
	if (!user) {
		check_end(c, 401, "Unauthorized");
		return;
	}
	c->who = json_copy(&c->req->arena, user);
	who_known(a, c);
}

static void on_token(void *user, const struct client_result *r)
{
	struct entry *e = user;
	struct node_auth *a = e->auth;
	_cleanup_(arena_finish) struct arena arena = ARENA_INIT;
	struct json *doc, *who = NULL;
	struct list waiters;

	e->call = NULL;
	if (client_ok(r) && json_parse(&arena, r->body, r->body_size, NULL, &doc, NULL) >= 0 &&
		json_path(doc, "status")) {
		const struct json *found = json_path(doc, "status.user");
		bool yes = json_path_bool(doc, "status.authenticated", false) &&
			   json_path_str(doc, "status.user.username");
		arena_finish(&e->arena);
		e->known = true;
		e->user = yes ? json_copy(&e->arena, found) : NULL;
		e->expires_ns = now_ns(a) + a->config->authn_cache_ms * NS_PER_MS;
		who = yes ? json_copy(&arena, found) : NULL;
	} else {
		/* Not known is not a no: the next request asks again. */
		log_warn("the server could not be asked whose a token is", "reason", r->message,
			NULL);
	}
	take_waiters(e, &waiters);
	LIST_FOR_EACH(c, &waiters, struct check, link) {
		list_remove(&c->link);
		user_known(a, c, who);
	}
}

static void check_token(struct node_auth *a, struct check *c, const char *token)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	struct arena *arena = &c->req->arena;
	size_t size = strlen(token);

	if (size > TOKEN_MAX_BYTES) {
		check_end(c, 401, "Unauthorized");
		return;
	}
	/* The token itself is not kept. */
	SHA256((const unsigned char *)token, size, digest);
	struct entry *e = entry_get(a, &a->tokens, hex_encode(arena, digest, sizeof(digest)));
	if (!e) {
		check_end(c, 503, "too many users at a time");
		return;
	}
	if (is_fresh(a, e)) {
		user_known(a, c, e->user);
		return;
	}
	list_append(&e->waiters, &c->link);
	if (e->call)
		return;
	struct json *doc = json_new_object(arena);
	json_set_str(arena, doc, "apiVersion", "authentication.k8s.io/v1");
	json_set_str(arena, doc, "kind", "TokenReview");
	json_path_set(arena, doc, "spec.token", json_new_string(arena, token));
	e->call = ask(a, "/apis/authentication.k8s.io/v1/tokenreviews", doc, on_token, e);
}

/* The token of "Authorization: Bearer TOKEN"; NULL when there is none. */
static const char *bearer_token(const struct http_request *req)
{
	const char *h = http_header_get(req, "Authorization");

	if (!h || strncasecmp(h, "Bearer ", 7) != 0)
		return NULL;
	h += 7 + strspn(h + 7, " ");
	return *h ? h : NULL;
}

static struct json *user_named(struct arena *a, const char *name)
{
	struct json *u = json_new_object(a);

	json_set_str(a, u, "username", name);
	json_set(a, u, "groups", json_new_array(a));
	return u;
}

static void add_group(struct arena *a, struct json *user, const char *group)
{
	json_push(a, json_get(user, "groups"), json_new_string(a, group));
}

void node_auth_check(
	struct node_auth *a, struct http_request *req, node_auth_done *done, void *user)
{
	struct arena *arena = &req->arena;
	const char *token = a->config->token_auth ? bearer_token(req) : NULL;
	struct check *c = xcalloc(1, sizeof(*c));

	c->req = req;
	c->done = done;
	c->user = user;
	list_init(&c->link);
	node_auth_subresources(req->path, c->subresources);
	if (req->peer_cn && *req->peer_cn) {
		struct json *who = user_named(arena, req->peer_cn);
		for (size_t i = 0; i < req->peer_org_count; i++) {
			if (streq(req->peer_orgs[i], "system:masters")) {
				check_end(c, 200, NULL);
				return;
			}
			add_group(arena, who, req->peer_orgs[i]);
		}
		add_group(arena, who, "system:authenticated");
		c->who = who;
		who_known(a, c);
	} else if (token) {
		check_token(a, c, token);
	} else if (a->config->anonymous_auth && !req->peer_refused &&
		   !http_header_get(req, "Authorization")) {
		struct json *who = user_named(arena, "system:anonymous");
		add_group(arena, who, "system:unauthenticated");
		c->who = who;
		who_known(a, c);
	} else {
		check_end(c, 401, "Unauthorized");
	}
}

/* ---- life ---- */

struct node_auth *node_auth_create(
	struct client *c, const struct node_config *config, const char *node_name)
{
	struct node_auth *a = xcalloc(1, sizeof(*a));

	a->client = c;
	a->config = config;
	a->node_name = xstrdup(node_name);
	return a;
}

static void end_all(struct node_auth *a, struct table *t)
{
	for (struct table_iter i = table_iterate(t); table_next(&i);) {
		struct entry *e = i.value;
		struct list waiters;
		if (e->call)
			client_cancel(a->client, e->call);
		take_waiters(e, &waiters);
		LIST_FOR_EACH(c, &waiters, struct check, link)
			check_end(c, 503, "the node agent is stopping");
		entry_free(e);
	}
	table_finish(t);
}

void node_auth_destroy(struct node_auth *a)
{
	if (!a)
		return;
	end_all(a, &a->tokens);
	end_all(a, &a->rights);
	free(a->node_name);
	free(a);
}
