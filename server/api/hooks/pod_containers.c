/* pod_containers.c - the containers of a pod: names, ports, mounts, resources, and what only some
 * kinds of containers may have. */
#include "server/api/hooks/pod_spec.h"

/* ---- ports ---- */

static void ports_validate(const struct pod_check *p, const struct json *container, const char *at)
{
	const struct json *ports = json_get(container, "ports");
	struct json_seen names = {.arena = p->h->arena, .by = {"name"}};
	for (size_t i = 0; i < json_count(ports); i++) {
		const struct json *port = json_at(ports, i), *name = json_get(port, "name");
		if (*json_str_or(name, "") && json_seen_put(&names, port))
			duplicate(p->h, at(p->h, "%s.ports[%zu].name", at, i), name);
	}
}

/* A port of the node is taken once; among containers[first..last]. */
static void host_ports_validate(
	const struct pod_check *p, const char *list, size_t first, size_t last)
{
	const struct json *containers = json_get(p->spec, list);
	struct json_seen taken = {.arena = p->h->arena};
	for (size_t c = first; c <= last; c++) {
		const struct json *ports = json_get(json_at(containers, c), "ports");
		for (size_t i = 0; i < json_count(ports); i++) {
			const struct json *port = json_at(ports, i);
			int64_t number = json_int_or(json_get(port, "hostPort"), 0);
			if (!number)
				continue;
			struct json *place = json_new_printf(p->h->arena, "%s/%s/%lld",
				json_str_or(json_get(port, "protocol"), ""),
				json_str_or(json_get(port, "hostIP"), ""), (long long)number);
			if (json_seen_put(&taken, place))
				duplicate(p->h,
					at(p->h, "%s.%s[%zu].ports[%zu].hostPort", p->at, list, c,
						i),
					place);
		}
	}
}

static void host_network_validate(const struct pod_check *p)
{
	size_t c = 0;
	JSON_FOR_EACH_ITEM(container, json_get(p->spec, "containers")) {
		size_t i = 0;
		JSON_FOR_EACH_ITEM(port, json_get(container, "ports")) {
			const struct json *host = json_get(port, "hostPort");
			if ((p->is_pod || json_int_or(host, 0)) &&
				!json_equal(host, json_get(port, "containerPort")))
				invalid(p->h,
					arena_printf(p->h->arena,
						"%s.containers[%zu].ports[%zu].hostPort", p->at, c,
						i),
					host ? host : json_new_int(p->h->arena, 0),
					"must match `containerPort` when `hostNetwork` is true");
			i++;
		}
		c++;
	}
}

/* ---- mounts and devices ---- */

struct mounting {
	const struct pod_check *p;
	const struct json *container;
	const char *at; /* of the list */
	size_t i;
	struct json_seen names, paths;		   /* of the list, so far */
	struct json_seen other_names, other_paths; /* of the other list: devices, or mounts */
};

/* A place that containers see: a mount or a device. */
static void mounting_begin(struct mounting *m, const char *list, const char *at, const char *path,
	const char *other, const char *other_path)
{
	struct arena *a = m->p->h->arena;
	const struct json *others = json_get(m->container, other);
	m->at = at_child(m->p->h, at, list);
	m->names = (struct json_seen){.arena = a, .by = {"name"}};
	m->paths = (struct json_seen){.arena = a, .by = {path}};
	m->other_names = json_seen_of(a, others, "name");
	m->other_paths = json_seen_of(a, others, other_path);
}

static char *mount_at(const struct mounting *m, const char *name)
{
	return arena_printf(m->p->h->arena, "%s[%zu].%s", m->at, m->i, name);
}

static void sub_paths_validate(
	const struct mounting *m, const struct json *mount, const struct json *volume)
{
	static const char *const names[] = {"subPath", "subPathExpr"};
	struct hook *h = m->p->h;
	bool image = present(json_get(volume, "image"));
	bool both = *json_str_or(json_get(mount, "subPath"), "") &&
		    *json_str_or(json_get(mount, "subPathExpr"), "");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct json *path = json_get(mount, names[i]);
		if (!*json_str_or(path, ""))
			continue;
		if (image)
			invalid(h, mount_at(m, names[i]), path,
				"not allowed in image volume sources");
		if (i == 1 && both)
			invalid(h, mount_at(m, names[i]), path,
				"subPathExpr and subPath are mutually exclusive");
		path_relative(h, at_child(h, m->at, names[i]), path);
	}
}

static void read_only_validate(const struct mounting *m, const struct json *mount)
{
	static const char *const values[] = {"Disabled", "Enabled", "IfPossible", NULL};
	struct hook *h = m->p->h;
	const struct json *recursive = json_get(mount, "recursiveReadOnly");
	const char *at = at_child(h, m->at, "recursiveReadOnly");
	const char *propagation = json_str_or(json_get(mount, "mountPropagation"), "None");
	if (!check_one_of(h, at, recursive, values) || streq(json_str(recursive), "Disabled"))
		return;
	if (!json_bool_or(json_get(mount, "readOnly"), false))
		forbid(h, at, "may only be specified when readOnly is true");
	if (!streq(propagation, "None"))
		forbid(h, at,
			"may only be specified when mountPropagation is None or not specified");
}

static void mount_validate(struct mounting *m, const struct json *mount)
{
	struct hook *h = m->p->h;
	const struct json *name = json_get(mount, "name"), *path = json_get(mount, "mountPath");
	const struct json *volume = json_seen_find(&m->p->volumes, name);
	if (*json_str_or(name, "") && !volume)
		field_error(h->errors, FIELD_NOT_FOUND, mount_at(m, "name"), name, NULL);
	if (path && json_seen_put(&m->paths, mount))
		invalid(h, mount_at(m, "mountPath"), path, "must be unique");
	if (json_seen_find(&m->other_names, name))
		invalid(h, mount_at(m, "name"), name, "must not already exist in volumeDevices");
	if (json_seen_find(&m->other_paths, path))
		invalid(h, mount_at(m, "mountPath"), path,
			"must not already exist as a path in volumeDevices");
	if (json_get(mount, "subPath") || json_get(mount, "subPathExpr"))
		sub_paths_validate(m, mount, volume);
	if (streq(json_str(json_get(mount, "mountPropagation")), "Bidirectional") &&
		!json_path_bool(m->container, "securityContext.privileged", false))
		forbid(h, at_child(h, m->at, "mountPropagation"),
			"Bidirectional mount propagation is available only to privileged "
			"containers");
	if (present(json_get(mount, "recursiveReadOnly")))
		read_only_validate(m, mount);
}

static void device_validate(struct mounting *m, const struct json *device)
{
	struct hook *h = m->p->h;
	const struct json *name = json_get(device, "name"), *path = json_get(device, "devicePath");
	const struct json *volume = json_seen_find(&m->p->volumes, name);
	if (volume && !present(json_get(volume, "persistentVolumeClaim")) &&
		!present(json_get(volume, "ephemeral")))
		invalid(h, mount_at(m, "name"), name,
			"can only use volume source type of PersistentVolumeClaim or Ephemeral for "
			"block mode");
	if (!volume)
		field_error(h->errors, FIELD_NOT_FOUND, mount_at(m, "name"), name, NULL);
	if (json_seen_put(&m->names, device))
		invalid(h, mount_at(m, "name"), name, "must be unique");
	if (json_seen_put(&m->paths, device))
		invalid(h, mount_at(m, "devicePath"), path, "must be unique");
	struct str rest = str_from(json_str_or(path, "")), part;
	while (str_split(&rest, '/', &part))
		if (str_eq(part, "..")) {
			invalid(h, mount_at(m, "devicePath"), path,
				"can not contain backsteps ('..')");
			break;
		}
	if (json_seen_find(&m->other_names, name))
		invalid(h, mount_at(m, "name"), name, "must not already exist in volumeMounts");
	if (json_seen_find(&m->other_paths, path))
		invalid(h, mount_at(m, "devicePath"), path,
			"must not already exist as a path in volumeMounts");
}

static void mounts_validate(const struct pod_check *p, const struct json *container, const char *at)
{
	struct mounting m = {.p = p, .container = container};
	const struct json *mounts = json_get(container, "volumeMounts");
	const struct json *devices = json_get(container, "volumeDevices");
	if (json_count(mounts))
		mounting_begin(&m, "volumeMounts", at, "mountPath", "volumeDevices", "devicePath");
	for (m.i = 0; m.i < json_count(mounts); m.i++)
		mount_validate(&m, json_at(mounts, m.i));
	if (json_count(devices))
		mounting_begin(&m, "volumeDevices", at, "devicePath", "volumeMounts", "mountPath");
	for (m.i = 0; m.i < json_count(devices); m.i++)
		device_validate(&m, json_at(devices, m.i));
}

/* ---- all containers ---- */

static void resize_policy_validate(
	const struct pod_check *p, const struct json *policies, const char *at)
{
	static const char *const resources[] = {"cpu", "memory", NULL};
	static const char *const restarts[] = {"NotRequired", "RestartContainer", NULL};
	struct json_seen seen = {.arena = p->h->arena, .by = {"resourceName"}};
	for (size_t i = 0; i < json_count(policies); i++) {
		const struct json *resource = json_get(json_at(policies, i), "resourceName");
		const struct json *restart = json_get(json_at(policies, i), "restartPolicy");
		if (json_seen_put(&seen, json_at(policies, i)))
			duplicate(p->h, at_item(p->h, at, i), resource);
		if (!*json_str_or(resource, ""))
			required(p->h, at, NULL);
		else
			check_one_of(p->h, at, resource, resources);
		if (!*json_str_or(restart, ""))
			required(p->h, at, NULL);
		else
			check_one_of(p->h, at, restart, restarts);
		if (streq(p->restart_policy, "Never") && !streq(json_str(restart), "NotRequired"))
			invalid(p->h, at, restart,
				"must be 'NotRequired' when `restartPolicy` is 'Never'");
	}
}

static void container_validate(
	const struct pod_check *p, const struct json *container, const char *at)
{
	const struct json *resources = json_get(container, "resources");
	const struct json *policies = json_get(container, "resizePolicy");
	const struct json *context = json_get(container, "securityContext");
	const struct json *image = json_get(container, "image");
	const char *text = json_str_or(image, "");
	ports_validate(p, container, at);
	pod_env_validate(p, container, at);
	mounts_validate(p, container, at);
	if (json_count(resources))
		container_resources_validate(p->h, resources, json_get(p->spec, "resourceClaims"),
			&p->claims, at_child(p->h, at, "resources"));
	if (json_count(policies))
		resize_policy_validate(p, policies, at_child(p->h, at, "resizePolicy"));
	if (json_count(context))
		container_security_validate(p, context, at_child(p->h, at, "securityContext"));
	if (p->is_pod && *text &&
		(strchr(" \t\r\n", text[0]) || strchr(" \t\r\n", text[strlen(text) - 1])))
		invalid(p->h, at_child(p->h, at, "image"), image,
			"must not have leading or trailing whitespace");
}

static void init_container_validate(
	const struct pod_check *p, const struct json *container, const char *at)
{
	static const char *const refused[] = {
		"lifecycle", "livenessProbe", "readinessProbe", "startupProbe"};
	if (streq(json_str(json_get(container, "restartPolicy")), "Always")) {
		pod_probes_validate(p, container, at);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (present(json_get(container, refused[i])))
			forbid(p->h, at_child(p->h, at, refused[i]),
				"may not be set for init containers without restartPolicy=Always");
}

static void ephemeral_container_validate(
	const struct pod_check *p, const struct json *container, const char *at)
{
	static const char *const refused[] = {"ports", "livenessProbe", "readinessProbe",
		"startupProbe", "lifecycle", "resizePolicy", "restartPolicy"};
	static const char *const sub_paths[] = {"subPath", "subPathExpr"};
	struct hook *h = p->h;
	const struct json *target = json_get(container, "targetContainerName");
	if (*json_str_or(target, "") && !json_seen_find(&p->containers, target) &&
		!json_seen_find(&p->init_containers, target))
		field_error(h->errors, FIELD_NOT_FOUND, at_child(h, at, "targetContainerName"),
			target, NULL);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (present(json_get(container, refused[i])))
			forbid(h, at_child(h, at, refused[i]),
				"cannot be set for an Ephemeral Container");
	if (json_count(json_get(container, "resources")))
		forbid(h, at_child(h, at, "resources"), "cannot be set for an Ephemeral Container");
	size_t n = 0;
	JSON_FOR_EACH_ITEM(mount, json_get(container, "volumeMounts")) {
		for (size_t i = 0; i < ARRAY_LEN(sub_paths); i++)
			if (*json_str_or(json_get(mount, sub_paths[i]), ""))
				forbid(h,
					arena_printf(h->arena, "%s.volumeMounts[%zu].%s", at, n,
						sub_paths[i]),
					"cannot be set for an Ephemeral Container");
		n++;
	}
}

/* Names differ among all containers; within containers and within initContainers the schema sees
 * to it. */
static bool name_taken(const struct pod_check *p, const struct json *container, size_t list,
	struct json_seen *ephemeral)
{
	const struct json *name = json_get(container, "name");
	return list > 0 && (json_seen_find(&p->containers, name) ||
				   (list == 2 && (json_seen_find(&p->init_containers, name) ||
							 json_seen_put(ephemeral, container))));
}

void pod_containers_validate(const struct pod_check *p)
{
	static const char *const lists[] = {"containers", "initContainers", "ephemeralContainers"};
	struct json_seen ephemeral = {.arena = p->h->arena, .by = {"name"}};
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		const struct json *list = json_get(p->spec, lists[l]);
		for (size_t i = 0; i < json_count(list); i++) {
			const struct json *c = json_at(list, i);
			const char *at = at_child_item(p->h, p->at, lists[l], i);
			container_validate(p, c, at);
			if (name_taken(p, c, l, &ephemeral))
				duplicate(p->h, at_child(p->h, at, "name"), json_get(c, "name"));
			if (l == 0) {
				pod_probes_validate(p, c, at);
				if (present(json_get(c, "restartPolicy")))
					forbid(p->h, at_child(p->h, at, "restartPolicy"),
						"may not be set for non-init containers");
			} else if (l == 1) {
				host_ports_validate(p, lists[l], i, i); /* they run in turn */
				init_container_validate(p, c, at);
			} else {
				ephemeral_container_validate(p, c, at);
			}
		}
		if (l == 0 && json_count(list))
			host_ports_validate(p, lists[l], 0, json_count(list) - 1);
	}
	if (p->host_network)
		host_network_validate(p);
}
