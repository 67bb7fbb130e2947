/* patch.c - PATCH of objects and their status. */
#include "server/api/api_internal.h"
#include "server/api/verbs/field_manager.h"
#include "server/api/requests/option_kinds.h"
#include "server/api/verbs/patch_error.h"

enum patch_type { PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC, PATCH_APPLY };

static int patch_type_of(struct api_request *req, enum patch_type *ret)
{
	static const struct {
		const char *media;
		enum patch_type type;
	} known[] = {
		{"application/json-patch+json", PATCH_JSON},
		{"application/merge-patch+json", PATCH_MERGE},
		{"application/strategic-merge-patch+json", PATCH_STRATEGIC},
		{"application/apply-patch+yaml", PATCH_APPLY},
	};
	const char *type = req->content_type ? req->content_type : "";
	size_t size = strcspn(type, "; ");
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (known[i].type == PATCH_STRATEGIC && !req->kind->strategic_patch)
			continue;
		if (strlen(known[i].media) == size && memcmp(known[i].media, type, size) == 0) {
			*ret = known[i].type;
			return 0;
		}
	}
	return status_set(req->arena, &req->st, 415, "UnsupportedMediaType",
		"the body of the request was in an unknown format - accepted media types include: "
		"application/json-patch+json, application/merge-patch+json, %s"
		"application/apply-patch+yaml",
		req->kind->strategic_patch ? "application/strategic-merge-patch+json, " : "");
}

/* A patch changes an object, not what it is. */
static int check_type(struct update *u, const struct json *doc)
{
	const char *gv = json_str_or(json_get(doc, "apiVersion"), u->kind->gv);
	const char *kind = json_str_or(json_get(doc, "kind"), u->kind->kind);
	if (streq(gv, u->kind->gv) && streq(kind, u->kind->kind))
		return 0;
	return status_bad_request(u->req->arena, &u->req->st,
		"%.256s in version \"%.256s\" cannot be handled as a %s: a patch can't change the "
		"kind of an object",
		kind, gv, u->kind->kind);
}

static int change(struct update *u, const struct json *present, struct json **ret)
{
	struct api_request *req = u->req;
	int r = 0;
	switch (*(enum patch_type *)u->user) {
	case PATCH_JSON:
		r = patch_json(req->arena, present, u->body, ret, &req->st);
		break;
	case PATCH_MERGE:
		r = patch_merge(req->arena, present, u->body, ret, &req->st);
		break;
	case PATCH_STRATEGIC:
		r = patch_strategic(req->arena, u->kind->schema, present, u->body, ret, &req->st);
		break;
	case PATCH_APPLY: /* field_manager.c */
		break;
	}
	if (r < 0)
		return r;
	if (!json_is(*ret, JSON_OBJECT))
		return status_bad_request(
			req->arena, &req->st, "the patched object is not an object");
	r = check_type(u, *ret);
	if (r < 0)
		return r;
	/* The result may share parts with the present document, which is compared with it later;
	 * what stands in managedFields is never changed in place. */
	*ret = json_copy_beside(req->arena, *ret, json_path(*ret, "metadata.managedFields"));

	struct json *warnings = NULL;
	struct decode_options options = {
		.field_validation = req->field_validation,
		.skip_defaults = true,
		.skip_validation = true,
		.ret_warnings = &warnings,
	};
	struct field_errors ignored = {.arena = req->arena};
	bool strategic = *(enum patch_type *)u->user == PATCH_STRATEGIC;
	r = object_check(u->kind, req->arena, *ret, &options, &ignored, &req->st);
	if (r < 0)
		return patch_refused(req, strategic ? u->body : *ret, strategic);
	JSON_FOR_EACH_ITEM(w, warnings)
		api_warn(req, json_str_or(w, ""));
	return 0;
}

void api_patch(struct api_request *req)
{
	struct update *u = ARENA_NEW(req->arena, struct update);
	enum patch_type *type = ARENA_NEW(req->arena, enum patch_type);
	struct err err = ERR_INIT;
	if (patch_type_of(req, type) < 0 || write_options(req, "PatchOptions") < 0) {
		api_fail(req);
		return;
	}
	if (*type == PATCH_APPLY) {
		field_manager_apply(req);
		return;
	}
	if (query_get(&req->query, "force")) {
		struct field_errors e = {.arena = req->arena};
		field_error(&e, FIELD_FORBIDDEN, "force", NULL,
			"may not be specified for non-apply patch");
		status_invalid(req->arena, &req->st, &patch_options_kind, "", &e);
		api_fail(req);
		return;
	}
	struct json *body;
	if (json_parse(req->arena, req->body, req->body_size, NULL, &body, &err) < 0) {
		status_bad_request(req->arena, &req->st, "error decoding patch: %s", err.msg);
		api_fail(req);
		return;
	}
	if (*type != PATCH_JSON && !json_is(body, JSON_OBJECT)) {
		status_bad_request(req->arena, &req->st,
			"json: cannot unmarshal %s into Go value of type map[string]interface {}",
			json_is(body, JSON_STRING)  ? "string"
			: json_is(body, JSON_ARRAY) ? "array"
			: json_is(body, JSON_NULL)  ? "null"
			: json_is(body, JSON_BOOL)  ? "bool"
						    : "number");
		api_fail(req);
		return;
	}
	*u = (struct update){
		.req = req,
		.kind = req->kind,
		.namespace = req->kind->namespaced ? req->route.namespace : "",
		.name = req->route.name,
		.part = req->subresource ? req->route.subresource : "",
		.change = change,
		.body = body,
		.user = type,
	};
	update_run(u);
}
