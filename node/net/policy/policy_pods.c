#include "node/net/policy/policy_pods.h"

#include "lib/object/machine_pod.h"

static bool is_machine(const struct object *o)
{
	return streq(o->kind->kind, "VirtualMachineInstance");
}

typedef VEC(struct policy_port_name) names;

static void add_ports(struct arena *a, const struct json *list, names *out)
{
	JSON_FOR_EACH_ITEM(it, list) {
		const struct json *number = json_get(it, "containerPort");
		const char *name = json_str(json_get(it, "name"));
		uint8_t proto = policy_protocol(json_str(json_get(it, "protocol")));
		int64_t port = json_int_or(number ? number : json_get(it, "port"), 0);

		if (name && proto && port > 0 && port < 65536)
			VEC_PUSH(out, ((struct policy_port_name){
					      arena_strdup(a, name), proto, (uint16_t)port}));
	}
}

static void read_ports(struct arena *a, const struct json *spec, bool machine, struct policy_pod *p)
{
	names list = {0};

	if (machine) {
		JSON_FOR_EACH_ITEM(it, json_path(spec, "domain.devices.interfaces"))
			add_ports(a, json_get(it, "ports"), &list);
	} else {
		JSON_FOR_EACH_ITEM(c, json_get(spec, "containers"))
			add_ports(a, json_get(c, "ports"), &list);
		JSON_FOR_EACH_ITEM(c, json_get(spec, "initContainers"))
			if (streq(json_str(json_get(c, "restartPolicy")), "Always"))
				add_ports(a, json_get(c, "ports"), &list);
	}
	p->port_count = list.count;
	p->ports = list.count ? (const struct policy_port_name *)arena_memdup(
					a, list.items, list.count * sizeof(*list.items))
			      : NULL;
	VEC_FINISH(&list);
}

static void add_address(struct net_address *list, size_t *count, const char *text)
{
	struct net_address a;

	if (*count == POLICY_POD_ADDRESSES_MAX || net_address_parse(text, &a) < 0 ||
		!net_address_is_unicast(&a))
		return;
	for (size_t i = 0; i < *count; i++)
		if (net_address_eq(&list[i], &a))
			return;
	list[(*count)++] = a;
}

static void read_addresses(
	struct arena *a, const struct json *doc, bool machine, struct policy_pod *p)
{
	struct net_address *list = arena_alloc(a, POLICY_POD_ADDRESSES_MAX * sizeof(*list));
	const struct json *status = json_get(doc, "status");
	const char *address;

	if (machine) {
		address = machine_pod_address(doc);
		if (*address)
			add_address(list, &p->address_count, address);
	} else {
		add_address(list, &p->address_count, json_str(json_get(status, "podIP")));
		JSON_FOR_EACH_ITEM(it, json_get(status, "podIPs"))
			add_address(list, &p->address_count, json_str(json_get(it, "ip")));
	}
	p->addresses = list;
}

bool policy_pod_read(struct arena *a, const struct object *o, struct policy_pod *ret)
{
	const struct json *doc = object_doc(o, a), *spec = json_get(doc, "spec"),
			  *status = json_get(doc, "status");
	bool machine = is_machine(o);
	const char *phase = json_str_or(json_get(status, "phase"), "");
	struct object_label *labels;

	if (!machine && json_bool_or(json_get(spec, "hostNetwork"), false))
		return false;
	*ret = (struct policy_pod){.uid = o->uid,
		.ns = o->namespace,
		.labels = o->labels,
		.label_count = o->label_count,
		.gone = streq(phase, "Succeeded") || streq(phase, "Failed")};
	if (machine) {
		ret->label_count = machine_pod_labels(a, o, &labels);
		ret->labels = labels;
	}
	read_ports(a, spec, machine, ret);
	read_addresses(a, doc, machine, ret);
	return true;
}

const char *policy_pod_node(struct arena *a, const struct object *o)
{
	const char *path = is_machine(o) ? "status.nodeName" : "spec.nodeName";
	const char *node = json_path_str(object_doc(o, a), path);

	return node ? node : "";
}

static void copy_member(struct arena *a, struct json *to, const struct json *from, const char *name)
{
	struct json *value = json_get(from, name);

	if (value)
		json_set(a, to, name, value);
}

static void copy_ports(struct arena *a, struct json *to, const struct json *from, const char *name)
{
	struct json *list = json_new_array(a);

	JSON_FOR_EACH_ITEM(c, json_get(from, name)) {
		struct json *one = json_new_object(a);

		copy_member(a, one, c, "ports");
		copy_member(a, one, c, "restartPolicy");
		if (json_get(one, "ports"))
			json_push(a, list, one);
	}
	if (json_count(list))
		json_set(a, to, name, list);
}

struct object *policy_pod_digest(struct object *o)
{
	static const char *const meta[] = {"name", "namespace", "uid", "labels", "resourceVersion"};
	static const char *const status_members[] = {
		"phase", "podIP", "podIPs", "nodeName", "interfaces"};
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *doc = object_doc(o, &a), *spec = json_get(doc, "spec");
	struct json *out = json_new_object(&a), *m, *s, *status;

	copy_member(&a, out, doc, "apiVersion");
	copy_member(&a, out, doc, "kind");
	m = json_object_at(&a, out, "metadata");
	s = json_object_at(&a, out, "spec");
	status = json_object_at(&a, out, "status");
	for (size_t i = 0; i < ARRAY_LEN(meta); i++)
		copy_member(&a, m, json_get(doc, "metadata"), meta[i]);
	for (size_t i = 0; i < ARRAY_LEN(status_members); i++)
		copy_member(&a, status, json_get(doc, "status"), status_members[i]);
	copy_member(&a, s, spec, "nodeName");
	copy_member(&a, s, spec, "hostNetwork");
	copy_ports(&a, s, spec, "containers");
	copy_ports(&a, s, spec, "initContainers");
	if (is_machine(o))
		copy_ports(&a, json_object_at(&a, json_object_at(&a, s, "domain"), "devices"),
			json_path(spec, "domain.devices"), "interfaces");
	return object_new(o->kind, &a, out, o->revision);
}
