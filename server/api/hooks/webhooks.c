/* webhooks.c - MutatingWebhookConfiguration and ValidatingWebhookConfiguration. */
#include "server/api/hooks/admission_rules.h"

#define URL_FORM "; desired format: https://host[/path]"

/* The parts of a URL that are looked at. Bad escapes and spaces are no URL. */
static const char *url_problem(const char *url)
{
	for (const char *p = url; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return "net/url: invalid control character in URL";
		if (*p == ' ' && p < url + strcspn(url, "/?#") + 2)
			return "invalid character \" \" in host name";
	}
	if (*url == ':')
		return "missing protocol scheme";
	return NULL;
}

static void check_url(struct hook *h, const char *field, const struct json *value)
{
	const char *url = json_str_or(value, ""), *problem = url_problem(url);
	if (problem) {
		required(h, field,
			at(h, "url must be a valid URL: parse \"%.512s\": %s" URL_FORM, url,
				problem));
		return;
	}
	const char *colon = strstr(url, "://");
	const char *scheme = colon ? arena_memdup(h->arena, url, (size_t)(colon - url)) : "";
	const char *rest = colon ? colon + 3 : url;
	size_t authority = colon ? strcspn(rest, "/?#") : 0;
	const char *user_end = memchr(rest, '@', authority);
	const char *host = user_end ? user_end + 1 : rest;
	const char *fragment = strchr(url, '#'), *query = strchr(url, '?');
	if (fragment && query > fragment)
		query = NULL;
	if (!streq(scheme, "https"))
		invalid(h, field, json_new_string(h->arena, scheme),
			"'https' is the only allowed URL scheme" URL_FORM);
	if (host >= rest + authority)
		invalid(h, field, NULL, "host must be specified" URL_FORM);
	if (user_end)
		invalid(h, field, json_new_string_n(h->arena, rest, (size_t)(user_end - rest)),
			"user information is not permitted in the URL");
	if (fragment && fragment[1])
		invalid(h, field, json_new_string(h->arena, fragment + 1),
			"fragments are not permitted in the URL");
	if (query && query[1] && query + 1 != fragment)
		invalid(h, field, json_new_string_n(h->arena, query + 1, strcspn(query + 1, "#")),
			"query parameters are not permitted in the URL");
}

static void check_service_path(struct hook *h, const char *field, const struct json *value)
{
	const char *path = json_str_or(value, "");
	if (!*path || streq(path, "/"))
		return;
	if (streq(path, "//")) {
		invalid(h, field, value, "segment[0] may not be empty");
		return;
	}
	if (*path != '/')
		invalid(h, field, value, "must start with a '/'");
	size_t size = strlen(path);
	const char *p = path + 1, *end = path + size - (path[size - 1] == '/');
	for (size_t i = 0; p <= end; i++) {
		const char *slash = memchr(p, '/', (size_t)(end - p));
		const char *stop = slash ? slash : end;
		const char *messages[RULE_MESSAGES_MAX];
		size_t n =
			stop == p ? 0
				  : rule_check(RULE_DNS_SUBDOMAIN, p, (size_t)(stop - p), messages);
		if (stop == p)
			invalid(h, field, value, "segment[%zu] may not be empty", i);
		for (size_t m = 0; m < n; m++)
			invalid(h, field, value, "segment[%zu]: %s", i, messages[m]);
		p = stop + 1;
	}
}

static void check_service(struct hook *h, const char *path, const struct json *s)
{
	const struct json *port = json_get(s, "port");
	if (!*json_str_or(json_get(s, "name"), ""))
		required(h, at(h, "%s.name", path), "service name is required");
	if (!*json_str_or(json_get(s, "namespace"), ""))
		required(h, at(h, "%s.namespace", path), "service namespace is required");
	if (json_int_or(port, 0) < 1 || json_int_or(port, 0) > 65535)
		invalid(h, at(h, "%s.port", path), port,
			"port is not valid: must be between 1 and 65535, inclusive");
	check_service_path(h, at(h, "%s.path", path), json_get(s, "path"));
}

static void check_client(struct hook *h, const char *path, const struct json *client)
{
	const struct json *url = json_get(client, "url"), *service = json_get(client, "service");
	if (!url == !service)
		required(h, path, "exactly one of url or service is required");
	else if (url)
		check_url(h, at(h, "%s.url", path), url);
	else
		check_service(h, at(h, "%s.service", path), service);
}

static void check_review_versions(struct hook *h, const char *path, const struct json *list)
{
	if (json_count(list) == 0) {
		required(h, path, "must specify one of v1, v1beta1");
		return;
	}
	struct json_seen seen = {.arena = h->arena};
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *v = json_at(list, i);
		const char *field = at(h, "%s[%zu]", path, i);
		if (json_seen_put(&seen, v))
			invalid(h, field, v, "duplicate version");
		else
			check_rule_at(h, RULE_DNS_1035_LABEL, field, v);
	}
	if (!has_text(list, "v1") && !has_text(list, "v1beta1"))
		invalid(h, path, list, "must include at least one of v1, v1beta1");
}

static void check_webhook(struct hook *h, const struct json *w, const char *path)
{
	static const char *const effects[] = {"None", "NoneOnDryRun", NULL};
	static const char *const again[] = {"IfNeeded", "Never", NULL};
	const struct json *timeout = json_get(w, "timeoutSeconds");
	size_t i = 0;
	check_full_name_at(h, at(h, "%s.name", path), json_get(w, "name"), 3);
	JSON_FOR_EACH_ITEM(r, json_get(w, "rules"))
		check_admission_rule(h, r, at(h, "%s.rules[%zu]", path, i++));
	check_one_of(
		h, at(h, "%s.failurePolicy", path), json_get(w, "failurePolicy"), failure_policies);
	check_one_of(h, at(h, "%s.matchPolicy", path), json_get(w, "matchPolicy"), match_policies);
	if (!*json_str_or(json_get(w, "sideEffects"), ""))
		required(
			h, at(h, "%s.sideEffects", path), "must specify one of None, NoneOnDryRun");
	else
		check_one_of(h, at(h, "%s.sideEffects", path), json_get(w, "sideEffects"), effects);
	if (json_int_or(timeout, 10) < 1 || json_int_or(timeout, 10) > 30)
		invalid(h, at(h, "%s.timeoutSeconds", path), timeout,
			"the timeout value must be between 1 and 30 seconds");
	check_label_selector(
		h, json_get(w, "namespaceSelector"), at(h, "%s.namespaceSelector", path));
	check_label_selector(h, json_get(w, "objectSelector"), at(h, "%s.objectSelector", path));
	if (json_get(w, "reinvocationPolicy"))
		check_one_of(h, at(h, "%s.reinvocationPolicy", path),
			json_get(w, "reinvocationPolicy"), again);
	check_client(h, at(h, "%s.clientConfig", path), json_get(w, "clientConfig"));
	check_match_conditions(
		h, json_get(w, "matchConditions"), at(h, "%s.matchConditions", path));
}

static void validate(struct hook *h, const struct json *doc)
{
	const struct json *list = json_get(doc, "webhooks");
	struct json_seen names = {.arena = h->arena, .by = {"name"}};
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *w = json_at(list, i), *name = json_get(w, "name");
		const char *path = at(h, "webhooks[%zu]", i);
		check_webhook(h, w, path);
		check_review_versions(h, at(h, "%s.admissionReviewVersions", path),
			json_get(w, "admissionReviewVersions"));
		if (*json_str_or(name, "") && json_seen_put(&names, w))
			duplicate(h, at(h, "%s.name", path), name);
	}
}

static int prepare_create(struct hook *h, struct json *unused)
{
	if (h->req)
		api_warn(h->req, "this server does not call admission webhooks yet: the "
				 "configuration is stored without effect");
	return 0;
}

static struct json *cell(const struct table_row *row, const char *column)
{
	if (!streq(column, "Webhooks"))
		return NULL;
	return json_new_int(row->arena, (int64_t)json_count(json_get(row->doc, "webhooks")));
}

const struct kind_hooks hooks_mutating_webhook_configuration = {
	.group = "admissionregistration.k8s.io",
	.kind = "MutatingWebhookConfiguration",
	.prepare_create = prepare_create,
	.validate = validate,
	.cell = cell,
};

const struct kind_hooks hooks_validating_webhook_configuration = {
	.group = "admissionregistration.k8s.io",
	.kind = "ValidatingWebhookConfiguration",
	.prepare_create = prepare_create,
	.validate = validate,
	.cell = cell,
};
