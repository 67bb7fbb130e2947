/* pod_spec.c - the validation of a pod or template as a whole. */
#include "server/api/hooks/pod_spec.h"

#define NAME_SERVERS_MAX 3
#define SEARCHES_MAX 32
#define SEARCHES_MAX_BYTES 2048
#define DELETION_COST "controller.kubernetes.io/pod-deletion-cost"
#define MIRROR "kubernetes.io/config.mirror"
#define APPARMOR_PREFIX "container.apparmor.security.beta.kubernetes.io/"

static void volumes_validate(const struct pod_check *p, const char *pod_name)
{
	const struct json *volumes = json_get(p->spec, "volumes");
	for (size_t i = 0; i < json_count(volumes); i++) {
		const struct json *v = json_at(volumes, i), *name = json_get(v, "name");
		const char *at = at_child_item(p->h, p->at, "volumes", i);
		volume_source_validate(p->h, v, at, false, json_str_or(name, ""));
		if (!*pod_name || !present(json_get(v, "ephemeral")) || !*json_str_or(name, ""))
			continue;
		/* The claim that will be made of it needs a name, too. */
		char *claim = arena_printf(p->h->arena, "%s-%s", pod_name, json_str_or(name, ""));
		if (!rule_holds(RULE_DNS_SUBDOMAIN, claim))
			invalid(p->h, at_child(p->h, at, "name"), name,
				"PVC name \"%s\": must be no more than 253 bytes", claim);
	}
}

static void resource_claims_validate(const struct pod_check *p)
{
	static const char *const refs[] = {"resourceClaimName", "resourceClaimTemplateName"};
	const struct json *claims = json_get(p->spec, "resourceClaims");
	struct json_seen names = {.arena = p->h->arena, .by = {"name"}};
	for (size_t i = 0; i < json_count(claims); i++) {
		const struct json *claim = json_at(claims, i), *name = json_get(claim, "name");
		const char *at = arena_printf(p->h->arena, "%s.resourceClaims[%zu]", p->at, i);
		size_t count = 0;
		if (!*json_str_or(name, ""))
			required(p->h, at_child(p->h, at, "name"), NULL);
		else
			check_rule_at(p->h, RULE_DNS_LABEL, at_child(p->h, at, "name"), name);
		if (json_seen_put(&names, claim))
			duplicate(p->h, at_child(p->h, at, "name"), name);
		for (size_t n = 0; n < ARRAY_LEN(refs); n++)
			count += present(json_get(claim, refs[n]));
		if (count > 1)
			invalid(p->h, at, claim,
				"at most one of `resourceClaimName` or "
				"`resourceClaimTemplateName` may be specified");
		if (count == 0)
			invalid(p->h, at, claim,
				"must specify one of: `resourceClaimName`, "
				"`resourceClaimTemplateName`");
		for (size_t n = 0; n < ARRAY_LEN(refs); n++)
			if (present(json_get(claim, refs[n])))
				check_rule_at(p->h, RULE_DNS_SUBDOMAIN, at_child(p->h, at, refs[n]),
					json_get(claim, refs[n]));
	}
}

static void dns_validate(const struct pod_check *p)
{
	struct hook *h = p->h;
	const struct json *config = json_get(p->spec, "dnsConfig");
	bool none = streq(json_str(json_get(p->spec, "dnsPolicy")), "None");
	if (!none && !json_count(config))
		return;
	const char *at = at_child(h, p->at, "dnsConfig");
	const struct json *servers = json_get(config, "nameservers");
	const struct json *searches = json_get(config, "searches");
	if (none && !present(config)) {
		required(h, at, "must provide `dnsConfig` when `dnsPolicy` is None");
		return;
	}
	if (none && !json_count(servers)) {
		required(h, at_child(h, at, "nameservers"),
			"must provide at least one DNS nameserver when `dnsPolicy` is None");
		return;
	}
	if (json_count(servers) > NAME_SERVERS_MAX)
		invalid(h, at_child(h, at, "nameservers"), servers,
			"must not have more than %d nameservers", NAME_SERVERS_MAX);
	for (size_t i = 0; i < json_count(servers); i++)
		check_rule_at(h, RULE_IP, arena_printf(h->arena, "%s.nameservers[%zu]", at, i),
			json_at(servers, i));
	size_t size = json_count(searches) ? json_count(searches) - 1 : 0;
	for (size_t i = 0; i < json_count(searches); i++)
		size += strlen(json_str_or(json_at(searches, i), ""));
	if (json_count(searches) > SEARCHES_MAX)
		invalid(h, at_child(h, at, "searches"), searches,
			"must not have more than %d search paths", SEARCHES_MAX);
	if (size > SEARCHES_MAX_BYTES)
		invalid(h, at_child(h, at, "searches"), searches,
			"must not have more than %d characters (including spaces) in the search "
			"list",
			SEARCHES_MAX_BYTES);
	for (size_t i = 0; i < json_count(searches); i++) {
		char *search = arena_strdup(h->arena, json_str_or(json_at(searches, i), ""));
		size_t n = strlen(search);
		if (streq(search, "."))
			continue;
		if (n && search[n - 1] == '.')
			search[n - 1] = '\0';
		/* _ is let pass: names of services have it. */
		for (char *c = search; *c; c++)
			if (*c == '_')
				*c = 'a';
		if (!rule_holds(RULE_DNS_SUBDOMAIN, search))
			check_rule_at(h, RULE_DNS_SUBDOMAIN,
				arena_printf(h->arena, "%s.searches[%zu]", at, i),
				json_at(searches, i));
	}
	size_t i = 0;
	JSON_FOR_EACH_ITEM(option, json_get(config, "options")) {
		if (!*json_str_or(json_get(option, "name"), ""))
			required(h, arena_printf(h->arena, "%s.options[%zu]", at, i),
				"must not be empty");
		i++;
	}
}

static void gates_validate(const struct pod_check *p)
{
	const struct json *gates = json_get(p->spec, "schedulingGates");
	struct json_seen names = {.arena = p->h->arena, .by = {"name"}};
	for (size_t i = 0; i < json_count(gates); i++)
		if (json_seen_put(&names, json_at(gates, i)))
			duplicate(p->h, at(p->h, "%s.schedulingGates[%zu]", p->at, i),
				json_get(json_at(gates, i), "name"));
}

static void names_validate(const struct pod_check *p)
{
	static const char *const names[] = {
		"serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct json *name = json_get(p->spec, names[i]);
		const char *text = json_str_or(name, "");
		bool may_be_empty = i != 3;
		if (!present(name) || (may_be_empty && !*text) ||
			rule_holds(RULE_DNS_SUBDOMAIN, text))
			continue;
		check_rule_at(p->h, RULE_DNS_SUBDOMAIN, at_child(p->h, p->at, names[i]), name);
	}
}

static void aliases_validate(const struct pod_check *p)
{
	size_t i = 0;
	JSON_FOR_EACH_ITEM(alias, json_get(p->spec, "hostAliases")) {
		size_t n = 0;
		JSON_FOR_EACH_ITEM(name, json_get(alias, "hostnames"))
			check_rule_at(p->h, RULE_DNS_SUBDOMAIN,
				arena_printf(p->h->arena, "%s.hostAliases[%zu].hostnames[%zu]",
					p->at, i, n++),
				name);
		i++;
	}
}

/* What all containers ask for together, and each one's limit, fit the pod's own. */
static void pod_resources_validate(const struct pod_check *p)
{
	static const char *const allowed[] = {"cpu", "memory", NULL};
	struct hook *h = p->h;
	const struct json *own = json_get(p->spec, "resources");
	const char *at = at_child(h, p->at, "resources");
	static const char *const lists[] = {"limits", "requests"};
	if (!present(own))
		return;
	if (present(json_get(own, "claims")))
		forbid(h, at_child(h, at, "claims"),
			"claims cannot be set for Resources at pod-level");
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		JSON_FOR_EACH_MEMBER(m, json_get(own, lists[i])) {
			const char *field =
				arena_printf(h->arena, "%s.%s[%s]", at, lists[i], m->name);
			if (!is_one_of(m->name, allowed) && !resource_is_hugepages(m->name))
				unsupported(h, field, json_new_string(h->arena, m->name), allowed);
			resource_amount_validate(h, field, m->name, m->value);
		}
	JSON_FOR_EACH_MEMBER(m, json_get(own, "requests")) {
		const struct json *limit = json_get(json_get(own, "limits"), m->name);
		if (limit && resource_compare(m->value, limit) > 0)
			invalid(h, at_child(h, at, "requests"), m->value,
				"must be less than or equal to %s limit of %s", m->name,
				json_str_or(limit, ""));
	}
	size_t i = 0;
	JSON_FOR_EACH_ITEM(c, json_get(p->spec, "containers")) {
		JSON_FOR_EACH_MEMBER(m, json_path(c, "resources.limits")) {
			const struct json *limit = json_get(json_get(own, "limits"), m->name);
			if (limit && resource_compare(m->value, limit) > 0)
				invalid(h,
					arena_printf(h->arena, "%s.containers[%zu][%s].limits", at,
						i, m->name),
					m->value, "must be less than or equal to pod limits of %s",
					json_str_or(limit, ""));
		}
		i++;
	}
}

void pod_spec_check(
	struct hook *h, const struct json *spec, const char *at, bool is_pod, const char *pod_name)
{
	const struct json *host_users = json_get(spec, "hostUsers");
	struct pod_check p = {
		.h = h,
		.spec = spec,
		.at = at,
		.grace_period_s = json_int_or(json_get(spec, "terminationGracePeriodSeconds"), -1),
		.host_users = json_bool_or(host_users, true),
		.host_network = json_bool_or(json_get(spec, "hostNetwork"), false),
		.is_pod = is_pod,
		.restart_policy = json_str_or(json_get(spec, "restartPolicy"), "Always"),
		.volumes = json_seen_of(h->arena, json_get(spec, "volumes"), "name"),
		.containers = json_seen_of(h->arena, json_get(spec, "containers"), "name"),
		.init_containers = json_seen_of(h->arena, json_get(spec, "initContainers"), "name"),
		.claims = json_seen_of(h->arena, json_get(spec, "resourceClaims"), "name"),
	};
	volumes_validate(&p, pod_name);
	resource_claims_validate(&p);
	pod_containers_validate(&p);
	pod_resources_validate(&p);
	pod_security_validate(&p);
	if (json_get(spec, "affinity"))
		pod_affinity_validate(h, json_get(spec, "affinity"), at_child(h, at, "affinity"));
	dns_validate(&p);
	gates_validate(&p);
	if (json_count(json_get(spec, "topologySpreadConstraints")))
		topology_spread_validate(h, json_get(spec, "topologySpreadConstraints"),
			at_child(h, at, "topologySpreadConstraints"));
	names_validate(&p);
	if (json_count(json_get(spec, "tolerations")))
		tolerations_validate(
			h, json_get(spec, "tolerations"), at_child(h, at, "tolerations"));
	aliases_validate(&p);
	JSON_FOR_EACH_MEMBER(m, json_get(spec, "overhead")) {
		const char *field = arena_printf(h->arena, "%s.overhead.limits[%s]", at, m->name);
		container_resource_name_validate(h, field, m->name);
		resource_amount_validate(h, field, m->name, m->value);
	}
}

void pod_spec_validate(struct hook *h, const struct json *spec, const char *at)
{
	pod_spec_check(h, spec, at, false, "");
}

static bool names_container(const struct json *spec, const char *name)
{
	static const char *const lists[] = {"containers", "initContainers", "ephemeralContainers"};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		JSON_FOR_EACH_ITEM(c, json_get(spec, lists[i]))
			if (streq(json_str(json_get(c, "name")), name))
				return true;
	return false;
}

void pod_annotations_validate(struct hook *h, const struct json *pod, const char *at)
{
	const struct json *annotations = json_path(pod, "metadata.annotations");
	const struct json *spec = json_get(pod, "spec");
	if (!json_count(annotations))
		return;
	const struct json *cost = json_get(annotations, DELETION_COST);
	const struct json *mirror = json_get(annotations, MIRROR);
	const char *text = json_str_or(cost, "0");
	int64_t n = 0;
	if (mirror && !*json_str_or(json_get(spec, "nodeName"), ""))
		invalid(h, at_key(h, at, MIRROR), mirror,
			"must set spec.nodeName if mirror pod annotation is set");
	/* Digits as Go prints them: no sign of plus, no zero before others. */
	if (parse_i64(str_from(text), &n) < 0 || n < INT32_MIN || n > INT32_MAX || *text == '+' ||
		(*text == '0' && text[1]))
		invalid(h, at_key(h, at, DELETION_COST), cost, "must be a 32bit integer");
	JSON_FOR_EACH_MEMBER(m, annotations) {
		if (!str_has_prefix(m->name, APPARMOR_PREFIX))
			continue;
		const char *container = m->name + strlen(APPARMOR_PREFIX);
		const char *profile = json_str_or(m->value, "");
		if (!names_container(spec, container))
			invalid_text(h, at_key(h, at, m->name), container, "container not found");
		if (*profile && !streq(profile, "runtime/default") &&
			!streq(profile, "unconfined") && !str_has_prefix(profile, "localhost/"))
			invalid(h, at_key(h, at, m->name), m->value,
				"invalid AppArmor profile name: \"%s\"", profile);
	}
}
