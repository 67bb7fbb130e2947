/* rules_volumes.c - volumes: one source each, and what cloud-init may be given. */
#include "server/api/machines/rules.h"

#define CLOUD_INIT_MAX 2048 /* bytes in the specification; secrets may hold more */

static void check_data(struct hook *h, const struct json *source, const char *at, const char *what,
	const char *secret, const char *kind)
{
	const char *plain_name = arena_printf(h->arena, "%sData", what);
	const char *coded_name = arena_printf(h->arena, "%sDataBase64", what);
	const struct json *coded = json_get(source, coded_name);
	const char *plain = json_str_or(json_get(source, plain_name), "");
	size_t size = strlen(plain), count = *plain != '\0';
	if (*json_str_or(json_get(json_get(source, secret), "name"), ""))
		count++;
	if (*json_str_or(coded, "")) {
		char *text;
		count++;
		if (base64_decode(h->arena, str_from(json_str(coded)), &text, &size) < 0)
			invalid(h, at_child(h, at, coded_name), NULL,
				"%s.%s is not a valid base64 value.", at, coded_name);
	}
	if (count > 1)
		invalid(h, at, NULL, "%s must have only one %s set.", at,
			streq(what, "user") ? "userdatasource" : "networkdata source");
	if (size > CLOUD_INIT_MAX)
		invalid(h, at, NULL,
			"%s %sdata exceeds %d byte limit. Should use %s for larger data.", at, what,
			CLOUD_INIT_MAX, kind);
}

static void check_cloud_init(struct hook *h, const struct json *source, const char *at)
{
	static const char *const members[] = {"userData", "userDataBase64", "secretRef",
		"networkData", "networkDataBase64", "networkDataSecretRef"};
	bool any = false;
	if (!source)
		return;
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		const struct json *v = json_get(source, members[i]);
		any |= present(v) && !(json_is(v, JSON_STRING) && !*json_str(v));
	}
	check_data(h, source, at, "user", "secretRef", "UserDataSecretRef");
	check_data(h, source, at, "network", "networkDataSecretRef", "NetworkDataSecretRef");
	if (!any)
		invalid(h, at, NULL,
			"%s must have at least one userdatasource or one networkdatasource set.",
			at);
}

static void check_host_disk(struct hook *h, const struct json *disk, const char *at)
{
	if (disk && streq(json_str(json_get(disk, "type")), "Disk") &&
		present(json_get(disk, "capacity")))
		invalid(h, at_child(h, at, "capacity"), json_get(disk, "capacity"),
			"%s.capacity is allowed to pass only with %s.type equal to 'DiskOrCreate'",
			at, at);
}

void machine_rules_volumes(struct hook *h, const struct json *spec, const char *at)
{
	static const struct {
		const char *type, *name;
	} named[] = {{"configMap", "name"}, {"secret", "secretName"},
		{"serviceAccount", "serviceAccountName"}, {"dataVolume", "name"}};
	const struct json *volumes = json_get(spec, "volumes");
	const char *list_at = at_child(h, at, "volumes");
	size_t i = 0, cloud_inits = 0, accounts = 0, dumps = 0;
	if (!machine_rules_list(h, volumes, list_at))
		return;
	JSON_FOR_EACH_ITEM(v, volumes) {
		const char *field = at_item(h, list_at, i++);
		size_t sources = 0;
		JSON_FOR_EACH_MEMBER(m, v)
			sources += !streq(m->name, "name") && present(m->value);
		if (sources != 1)
			invalid(h, field, json_get(v, "name"),
				"%s must have exactly one source type set", field);
		/* Files and directories of the node have it. One of a dump is its claim's. */
		check_rule_at(h, json_get(v, "memoryDump") ? RULE_DNS_SUBDOMAIN : RULE_DNS_LABEL,
			at_child(h, field, "name"), json_get(v, "name"));
		cloud_inits +=
			json_get(v, "cloudInitNoCloud") || json_get(v, "cloudInitConfigDrive");
		accounts += json_get(v, "serviceAccount") != NULL;
		dumps += json_get(v, "memoryDump") != NULL;
		check_cloud_init(
			h, json_get(v, "cloudInitNoCloud"), at_child(h, field, "cloudInitNoCloud"));
		check_cloud_init(h, json_get(v, "cloudInitConfigDrive"),
			at_child(h, field, "cloudInitConfigDrive"));
		check_host_disk(h, json_get(v, "hostDisk"), at_child(h, field, "hostDisk"));
		machine_rules_path(
			h, at_child(h, field, "containerDisk"), json_path(v, "containerDisk.path"));
		for (size_t n = 0; n < ARRAY_LEN(named); n++) {
			const struct json *source = json_get(v, named[n].type);
			if (source && !*json_str_or(json_get(source, named[n].name), ""))
				required(h, at(h, "%s.%s.%s", field, named[n].type, named[n].name),
					at(h, "%s.%s.%s is a required field", field, named[n].type,
						named[n].name));
		}
	}
	if (cloud_inits > 1)
		invalid(h, list_at, json_new_int(h->arena, (int64_t)cloud_inits),
			"may not have more than one cloud-init volume");
	if (accounts > 1)
		invalid(h, list_at, NULL, "%s must have max one serviceAccount volume set",
			list_at);
	if (dumps > 1)
		invalid(h, list_at, NULL, "%s must have max one memory dump volume set", list_at);
}
