/* review.c - the questions that are asked by creating an object that is never stored: TokenReview,
 * SelfSubjectReview (authentication.k8s.io), SubjectAccessReview in its four forms
 * (authorization.k8s.io). */
#include "server/api/api_internal.h"
#include "server/api/auth/auth.h"
#include "server/api/machines/upload.h"

/* What SelfSubjectRulesReview tells. */
#define RULES_TOLD_MAX 20000
#define RULES_TOLD_BYTES_MAX (4u << 20)

typedef int answer(struct api_request *req, struct json *doc, struct field_errors *errors);

static const char *text_at(const struct json *v, const char *name)
{
	return json_str_or(json_get(v, name), "");
}

static int review_token(struct api_request *req, struct json *doc, struct field_errors *errors)
{
	struct arena *a = req->arena;
	const struct json *spec = json_get(doc, "spec");
	const char *token = text_at(spec, "token");
	if (!*token)
		return status_bad_request(
			a, &req->st, "token is required for TokenReview in authentication");
	const struct json *audiences = json_get(spec, "audiences");
	struct json *status = json_new_object(a), *common = NULL;
	struct api_user user;
	struct err err = ERR_INIT;
	if (auth_token_user(req->api, a, token, json_count(audiences) ? audiences : NULL, &user,
		    &common, &err) < 0) {
		json_set(a, status, "user", json_new_object(a));
		json_set(a, status, "error",
			json_new_printf(a, "[invalid bearer token, %s]", err.msg));
	} else {
		json_set_bool(a, status, "authenticated", true);
		json_set(a, status, "user", user_info(a, &user));
		if (json_count(common))
			json_set(a, status, "audiences", common);
	}
	json_set(a, doc, "status", status);
	return 0;
}

static int review_self(struct api_request *req, struct json *doc, struct field_errors *errors)
{
	struct json *status = json_new_object(req->arena);
	json_set(req->arena, status, "userInfo", user_info(req->arena, &req->user));
	json_set(req->arena, doc, "status", status);
	return 0;
}

/* What is asked about; the user is the caller's business. */
static struct access access_of_spec(const struct json *spec)
{
	const struct json *r = json_get(spec, "resourceAttributes");
	const struct json *n = json_get(spec, "nonResourceAttributes");
	struct access x = {.is_resource = json_is(r, JSON_OBJECT)};
	if (x.is_resource) {
		x.namespace = text_at(r, "namespace");
		x.group = text_at(r, "group");
		x.version = text_at(r, "version");
		x.resource = text_at(r, "resource");
		x.subresource = text_at(r, "subresource");
		x.name = text_at(r, "name");
		access_set_verb(&x, text_at(r, "verb"));
	} else {
		x.path = text_at(n, "path");
		access_set_verb(&x, text_at(n, "verb"));
	}
	return x;
}

static void check_attributes(const struct json *spec, struct field_errors *errors)
{
	const struct json *r = json_get(spec, "resourceAttributes");
	const struct json *n = json_get(spec, "nonResourceAttributes");
	bool resource = json_is(r, JSON_OBJECT), other = json_is(n, JSON_OBJECT);
	if (resource && other)
		field_error(errors, FIELD_INVALID, "spec.nonResourceAttributes", n,
			"cannot be specified in combination with resourceAttributes");
	if (!resource && !other)
		field_error(errors, FIELD_INVALID, "spec.resourceAttributes",
			json_new_null(errors->arena),
			"exactly one of nonResourceAttributes or resourceAttributes must be "
			"specified");
}

static void answer_access(struct api_request *req, struct json *doc, const struct api_user *user)
{
	struct arena *a = req->arena;
	struct access x = access_of_spec(json_get(doc, "spec"));
	const char *reason;
	x.user = user;
	struct json *status = json_new_object(a);
	json_set_bool(a, status, "allowed", auth_decide(req->api->auth, a, &x, &reason));
	if (*reason)
		json_set_str(a, status, "reason", reason);
	json_set(a, doc, "status", status);
}

static int review_own_access(struct api_request *req, struct json *doc, struct field_errors *errors)
{
	check_attributes(json_get(doc, "spec"), errors);
	if (!field_error_count(errors))
		answer_access(req, doc, &req->user);
	return 0;
}

static int review_access(struct api_request *req, struct json *doc, struct field_errors *errors)
{
	struct arena *a = req->arena;
	const struct json *spec = json_get(doc, "spec"), *groups = json_get(spec, "groups");
	struct api_user user = {.name = text_at(spec, "user"),
		.uid = text_at(spec, "uid"),
		.extra = json_get(spec, "extra")};
	check_attributes(spec, errors);
	if (!*user.name && !json_count(groups))
		field_error(errors, FIELD_INVALID, "spec.user", json_new_string(a, user.name),
			"at least one of user or group must be specified");
	if (field_error_count(errors))
		return 0;
	user.groups = arena_alloc(a, (json_count(groups) + 1) * sizeof(*user.groups));
	JSON_FOR_EACH_ITEM(g, groups)
		user.groups[user.group_count++] = json_str_or(g, "");
	answer_access(req, doc, &user);
	return 0;
}

static int review_local_access(
	struct api_request *req, struct json *doc, struct field_errors *errors)
{
	const struct json *spec = json_get(doc, "spec");
	const struct json *other = json_get(spec, "nonResourceAttributes");
	const char *ns = json_str_or(json_path(doc, "metadata.namespace"), "");
	if (*ns && !streq(ns, req->route.namespace))
		return status_bad_request(req->arena, &req->st,
			"the namespace of the provided object does not match the namespace sent on "
			"the request");
	if (json_is(other, JSON_OBJECT))
		field_error(errors, FIELD_INVALID, "spec.nonResourceAttributes", other,
			"disallowed on this kind of request");
	const struct json *r = json_get(spec, "resourceAttributes");
	if (json_is(r, JSON_OBJECT) && !streq(text_at(r, "namespace"), req->route.namespace))
		return status_bad_request(req->arena, &req->st,
			"spec.resourceAttributes.namespace must match namespace: %s",
			req->route.namespace);
	json_set_str(req->arena, json_object_at(req->arena, doc, "metadata"), "namespace",
		req->route.namespace);
	return review_access(req, doc, errors);
}

static int review_rules(struct api_request *req, struct json *doc, struct field_errors *errors)
{
	struct arena *a = req->arena;
	const char *ns = text_at(json_get(doc, "spec"), "namespace");
	if (!*ns)
		return status_bad_request(a, &req->st, "no namespace on request");
	struct policy p = rbac_rules_of(a, auth_rbac(req->api->auth), &req->user, ns);
	size_t count = 0, bytes = 0;
	while (count < MIN(p.count, (size_t)RULES_TOLD_MAX) && bytes < RULES_TOLD_BYTES_MAX)
		bytes += policy_rule_size(&p.rules[count++]);
	bool cut = count < p.count;
	p.count = count;
	struct json *rules = policy_encode(a, &p), *status = json_new_object(a);
	struct json *resource = json_array_at(a, status, "resourceRules");
	struct json *other = json_array_at(a, status, "nonResourceRules");
	JSON_FOR_EACH_ITEM(rule, rules)
		json_push(a, json_get(rule, "nonResourceURLs") ? other : resource, rule);
	json_set_bool(a, status, "incomplete", cut);
	if (cut)
		json_set_str(
			a, status, "evaluationError", "the user has more rules than are told here");
	json_set(a, doc, "status", status);
	return 0;
}

static answer *find_answer(const struct kind *k)
{
	static const struct {
		const char *group, *kind;
		answer *answer;
	} all[] = {
		{"authentication.k8s.io", "TokenReview", review_token},
		{"authentication.k8s.io", "SelfSubjectReview", review_self},
		{"authorization.k8s.io", "SubjectAccessReview", review_access},
		{"authorization.k8s.io", "LocalSubjectAccessReview", review_local_access},
		{"authorization.k8s.io", "SelfSubjectAccessReview", review_own_access},
		{"authorization.k8s.io", "SelfSubjectRulesReview", review_rules},
		{"upload.cdi.kubevirt.io", "UploadTokenRequest", upload_token},
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (streq(all[i].group, k->group) && streq(all[i].kind, k->kind))
			return all[i].answer;
	return NULL;
}

bool api_review(struct api_request *req)
{
	answer *find = find_answer(req->kind);
	if (!find)
		return false;
	struct json *doc;
	struct field_errors errors = {.arena = req->arena};
	struct decode_options options = {.field_validation = FIELD_VALIDATION_IGNORE};
	int r = write_options(req, "CreateOptions");
	if (r == 0)
		r = write_decode(req, req->kind, &doc);
	if (r == 0)
		json_remove(doc, "status"); /* clients send an empty one */
	if (r == 0)
		r = object_check(req->kind, req->arena, doc, &options, &errors, &req->st);
	if (r == 0 && !field_error_count(&errors))
		r = find(req, doc, &errors);
	if (r == 0 && field_error_count(&errors))
		r = status_invalid(req->arena, &req->st, req->kind, "", &errors);
	if (r < 0)
		api_fail(req);
	else
		api_respond_unstored(req, 201, req->kind, doc);
	return true;
}
