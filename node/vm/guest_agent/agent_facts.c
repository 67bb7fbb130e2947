#include "node/vm/guest_agent/agent_facts.h"

#include <arpa/inet.h>
#include <ctype.h>

const char *agent_fact_command(enum agent_fact f)
{
	static const char *const commands[AGENT_FACT_COUNT] = {
		[AGENT_FACT_INFO] = "guest-info",
		[AGENT_FACT_INTERFACES] = "guest-network-get-interfaces",
		[AGENT_FACT_OS] = "guest-get-osinfo",
		[AGENT_FACT_HOSTNAME] = "guest-get-host-name",
		[AGENT_FACT_TIMEZONE] = "guest-get-timezone",
		[AGENT_FACT_FREEZE] = "guest-fsfreeze-status",
		[AGENT_FACT_USERS] = "guest-get-users",
		[AGENT_FACT_FILESYSTEMS] = "guest-get-fsinfo",
	};

	return commands[f];
}

/* Cut to a size that nobody minds, and without what could move a terminal's cursor. */
static struct json *text_of(struct arena *a, const struct json *v)
{
	const char *s = json_str(v);
	size_t size = s ? utf8_cut(s, v->count, AGENT_TEXT_MAX_BYTES) : 0;
	char *out;

	if (!s)
		return NULL;
	out = arena_memdup(a, s, size);
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
			out[i] = '?';
	return json_new_string_n(a, out, size);
}

static void copy_text(
	struct arena *a, struct json *to, const char *name, const struct json *from, const char *as)
{
	struct json *v = text_of(a, json_get(from, as));

	if (v && v->count)
		json_set(a, to, name, v);
}

static struct json *read_info(struct arena *a, const struct json *value)
{
	struct json *out = json_new_object(a), *list = json_new_array(a);
	const struct json *commands = json_get(value, "supported_commands");

	copy_text(a, out, "guestAgentVersion", value, "version");
	JSON_FOR_EACH_ITEM(it, commands) {
		struct json *command, *name = text_of(a, json_get(it, "name"));

		if (json_count(list) == AGENT_COMMANDS_MAX)
			break;
		if (!name)
			continue;
		command = json_new_object(a);
		json_set(a, command, "name", name);
		json_set_bool(a, command, "enabled", json_bool_or(json_get(it, "enabled"), false));
		json_push(a, list, command);
	}
	json_set(a, out, "supportedCommands", list);
	return out;
}

static bool is_mac(const char *s)
{
	for (size_t i = 0; i < 17; i++)
		if (i % 3 == 2 ? s[i] != ':' : !isxdigit((unsigned char)s[i]))
			return false;
	return !s[17];
}

static bool is_address(const char *s)
{
	uint8_t bytes[16];

	return inet_pton(AF_INET, s, bytes) == 1 || inet_pton(AF_INET6, s, bytes) == 1;
}

/* IPv4 is the main address where there is one. */
static void read_addresses(struct arena *a, struct json *to, const struct json *from)
{
	struct json *list = json_new_array(a);
	const char *first = NULL, *first4 = NULL;

	JSON_FOR_EACH_ITEM(it, from) {
		const char *text = json_str(json_get(it, "ip-address"));

		if (json_count(list) == AGENT_ADDRESSES_MAX)
			break;
		if (!text || !is_address(text))
			continue;
		json_push(a, list, json_new_string(a, text));
		first = first ? first : text;
		if (!first4 && !strchr(text, ':'))
			first4 = text;
	}
	if (!first)
		return;
	json_set_str(a, to, "ipAddress", first4 ? first4 : first);
	json_set(a, to, "ipAddresses", list);
}

static struct json *read_interfaces(struct arena *a, const struct json *value)
{
	struct json *list = json_new_array(a);

	JSON_FOR_EACH_ITEM(it, value) {
		const char *mac = json_str(json_get(it, "hardware-address"));
		struct json *one, *name = text_of(a, json_get(it, "name"));
		char lower[18];

		if (json_count(list) == AGENT_INTERFACES_MAX)
			break;
		if (!name || streq(json_str(name), "lo"))
			continue;
		one = json_new_object(a);
		json_set(a, one, "interfaceName", name);
		if (mac && is_mac(mac)) {
			for (size_t i = 0; i < sizeof(lower); i++)
				lower[i] = (char)tolower((unsigned char)mac[i]);
			json_set_str(a, one, "mac", lower);
		}
		read_addresses(a, one, json_get(it, "ip-addresses"));
		json_push(a, list, one);
	}
	return list;
}

static struct json *read_os(struct arena *a, const struct json *value)
{
	static const char *const names[][2] = {
		{"id", "id"},
		{"kernelRelease", "kernel-release"},
		{"kernelVersion", "kernel-version"},
		{"machine", "machine"},
		{"name", "name"},
		{"prettyName", "pretty-name"},
		{"version", "version"},
		{"versionId", "version-id"},
	};
	struct json *out = json_new_object(a);

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		copy_text(a, out, names[i][0], value, names[i][1]);
	return out;
}

static struct json *read_timezone(struct arena *a, const struct json *value)
{
	int64_t offset = json_int_or(json_get(value, "offset"), 0);
	const struct json *zone = text_of(a, json_get(value, "zone"));

	return json_new_printf(
		a, "%s, %lld", json_str_or(zone, ""), (long long)MAX(MIN(offset, 86400), -86400));
}

static struct json *read_freeze(struct arena *a, const struct json *value)
{
	const char *s = json_str(value);

	return streq(s, "frozen") || streq(s, "thawed") ? json_new_string(a, s) : NULL;
}

static struct json *read_users(struct arena *a, const struct json *value)
{
	struct json *list = json_new_array(a);

	JSON_FOR_EACH_ITEM(it, value) {
		const struct json *time = json_get(it, "login-time");
		struct json *one, *name = text_of(a, json_get(it, "user"));

		if (json_count(list) == AGENT_USERS_MAX)
			break;
		if (!name)
			continue;
		one = json_new_object(a);
		json_set(a, one, "userName", name);
		copy_text(a, one, "domain", it, "domain");
		if (json_is(time, JSON_INT) || json_is(time, JSON_DOUBLE))
			json_set(a, one, "loginTime", json_copy(a, time));
		json_push(a, list, one);
	}
	return list;
}

static struct json *read_filesystems(struct arena *a, const struct json *value)
{
	struct json *list = json_new_array(a);

	JSON_FOR_EACH_ITEM(it, value) {
		static const char *const names[][2] = {{"diskName", "name"},
			{"mountPoint", "mountpoint"}, {"fileSystemType", "type"}};
		struct json *one = json_new_object(a), *disks = json_new_array(a);

		if (json_count(list) == AGENT_FILESYSTEMS_MAX)
			break;
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			struct json *text = text_of(a, json_get(it, names[i][1]));

			json_set(a, one, names[i][0], text ? text : json_new_string(a, ""));
		}
		json_set_int(
			a, one, "usedBytes", MAX(json_int_or(json_get(it, "used-bytes"), 0), 0));
		json_set_int(
			a, one, "totalBytes", MAX(json_int_or(json_get(it, "total-bytes"), 0), 0));
		JSON_FOR_EACH_ITEM(d, json_get(it, "disk")) {
			struct json *disk = json_new_object(a);
			struct json *bus = text_of(a, json_get(d, "bus-type"));

			if (json_count(disks) == AGENT_DISKS_MAX)
				break;
			copy_text(a, disk, "serial", d, "serial");
			json_set(a, disk, "busType", bus ? bus : json_new_string(a, ""));
			json_push(a, disks, disk);
		}
		if (json_count(disks))
			json_set(a, one, "disk", disks);
		json_push(a, list, one);
	}
	return list;
}

struct json *agent_fact_read(struct arena *a, enum agent_fact f, const struct json *value)
{
	static const enum json_type types[AGENT_FACT_COUNT] = {
		[AGENT_FACT_INFO] = JSON_OBJECT,
		[AGENT_FACT_INTERFACES] = JSON_ARRAY,
		[AGENT_FACT_OS] = JSON_OBJECT,
		[AGENT_FACT_HOSTNAME] = JSON_OBJECT,
		[AGENT_FACT_TIMEZONE] = JSON_OBJECT,
		[AGENT_FACT_FREEZE] = JSON_STRING,
		[AGENT_FACT_USERS] = JSON_ARRAY,
		[AGENT_FACT_FILESYSTEMS] = JSON_ARRAY,
	};

	if (!json_is(value, types[f]))
		return NULL;
	switch (f) {
	case AGENT_FACT_INFO:
		return read_info(a, value);
	case AGENT_FACT_INTERFACES:
		return read_interfaces(a, value);
	case AGENT_FACT_OS:
		return read_os(a, value);
	case AGENT_FACT_HOSTNAME:
		return text_of(a, json_get(value, "host-name"));
	case AGENT_FACT_TIMEZONE:
		return read_timezone(a, value);
	case AGENT_FACT_FREEZE:
		return read_freeze(a, value);
	case AGENT_FACT_USERS:
		return read_users(a, value);
	case AGENT_FACT_FILESYSTEMS:
		return read_filesystems(a, value);
	case AGENT_FACT_COUNT:
		break;
	}
	return NULL;
}

bool agent_offers(const struct json *info, const char *command)
{
	JSON_FOR_EACH_ITEM(it, json_get(info, "supportedCommands"))
		if (streq(json_str(json_get(it, "name")), command))
			return json_bool_or(json_get(it, "enabled"), false);
	return false;
}

static bool offers_all(const struct json *info, const char *const *commands)
{
	for (; *commands; commands++)
		if (!agent_offers(info, *commands))
			return false;
	return true;
}

const char *agent_unsupported(const struct json *info, const struct json *vmi_spec)
{
	static const char *const basic[] = {"guest-ping", "guest-get-time", "guest-info",
		"guest-shutdown", "guest-network-get-interfaces", "guest-get-fsinfo",
		"guest-get-host-name", "guest-get-users", "guest-get-timezone", "guest-get-osinfo",
		NULL};
	static const char *const keys[] = {"guest-ssh-get-authorized-keys",
		"guest-ssh-add-authorized-keys", "guest-ssh-remove-authorized-keys", NULL};
	static const char *const keys_by_file[] = {"guest-exec-status", "guest-exec",
		"guest-file-open", "guest-file-close", "guest-file-read", "guest-file-write", NULL};
	static const char *const password[] = {"guest-set-user-password", NULL};
	bool wants_keys = false, wants_password = false;

	if (!offers_all(info, basic))
		return "This guest agent doesn't support required basic commands";
	JSON_FOR_EACH_ITEM(it, json_get(vmi_spec, "accessCredentials")) {
		wants_keys |=
			json_path(it, "sshPublicKey.propagationMethod.qemuGuestAgent") != NULL;
		wants_password |=
			json_path(it, "userPassword.propagationMethod.qemuGuestAgent") != NULL;
	}
	if (wants_keys && !offers_all(info, keys) && !offers_all(info, keys_by_file))
		return "This guest agent doesn't support required public key commands";
	if (wants_password && !offers_all(info, password))
		return "This guest agent doesn't support required password commands";
	return NULL;
}
