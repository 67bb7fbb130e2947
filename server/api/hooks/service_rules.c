/* service_rules.c - what the fields of a service may say to one another. */
#include "server/api/hooks/service_rules.h"
#include "server/api/hooks/service_families.h"

#include <arpa/inet.h>

#define HINTS "service.kubernetes.io/topology-aware-hints"
#define MODE "service.kubernetes.io/topology-mode"
#define SOURCE_RANGES "service.beta.kubernetes.io/load-balancer-source-ranges"

static const char *type_of(const struct json *doc)
{
	return json_str_or(json_path(doc, "spec.type"), "ClusterIP");
}

static bool is_load_balancer(const struct json *doc)
{
	return streq(type_of(doc), "LoadBalancer");
}

bool service_is_accessible(const struct json *doc)
{
	return is_load_balancer(doc) || streq(type_of(doc), "NodePort") ||
	       (streq(type_of(doc), "ClusterIP") &&
		       json_count(json_path(doc, "spec.externalIPs")) > 0);
}

bool service_needs_health_check(const struct json *doc)
{
	return is_load_balancer(doc) &&
	       streq(json_path_str(doc, "spec.externalTrafficPolicy"), "Local");
}

static void annotations_validate(struct hook *h, const struct json *doc)
{
	const struct json *annotations = json_path(doc, "metadata.annotations");
	const struct json *hints = json_get(annotations, HINTS),
			  *mode = json_get(annotations, MODE);
	if (hints && mode && !json_equal(hints, mode))
		invalid(h, "metadata.annotations[" MODE "]", mode,
			"must match annotations[" HINTS "] when both are specified");
}

static void external_name_validate(struct hook *h, const struct json *spec)
{
	const struct json *name = json_get(spec, "externalName");
	char *text = arena_strdup(h->arena, json_str_or(name, ""));
	size_t size = strlen(text);
	if (size && text[size - 1] == '.')
		text[--size] = '\0';
	if (!size)
		required(h, "spec.externalName", NULL);
	else if (!rule_holds(RULE_DNS_SUBDOMAIN, text))
		check_rule_at(h, RULE_DNS_SUBDOMAIN, "spec.externalName",
			json_new_string(h->arena, text));
}

static void node_ports_validate(struct hook *h, const struct json *ports)
{
	struct json_seen seen = {.arena = h->arena, .by = {"nodePort", "protocol"}};
	for (size_t i = 0; i < json_count(ports); i++) {
		const struct json *p = json_at(ports, i), *port = json_get(p, "nodePort");
		if (json_int_or(port, 0) && json_seen_put(&seen, p))
			duplicate(h, at(h, "spec.ports[%zu].nodePort", i), port);
	}
}

/* Addresses that mean something else to every machine. */
static void check_plain_ip(struct hook *h, const char *field, const struct json *value)
{
	struct ip ip;
	const char *text = json_str_or(value, "");
	if (ip_read(text, &ip) < 0) {
		check_ip_at(h, field, value);
		return;
	}
	const unsigned char *b = ip.bytes;
	static const unsigned char none[16];
	bool four = ip.family == 4;
	bool loopback = four ? b[0] == 127 : memcmp(b, none, 15) == 0 && b[15] == 1;
	bool link = four ? b[0] == 169 && b[1] == 254 : b[0] == 0xfe && (b[1] & 0xc0) == 0x80;
	bool multicast =
		four ? b[0] == 224 && b[1] == 0 && b[2] == 0 : b[0] == 0xff && (b[1] & 0x0f) == 2;
	if (memcmp(b, none, four ? 4 : 16) == 0)
		invalid(h, field, value, "may not be unspecified (%s)", text);
	if (loopback)
		invalid(h, field, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
	if (link)
		invalid(h, field, value,
			"may not be in the link-local range (169.254.0.0/16, fe80::/10)");
	if (multicast)
		invalid(h, field, value,
			"may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
}

/* Ranges may stand among spaces. */
static void check_range(struct hook *h, const char *field, const char *text, size_t size)
{
	while (size && (*text == ' ' || *text == '\t')) {
		text++;
		size--;
	}
	while (size && (text[size - 1] == ' ' || text[size - 1] == '\t'))
		size--;
	check_cidr_at(h, field, json_new_string_n(h->arena, text, size));
}

static void source_ranges_validate(struct hook *h, const struct json *doc)
{
	static const char only[] = "may only be used when `type` is 'LoadBalancer'";
	const struct json *ranges = json_path(doc, "spec.loadBalancerSourceRanges");
	const char *annotated =
		json_str(json_get(json_path(doc, "metadata.annotations"), SOURCE_RANGES));
	const char *field = json_count(ranges) ? "spec.LoadBalancerSourceRanges"
					       : "metadata.annotations[" SOURCE_RANGES "]";
	if (!json_count(ranges) && !annotated)
		return;
	if (!is_load_balancer(doc))
		forbidden(h, field, only);
	size_t i = 0;
	JSON_FOR_EACH_ITEM(range, ranges) {
		const char *text = json_str_or(range, "");
		check_range(h, at(h, "%s[%zu]", field, i++), text, strlen(text));
	}
	struct str rest = str_from(annotated), part;
	while (!json_count(ranges) && annotated && strspn(annotated, " \t") < strlen(annotated) &&
		str_split(&rest, ',', &part))
		check_range(h, field, part.p, part.size);
}

static void traffic_validate(struct hook *h, const struct json *doc)
{
	static const char *const distributions[] = {"PreferClose", NULL};
	const struct json *spec = json_get(doc, "spec");
	const struct json *policy = json_get(spec, "externalTrafficPolicy");
	const struct json *port = json_get(spec, "healthCheckNodePort");
	const struct json *distribution = json_get(spec, "trafficDistribution");
	if (!service_is_accessible(doc) && *json_str_or(policy, ""))
		invalid(h, "spec.externalTrafficPolicy", policy,
			"may only be set for externally-accessible services");
	if (!service_needs_health_check(doc) && json_int_or(port, 0))
		invalid(h, "spec.healthCheckNodePort", port,
			"may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` "
			"is 'Local'");
	if (present(distribution))
		check_one_of(h, "spec.trafficDistribution", distribution, distributions);
}

void service_rules_validate(struct hook *h, const struct json *doc)
{
	const struct json *spec = json_get(doc, "spec");
	const struct json *class = json_get(spec, "loadBalancerClass");
	annotations_validate(h, doc);
	if (streq(type_of(doc), "ExternalName"))
		external_name_validate(h, spec);
	else
		service_families_validate(h, doc);
	size_t i = 0;
	JSON_FOR_EACH_ITEM(ip, json_get(spec, "externalIPs"))
		check_plain_ip(h, at(h, "spec.externalIPs[%zu]", i++), ip);
	node_ports_validate(h, json_get(spec, "ports"));
	source_ranges_validate(h, doc);
	if (present(class) && !is_load_balancer(doc))
		forbidden(h, "spec.loadBalancerClass",
			"may only be used when `type` is 'LoadBalancer'");
	else if (present(class))
		check_rule_at(h, RULE_QUALIFIED_NAME, "spec.loadBalancerClass", class);
	traffic_validate(h, doc);
}

static void status_validate(struct hook *h, const struct json *doc)
{
	static const char *const modes[] = {"Proxy", "VIP", NULL};
	const struct json *ingress = json_path(doc, "status.loadBalancer.ingress");
	if (json_count(ingress) && !is_load_balancer(doc)) {
		forbidden(h, "status.loadBalancer.ingress",
			"may only be used when `spec.type` is \"LoadBalancer\"");
		return;
	}
	for (size_t i = 0; i < json_count(ingress); i++) {
		const struct json *one = json_at(ingress, i), *ip = json_get(one, "ip");
		const struct json *mode = json_get(one, "ipMode"),
				  *name = json_get(one, "hostname");
		const char *field = at(h, "status.loadBalancer.ingress[%zu]", i);
		struct ip unused;
		if (*json_str_or(ip, ""))
			check_ip_at(h, at_child(h, field, "ip"), ip);
		if (*json_str_or(ip, "") && !present(mode))
			required(h, at_child(h, field, "ipMode"),
				"must be specified when `ip` is set");
		if (!*json_str_or(ip, "") && present(mode))
			forbidden(h, at_child(h, field, "ipMode"),
				"may not be specified when `ip` is not set");
		else if (present(mode))
			check_one_of(h, at_child(h, field, "ipMode"), mode, modes);
		if (!*json_str_or(name, ""))
			continue;
		check_rule_at(h, RULE_DNS_SUBDOMAIN, at_child(h, field, "hostname"), name);
		if (ip_read(json_str(name), &unused) == 0)
			invalid(h, at_child(h, field, "hostname"), name,
				"must be a DNS name, not an IP address");
	}
}

void service_rules_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	const struct json *class = json_path(doc, "spec.loadBalancerClass");
	if (streq(h->part, "status")) {
		status_validate(h, doc);
		return;
	}
	if (is_load_balancer(doc) && is_load_balancer(old) &&
		!json_equal(class, json_path(old, "spec.loadBalancerClass")))
		invalid(h, "spec.loadBalancerClass", class ? class : json_new_null(h->arena),
			"may not change once set");
	if (service_needs_health_check(doc) && service_needs_health_check(old) &&
		!json_equal(json_path(doc, "spec.healthCheckNodePort"),
			json_path(old, "spec.healthCheckNodePort")))
		forbidden(h, "spec.healthCheckNodePort", "field is immutable");
}
