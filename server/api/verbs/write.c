/* write.c - steps that all writing verbs share. */
#include "server/api/admission/admission.h"
#include "server/api/api_internal.h"
#include "server/api/requests/option_kinds.h"

int write_options(struct api_request *req, const char *options_kind)
{
	static const struct kind *const kinds[] = {&create_options_kind, &update_options_kind,
		&patch_options_kind, &delete_options_kind};
	const struct kind *k = kinds[0];
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (streq(kinds[i]->kind, options_kind))
			k = kinds[i];
	struct field_errors e = {.arena = req->arena};
	struct json *dry = json_new_array(req->arena);
	bool bad_dry = false;
	for (size_t i = 0; i < req->query.count; i++) {
		const struct query_parameter *p = &req->query.items[i];
		if (!streq(p->name, "dryRun"))
			continue;
		json_push(req->arena, dry, json_new_string(req->arena, p->value));
		bad_dry |= !streq(p->value, "All");
	}
	if (bad_dry)
		field_error(&e, FIELD_NOT_SUPPORTED, "dryRun", dry, "supported values: \"All\"");
	req->dry_run = json_count(dry) > 0;

	const char *validation = query_get(&req->query, "fieldValidation");
	req->field_validation = FIELD_VALIDATION_WARN;
	if (streq(validation, "Strict"))
		req->field_validation = FIELD_VALIDATION_STRICT;
	else if (streq(validation, "Ignore"))
		req->field_validation = FIELD_VALIDATION_IGNORE;
	else if (validation && *validation && !streq(validation, "Warn"))
		field_error(&e, FIELD_NOT_SUPPORTED, "fieldValidation",
			json_new_string(req->arena, validation),
			"supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"");
	const char *manager = query_get(&req->query, "fieldManager");
	if (manager && strlen(manager) > 128)
		field_error(
			&e, FIELD_TOO_LONG, "fieldManager", NULL, "may not be more than 128 bytes");
	if (field_error_count(&e))
		return status_invalid(req->arena, &req->st, k, "", &e);
	return 0;
}

int write_dry_run_of_body(struct api_request *req, const struct json *options)
{
	struct json *list = json_get(options, "dryRun");
	struct field_errors e = {.arena = req->arena};
	JSON_FOR_EACH_ITEM(item, list) {
		if (!streq(json_str(item), "All") && field_error_count(&e) == 0)
			field_error(&e, FIELD_NOT_SUPPORTED, "dryRun", list,
				"supported values: \"All\"");
	}
	if (field_error_count(&e))
		return status_invalid(req->arena, &req->st, &delete_options_kind, "", &e);
	req->dry_run |= json_count(list) > 0;
	return 0;
}

int write_decode(struct api_request *req, const struct kind *kind, struct json **ret)
{
	struct json *warnings = NULL;
	struct decode_options options = {
		.field_validation = req->field_validation,
		.skip_defaults = true,
		.skip_validation = true,
		.ret_warnings = &warnings,
	};
	int r = object_decode(req->api->kinds, kind, req->arena,
		req->content_type ? req->content_type : "application/json", req->body,
		req->body_size, &options, ret, &req->st);
	if (r < 0)
		return r;
	JSON_FOR_EACH_ITEM(w, warnings)
		api_warn(req, json_str_or(w, ""));
	return 0;
}

struct blob *write_stored_form(
	struct api_request *req, const struct kind *checked, struct json *doc)
{
	const struct kind *storage = checked->storage;
	doc = kind_convert(req->arena, checked, storage, doc);
	return object_stored_form(storage, req->arena, doc);
}

int write_check_namespace(struct api_request *req, const struct kind *kind, const char *name)
{
	const struct object *ns =
		cache_get(req->api->cache, req->api->namespaces, "", req->route.namespace);
	if (!ns)
		return status_not_found(
			req->arena, &req->st, req->api->namespaces, req->route.namespace);
	if (!ns->deleting)
		return 0;
	status_forbidden(req->arena, &req->st, kind, name,
		arena_printf(req->arena,
			"unable to create new content in namespace %s because it is being "
			"terminated",
			ns->name));
	struct json *causes = json_new_array(req->arena), *cause = json_new_object(req->arena);
	json_set_str(req->arena, cause, "reason", "NamespaceTerminating");
	json_set(req->arena, cause, "message",
		json_new_printf(req->arena, "namespace %s is being terminated", ns->name));
	json_set_str(req->arena, cause, "field", "metadata.namespace");
	json_push(req->arena, causes, cause);
	status_detail(req->arena, &req->st, "causes", causes);
	return -EREMOTEIO;
}

void write_fail_store(struct api_request *req, int r, const struct err *err)
{
	(void)r;
	status_from_err(req->arena, &req->st, err);
	write_settle(req, false);
	api_fail(req);
}

void write_settle(struct api_request *req, bool committed)
{
	claims_settle(&req->claims, committed);
	mac_claims_settle(&req->macs, committed);
	admission_settle(req);
}

bool write_may_vanish(const struct kind *kind, const struct json *doc)
{
	const struct json *meta = json_get(doc, "metadata");
	const struct kind_hooks *hooks = hooks_find(kind);
	return json_get(meta, "deletionTimestamp") &&
	       json_count(json_get(meta, "finalizers")) == 0 &&
	       json_int_or(json_get(meta, "deletionGracePeriodSeconds"), 0) == 0 &&
	       !(hooks->kept && hooks->kept(doc));
}
