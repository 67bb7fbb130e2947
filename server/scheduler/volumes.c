#include "server/scheduler/volumes.h"

#include "lib/object/quantity.h"

static unsigned access_of(const struct json *modes)
{
	static const char *const names[] = {
		"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"};
	unsigned bits = 0;
	JSON_FOR_EACH_ITEM(m, modes)
		for (size_t n = 0; n < ARRAY_LEN(names); n++)
			if (streq(json_str(m), names[n]))
				bits |= 1u << n;
	return bits;
}

static const char *text_of(struct arena *a, const struct json *v)
{
	return arena_strdup(a, json_str_or(v, ""));
}

static void claim_destroy(struct claim *c)
{
	if (!c)
		return;
	object_unref(c->object);
	arena_finish(&c->arena);
	free(c);
}

static void volume_destroy(struct volume *v)
{
	if (!v)
		return;
	object_unref(v->object);
	arena_finish(&v->arena);
	free(v->assumed_claim);
	free(v);
}

static void class_destroy(struct storage_class *c)
{
	if (!c)
		return;
	arena_finish(&c->arena);
	free(c);
}

void volumes_finish(struct volumes *v)
{
	struct table_iter it = table_iterate(&v->claims);
	while (table_next(&it))
		claim_destroy(it.value);
	it = table_iterate(&v->volumes);
	while (table_next(&it))
		volume_destroy(it.value);
	it = table_iterate(&v->classes);
	while (table_next(&it))
		class_destroy(it.value);
	table_finish(&v->claims);
	table_finish(&v->volumes);
	table_finish(&v->classes);
}

struct claim *volumes_claim(const struct volumes *v, const char *ns, const char *name)
{
	_cleanup_(free_p) char *key = xasprintf("%s/%s", ns, name);
	return table_get(&v->claims, key);
}

static struct claim *read_claim(const struct object *o)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	const struct json *doc = object_doc(o, &a), *spec = json_get(doc, "spec");
	const struct json *notes = json_path(doc, "metadata.annotations");
	const char *phase = json_str_or(json_path(doc, "status.phase"), "");
	struct claim *c = xcalloc(1, sizeof(*c));
	c->arena.first_size = 512;
	c->object = object_ref((struct object *)o);
	c->key = arena_printf(&c->arena, "%s/%s", o->namespace, o->name);
	c->volume = text_of(&c->arena, json_get(spec, "volumeName"));
	c->class = text_of(&c->arena, json_get(spec, "storageClassName"));
	c->mode = arena_strdup(&c->arena, json_str_or(json_get(spec, "volumeMode"), "Filesystem"));
	c->selected_node = text_of(&c->arena, json_get(notes, VOLUME_SELECTED_NODE));
	c->access = access_of(json_get(spec, "accessModes"));
	c->bytes = quantity_json_value(json_path(spec, "resources.requests.storage"), 0);
	c->bound = c->volume[0] &&
		   (json_get(notes, "pv.kubernetes.io/bind-completed") || streq(phase, "Bound"));
	c->lost = streq(phase, "Lost");
	struct selector s;
	if (json_is(json_get(spec, "selector"), JSON_OBJECT)) {
		c->has_selector = true;
		c->selector = (struct selector){.nothing = true};
		if (selector_from_label_selector(&a, json_get(spec, "selector"), &s, &err) == 0)
			c->selector = selector_copy(&c->arena, &s);
	}
	return c;
}

void volumes_claim_changed(struct volumes *v, const struct object *old, const struct object *new)
{
	const struct object *o = new ? new : old;
	_cleanup_(free_p) char *key = xasprintf("%s/%s", o->namespace, o->name);
	if (!new) {
		claim_destroy(table_remove(&v->claims, key));
		return;
	}
	claim_destroy(table_set(&v->claims, key, read_claim(new)));
}

static struct volume *read_volume(const struct object *o)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *doc = object_doc(o, &a), *spec = json_get(doc, "spec");
	const struct json *ref = json_get(spec, "claimRef");
	const struct json *required = json_path(spec, "nodeAffinity.required");
	const char *phase = json_str_or(json_path(doc, "status.phase"), "");
	struct volume *v = xcalloc(1, sizeof(*v));
	struct arena *own = &v->arena;
	own->first_size = 512;
	v->object = object_ref((struct object *)o);
	v->class = text_of(own, json_get(spec, "storageClassName"));
	v->mode = arena_strdup(own, json_str_or(json_get(spec, "volumeMode"), "Filesystem"));
	v->access = access_of(json_get(spec, "accessModes"));
	v->bytes = quantity_json_value(json_path(spec, "capacity.storage"), 0);
	v->claim = ref ? arena_printf(own, "%s/%s", json_str_or(json_get(ref, "namespace"), ""),
				 json_str_or(json_get(ref, "name"), ""))
		       : "";
	v->claim_uid = text_of(own, json_get(ref, "uid"));
	v->available =
		!o->deleting && (!phase[0] || streq(phase, "Available") || streq(phase, "Pending"));
	v->has_terms = json_is(required, JSON_OBJECT);
	v->terms = node_terms_read(own, json_get(required, "nodeSelectorTerms"), &v->term_count);
	return v;
}

void volumes_volume_changed(struct volumes *v, const struct object *old, const struct object *new)
{
	const struct object *o = new ? new : old;
	if (!new) {
		volume_destroy(table_remove(&v->volumes, o->name));
		return;
	}
	struct volume *is = read_volume(new), *was = table_set(&v->volumes, o->name, is);
	/* What is decided holds until the volume itself says whose it is. */
	if (was && !is->claim[0])
		is->assumed_claim = TAKE_PTR(was->assumed_claim);
	volume_destroy(was);
}

static struct node_term topology_term(struct arena *a, const struct json *topology)
{
	const struct json *list = json_get(topology, "matchLabelExpressions");
	struct requirement *items = arena_alloc(a, (json_count(list) + 1) * sizeof(*items));
	struct node_term t = {.labels.items = items, .empty = !json_count(list)};
	JSON_FOR_EACH_ITEM(it, list) {
		const struct json *values = json_get(it, "values");
		const char **texts = arena_alloc(a, (json_count(values) + 1) * sizeof(*texts));
		struct requirement r = {text_of(a, json_get(it, "key")), SEL_IN, texts, 0};
		JSON_FOR_EACH_ITEM(value, values)
			texts[r.value_count++] = text_of(a, value);
		items[t.labels.count++] = r;
	}
	return t;
}

void volumes_class_changed(struct volumes *v, const struct object *old, const struct object *new)
{
	const struct object *o = new ? new : old;
	if (!new) {
		class_destroy(table_remove(&v->classes, o->name));
		return;
	}
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *doc = object_doc(new, &a), *all = json_get(doc, "allowedTopologies");
	const char *provisioner = json_str_or(json_get(doc, "provisioner"), "");
	struct storage_class *c = xcalloc(1, sizeof(*c));
	c->arena.first_size = 256;
	c->waits = streq(json_str(json_get(doc, "volumeBindingMode")), "WaitForFirstConsumer");
	c->provisions = provisioner[0] && !streq(provisioner, "kubernetes.io/no-provisioner");
	struct node_term *terms = arena_alloc(&c->arena, (json_count(all) + 1) * sizeof(*terms));
	JSON_FOR_EACH_ITEM(t, all)
		terms[c->topology_count++] = topology_term(&c->arena, t);
	c->topologies = terms;
	class_destroy(table_set(&v->classes, o->name, c));
}
