/* pod_refs.c - see pod_refs.h. */
#include "node/pod/pod_refs.h"

#include "lib/base/log.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "lib/client/wakeup.h"
#include "node/volume/claim_volume.h"

struct pod_refs {
	struct arena arena;
	struct table problems; /* the same keys -> why it could not be had (in the arena) */
	struct table objects;  /* "configmaps/NAME", "secrets/NAME", "persistentvolumeclaims/NAME",
				  "persistentvolumes/NAME", "tokens/KEY" -> struct json (of tokens:
				  a string) */
};

struct fetch_call {
	struct pod_refs_fetch *f;
	struct client_call *call; /* NULL = answered */
	char *key;
};

struct pod_refs_fetch {
	struct node *n;
	struct pod_refs *result;
	struct pod_tokens *tokens;
	VEC(struct fetch_call *) calls;
	size_t open;
	unsigned parts;
	struct err err;
	struct wakeup *none; /* fires when there was nothing to fetch */
	pod_refs_done *done;
	void *user;
};

const struct json *pod_refs_config_map(const struct pod_refs *r, const char *name)
{
	_cleanup_(free_p) char *key = xasprintf("configmaps/%s", name);

	return r ? table_get(&r->objects, key) : NULL;
}

const struct json *pod_refs_secret(const struct pod_refs *r, const char *name)
{
	_cleanup_(free_p) char *key = xasprintf("secrets/%s", name);

	return r ? table_get(&r->objects, key) : NULL;
}

int pod_refs_problem(
	const struct pod_refs *r, const char *resource, const char *name, struct err *err)
{
	_cleanup_(free_p) char *key = xasprintf("%s/%s", resource, name);
	const char *why = r ? table_get(&r->problems, key) : NULL;

	return why ? err_set(err, -EIO, "%s", why) : 0;
}

uint64_t pod_refs_revision(
	const struct pod_refs *r, const char *resource, const char *name, bool *ret_immutable)
{
	_cleanup_(free_p) char *key = xasprintf("%s/%s", resource, name);
	const struct json *doc = r ? table_get(&r->objects, key) : NULL;
	const char *text = json_path_str(doc, "metadata.resourceVersion");
	int64_t revision;

	*ret_immutable = json_bool_or(json_get(doc, "immutable"), false);
	return text && parse_i64(str_from(text), &revision) == 0 && revision > 0
		       ? (uint64_t)revision
		       : 0;
}

static bool is_controlled_by(const struct json *doc, const char *uid)
{
	JSON_FOR_EACH_ITEM(o, json_path(doc, "metadata.ownerReferences"))
		if (json_bool_or(json_get(o, "controller"), false) &&
			streq(json_str(json_get(o, "uid")), uid))
			return true;
	return false;
}

int pod_refs_claim(const struct pod_refs *r, const char *claim, const char *owner,
	const struct json **ret_volume, struct err *err)
{
	_cleanup_(free_p) char *key = xasprintf("persistentvolumeclaims/%s", claim);
	const struct json *doc = r ? table_get(&r->objects, key) : NULL;
	const char *name = json_str_or(json_path(doc, "spec.volumeName"), "");

	if (!doc)
		return err_set(err, -ENOENT,
			"failed to fetch PVC from API server: persistentvolumeclaims \"%s\" not "
			"found",
			claim);
	if (owner && !is_controlled_by(doc, owner))
		return err_set(err, -EPERM, "PVC %s was not created for the pod (pod is not owner)",
			claim);
	if (!streq(json_path_str(doc, "status.phase"), "Bound") || !*name)
		return err_set(err, -ENOENT, "PVC is not bound");
	_cleanup_(free_p) char *volume = xasprintf("persistentvolumes/%s", name);
	*ret_volume = table_get(&r->objects, volume);
	if (!*ret_volume && pod_refs_problem(r, "persistentvolumes", name, err) < 0)
		return -EIO;
	if (!*ret_volume)
		return err_set(err, -ENOENT, "persistentvolume \"%s\" of claim \"%s\" not found",
			name, claim);
	if (!streq(json_path_str(*ret_volume, "spec.claimRef.uid"),
		    json_path_str(doc, "metadata.uid")))
		return err_set(err, -ENOENT, "persistentvolume \"%s\" is not bound to claim \"%s\"",
			name, claim);
	return 0;
}

void pod_refs_destroy(struct pod_refs *r)
{
	if (!r)
		return;
	table_finish(&r->objects);
	table_finish(&r->problems);
	arena_finish(&r->arena);
	free(r);
}

const char *pod_refs_token(const struct pod_refs *r, const struct json *source)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *key = arena_printf(&a, "tokens/%s", pod_tokens_key(&a, source));

	return r ? json_str(table_get(&r->objects, key)) : NULL;
}

static void ref(pod_refs_visit *each, void *user, const char *resource, const struct json *o,
	const char *field)
{
	const char *name = json_str(json_get(o, field));

	if (name && *name)
		each(user, resource, name);
}

static void walk_volume(
	const struct json *pod, const struct json *v, pod_refs_visit *each, void *user)
{
	_cleanup_(arena_finish) struct arena scratch = ARENA_INIT;
	const char *claim = claim_volume_name(&scratch, pod, v);

	if (*claim)
		each(user, "persistentvolumeclaims", claim);
	ref(each, user, "configmaps", json_get(v, "configMap"), "name");
	ref(each, user, "secrets", json_get(v, "secret"), "secretName");
	JSON_FOR_EACH_ITEM(src, json_path(v, "projected.sources")) {
		const struct json *token = json_get(src, "serviceAccountToken");
		ref(each, user, "configmaps", json_get(src, "configMap"), "name");
		ref(each, user, "secrets", json_get(src, "secret"), "name");
		if (token) {
			_cleanup_(arena_finish) struct arena a = ARENA_INIT;
			each(user, "tokens", pod_tokens_key(&a, token));
		}
	}
}

static void walk_container(const struct json *c, pod_refs_visit *each, void *user)
{
	JSON_FOR_EACH_ITEM(from, json_get(c, "envFrom")) {
		ref(each, user, "configmaps", json_get(from, "configMapRef"), "name");
		ref(each, user, "secrets", json_get(from, "secretRef"), "name");
	}
	JSON_FOR_EACH_ITEM(e, json_get(c, "env")) {
		ref(each, user, "configmaps", json_path(e, "valueFrom.configMapKeyRef"), "name");
		ref(each, user, "secrets", json_path(e, "valueFrom.secretKeyRef"), "name");
	}
}

void pod_refs_each(const struct json *pod, unsigned parts, pod_refs_visit *each, void *user)
{
	if (parts & POD_REFS_VOLUMES)
		JSON_FOR_EACH_ITEM(v, json_path(pod, "spec.volumes"))
			walk_volume(pod, v, each, user);
	if (parts & POD_REFS_ENV) {
		JSON_FOR_EACH_ITEM(i, json_path(pod, "spec.initContainers"))
			walk_container(i, each, user);
		JSON_FOR_EACH_ITEM(c, json_path(pod, "spec.containers"))
			walk_container(c, each, user);
	}
	if (parts & POD_REFS_PULL)
		JSON_FOR_EACH_ITEM(s, json_path(pod, "spec.imagePullSecrets"))
			ref(each, user, "secrets", s, "name");
}

static void note(void *user, const char *resource, const char *name)
{
	*(bool *)user = true;
}

bool pod_refs_needed(const struct json *pod, unsigned parts)
{
	bool any = false;

	pod_refs_each(pod, parts, note, &any);
	return any;
}

static void fetch_free(struct pod_refs_fetch *f)
{
	for (size_t i = 0; i < f->calls.count; i++) {
		free(f->calls.items[i]->key);
		free(f->calls.items[i]);
	}
	VEC_FINISH(&f->calls);
	wakeup_destroy(f->none);
	pod_refs_destroy(f->result);
	free(f);
}

static void finish(struct pod_refs_fetch *f)
{
	if (f->err.code && f->parts != POD_REFS_VOLUMES)
		f->done(f->user, NULL, &f->err);
	else
		f->done(f->user, TAKE_PTR(f->result), NULL);
	fetch_free(f);
}

static void on_none(void *user)
{
	finish(user);
}

static void problem(struct fetch_call *c, const char *why)
{
	struct pod_refs_fetch *f = c->f;

	err_set(&f->err, -EIO, "%s", why);
	table_set(&f->result->problems, c->key, arena_strdup(&f->result->arena, why));
}

/* "tokens/3607/aud" -> "3607/aud"; NULL for other objects. */
static const char *token_key(const struct fetch_call *c)
{
	return str_has_prefix(c->key, "tokens/") ? c->key + strlen("tokens/") : NULL;
}

/* Puts the token that the pod has into the result, if it is still good. */
static bool take_token(struct fetch_call *c)
{
	struct pod_refs_fetch *f = c->f;
	const char *text =
		pod_tokens_get(f->tokens, token_key(c), f->n->clock->wall_ns(f->n->clock));

	if (text)
		table_set(&f->result->objects, c->key, json_new_string(&f->result->arena, text));
	return text != NULL;
}

static void on_token(struct fetch_call *c, const struct client_result *r)
{
	struct pod_refs_fetch *f = c->f;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct json *doc;
	int result;

	if (!client_ok(r)) {
		result = err_set(&err, -EIO, "%s", r->message);
	} else {
		result = json_parse(&a, r->body, r->body_size, NULL, &doc, &err);
		if (result == 0)
			result = pod_tokens_set(f->tokens, token_key(c), doc,
				f->n->clock->wall_ns(f->n->clock), &err);
	}
	/* The old one goes on while there is no new one. */
	if (!take_token(c))
		problem(c, arena_printf(&a, "failed to fetch token: %s",
				   result < 0 ? err.msg : "it is past its time already"));
	else if (result < 0)
		log_warn("token could not be renewed", "reason", err.msg, NULL);
}

static void call_start(struct pod_refs_fetch *f, const char *resource, const char *name);

/* Of a claim its volume is wanted, too. */
static void take_object(struct fetch_call *c, struct json *doc)
{
	table_set(&c->f->result->objects, c->key, doc);
	const char *volume = json_str_or(json_path(doc, "spec.volumeName"), "");
	if (str_has_prefix(c->key, "persistentvolumeclaims/") && *volume)
		call_start(c->f, "persistentvolumes", volume);
}

static void on_answer(void *user, const struct client_result *r)
{
	struct fetch_call *c = user;
	struct pod_refs_fetch *f = c->f;
	struct json *doc;

	c->call = NULL;
	f->open--;
	if (token_key(c)) {
		on_token(c, r);
	} else if (client_ok(r)) {
		struct err err = ERR_INIT;
		if (json_parse(&f->result->arena, r->body, r->body_size, NULL, &doc, &err) < 0)
			problem(c, err.msg);
		else
			take_object(c, doc);
	} else if (r->code != 404) {
		problem(c, r->message);
	}
	if (f->open == 0)
		finish(f);
}

static void start(void *user, const char *resource, const char *name)
{
	struct pod_refs_fetch *f = user;
	_cleanup_(free_p) char *key = xasprintf("%s/%s", resource, name);

	for (size_t i = 0; i < f->calls.count; i++) {
		if (streq(f->calls.items[i]->key, key))
			return;
	}
	struct fetch_call *c = xcalloc(1, sizeof(*c));
	c->f = f;
	c->key = TAKE_PTR(key);
	VEC_PUSH(&f->calls, c);
}

static void call_send(struct fetch_call *c, const struct json *pod)
{
	struct node *n = c->f->n;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *ns = json_str_or(json_path(pod, "metadata.namespace"), "");
	const char *slash = strchr(c->key, '/');
	struct client_request request = {.method = "GET"};

	if (token_key(c)) {
		const char *account =
			json_str_or(json_path(pod, "spec.serviceAccountName"), "default");
		request.method = "POST";
		request.path =
			client_path(&a, kind_by_resource(n->kinds, "", "v1", "serviceaccounts"), ns,
				account, "token");
		request.body = pod_tokens_request(&a, pod, token_key(c));
		request.body_size = strlen(request.body);
	} else {
		const char *resource = arena_memdup(&a, c->key, (size_t)(slash - c->key));
		const struct kind *k = kind_by_resource(n->kinds, "", "v1", resource);
		request.path = client_path(&a, k, ns, slash + 1, NULL);
	}
	c->call = client_request(n->client, &request, on_answer, c);
	c->f->open++;
}

static void call_start(struct pod_refs_fetch *f, const char *resource, const char *name)
{
	size_t before = f->calls.count;

	start(f, resource, name);
	if (f->calls.count > before)
		call_send(f->calls.items[before], NULL);
}

struct pod_refs_fetch *pod_refs_fetch(struct node *n, const struct json *pod, unsigned parts,
	struct pod_tokens *tokens, pod_refs_done *done, void *user)
{
	struct pod_refs_fetch *f = xcalloc(1, sizeof(*f));

	f->n = n;
	f->result = xcalloc(1, sizeof(*f->result));
	f->tokens = tokens;
	f->parts = parts;
	f->done = done;
	f->user = user;
	pod_refs_each(pod, parts, start, f);
	for (size_t i = 0; i < f->calls.count; i++) {
		struct fetch_call *c = f->calls.items[i];
		if (token_key(c) &&
			pod_tokens_fresh(tokens, token_key(c), n->clock->wall_ns(n->clock)) &&
			take_token(c))
			continue;
		call_send(c, pod);
	}
	if (f->open == 0) {
		f->none = wakeup_create(n->loop, n->clock, on_none, f);
		wakeup_in(f->none, 0);
	}
	return f;
}

void pod_refs_fetch_cancel(struct pod_refs_fetch *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->calls.count; i++) {
		if (f->calls.items[i]->call)
			client_cancel(f->n->client, f->calls.items[i]->call);
	}
	fetch_free(f);
}
