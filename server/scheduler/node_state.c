#include "server/scheduler/node_state.h"

#include "lib/object/quantity.h"

static int64_t offered(const struct json *amount, bool milli)
{
	int64_t n = milli ? quantity_json_milli(amount, 0) : quantity_json_value(amount, 0);
	return workload_bounded_amount(n);
}

static void read_amounts(struct arena *a, const struct json *amounts, struct node_state *n)
{
	struct extended *more = arena_alloc(a, (json_count(amounts) + 1) * sizeof(*more));
	n->extended = more;
	JSON_FOR_EACH_MEMBER(m, amounts) {
		if (streq(m->name, "cpu"))
			n->allocatable[CPU] = offered(m->value, true);
		else if (streq(m->name, "memory"))
			n->allocatable[MEMORY] = offered(m->value, false);
		else if (streq(m->name, "ephemeral-storage"))
			n->allocatable[STORAGE] = offered(m->value, false);
		else if (streq(m->name, "pods"))
			n->pods = offered(m->value, false);
		else
			more[n->extended_count++] =
				(struct extended){m->name, offered(m->value, false)};
	}
}

static enum taint_effect effect_of(const char *text)
{
	return streq(text, "NoSchedule")	 ? TAINT_NO_SCHEDULE
	       : streq(text, "PreferNoSchedule") ? TAINT_PREFER_NO_SCHEDULE
	       : streq(text, "NoExecute")	 ? TAINT_NO_EXECUTE
						 : TAINT_ANY;
}

static void read_images(struct arena *a, const struct json *list, struct node_state *n)
{
	size_t room = 1;
	JSON_FOR_EACH_ITEM(i, list)
		room += json_count(json_get(i, "names"));
	struct node_image *all = arena_alloc(a, room * sizeof(*all));
	JSON_FOR_EACH_ITEM(i, list)
		JSON_FOR_EACH_ITEM(name, json_get(i, "names"))
			all[n->image_count++] = (struct node_image){json_str_or(name, ""),
				workload_bounded_amount(json_int_or(json_get(i, "sizeBytes"), 0))};
	n->images = all;
}

void node_state_read(struct arena *a, const struct object *node, struct node_state *ret)
{
	const struct json *doc = object_doc(node, a), *list = json_path(doc, "spec.taints");
	const struct json *allocatable = json_path(doc, "status.allocatable");
	struct taint *taints = arena_alloc(a, (json_count(list) + 1) * sizeof(*taints));
	*ret = (struct node_state){
		.name = node->name,
		.unschedulable = json_path_bool(doc, "spec.unschedulable", false),
		.labels = node->labels,
		.label_count = node->label_count,
		.taints = taints,
	};
	read_amounts(a, allocatable ? allocatable : json_path(doc, "status.capacity"), ret);
	JSON_FOR_EACH_ITEM(t, list)
		taints[ret->taint_count++] = (struct taint){json_str_or(json_get(t, "key"), ""),
			json_str_or(json_get(t, "value"), ""),
			effect_of(json_str_or(json_get(t, "effect"), ""))};
	read_images(a, json_path(doc, "status.images"), ret);
}

struct node_state node_state_copy(struct arena *a, const struct node_state *n)
{
	struct object_label *labels = arena_alloc(a, (n->label_count + 1) * sizeof(*labels));
	struct taint *taints = arena_alloc(a, (n->taint_count + 1) * sizeof(*taints));
	struct extended *extended = arena_alloc(a, (n->extended_count + 1) * sizeof(*extended));
	struct node_image *images = arena_alloc(a, (n->image_count + 1) * sizeof(*images));
	for (size_t m = 0; m < n->label_count; m++)
		labels[m] = (struct object_label){
			arena_strdup(a, n->labels[m].key), arena_strdup(a, n->labels[m].value)};
	for (size_t m = 0; m < n->taint_count; m++)
		taints[m] = (struct taint){arena_strdup(a, n->taints[m].key),
			arena_strdup(a, n->taints[m].value), n->taints[m].effect};
	for (size_t m = 0; m < n->extended_count; m++)
		extended[m] = (struct extended){
			arena_strdup(a, n->extended[m].name), n->extended[m].amount};
	for (size_t m = 0; m < n->image_count; m++)
		images[m] = (struct node_image){
			arena_strdup(a, n->images[m].name), n->images[m].size_bytes};
	struct node_state copy = *n;
	copy.name = arena_strdup(a, n->name);
	copy.labels = labels;
	copy.taints = taints;
	copy.extended = extended;
	copy.images = images;
	return copy;
}
