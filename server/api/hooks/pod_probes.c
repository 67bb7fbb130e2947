/* pod_probes.c - probes and lifecycle actions: exactly one handler each. */
#include "server/api/hooks/pod_spec.h"

static void headers_validate(struct hook *h, const struct json *headers, const char *at)
{
	JSON_FOR_EACH_ITEM(header, headers) {
		const char *name = json_str_or(json_get(header, "name"), "");
		bool valid = *name;
		for (const char *c = name; *c; c++)
			valid &= (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
				 (*c >= '0' && *c <= '9') || *c == '-';
		if (!valid && *name)
			invalid(h, at_child(h, at, "httpHeaders"), json_get(header, "name"),
				"a valid HTTP header must consist of alphanumeric characters or "
				"'-' (e.g. 'X-Header-Name', regex used for validation is "
				"'[-A-Za-z0-9]+')");
	}
}

static void sleep_validate(const struct pod_check *p, const struct json *sleep, const char *at)
{
	int64_t seconds = json_path_int(sleep, "seconds", 0);
	if (p->grace_period_s >= 0 && (seconds < 0 || seconds > p->grace_period_s))
		invalid(p->h, at_child(p->h, at, "sleep"), json_get(sleep, "seconds"),
			"must be non-negative and less than terminationGracePeriodSeconds (%lld)",
			(long long)p->grace_period_s);
}

static void handler_validate(const struct pod_check *p, const struct json *handler, const char *at)
{
	static const char *const types[] = {"exec", "httpGet", "tcpSocket", "grpc", "sleep"};
	size_t count = 0;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		const struct json *action = json_get(handler, types[i]);
		if (!present(action))
			continue;
		if (count++)
			forbid(p->h, at_child(p->h, at, types[i]),
				"may not specify more than 1 handler type");
		else if (i == 0 && !json_count(json_get(action, "command")))
			required(p->h, at_child(p->h, at, "exec.command"), NULL);
		else if (i == 1 && json_count(json_get(action, "httpHeaders")))
			headers_validate(p->h, json_get(action, "httpHeaders"),
				at_child(p->h, at, "httpGet"));
		else if (i == 4)
			sleep_validate(p, action, at);
	}
	if (count == 0)
		required(p->h, at, "must specify a handler type");
}

static void probe_validate(
	const struct pod_check *p, const struct json *probe, const char *at, bool readiness)
{
	const struct json *grace = json_get(probe, "terminationGracePeriodSeconds");
	handler_validate(p, probe, at);
	if (present(grace) && json_int_or(grace, 1) <= 0)
		invalid(p->h, at_child(p->h, at, "terminationGracePeriodSeconds"), grace,
			"must be greater than 0");
	if (readiness) {
		if (present(grace))
			invalid(p->h, at_child(p->h, at, "terminationGracePeriodSeconds"), grace,
				"must not be set for readinessProbes");
	} else if (json_path_int(probe, "successThreshold", 1) != 1) {
		invalid(p->h, at_child(p->h, at, "successThreshold"),
			json_get(probe, "successThreshold"), "must be 1");
	}
}

void pod_probes_validate(const struct pod_check *p, const struct json *container, const char *at)
{
	static const char *const probes[] = {"livenessProbe", "readinessProbe", "startupProbe"};
	static const char *const actions[] = {"postStart", "preStop"};
	const struct json *lifecycle = json_get(container, "lifecycle");
	for (size_t i = 0; present(lifecycle) && i < ARRAY_LEN(actions); i++)
		if (present(json_get(lifecycle, actions[i])))
			handler_validate(p, json_get(lifecycle, actions[i]),
				arena_printf(p->h->arena, "%s.lifecycle.%s", at, actions[i]));
	for (size_t i = 0; i < ARRAY_LEN(probes); i++)
		if (present(json_get(container, probes[i])))
			probe_validate(p, json_get(container, probes[i]),
				at_child(p->h, at, probes[i]), i == 1);
}
