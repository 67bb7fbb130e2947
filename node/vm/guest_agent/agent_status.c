#include "node/vm/guest_agent/agent_status.h"

#include <strings.h>

#include "node/vm/guest_agent/agent_facts.h"

static bool holds(const struct json *list, const char *s)
{
	JSON_FOR_EACH_ITEM(it, list)
		if (streq(json_str(it), s))
			return true;
	return false;
}

static struct json *by_mac(const struct json *list, const char *mac)
{
	JSON_FOR_EACH_ITEM(it, list) {
		const char *has = json_str(json_get(it, "mac"));

		if (mac && has && !strcasecmp(mac, has))
			return it;
	}
	return NULL;
}

static void add(struct arena *a, struct json *interface, const struct json *guest)
{
	struct json *all = json_array_at(a, interface, "ipAddresses");

	/* KubeVirt's order of the sources. */
	bool further = strstr(json_str_or(json_get(interface, "infoSource"), ""), "multus-status");

	json_set_str(a, interface, "infoSource",
		further ? "domain, guest-agent, multus-status" : "domain, guest-agent");
	json_set_str(
		a, interface, "interfaceName", json_str_or(json_get(guest, "interfaceName"), ""));
	JSON_FOR_EACH_ITEM(it, json_get(guest, "ipAddresses"))
		if (!holds(all, json_str(it)))
			json_push(a, all, json_new_string(a, json_str(it)));
	/* On the pod network Services and policies go by it: the node alone says what it is. */
	if (further && !json_get(interface, "ipAddress") && json_get(guest, "ipAddress"))
		json_set(a, interface, "ipAddress", json_copy(a, json_get(guest, "ipAddress")));
	if (!json_count(all))
		json_remove(interface, "ipAddresses");
}

void agent_status_interfaces(struct arena *a, struct json *interfaces, const struct json *guest)
{
	size_t own = json_count(interfaces);

	JSON_FOR_EACH_ITEM(it, guest) {
		struct json *known = by_mac(interfaces, json_str(json_get(it, "mac")));
		struct json *one;

		if (known &&
			str_has_prefix(json_str_or(json_get(known, "infoSource"), ""), "domain") &&
			!json_get(known, "interfaceName")) {
			add(a, known, it);
		} else if (json_count(interfaces) < own + AGENT_INTERFACES_MAX) {
			/* Bridges, containers' interfaces, and the like. */
			one = json_copy(a, it);
			json_set_str(a, one, "infoSource", "guest-agent");
			json_push(a, interfaces, one);
		}
	}
}

void agent_status_set(struct arena *a, struct json *status, const struct json *old,
	const struct json *os, const struct json *freeze)
{
	struct json *info = os ? json_copy(a, os) : json_new_object(a);
	const char *frozen = json_str(freeze);

	JSON_FOR_EACH_MEMBER(m, json_get(old, "guestOSInfo"))
		if (!json_get(info, m->name))
			json_set(a, info, m->name, json_new_null(a));
	if (os || json_get(old, "guestOSInfo"))
		json_set(a, status, "guestOSInfo", info);
	if (frozen && !streq(frozen, "thawed"))
		json_set_str(a, status, "fsFreezeStatus", frozen);
	else if (json_get(old, "fsFreezeStatus"))
		json_set(a, status, "fsFreezeStatus", json_new_null(a));
}
