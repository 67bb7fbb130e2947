/* token_request.c - POST serviceaccounts/NAME/token: the TokenRequest API. */
#include "server/api/auth/auth.h"

#include "server/api/api_internal.h"
#include "server/api/auth/tokens.h"

#define NODES_GROUP "system:nodes"
#define NODE_PREFIX "system:node:"
#define LIFETIME_MIN_S 600
#define LIFETIME_MAX_S (INT64_C(1) << 32)

static const struct kind *core_kind(struct api_request *req, const char *plural)
{
	return kind_by_resource(req->api->kinds, "", "v1", plural);
}

static void validate(struct api_request *req, struct json *doc, struct field_errors *e)
{
	const struct json *lifetime = json_path(doc, "spec.expirationSeconds");
	int64_t s = json_int_or(lifetime, 0);
	if (s < LIFETIME_MIN_S)
		field_error(e, FIELD_INVALID, "spec.expirationSeconds", lifetime,
			"may not specify a duration less than 10 minutes");
	if (s > LIFETIME_MAX_S)
		field_error(e, FIELD_INVALID, "spec.expirationSeconds", lifetime,
			"may not specify a duration larger than 2^32 seconds");
	size_t i = 0;
	JSON_FOR_EACH_ITEM(audience, json_path(doc, "spec.audiences")) {
		if (!*json_str_or(audience, ""))
			field_error(e, FIELD_INVALID,
				arena_printf(req->arena, "spec.audiences[%zu]", i), audience,
				"must not be empty");
		i++;
	}
}

static int check_uid(struct api_request *req, const struct json *ref, const struct object *o)
{
	const char *uid = json_str_or(json_get(ref, "uid"), "");
	if (!*uid || streq(uid, o->uid))
		return 0;
	return status_conflict(req->arena, &req->st, o->kind, o->name,
		arena_printf(req->arena,
			"the UID in the bound object reference (%s) does not match the UID in "
			"record. The object might have been deleted and then recreated",
			uid));
}

static int bind_pod(struct api_request *req, const struct object *pod, struct token_request *t)
{
	struct arena *a = req->arena;
	const struct json *spec = json_get(object_doc(pod, a), "spec");
	if (!streq(json_str_or(json_get(spec, "serviceAccountName"), ""), t->account->name))
		return status_bad_request(a, &req->st,
			"cannot bind token for serviceaccount \"%s\" to pod running with different "
			"serviceaccount name.",
			t->account->name);
	t->pod = pod;
	const char *node = json_str_or(json_get(spec, "nodeName"), "");
	if (!*node)
		return 0;
	t->node = cache_get(req->api->cache, req->api->nodes, "", node);
	t->node_name = t->node ? NULL : node;
	return 0;
}

/* hanok's own: a guest gets the token of the account whose volume its instance has. */
static int bind_machine(struct api_request *req, const struct json *ref, struct token_request *t)
{
	struct arena *a = req->arena;
	const char *name = json_str_or(json_get(ref, "name"), "");
	const struct kind *k =
		kind_by_resource(req->api->kinds, "kubevirt.io", "v1", "virtualmachineinstances");
	const struct object *o = cache_get(req->api->cache, k, req->route.namespace, name);
	int r;

	if (!o)
		return status_not_found(a, &req->st, k, name);
	r = check_uid(req, ref, o);
	if (r < 0)
		return r;
	JSON_FOR_EACH_ITEM(v, json_path(object_doc(o, a), "spec.volumes"))
		if (streq(json_path_str(v, "serviceAccount.serviceAccountName"),
			    t->account->name)) {
			t->machine = o;
			return 0;
		}
	return status_bad_request(a, &req->st,
		"cannot bind token for serviceaccount \"%s\" to a virtual machine instance without "
		"a volume of it.",
		t->account->name);
}

/* The object with which the token ends. */
static int bind_object(struct api_request *req, const struct json *ref, struct token_request *t)
{
	struct arena *a = req->arena;
	const char *kind = json_str_or(json_get(ref, "kind"), "");
	const char *version = json_str_or(json_get(ref, "apiVersion"), "");
	const char *name = json_str_or(json_get(ref, "name"), "");
	bool pod = streq(kind, "Pod"), secret = streq(kind, "Secret"), node = streq(kind, "Node");
	if (streq(version, "kubevirt.io/v1") && streq(kind, "VirtualMachineInstance"))
		return bind_machine(req, ref, t);
	if (!streq(version, "v1") || !(pod || secret || node))
		return status_bad_request(a, &req->st,
			"cannot bind token to object of type %s, Kind=%s", version, kind);
	const struct kind *k = core_kind(req, pod ? "pods" : secret ? "secrets" : "nodes");
	const struct object *o =
		cache_get(req->api->cache, k, k->namespaced ? req->route.namespace : "", name);
	if (!o)
		return status_not_found(a, &req->st, k, name);
	int r = check_uid(req, ref, o);
	if (r < 0)
		return r;
	if (pod)
		return bind_pod(req, o, t);
	t->secret = secret ? o : NULL;
	t->node = node ? o : NULL;
	return 0;
}

/* A node needs tokens for what runs on it, and gets no others (upstream's NodeRestriction, and in
 * its words): its credential must not be as good as that of every account. */
static int check_node(
	struct api_request *req, const struct json *ref, const struct token_request *t)
{
	struct arena *a = req->arena;
	const char *node = req->user.name, *there = "", *what = "pod", *why = NULL;

	if (!user_in_group(&req->user, NODES_GROUP) || user_in_group(&req->user, GROUP_MASTERS))
		return 0;
	node = str_has_prefix(node, NODE_PREFIX) ? node + strlen(NODE_PREFIX) : "";
	if (t->pod) {
		there = json_str_or(json_path(object_doc(t->pod, a), "spec.nodeName"), "");
	} else if (t->machine) {
		there = json_str_or(json_path(object_doc(t->machine, a), "status.nodeName"), "");
		what = "virtual machine instance";
	}
	if (!t->pod && !t->machine)
		why = "node requested token not bound to a pod";
	else if (!*json_str_or(json_get(ref, "uid"), ""))
		why = arena_printf(a, "node requested token with a %s binding without a uid", what);
	else if (!*node || !streq(there, node))
		why = arena_printf(a,
			"node requested token bound to a %s scheduled on a different node", what);
	return why ? status_forbidden(a, &req->st, req->kind, t->account->name, why) : 0;
}

static int check_names(struct api_request *req, const struct json *doc)
{
	const char *name = json_str_or(json_path(doc, "metadata.name"), "");
	const char *ns = json_str_or(json_path(doc, "metadata.namespace"), "");
	if (*name && !streq(name, req->route.name))
		return status_bad_request(req->arena, &req->st,
			"the name of the object (%s) does not match the name on the URL (%s)", name,
			req->route.name);
	if (*ns && !streq(ns, req->route.namespace))
		return status_bad_request(req->arena, &req->st,
			"the namespace of the provided object does not match the namespace sent on "
			"the request");
	return 0;
}

static int run(struct api_request *req, const struct kind *k, struct json *doc)
{
	struct arena *a = req->arena;
	struct tokens *tokens = auth_tokens(req->api->auth);
	struct token_request t = {.account = cache_get(req->api->cache, req->kind,
					  req->route.namespace, req->route.name)};
	if (!t.account)
		return status_not_found(a, &req->st, req->kind, req->route.name);
	struct field_errors errors = {.arena = a};
	struct decode_options options = {.field_validation = FIELD_VALIDATION_IGNORE};
	json_remove(doc, "status"); /* clients send an empty one */
	int r = check_names(req, doc);
	if (r == 0)
		r = object_check(k, a, doc, &options, &errors, &req->st);
	if (r < 0)
		return r;
	struct json *spec = json_object_at(a, doc, "spec");
	if (!json_count(json_get(spec, "audiences")))
		json_push(a, json_array_at(a, spec, "audiences"),
			json_new_string(a, tokens_issuer(tokens)));
	validate(req, doc, &errors);
	if (field_error_count(&errors))
		return status_invalid(a, &req->st, k, "", &errors);
	const struct json *ref = json_get(spec, "boundObjectRef");
	if (json_is(ref, JSON_OBJECT))
		r = bind_object(req, ref, &t);
	if (r == 0)
		r = check_node(req, ref, &t);
	if (r < 0)
		return r;
	char id[37], *token, time[TIME_RFC3339_ROOM];
	int64_t expires_ns;
	struct err err = ERR_INIT;
	random_uuid(&req->api->random, id);
	t.id = id;
	t.audiences = json_get(spec, "audiences");
	t.lifetime_s = json_int_or(json_get(spec, "expirationSeconds"), 0);
	if (tokens_issue(tokens, a, &t, &token, &expires_ns, &err) < 0)
		return status_internal(a, &req->st, "failed to generate token: %s", err.msg);
	struct json *status = json_new_object(a), *meta = json_object_at(a, doc, "metadata");
	json_set_str(a, meta, "name", t.account->name);
	json_set_str(a, meta, "namespace", t.account->namespace);
	time_format_rfc3339(api_now_ns(req), time);
	json_set_str(a, meta, "creationTimestamp", time);
	time_format_rfc3339(expires_ns, time);
	json_set_str(a, status, "token", token);
	json_set_str(a, status, "expirationTimestamp", time);
	json_set(a, doc, "status", status);
	return 0;
}

void api_token_request(struct api_request *req)
{
	const struct kind *k =
		kind_by_name(req->api->kinds, "authentication.k8s.io", "v1", "TokenRequest");
	struct json *doc;
	if (!auth_tokens(req->api->auth)) {
		api_fail_unknown_resource(req);
		return;
	}
	if (write_options(req, "CreateOptions") < 0 || write_decode(req, k, &doc) < 0 ||
		run(req, k, doc) < 0)
		api_fail(req);
	else
		api_respond_unstored(req, 201, k, doc);
}
