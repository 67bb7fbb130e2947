#include "lib/object/machine_pod.h"

static void add_label(struct object_label *list, size_t *count, const char *key, const char *value)
{
	size_t at = 0;

	while (at < *count && strcmp(list[at].key, key) < 0)
		at++;
	if (at < *count && streq(list[at].key, key))
		return;
	memmove(&list[at + 1], &list[at], (*count - at) * sizeof(*list));
	list[at] = (struct object_label){key, value};
	(*count)++;
}

size_t machine_pod_labels(struct arena *a, const struct object *o, struct object_label **ret)
{
	struct object_label *labels = arena_alloc(a, (o->label_count + 2) * sizeof(*labels));
	size_t count = o->label_count;

	for (size_t i = 0; i < o->label_count; i++)
		labels[i] = o->labels[i];
	add_label(labels, &count, "kubevirt.io", "virt-launcher");
	add_label(labels, &count, "vm.kubevirt.io/name", o->name);
	*ret = labels;
	return count;
}

const char *machine_pod_address(const struct json *vmi)
{
	const struct json *networks = json_path(vmi, "spec.networks");
	const struct json *interfaces = json_path(vmi, "status.interfaces");
	const char *name = NULL;

	if (!json_count(networks))
		return json_str_or(json_get(json_at(interfaces, 0), "ipAddress"), "");
	JSON_FOR_EACH_ITEM(it, networks)
		if (json_get(it, "pod"))
			name = json_str(json_get(it, "name"));
	JSON_FOR_EACH_ITEM(it, interfaces)
		if (name && streq(json_str(json_get(it, "name")), name))
			return json_str_or(json_get(it, "ipAddress"), "");
	return "";
}
