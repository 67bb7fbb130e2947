#include "server/api/hooks/machine_macs.h"

#include "server/api/machines/mac_pool.h"

/* A machine that takes the place of another one of its namespace may have its addresses while both
 * are there: `hanok virt rename`. */
#define RENAMED_FROM "hanok.io/renamed-from"

#define TRIES_MAX 64 /* a machine's own interfaces are not in the pool yet */

static const char *interfaces_path(const struct json *doc)
{
	return json_path(doc, "spec.template") /* of a VirtualMachine */
		       ? "spec.template.spec.domain.devices.interfaces"
		       : "spec.domain.devices.interfaces";
}

static const char *owner_of(struct arena *a, const struct json *doc)
{
	return arena_printf(a, "%s/%s", json_str_or(json_path(doc, "metadata.namespace"), ""),
		json_str_or(json_path(doc, "metadata.name"), ""));
}

static const struct json *named(const struct json *list, const char *name)
{
	JSON_FOR_EACH_ITEM(it, list)
		if (name && streq(json_str(json_get(it, "name")), name))
			return it;
	return NULL;
}

/* False when the interface has none, or nothing that could be one. */
static bool mac_of(const struct json *interface, uint64_t *ret)
{
	const char *text = json_str(json_get(interface, "macAddress"));

	return text && machine_mac_parse(text, ret) == 0;
}

static bool has(const struct json *interfaces, uint64_t mac)
{
	JSON_FOR_EACH_ITEM(it, interfaces) {
		uint64_t one;

		if (mac_of(it, &one) && one == mac)
			return true;
	}
	return false;
}

static const char *other(struct hook *h, const struct json *doc, uint64_t mac, const char *owner)
{
	const char *who = mac_pool_other(h->api->macs, mac, owner);
	const char *before =
		json_str(json_get(json_path(doc, "metadata.annotations"), RENAMED_FROM));

	if (who && before &&
		streq(who, arena_printf(h->arena, "%s/%s",
				   json_str_or(json_path(doc, "metadata.namespace"), ""), before)))
		return NULL;
	return who;
}

/* One that the client gave, or that the machine has already. */
static void check_given(struct hook *h, const struct json *doc, const struct json *interfaces,
	const struct json *it, const char *owner, const char *field)
{
	const struct json *value = json_get(it, "macAddress");
	const char *who;
	uint64_t mac, one;

	if (!mac_of(it, &mac)) {
		field_error(h->errors, FIELD_INVALID, field, value,
			"interface %s has malformed MAC address (%s).",
			json_str_or(json_get(it, "name"), ""), json_str_or(value, ""));
		return;
	}
	JSON_FOR_EACH_ITEM(before, interfaces) {
		if (before == it)
			break;
		if (mac_of(before, &one) && one == mac) {
			field_error(h->errors, FIELD_DUPLICATE, field, value, NULL);
			return;
		}
	}
	who = other(h, doc, mac, owner);
	if (!who)
		return;
	/* Who asks may not be allowed to know what other namespaces have. */
	size_t size = (size_t)(strchr(owner, '/') - owner) + 1;
	if (strncmp(who, owner, size) != 0)
		who = "of another namespace";
	field_error(h->errors, FIELD_INVALID, field, value,
		"failed to allocate requested mac address: virtual machine %s has it; "
		"leave macAddress out to get a free one",
		who);
}

int machine_macs_allocate(struct hook *h, struct json *doc, const struct json *old)
{
	const char *path = interfaces_path(doc), *owner = owner_of(h->arena, doc);
	const struct json *had = old ? json_path(old, path) : NULL;
	struct json *interfaces = json_path(doc, path);
	struct mac_pool *pool = h->api->macs;
	size_t index = 0;
	uint64_t mac;

	if (!h->req)
		return 0;
	JSON_FOR_EACH_ITEM(it, interfaces) {
		const char *field = arena_printf(h->arena, "%s[%zu].macAddress", path, index++);
		const char *given = json_str(json_get(it, "macAddress"));

		if (given && *given) {
			/* What is stored was accepted once. */
			if (!mac_of(it, &mac) || !has(had, mac))
				check_given(h, doc, interfaces, it, owner, field);
			continue;
		}
		/* Who applies a manifest without addresses does not ask for others. */
		if (!mac_of(named(had, json_str(json_get(it, "name"))), &mac) ||
			has(interfaces, mac)) {
			size_t tries = 0;

			while (tries < TRIES_MAX &&
				(mac_pool_choose(pool, owner,
					 index - 1 + tries * json_count(interfaces), &mac) < 0 ||
					has(interfaces, mac)))
				tries++;
			if (tries == TRIES_MAX)
				return status_internal(h->arena, h->st,
					"failed to allocate a mac address: the range is full "
					"(hanok server --mac-range)");
		}
		char text[MACHINE_MAC_TEXT];
		machine_mac_format(mac, text);
		json_set_str(h->arena, it, "macAddress", text);
	}
	if (field_error_count(h->errors))
		return 0;
	JSON_FOR_EACH_ITEM(it, interfaces)
		if (mac_of(it, &mac) && !has(had, mac))
			mac_claim_add(h->arena, &h->req->macs, pool, mac, owner, false);
	JSON_FOR_EACH_ITEM(it, had)
		if (mac_of(it, &mac) && !has(interfaces, mac))
			mac_claim_add(h->arena, &h->req->macs, pool, mac, owner, true);
	return 0;
}

void machine_macs_occupy(struct api *api, const struct json *doc, bool taken)
{
	struct arena a = ARENA_INIT;
	const char *owner = owner_of(&a, doc);
	const struct json *interfaces = json_path(doc, interfaces_path(doc));
	uint64_t mac, one;

	JSON_FOR_EACH_ITEM(it, interfaces) {
		bool before = false;

		if (!mac_of(it, &mac))
			continue;
		/* Each once, as it was taken. */
		JSON_FOR_EACH_ITEM(earlier, interfaces) {
			if (earlier == it)
				break;
			before |= mac_of(earlier, &one) && one == mac;
		}
		if (before)
			continue;
		if (taken)
			mac_pool_hold(api->macs, mac, owner);
		else
			mac_pool_release(api->macs, mac, owner);
	}
	arena_finish(&a);
}
