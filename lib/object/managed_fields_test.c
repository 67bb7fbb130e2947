#include "lib/object/managed_fields.h"

#include "lib/object/merge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A kind with a field of each form. */
static const char definitions[] =
	"io.k8s.example.v1.Thing:\n"
	"  type: object\n"
	"  properties:\n"
	"    apiVersion: {type: string}\n"
	"    kind: {type: string}\n"
	"    metadata:\n"
	"      type: object\n"
	"      properties:\n"
	"        name: {type: string}\n"
	"        labels: {type: object, additionalProperties: {type: string}}\n"
	"        annotations: {type: object, additionalProperties: {type: string}}\n"
	"        finalizers: {type: array, items: {type: string}, x-kubernetes-list-type: set}\n"
	"        managedFields: {type: array, items: {type: object, "
	"x-kubernetes-preserve-unknown-fields: true}}\n"
	"    spec:\n"
	"      type: object\n"
	"      properties:\n"
	"        count: {type: integer}\n"
	"        text: {type: string}\n"
	"        inner: {type: object, properties: {a: {type: string}, b: {type: string}}}\n"
	"        whole: {type: object, x-kubernetes-map-type: atomic, properties: {a: {type: "
	"string}, b: {type: string}}}\n"
	"        map: {type: object, additionalProperties: {type: string}}\n"
	"        maps: {type: object, additionalProperties: {type: object, additionalProperties: "
	"{type: string}}}\n"
	"        plain: {type: array, items: {type: string}}\n"
	"        set: {type: array, items: {type: string}, x-kubernetes-list-type: set}\n"
	"        items:\n"
	"          type: array\n"
	"          x-kubernetes-list-type: map\n"
	"          x-kubernetes-list-map-keys: [name]\n"
	"          items:\n"
	"            type: object\n"
	"            properties:\n"
	"              name: {type: string}\n"
	"              value: {type: string}\n"
	"              deep: {type: object, properties: {x: {type: integer}, z: {type: integer}}}\n"
	"        ports:\n"
	"          type: array\n"
	"          x-kubernetes-list-type: map\n"
	"          x-kubernetes-list-map-keys: [port, protocol]\n"
	"          items:\n"
	"            type: object\n"
	"            properties:\n"
	"              port: {type: integer}\n"
	"              protocol: {type: string, default: TCP}\n"
	"              name: {type: string}\n"
	"        any: {x-kubernetes-preserve-unknown-fields: true}\n"
	"    status: {type: object, properties: {phase: {type: string}}}\n";

#define KIND                                                                                       \
	"\"kind\":\"Thing\",\"listKind\":\"ThingList\",\"plural\":\"things\",\"verbs\":[\"get\"]," \
	"\"definition\":\"io.k8s.example.v1.Thing\""

struct test {
	struct arena arena;
	struct kind_registry *kinds;
	const struct kind *kind;
	struct json *live; /* NULL: nothing is there */
	int64_t clock;
	struct status st;
};

static int setup(void **state)
{
	struct test *t = xcalloc(1, sizeof(*t));
	_cleanup_(buf_finish) struct buf bundle = BUF_INIT;
	struct err err = ERR_INIT;
	struct json *v;

	assert_int_equal(
		yaml_parse(&t->arena, definitions, strlen(definitions), NULL, &v, &err), 0);
	buf_add_str(&bundle, "{\"definitions\":");
	json_write(&bundle, v);
	buf_add_str(
		&bundle, ",\"kinds\":[{\"group\":\"example.org\",\"version\":\"v1\"," KIND "}]}");
	t->kinds = kind_registry_create();
	assert_int_equal(kind_registry_load(t->kinds, bundle.data, bundle.size, &err), 0);
	t->kind = kind_by_name(t->kinds, "example.org", "v1", "Thing");
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct test *t = *state;

	kind_registry_destroy(t->kinds);
	arena_finish(&t->arena);
	free(t);
	return 0;
}

static struct json *read_yaml(struct test *t, const char *text)
{
	struct err err = ERR_INIT;
	struct json *v;

	assert_int_equal(yaml_parse(&t->arena, text, strlen(text), NULL, &v, &err), 0);
	return v;
}

/* `spec` in YAML, NULL for none. */
static struct json *thing(struct test *t, const char *spec)
{
	struct json *doc =
		read_yaml(t, "{apiVersion: example.org/v1, kind: Thing, metadata: {name: a}}");

	if (spec)
		json_set(&t->arena, doc, "spec", read_yaml(t, spec));
	return doc;
}

static struct field_writer writer(struct test *t, const char *manager, const char *subresource)
{
	return (struct field_writer){
		.manager = manager,
		.subresource = subresource,
		.now = arena_printf(&t->arena, "2026-01-01T00:00:%02dZ", (int)t->clock++ % 60),
		.kind = t->kind,
		.kinds = t->kinds,
	};
}

static int apply_doc(struct test *t, const char *manager, bool force, const struct json *config)
{
	struct field_writer w = writer(t, manager, "");
	const char *before = t->live ? json_text(&t->arena, t->live) : "";
	struct json *result;
	int r;

	t->st = (struct status){0};
	r = managed_fields_apply(&t->arena, &w, force, t->live, config, &result, &t->st);
	assert_string_equal(t->live ? json_text(&t->arena, t->live) : "", before);
	if (r == 0)
		t->live = result;
	return r;
}

static void apply(struct test *t, const char *manager, const char *spec)
{
	assert_int_equal(apply_doc(t, manager, false, thing(t, spec)), 0);
}

static void force(struct test *t, const char *manager, const char *spec)
{
	assert_int_equal(apply_doc(t, manager, true, thing(t, spec)), 0);
}

static const char *message(struct test *t)
{
	return json_str_or(json_get(t->st.doc, "message"), "");
}

static void conflict(struct test *t, const char *manager, const char *spec, const char *words)
{
	assert_int_equal(apply_doc(t, manager, false, thing(t, spec)), -EREMOTEIO);
	assert_int_equal(t->st.code, 409);
	assert_string_equal(message(t), words);
}

static void misfit(struct test *t, const char *spec, const char *words)
{
	assert_int_equal(apply_doc(t, "one", false, thing(t, spec)), -EREMOTEIO);
	assert_int_equal(t->st.code, 500);
	assert_string_equal(message(t),
		arena_printf(&t->arena,
			"failed to create typed patch object (/a; example.org/v1, Kind=Thing): %s",
			words));
}

static void write_as(struct test *t, const char *manager, const char *subresource, struct json *doc)
{
	struct field_writer w = writer(t, manager, subresource);

	managed_fields_update(&t->arena, &w, t->live, doc);
	t->live = doc;
}

static void update(struct test *t, const char *manager, const char *spec)
{
	write_as(t, manager, "", thing(t, spec));
}

static void spec_is(struct test *t, const char *spec)
{
	struct json *have = json_get(t->live, "spec");

	if (!have || !json_equal(have, read_yaml(t, spec)))
		fail_msg("spec is %s, not %s", have ? json_text(&t->arena, have) : "absent", spec);
}

static const struct json *entry(struct test *t, const char *manager, const char *operation)
{
	JSON_FOR_EACH_ITEM(e, json_path(t->live, "metadata.managedFields"))
		if (streq(json_str(json_get(e, "manager")), manager) &&
			streq(json_str(json_get(e, "operation")), operation))
			return e;
	return NULL;
}

/* "manager" or "manager update"; `fields` as FieldsV1 below f:spec, NULL: has none. */
static void owns(struct test *t, const char *manager, const char *fields)
{
	bool updates = strchr(manager, ' ') != NULL;
	const char *name = arena_printf(&t->arena, "%.*s", (int)strcspn(manager, " "), manager);
	const struct json *e = entry(t, name, updates ? "Update" : "Apply");
	const char *have = e ? json_text(&t->arena, json_get(e, "fieldsV1")) : NULL;
	const char *wanted = fields ? arena_printf(&t->arena, "{\"f:spec\":%s}", fields) : NULL;

	if (!streq(have, wanted))
		fail_msg("%s owns %s, not %s", manager, have ? have : "nothing",
			wanted ? wanted : "nothing");
}

/* ---- what is owned ---- */

static void creation_owns_leaves_and_structures(void **state)
{
	struct test *t = *state;

	update(t, "maker",
		"{count: 1, inner: {a: x}, whole: {a: x}, map: {k: v}, plain: [p], set: [s], "
		"items: [{name: m, deep: {x: 1}}], ports: [{port: 80}], any: {u: {v: [1]}}}");
	owns(t, "maker update",
		"{\"f:any\":{\".\":{},\"f:u\":{\".\":{},\"f:v\":{}}},\"f:count\":{},"
		"\"f:inner\":{\".\":{},\"f:a\":{}},"
		"\"f:items\":{\".\":{},\"k:{\\\"name\\\":\\\"m\\\"}\":{\".\":{},\"f:deep\":{\".\":{"
		"},"
		"\"f:x\":{}},\"f:name\":{}}},"
		"\"f:map\":{\".\":{},\"f:k\":{}},\"f:plain\":{},"
		"\"f:ports\":{\".\":{},\"k:{\\\"port\\\":80,\\\"protocol\\\":\\\"TCP\\\"}\":{\".\":"
		"{},"
		"\"f:port\":{}}},"
		"\"f:set\":{\".\":{},\"v:\\\"s\\\"\":{}},\"f:whole\":{}}");
}

static void configuration_owns_leaves_and_items(void **state)
{
	struct test *t = *state;

	apply(t, "one",
		"{count: 1, inner: {a: x}, whole: {a: x}, map: {k: v}, plain: [p], set: [s], "
		"items: [{name: m, deep: {x: 1}}], ports: [{port: 80}], any: {u: {v: [1]}}}");
	owns(t, "one",
		"{\"f:any\":{\"f:u\":{\".\":{},\"f:v\":{}}},\"f:count\":{},\"f:inner\":{\"f:a\":{}}"
		","
		"\"f:items\":{\"k:{\\\"name\\\":\\\"m\\\"}\":{\".\":{},\"f:deep\":{\"f:x\":{}},"
		"\"f:name\":{}}},"
		"\"f:map\":{\"f:k\":{}},\"f:plain\":{},"
		"\"f:ports\":{\"k:{\\\"port\\\":80,\\\"protocol\\\":\\\"TCP\\\"}\":{\".\":{},\"f:"
		"port\":"
		"{}}},"
		"\"f:set\":{\"v:\\\"s\\\"\":{}},\"f:whole\":{}}");
}

static void empty_and_null(void **state)
{
	struct test *t = *state;

	apply(t, "one", "{inner: {}, map: {}, plain: [], set: [], items: [], text: null}");
	owns(t, "one", "{\"f:inner\":{},\"f:map\":{},\"f:plain\":{},\"f:text\":{}}");
	/* Nothing that is wanted takes nothing away. */
	update(t, "two", "{inner: {a: x}, map: {k: v}, set: [s], items: [{name: m}]}");
	force(t, "one", "{inner: {}, map: {}, set: [], items: []}");
	spec_is(t, "{inner: {a: x}, map: {k: v}, set: [s], items: [{name: m}]}");
}

static void metadata_names_are_never_owned(void **state)
{
	struct test *t = *state;
	struct json *doc = thing(t, NULL);

	write_as(t, "maker", "", doc);
	assert_null(entry(t, "maker", "Update"));
	assert_null(json_path(t->live, "metadata.managedFields"));
	t->live = NULL;
	apply(t, "one", NULL);
	assert_null(entry(t, "one", "Apply"));
	doc = thing(t, NULL);
	json_path_set(&t->arena, doc, "metadata.labels", read_yaml(t, "{a: b}"));
	assert_int_equal(apply_doc(t, "one", false, doc), 0);
	assert_string_equal(json_text(&t->arena, json_get(entry(t, "one", "Apply"), "fieldsV1")),
		"{\"f:metadata\":{\"f:labels\":{\"f:a\":{}}}}");
	/* Labels go with their only owner; the name stays. */
	apply(t, "one", NULL);
	assert_null(json_path(t->live, "metadata.labels"));
	assert_string_equal(json_path_str(t->live, "metadata.name"), "a");
}

/* ---- conflicts ---- */

static void values_of_others_conflict(void **state)
{
	struct test *t = *state;

	apply(t, "one", "{count: 1, text: x}");
	apply(t, "two", "{count: 1}"); /* the same value is shared */
	owns(t, "two", "{\"f:count\":{}}");
	conflict(t, "two", "{count: 2}",
		"Apply failed with 1 conflict: conflict with \"one\": .spec.count");
	assert_string_equal(json_path_str(t->st.doc, "reason"), "Conflict");
	assert_string_equal(json_text(&t->arena, json_path(t->st.doc, "details.causes")),
		"[{\"reason\":\"FieldManagerConflict\",\"message\":\"conflict with \\\"one\\\"\","
		"\"field\":\".spec.count\"}]");
	spec_is(t, "{count: 1, text: x}");
	force(t, "two", "{count: 2}");
	owns(t, "one", "{\"f:text\":{}}");
	owns(t, "two", "{\"f:count\":{}}");
	spec_is(t, "{count: 2, text: x}");
}

static void updates_take_fields_over(void **state)
{
	struct test *t = *state;

	apply(t, "one", "{count: 1, text: x}");
	update(t, "two", "{count: 2, text: x}");
	owns(t, "one", "{\"f:text\":{}}");
	owns(t, "two update", "{\"f:count\":{}}");
	conflict(t, "one", "{count: 1, text: x}",
		"Apply failed with 1 conflict: conflict with \"two\" using example.org/v1: "
		".spec.count");
	apply(t, "one", "{count: 2, text: x}");
	owns(t, "two update", "{\"f:count\":{}}");
	write_as(t, "three", "scale", thing(t, "{count: 3, text: x}"));
	conflict(t, "one", "{count: 1, text: x}",
		"Apply failed with 1 conflict: conflict with \"three\" with subresource \"scale\" "
		"using "
		"example.org/v1: .spec.count");
}

static void several_conflicts_are_listed(void **state)
{
	struct test *t = *state;

	apply(t, "b", "{count: 1, items: [{name: m, value: v}]}");
	update(t, "a", "{count: 1, items: [{name: m, value: v}], map: {k: v}}");
	conflict(t, "c", "{count: 2, items: [{name: m, value: w}], map: {k: w}}",
		"Apply failed with 3 conflicts: conflicts with \"a\" using example.org/v1:\n"
		"- .spec.map.k\n"
		"conflicts with \"b\":\n"
		"- .spec.count\n"
		"- .spec.items[name=\"m\"].value");
	assert_int_equal(json_count(json_path(t->st.doc, "details.causes")), 3);
}

static void the_first_of_many_conflicts_are_told(void **state)
{
	struct test *t = *state;
	struct json *spec = json_new_object(&t->arena), *map;
	const char *text;

	map = json_object_at(&t->arena, spec, "map");
	for (int i = 0; i < 600; i++)
		json_set_str(&t->arena, map, arena_printf(&t->arena, "k%d", i), "v");
	apply(t, "b", json_text(&t->arena, spec));
	JSON_FOR_EACH_MEMBER(m, map)
		m->value = json_new_string(&t->arena, "w");
	text = json_text(&t->arena, spec);
	assert_int_equal(apply_doc(t, "c", false, thing(t, text)), -EREMOTEIO);
	assert_true(str_has_prefix(message(t), "Apply failed with 600 conflicts: "));
	assert_true(str_has_suffix(message(t), "\n- and 100 more"));
	assert_int_equal(json_count(json_path(t->st.doc, "details.causes")), 500);
}

static void atomic_values_conflict_as_a_whole(void **state)
{
	struct test *t = *state;

	apply(t, "one", "{whole: {a: x}, plain: [p]}");
	conflict(t, "two", "{whole: {b: w}}",
		"Apply failed with 1 conflict: conflict with \"one\": .spec.whole");
	conflict(t, "two", "{plain: [p, q]}",
		"Apply failed with 1 conflict: conflict with \"one\": .spec.plain");
	force(t, "two", "{whole: {b: w}, plain: [q]}");
	spec_is(t, "{whole: {b: w}, plain: [q]}");
	owns(t, "one", NULL);
}

/* ---- removal ---- */

static void what_is_not_applied_any_more_goes(void **state)
{
	static const struct {
		const char *first, *then, *left;
	} cases[] = {
		{"{count: 1, text: x}", "{text: x}", "{text: x}"},
		{"{text: x, inner: {a: x, b: w}}", "{text: x, inner: {a: x}}",
			"{text: x, inner: {a: x}}"},
		{"{text: x, inner: {a: x}}", "{text: x}", "{text: x}"},
		{"{text: x, whole: {a: x, b: w}}", "{text: x, whole: {a: x}}",
			"{text: x, whole: {a: x}}"},
		{"{text: x, whole: {a: x}}", "{text: x}", "{text: x}"},
		{"{text: x, map: {a: x, b: w}}", "{text: x, map: {b: w}}",
			"{text: x, map: {b: w}}"},
		{"{text: x, map: {a: x}}", "{text: x}", "{text: x}"},
		{"{text: x, map: {a: x}}", "{text: x, map: {}}", "{text: x, map: {}}"},
		{"{text: x, inner: {a: x}}", "{text: x, inner: {}}", "{text: x, inner: {}}"},
		{"{text: x, maps: {a: {b: c, d: e}}}", "{text: x, maps: {a: {b: c}}}",
			"{text: x, maps: {a: {b: c}}}"},
		{"{text: x, maps: {a: {b: c}, d: {e: f}}}", "{text: x, maps: {d: {e: f}}}",
			"{text: x, maps: {d: {e: f}}}"},
		{"{text: x, plain: [a, b]}", "{text: x, plain: [b]}", "{text: x, plain: [b]}"},
		{"{text: x, set: [a, b]}", "{text: x, set: [b]}", "{text: x, set: [b]}"},
		{"{text: x, set: [a]}", "{text: x}", "{text: x}"},
		{"{text: x, items: [{name: a, value: v}, {name: b}]}",
			"{text: x, items: [{name: b}]}", "{text: x, items: [{name: b}]}"},
		{"{text: x, items: [{name: a, value: v}]}", "{text: x, items: [{name: a}]}",
			"{text: x, items: [{name: a}]}"},
		{"{text: x, items: [{name: a, deep: {x: 1, z: 2}}]}",
			"{text: x, items: [{name: a, deep: {z: 2}}]}",
			"{text: x, items: [{name: a, deep: {z: 2}}]}"},
		{"{text: x, ports: [{port: 80}, {port: 80, protocol: UDP}]}",
			"{text: x, ports: [{port: 80, protocol: UDP}]}",
			"{text: x, ports: [{port: 80, protocol: UDP}]}"},
		{"{text: x, any: {a: {b: 1, c: [2]}}}", "{text: x, any: {a: {b: 1}}}",
			"{text: x, any: {a: {b: 1}}}"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test *t = *state;

		t->live = NULL;
		apply(t, "one", cases[i].first);
		apply(t, "one", cases[i].then);
		spec_is(t, cases[i].left);
	}
}

static void what_others_own_stays(void **state)
{
	struct test *t = *state;

	apply(t, "one", "{count: 1, text: x, map: {a: x, b: w}, items: [{name: m, value: v}]}");
	apply(t, "two", "{count: 1, map: {a: x}, items: [{name: m}]}");
	apply(t, "one", "{text: x}");
	spec_is(t, "{count: 1, text: x, map: {a: x}, items: [{name: m}]}");
	apply(t, "two", "{}");
	spec_is(t, "{text: x}");
}

static void what_updates_own_stays(void **state)
{
	struct test *t = *state;

	apply(t, "one", "{text: x, inner: {a: v}, map: {k: v}, items: [{name: m, value: v}]}");
	update(t, "two",
		"{text: x, inner: {a: v, b: w}, map: {k: v, l: w}, "
		"items: [{name: m, value: w, deep: {x: 1}}]}");
	/* An item goes with whoever says that it is there, whatever others have put into it. */
	apply(t, "one", "{text: x}");
	spec_is(t, "{text: x, inner: {b: w}, map: {l: w}}");
}

static void what_nobody_owns_stays(void **state)
{
	struct test *t = *state;

	apply(t, "one", "{count: 1, text: x}");
	/* The server's own doing. */
	json_path_set(&t->arena, t->live, "spec.inner", read_yaml(t, "{a: w}"));
	apply(t, "one", "{count: 1}");
	spec_is(t, "{count: 1, inner: {a: w}}");
}

static void removed_by_update_is_nobodys(void **state)
{
	struct test *t = *state;

	apply(t, "one", "{count: 1, text: x, inner: {a: b}}");
	update(t, "two", "{text: x}");
	owns(t, "one", "{\"f:text\":{}}");
	owns(t, "two update", NULL);
	apply(t, "one", "{count: 1, text: x, inner: {a: b}}"); /* and may come back */
	spec_is(t, "{count: 1, text: x, inner: {a: b}}");
}

/* ---- merging ---- */

static void lists_keep_order(void **state)
{
	static const struct {
		const char *live, *config, *merged;
	} cases[] = {
		{"[]", "[a, b]", "[a, b]"},
		{"[a, b]", "[c]", "[a, b, c]"},
		{"[a, b, c]", "[c, a]", "[b, c, a]"},
		{"[a, b, c]", "[b, d]", "[a, b, c, d]"},
		{"[a, x, b]", "[m, b, a]", "[x, m, b, a]"},
		{"[a, b, x]", "[m, b, a]", "[m, b, x, a]"},
		{"[x, a, w, b, z]", "[b, a]", "[x, w, b, z, a]"},
		{"[a, a, b]", "[b]", "[a, a, b]"},
		{"[a, a, b]", "[a]", "[a, b]"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test *t = *state;
		struct json *spec = json_new_object(&t->arena), *wanted;

		t->live = NULL;
		update(t, "u", arena_printf(&t->arena, "{set: %s}", cases[i].live));
		force(t, "one", arena_printf(&t->arena, "{set: %s}", cases[i].config));
		wanted = read_yaml(t, cases[i].merged);
		json_set(&t->arena, spec, "set", wanted);
		assert_string_equal(json_text(&t->arena, json_path(t->live, "spec.set")),
			json_text(&t->arena, wanted));
	}
}

static void items_are_merged_by_keys(void **state)
{
	struct test *t = *state;

	update(t, "u",
		"{items: [{name: a, value: v, deep: {x: 1}}, {name: b}], ports: [{port: 80, "
		"protocol: TCP, name: p}]}");
	force(t, "one", "{items: [{name: c}, {name: a, deep: {z: 2}}], ports: [{port: 80}]}");
	spec_is(t, "{items: [{name: c}, {name: a, value: v, deep: {x: 1, z: 2}}, {name: b}], "
		   "ports: [{port: 80, protocol: TCP, name: p}]}");
}

static void applying_again_changes_nothing(void **state)
{
	struct test *t = *state;
	static const char spec[] = "{count: 1, inner: {a: x}, set: [b, a], items: [{name: m, deep: "
				   "{x: 1}}], ports: [{port: 80}], any: {u: [1]}}";
	const char *before;

	apply(t, "one", spec);
	before = json_text(&t->arena, t->live);
	apply(t, "one", spec);
	assert_string_equal(json_text(&t->arena, t->live), before);
}

/* ---- what does not fit ---- */

static void configurations_are_checked(void **state)
{
	struct test *t = *state;

	misfit(t, "{nonsense: 1}", ".spec.nonsense: field not declared in schema");
	misfit(t, "{count: x}", ".spec.count: expected numeric (int or float), got string");
	misfit(t, "{text: 1}",
		".spec.text: expected string, got &value.valueUnstructured{Value:1}");
	misfit(t, "{inner: x}", ".spec.inner: expected map, got x");
	misfit(t, "{plain: {a: 1}}", ".spec.plain: expected list, got map[a:1]");
	misfit(t, "{set: [a, a]}", ".spec.set: duplicate entries for key [=\"a\"]");
	misfit(t, "{set: [{}]}",
		".spec.set: element 0: associative list without keys has an element that's a map "
		"type");
	misfit(t, "{items: [{name: m}, {name: m}]}",
		".spec.items: duplicate entries for key [name=\"m\"]");
	misfit(t, "{items: [{value: v}]}",
		".spec.items: element 0: associative list with keys has an element that omits key "
		"field \"name\" (and doesn't have default value)");
	misfit(t, "{ports: [{port: 80}, {port: 80, protocol: TCP}]}",
		".spec.ports: duplicate entries for key [port=80,protocol=\"TCP\"]");
	misfit(t, "{items: [{name: m, deep: {q: 1}}]}",
		".spec.items[name=\"m\"].deep.q: field not declared in schema");
	misfit(t, "{count: x, text: 1}",
		"errors:\n  .spec.count: expected numeric (int or float), got string\n"
		"  .spec.text: expected string, got &value.valueUnstructured{Value:1}");
}

static void live_objects_may_have_duplicates(void **state)
{
	struct test *t = *state;

	update(t, "u", "{items: [{name: m, value: a}, {name: m, value: b}]}");
	owns(t, "u update", "{\"f:items\":{\".\":{},\"k:{\\\"name\\\":\\\"m\\\"}\":{}}}");
	update(t, "v", "{items: [{name: m, value: a}, {name: m, value: c}]}");
	owns(t, "v update", "{\"f:items\":{\"k:{\\\"name\\\":\\\"m\\\"}\":{}}}");
	update(t, "w", "{items: [{name: m, value: a}]}");
	owns(t, "w update",
		"{\"f:items\":{\"k:{\\\"name\\\":\\\"m\\\"}\":{\".\":{},\"f:name\":{},\"f:value\":{"
		"}}}}");
	owns(t, "v update", NULL);
}

/* ---- entries ---- */

static void one_entry_a_manager(void **state)
{
	struct test *t = *state;
	const char *time;

	update(t, "u", "{count: 1}");
	update(t, "u", "{count: 1, text: x}");
	owns(t, "u update", "{\"f:count\":{},\"f:text\":{}}");
	assert_int_equal(json_count(json_path(t->live, "metadata.managedFields")), 1);
	time = json_str(json_get(entry(t, "u", "Update"), "time"));
	update(t, "u", "{count: 1, text: x}"); /* nothing new, and not the time either */
	assert_string_equal(json_str(json_get(entry(t, "u", "Update"), "time")), time);
	update(t, "u", "{count: 2, text: x}");
	assert_string_not_equal(json_str(json_get(entry(t, "u", "Update"), "time")), time);
	write_as(t, "u", "status", thing(t, "{count: 3, text: x}"));
	assert_int_equal(json_count(json_path(t->live, "metadata.managedFields")), 2);
	apply(t, "u", "{count: 3}");
	assert_int_equal(json_count(json_path(t->live, "metadata.managedFields")), 3);
	/* Appliers first. */
	assert_string_equal(json_path_str(t->live, "metadata.managedFields[0].operation"), "Apply");
	update(t, "", "{count: 4, text: x}");
	owns(t, "unknown update", "{\"f:count\":{}}");
}

static void old_updaters_become_one(void **state)
{
	struct test *t = *state;
	struct json *spec = json_new_object(&t->arena), *map;

	map = json_object_at(&t->arena, spec, "map");
	for (int i = 0; i < 14; i++) {
		json_set_str(&t->arena, map, arena_printf(&t->arena, "k%02d", i), "v");
		update(t, arena_printf(&t->arena, "m%02d", i), json_text(&t->arena, spec));
	}
	assert_int_equal(json_count(json_path(t->live, "metadata.managedFields")), 10);
	owns(t, "ancient-changes update",
		"{\"f:map\":{\".\":{},\"f:k00\":{},\"f:k01\":{},\"f:k02\":{},\"f:k03\":{},\"f:"
		"k04\":"
		"{}}}");
	assert_string_equal(json_str(json_get(entry(t, "ancient-changes", "Update"), "time")),
		"2026-01-01T00:00:04Z");
	owns(t, "m00 update", NULL);
	owns(t, "m05 update", "{\"f:map\":{\"f:k05\":{}}}");
	owns(t, "m13 update", "{\"f:map\":{\"f:k13\":{}}}");
}

static void clients_may_write_entries(void **state)
{
	struct test *t = *state;
	struct json *doc;

	apply(t, "one", "{count: 1, text: x}");
	/* An empty list is no wish: clients that don't know the field send it. */
	doc = thing(t, "{count: 1, text: x}");
	json_path_set(&t->arena, doc, "metadata.managedFields", json_new_array(&t->arena));
	write_as(t, "u", "", doc);
	owns(t, "one", "{\"f:count\":{},\"f:text\":{}}");
	/* A list of an empty entry begins anew. */
	doc = thing(t, "{count: 1, text: x}");
	json_path_set(&t->arena, doc, "metadata.managedFields", read_yaml(t, "[{}]"));
	write_as(t, "u", "", doc);
	assert_null(json_path(t->live, "metadata.managedFields"));
	/* Entries that can be read count, in order; the writer's own change is added. */
	doc = thing(t, "{count: 2, text: x}");
	json_path_set(&t->arena, doc, "metadata.managedFields",
		read_yaml(t,
			"[{manager: m, operation: Apply, apiVersion: example.org/v1, fieldsType: "
			"FieldsV1, fieldsV1: {'f:spec': {'f:text': {'.': {}}, 'f:count': {}}}}]"));
	write_as(t, "u", "", doc);
	owns(t, "m", "{\"f:text\":{}}");
	owns(t, "u update", "{\"f:count\":{}}");
	/* Others are passed over. */
	static const char *const bad[] = {"[{manager: m, operation: Nonsense}]",
		"[{manager: m, operation: Apply, apiVersion: example.org/v1, fieldsType: X}]",
		"[{manager: m, operation: Apply, fieldsType: FieldsV1}]",
		"[{manager: m, operation: Apply, apiVersion: example.org/v1, fieldsType: FieldsV1, "
		"fieldsV1: {x: {}}}]"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		doc = thing(t, "{count: 2, text: x}");
		json_path_set(&t->arena, doc, "metadata.managedFields", read_yaml(t, bad[i]));
		write_as(t, "u", "", doc);
		owns(t, "m", "{\"f:text\":{}}");
	}
	/* Through a subresource they can't be changed. */
	doc = thing(t, "{count: 2, text: x}");
	json_path_set(&t->arena, doc, "metadata.managedFields", read_yaml(t, "[{}]"));
	write_as(t, "u", "status", doc);
	owns(t, "m", "{\"f:text\":{}}");
}

static void entries_of_versions_that_are_gone_go(void **state)
{
	struct test *t = *state;
	struct json *doc = thing(t, "{count: 1, text: x}");

	json_path_set(&t->arena, doc, "metadata.managedFields",
		read_yaml(t, "[{manager: m, operation: Update, apiVersion: example.org/v1alpha1, "
			     "fieldsType: FieldsV1, fieldsV1: {'f:spec': {'f:text': {}}}}]"));
	write_as(t, "u", "", doc);
	owns(t, "m update", NULL);
	owns(t, "u update", "{\"f:count\":{},\"f:text\":{}}");
}

static void too_many_entries_are_passed_over(void **state)
{
	struct test *t = *state;
	struct json *doc = thing(t, "{count: 1}"), *list = json_new_array(&t->arena);

	for (int i = 0; i < 300; i++)
		json_push(&t->arena, list,
			read_yaml(t, arena_printf(&t->arena,
					     "{manager: m%d, operation: Apply, apiVersion: "
					     "example.org/v1, fieldsType: FieldsV1, fieldsV1: "
					     "{'f:spec': {'f:count': {}}}}",
					     i)));
	json_path_set(&t->arena, doc, "metadata.managedFields", list);
	write_as(t, "u", "", doc);
	assert_int_equal(json_count(json_path(t->live, "metadata.managedFields")), 1);
	owns(t, "u update", "{\"f:count\":{}}");
}

static void same_document_but_times(void **state)
{
	struct test *t = *state;
	struct json *x, *y;

	update(t, "u", "{count: 1}");
	x = json_copy(&t->arena, t->live);
	y = json_copy(&t->arena, t->live);
	assert_true(managed_fields_same_document(x, y));
	json_path_set(&t->arena, json_path(y, "metadata.managedFields[0]"), "time",
		json_new_string(&t->arena, "2027-01-01T00:00:00Z"));
	assert_true(managed_fields_same_document(x, y));
	json_path_set(&t->arena, y, "spec.count", json_new_int(&t->arena, 2));
	assert_false(managed_fields_same_document(x, y));
	y = json_copy(&t->arena, x);
	json_remove(json_get(y, "metadata"), "managedFields");
	assert_false(managed_fields_same_document(x, y));
}

/* ---- client-side apply ---- */

#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

static void csa(struct test *t, const char *spec)
{
	struct json *doc = thing(t, spec), *last = thing(t, spec);

	json_path_set(&t->arena, last, "metadata.annotations", json_new_object(&t->arena));
	json_set(&t->arena, json_object_at(&t->arena, json_get(doc, "metadata"), "annotations"),
		LAST_APPLIED, json_new_string(&t->arena, json_text(&t->arena, last)));
	write_as(t, "kubectl-client-side-apply", "", doc);
}

static void kubectl_takes_over_what_client_side_apply_set(void **state)
{
	struct test *t = *state;
	struct json *last;

	csa(t, "{count: 1, text: x}");
	conflict(t, "other", "{count: 2, text: x}",
		"Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using "
		"example.org/v1: .spec.count");
	apply(t, "kubectl", "{count: 2, text: x}");
	spec_is(t, "{count: 2, text: x}");
	owns(t, "kubectl", "{\"f:count\":{},\"f:text\":{}}");
	/* The annotation goes with it. */
	last = read_yaml(
		t, json_str(json_get(json_path(t->live, "metadata.annotations"), LAST_APPLIED)));
	assert_int_equal(json_path_int(last, "spec.count", 0), 2);
	/* What somebody else has set since is theirs. */
	t->live = NULL;
	csa(t, "{count: 1, text: x}");
	last = json_copy(&t->arena, t->live);
	json_path_set(&t->arena, last, "spec.count", json_new_int(&t->arena, 3));
	write_as(t, "scaler", "", last);
	conflict(t, "kubectl", "{count: 2, text: w}",
		"Apply failed with 1 conflict: conflict with \"scaler\" using example.org/v1: "
		".spec.count");
}

static void managers_of_user_agents(void **state)
{
	struct test *t = *state;
	char big[400];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_string_equal(manager_of_user_agent(&t->arena, "kubectl/v1.33 (linux)"), "kubectl");
	assert_string_equal(manager_of_user_agent(&t->arena, "curl"), "curl");
	assert_string_equal(manager_of_user_agent(&t->arena, NULL), "");
	assert_string_equal(manager_of_user_agent(&t->arena, "a\tb\x7f"), "ab");
	assert_string_equal(manager_of_user_agent(&t->arena, "bad\xff"), "");
	assert_int_equal(strlen(manager_of_user_agent(&t->arena, big)), 128);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(creation_owns_leaves_and_structures),
		TEST(configuration_owns_leaves_and_items),
		TEST(empty_and_null),
		TEST(metadata_names_are_never_owned),
		TEST(values_of_others_conflict),
		TEST(updates_take_fields_over),
		TEST(several_conflicts_are_listed),
		TEST(the_first_of_many_conflicts_are_told),
		TEST(atomic_values_conflict_as_a_whole),
		TEST(what_is_not_applied_any_more_goes),
		TEST(what_others_own_stays),
		TEST(what_updates_own_stays),
		TEST(what_nobody_owns_stays),
		TEST(removed_by_update_is_nobodys),
		TEST(lists_keep_order),
		TEST(items_are_merged_by_keys),
		TEST(applying_again_changes_nothing),
		TEST(configurations_are_checked),
		TEST(live_objects_may_have_duplicates),
		TEST(one_entry_a_manager),
		TEST(old_updaters_become_one),
		TEST(clients_may_write_entries),
		TEST(entries_of_versions_that_are_gone_go),
		TEST(too_many_entries_are_passed_over),
		TEST(same_document_but_times),
		TEST(kubectl_takes_over_what_client_side_apply_set),
		TEST(managers_of_user_agents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
