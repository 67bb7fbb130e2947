/* ingress.c - Ingress and IngressClass. */
#include "server/api/hooks/validate.h"

#define CONTROLLER_SIZE_MAX 250
#define HOSTS_SHOWN 3
#define ADDRESS_SHOWN 16 /* characters of the addresses in a table */
#define CLASS_ANNOTATION "kubernetes.io/ingress.class"

static const char *annotation(const struct json *doc, const char *name)
{
	return json_str(json_get(json_path(doc, "metadata.annotations"), name));
}

static void check_backend(struct hook *h, const struct json *b, const char *path)
{
	const struct json *service = json_get(b, "service"), *resource = json_get(b, "resource");
	if (service && resource) {
		invalid(h, path, NULL, "cannot set both resource and service backends");
		return;
	}
	if (resource) {
		const struct json *group = json_get(resource, "apiGroup");
		if (group)
			check_rule_at(
				h, RULE_DNS_SUBDOMAIN, at(h, "%s.resource.apiGroup", path), group);
		/* That kind and name are there is the schema's business. */
		if (json_get(resource, "kind"))
			check_rule_at(h, RULE_PATH_SEGMENT, at(h, "%s.resource.kind", path),
				json_get(resource, "kind"));
		if (json_get(resource, "name"))
			check_rule_at(h, RULE_PATH_SEGMENT, at(h, "%s.resource.name", path),
				json_get(resource, "name"));
		return;
	}
	if (!service) {
		invalid(h, path, NULL, "resource or service backend is required");
		return;
	}
	check_name_at(
		h, RULE_DNS_1035_LABEL, at(h, "%s.service.name", path), json_get(service, "name"));
	const struct json *port = json_get(service, "port");
	const struct json *name = json_get(port, "name"), *number = json_get(port, "number");
	bool has_name = *json_str_or(name, ""), has_number = json_int_or(number, 0) != 0;
	if (has_name && has_number)
		invalid(h, path, NULL, "cannot set both port name & port number");
	else if (has_name)
		check_rule_at(h, RULE_PORT_NAME, at(h, "%s.service.port.name", path), name);
	else if (has_number)
		check_port_at(h, at(h, "%s.service.port.number", path), number);
	else
		required(h, path, "port name or number is required");
}

static void check_path(struct hook *h, const struct json *p, const char *path)
{
	static const char *const types[] = {"Exact", "ImplementationSpecific", "Prefix", NULL};
	static const char *const inside[] = {"//", "/./", "/../", "%2f", "%2F"};
	static const char *const behind[] = {"/..", "/."};
	const char *type = json_str_or(json_get(p, "pathType"), "");
	const struct json *value = json_get(p, "path");
	const char *text = json_str_or(value, ""), *field = at(h, "%s.path", path);
	if (!*type) {
		required(h, at(h, "%s.pathType", path), "pathType must be specified");
		return;
	}
	bool exact = streq(type, "Exact") || streq(type, "Prefix");
	if (!is_one_of(type, types))
		check_one_of(h, at(h, "%s.pathType", path), json_get(p, "pathType"), types);
	else if (*text != '/' && (exact || *text))
		invalid(h, field, value, "must be an absolute path");
	for (size_t i = 0; exact && i < ARRAY_LEN(inside); i++)
		if (strstr(text, inside[i]))
			invalid(h, field, value, "must not contain '%s'", inside[i]);
	for (size_t i = 0; exact && i < ARRAY_LEN(behind); i++)
		if (str_has_suffix(text, behind[i]))
			invalid(h, field, value, "cannot end with '%s'", behind[i]);
	check_backend(h, json_get(p, "backend"), at(h, "%s.backend", path));
}

static void check_rule(struct hook *h, const struct json *rule, const char *path)
{
	const struct json *host = json_get(rule, "host"), *http = json_get(rule, "http");
	const char *field = at(h, "%s.host", path);
	struct ip ip;
	if (*json_str_or(host, "")) {
		if (ip_read(host->s, &ip) == 0)
			invalid(h, field, host, "must be a DNS name, not an IP address");
		check_host_at(h, field, host);
	}
	if (!http)
		return;
	if (json_count(json_get(http, "paths")) == 0)
		required(h, at(h, "%s.http.paths", path), NULL);
	size_t i = 0;
	JSON_FOR_EACH_ITEM(p, json_get(http, "paths"))
		check_path(h, p, at(h, "%s.http.paths[%zu]", path, i++));
}

static void check_spec(struct hook *h, const struct json *spec)
{
	const struct json *backend = json_get(spec, "defaultBackend");
	const struct json *rules = json_get(spec, "rules");
	size_t i = 0;
	if (json_count(rules) == 0 && !backend)
		invalid(h, "spec", json_new_null(h->arena),
			"either `defaultBackend` or `rules` must be specified");
	if (backend)
		check_backend(h, backend, "spec.defaultBackend");
	JSON_FOR_EACH_ITEM(r, rules)
		check_rule(h, r, at(h, "spec.rules[%zu]", i++));
	i = 0;
	JSON_FOR_EACH_ITEM(t, json_get(spec, "tls")) {
		size_t n = 0;
		JSON_FOR_EACH_ITEM(host, json_get(t, "hosts"))
			check_host_at(h, at(h, "spec.tls[%zu].hosts[%zu]", i, n++), host);
		if (*json_str_or(json_get(t, "secretName"), ""))
			check_rule_at(h, RULE_DNS_SUBDOMAIN, at(h, "spec.tls[%zu].secretName", i),
				json_get(t, "secretName"));
		i++;
	}
	if (json_get(spec, "ingressClassName"))
		check_rule_at(h, RULE_DNS_SUBDOMAIN, "spec.ingressClassName",
			json_get(spec, "ingressClassName"));
}

static void ingress_validate(struct hook *h, const struct json *doc)
{
	check_spec(h, json_get(doc, "spec"));
}

/* Only new ingresses must agree with the old annotation. */
static int ingress_prepare_create(struct hook *h, struct json *doc)
{
	const char *note = annotation(doc, CLASS_ANNOTATION);
	const char *class = json_path_str(doc, "spec.ingressClassName");
	if (note && class && !streq(note, class))
		invalid(h, "annotations." CLASS_ANNOTATION, json_new_string(h->arena, note),
			"must match `ingressClassName` when both are specified");
	return 0;
}

static void ingress_validate_update(
	struct hook *h, const struct json *doc, const struct json *unused)
{
	if (!streq(h->part, "status"))
		return;
	size_t i = 0;
	JSON_FOR_EACH_ITEM(p, json_path(doc, "status.loadBalancer.ingress")) {
		const struct json *ip = json_get(p, "ip"), *host = json_get(p, "hostname");
		const char *path = at(h, "status.loadBalancer.ingress[%zu]", i++);
		struct ip unused_ip;
		if (*json_str_or(ip, ""))
			check_ip_at(h, at(h, "%s.ip", path), ip);
		if (!*json_str_or(host, ""))
			continue;
		check_rule_at(h, RULE_DNS_SUBDOMAIN, at(h, "%s.hostname", path), host);
		if (ip_read(host->s, &unused_ip) == 0)
			invalid(h, at(h, "%s.hostname", path), host,
				"must be a DNS name, not an IP address");
	}
}

static struct json *hosts_cell(const struct table_row *row)
{
	const struct json *rules = json_path(row->doc, "spec.rules");
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	size_t count = 0;
	JSON_FOR_EACH_ITEM(r, rules) {
		const char *host = json_str_or(json_get(r, "host"), "");
		if (!*host)
			continue;
		if (count++ < HOSTS_SHOWN)
			buf_printf(&text, "%s%s", text.size ? "," : "", host);
	}
	if (count == 0)
		return cell_text(row, "*");
	if (count > HOSTS_SHOWN)
		return cell_text(row, "%s + %zu more...", text.data, count - HOSTS_SHOWN);
	return cell_text(row, "%s", text.data);
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static struct json *address_cell(const struct table_row *row)
{
	const struct json *points = json_path(row->doc, "status.loadBalancer.ingress");
	size_t count = 0;
	const char **list = arena_alloc(row->arena, (json_count(points) + 1) * sizeof(*list));
	JSON_FOR_EACH_ITEM(p, points) {
		const char *ip = json_str_or(json_get(p, "ip"), "");
		const char *text = *ip ? ip : json_str_or(json_get(p, "hostname"), "");
		if (*text)
			list[count++] = text;
	}
	qsort(list, count, sizeof(*list), compare_texts);
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	for (size_t i = 0; i < count; i++)
		if (i == 0 || !streq(list[i], list[i - 1]))
			buf_printf(&text, "%s%s", i ? "," : "", list[i]);
	if (text.size > ADDRESS_SHOWN)
		return cell_text(row, "%.*s...", ADDRESS_SHOWN - 3, text.data);
	return cell_text(row, "%s", text.data ? text.data : "");
}

static struct json *ingress_cell(const struct table_row *row, const char *column)
{
	if (streq(column, "Class"))
		return cell_text(row, "%s",
			json_str_or(json_path(row->doc, "spec.ingressClassName"), "<none>"));
	if (streq(column, "Hosts"))
		return hosts_cell(row);
	if (streq(column, "Address"))
		return address_cell(row);
	if (streq(column, "Ports"))
		return cell_text(
			row, json_count(json_path(row->doc, "spec.tls")) ? "80, 443" : "80");
	return NULL;
}

const struct kind_hooks hooks_ingress = {
	.group = "networking.k8s.io",
	.kind = "Ingress",
	.prepare_create = ingress_prepare_create,
	.validate = ingress_validate,
	.validate_update = ingress_validate_update,
	.cell = ingress_cell,
};

static void check_parameters(struct hook *h, const struct json *p)
{
	static const char *const scopes[] = {"Cluster", "Namespace", NULL};
	const struct json *namespace = json_get(p, "namespace");
	const char *scope = json_str_or(json_get(p, "scope"), "");
	if (json_get(p, "apiGroup"))
		check_rule_at(
			h, RULE_DNS_SUBDOMAIN, "spec.parameters.apiGroup", json_get(p, "apiGroup"));
	check_name_at(h, RULE_PATH_SEGMENT, "spec.parameters.kind", json_get(p, "kind"));
	check_name_at(h, RULE_PATH_SEGMENT, "spec.parameters.name", json_get(p, "name"));
	check_one_of(h, "spec.parameters.scope", json_get(p, "scope"), scopes);
	if (streq(scope, "Namespace") && !namespace)
		required(
			h, "spec.parameters.namespace", "`parameters.scope` is set to 'Namespace'");
	else if (streq(scope, "Namespace"))
		check_rule_at(h, RULE_DNS_LABEL, "spec.parameters.namespace", namespace);
	else if (streq(scope, "Cluster") && namespace)
		forbidden(h, "spec.parameters.namespace", "`parameters.scope` is set to 'Cluster'");
}

static void class_validate(struct hook *h, const struct json *doc)
{
	const struct json *controller = json_path(doc, "spec.controller");
	const struct json *parameters = json_path(doc, "spec.parameters");
	if (json_is(controller, JSON_STRING) && controller->count > CONTROLLER_SIZE_MAX)
		field_error(h->errors, FIELD_TOO_LONG, "spec.controller", NULL,
			"may not be more than %d bytes", CONTROLLER_SIZE_MAX);
	check_domain_path_at(h, "spec.controller", controller);
	if (parameters)
		check_parameters(h, parameters);
}

static void class_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	check_fixed(h, "spec.controller", doc, old, "spec.controller");
}

static struct json *class_cell(const struct table_row *row, const char *column)
{
	const struct json *p = json_path(row->doc, "spec.parameters");
	if (!streq(column, "Parameters"))
		return NULL;
	if (!p)
		return cell_text(row, "<none>");
	const char *group = json_str(json_get(p, "apiGroup"));
	return cell_text(row, "%s%s%s/%s", json_str_or(json_get(p, "kind"), ""), group ? "." : "",
		group ? group : "", json_str_or(json_get(p, "name"), ""));
}

const struct kind_hooks hooks_ingress_class = {
	.group = "networking.k8s.io",
	.kind = "IngressClass",
	.validate = class_validate,
	.validate_update = class_validate_update,
	.cell = class_cell,
};
