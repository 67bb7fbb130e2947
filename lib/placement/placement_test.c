/* The labelled set, the documentation's table, and the weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/placement/advise.h"

static const char *profiles_path, *manual_path;

static void read_file(const char *path, struct buf *out)
{
	char part[4096];
	FILE *f = fopen(path, "r");
	if (!f)
		fail_msg("no %s", path);
	for (size_t n; (n = fread(part, 1, sizeof(part), f)) > 0;)
		buf_add(out, part, n);
	fclose(f);
}

static struct json *parse(struct arena *a, const char *text)
{
	struct json *doc = NULL;
	struct err err = ERR_INIT;
	if (yaml_parse(a, text, strlen(text), NULL, &doc, &err) < 0)
		fail_msg("%s", err.msg);
	return doc;
}

/* A row's spec with the image and the disk that the row does not write. */
static struct json *row_spec(struct arena *a, const struct json *row)
{
	const char *only = json_str_or(json_get(row, "only"), "both");
	struct json *spec = json_get(row, "spec");
	if (streq(only, "both") || streq(only, "image"))
		json_set_str(a, spec, "image", "registry.example/app:1");
	if (streq(only, "both") || streq(only, "disk"))
		json_set(a, spec, "disk",
			parse(a, "{containerDisk: {image: registry.example/vm:1}}"));
	return spec;
}

static void test_labelled_set(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	read_file(profiles_path, &text);
	struct json *rows = parse(&a, text.data);
	struct placement_weights weights = placement_default_weights();
	size_t checked = 0, wrong = 0;
	JSON_FOR_EACH_ITEM(row, rows) {
		if (!json_get(row, "spec"))
			continue;
		const char *name = json_str(json_get(row, "name"));
		struct placement_facts f = placement_facts_of_application(&a, row_spec(&a, row));
		struct placement_decision d = placement_decide(&a, &f, &weights);
		struct json *doc = placement_decision_doc(&a, &d);
		const char *because = json_str_or(json_get(row, "because"), "");
		bool odd = json_bool_or(json_get(row, "odd"), false);
		if (!streq(placement_isolation_name(d.isolation),
			    json_str(json_get(row, "expect"))) ||
			!str_has_prefix(json_str_or(json_at(d.reasons, 0), ""), because) ||
			odd != (json_count(d.contradictions) > 0)) {
			_cleanup_(buf_finish) struct buf table = BUF_INIT;
			placement_print(&table, doc);
			print_error("%s:\n%s\n", name, table.data);
			wrong++;
		}
		checked++;
	}
	assert_int_equal(wrong, 0);
	assert_true(checked >= 40);
}

static bool has_note(const struct json *notes, const char *text)
{
	JSON_FOR_EACH_ITEM(n, notes)
		if (strstr(json_str_or(n, ""), text))
			return true;
	return *text == '\0';
}

/* The adviser on the rows of what runs: where it belongs, whether that is worth a move, and why. */
static void test_labelled_advice(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	read_file(profiles_path, &text);
	struct json *rows = parse(&a, text.data);
	struct placement_weights weights = placement_default_weights();
	size_t checked = 0, wrong = 0;
	JSON_FOR_EACH_ITEM(row, rows) {
		const struct json *running = json_get(row, "running");
		if (!running)
			continue;
		struct placement_advice x = placement_advise(&a, running, &weights);
		bool saves = x.move && x.memory_saved_bytes > 0;
		if (!streq(placement_isolation_name(x.recommended),
			    json_str(json_get(row, "expect"))) ||
			x.move != json_bool_or(json_get(row, "move"), false) ||
			saves != json_bool_or(json_get(row, "saves"), false) ||
			!str_has_prefix(json_str_or(json_at(x.reasons, 0), ""),
				json_str_or(json_get(row, "because"), "")) ||
			!has_note(x.notes, json_str_or(json_get(row, "note"), ""))) {
			print_error("%s: %s\n", json_str(json_get(row, "name")),
				json_text(&a, placement_advice_doc(&a, &x)));
			wrong++;
		}
		checked++;
	}
	assert_int_equal(wrong, 0);
	assert_true(checked >= 25);
}

/* Four replicas of 4 Gi each that use 1 Gi: what a container of the same work would need. */
static void test_saving(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct placement_weights weights = placement_default_weights();
	struct json *w = parse(&a,
		"{kind: VirtualMachine, replicas: 4, annotations: {hanok.io/load: variable}, spec: "
		"{domain: {cpu: {cores: 2}, memory: {guest: 4Gi}}}, usage: {samples: 9, "
		"cpuMeanMilli: 100, cpuPeakMilli: 800, memoryPeakBytes: 1073741824}}");
	struct placement_advice x = placement_advise(&a, w, &weights);
	assert_true(x.move);
	int64_t each = (4096 + 64 - (1280 - 128)) * (INT64_C(1) << 20);
	assert_int_equal(x.memory_saved_bytes, 4 * each);
	assert_int_equal(x.cpu_saved_milli, 4 * (2000 - 1000));
	/* The other way it costs a kernel and an emulator each. */
	w = parse(&a, "{kind: Deployment, replicas: 3, annotations: {hanok.io/criticality: "
		      "mission-critical}, spec: {containers: []}}");
	x = placement_advise(&a, w, &weights);
	assert_int_equal(x.memory_saved_bytes, -3 * (ADVISE_GUEST_BYTES + ADVISE_EMULATOR_BYTES));
}

/* The constraints win over any weights. */
static void test_constraints_first(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *problems, *data = parse(&a, "{criticality: '1000', load: '0', legacy: '0'}");
	struct placement_weights w = placement_weights_of_config(&a, data, &problems);
	assert_null(problems);
	struct json *spec =
		parse(&a, "{image: i, profile: {criticality: mission-critical, load: variable}}");
	struct placement_facts f = placement_facts_of_application(&a, spec);
	struct placement_decision d = placement_decide(&a, &f, &w);
	assert_int_equal(d.preferred, PLACEMENT_VIRTUAL_MACHINE);
	assert_int_equal(d.isolation, PLACEMENT_CONTAINER);
	assert_string_equal(json_str(json_at(d.reasons, 0)),
		"no bootable disk: spec.disk is what a virtual machine boots");
	assert_true(str_has_prefix(json_str(json_at(d.reasons, 1)),
		"profile: by itself it would ask for a VirtualMachine (10"));
	assert_string_equal(
		placement_short_reason(&a, placement_decision_doc(&a, &d)), "no bootable disk");
}

/* A machine's number does not follow the load: the decision says so, last. */
static void test_range_without_effect(void **state)
{
	static const char last[] = "range: maxReplicas 4 has no effect in virtual machines; there "
				   "are as many as minReplicas (1)";
	static const char *const isolations[] = {"strict", "shared"};
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct placement_weights w = placement_default_weights();
	for (size_t i = 0; i < ARRAY_LEN(isolations); i++) {
		struct json *spec = parse(
			&a, arena_printf(&a,
				    "{image: i, disk: {containerDisk: {image: d}}, minReplicas: 1, "
				    "maxReplicas: 4, profile: {isolation: %s}}",
				    isolations[i]));
		struct placement_facts f = placement_facts_of_application(&a, spec);
		struct placement_decision d = placement_decide(&a, &f, &w);
		const char *text = json_str(json_at(d.reasons, json_count(d.reasons) - 1));
		assert_int_equal(d.isolation == PLACEMENT_VIRTUAL_MACHINE, streq(text, last));
		assert_int_equal(d.isolation == PLACEMENT_VIRTUAL_MACHINE, i == 0);
	}
}

static void test_weights_decide(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *problems;
	struct json *spec = parse(&a, "{image: i, disk: {containerDisk: {image: d}}, profile: "
				      "{criticality: mission-critical, load: variable}}");
	struct placement_facts f = placement_facts_of_application(&a, spec);
	struct placement_weights w = placement_default_weights();
	assert_int_equal(placement_decide(&a, &f, &w).isolation, PLACEMENT_VIRTUAL_MACHINE);
	w = placement_weights_of_config(&a, parse(&a, "{load: '90'}"), &problems);
	assert_int_equal(placement_decide(&a, &f, &w).isolation, PLACEMENT_CONTAINER);
	/* With no weights at all the lighter side wins. */
	for (size_t i = 0; i < PLACEMENT_CRITERIA; i++)
		w.of[i] = 0;
	assert_int_equal(placement_decide(&a, &f, &w).isolation, PLACEMENT_CONTAINER);
}

static void test_bad_weights(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	static const char *const bad[] = {"{critcality: '1'}", "{load: many}", "{load: '-1'}",
		"{load: '1001'}", "{load: '1.5'}", "{load: ''}", "{load: 3}",
		"{load: '99999999999999999999'}"};
	struct placement_weights defaults = placement_default_weights();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct json *problems = NULL;
		struct placement_weights w =
			placement_weights_of_config(&a, parse(&a, bad[i]), &problems);
		assert_int_equal(json_count(problems), 1);
		assert_memory_equal(&w, &defaults, sizeof(w));
	}
	/* What is right beside what is wrong counts. */
	struct json *problems = NULL;
	struct placement_weights w = placement_weights_of_config(
		&a, parse(&a, "{load: '7', no-such: '1', legacy: x}"), &problems);
	assert_int_equal(json_count(problems), 2);
	assert_int_equal(w.of[1], 7);
}

static void test_annotations(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *bad;
	struct placement_facts f = placement_facts_of_annotations(&a,
		parse(&a, "{hanok.io/criticality: mission-critical, hanok.io/load: wavy, "
			  "hanok.io/legacy: 'true', hanok.io/data-sensitivity: restricted}"),
		&bad);
	assert_string_equal(f.criticality, "mission-critical");
	assert_string_equal(f.sensitivity, "restricted");
	assert_true(f.legacy);
	assert_string_equal(f.load, "steady");
	assert_string_equal(bad, "hanok.io/load: 'wavy' is none of steady, variable, scheduled");
	placement_facts_of_annotations(&a, NULL, &bad);
	assert_null(bad);
}

/* Each row of the table stands in the manual with the same numbers. */
static void test_manual(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf manual = BUF_INIT;
	read_file(manual_path, &manual);
	for (size_t i = 0; i < PLACEMENT_CRITERIA; i++) {
		const struct placement_criterion_class *c = &placement_criteria[i];
		for (const struct placement_rule *r = c->rules; r->value; r++) {
			char *row = arena_printf(&a, "| %s | %lld | %s | %d | %d | %s |\n", c->name,
				(long long)c->weight, r->value, r->machine, r->container,
				r->reason);
			if (!strstr(manual.data, row))
				fail_msg("the manual lacks: %s", row);
		}
	}
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	profiles_path = argv[1];
	manual_path = argv[2];
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labelled_set),
		cmocka_unit_test(test_labelled_advice),
		cmocka_unit_test(test_saving),
		cmocka_unit_test(test_constraints_first),
		cmocka_unit_test(test_range_without_effect),
		cmocka_unit_test(test_weights_decide),
		cmocka_unit_test(test_bad_weights),
		cmocka_unit_test(test_annotations),
		cmocka_unit_test(test_manual),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
