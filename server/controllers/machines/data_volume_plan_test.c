#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "server/controllers/machines/data_volume_plan.h"

static struct arena arena;

static int done(void **state)
{
	arena_finish(&arena);
	return 0;
}

static struct json *parse(const char *text)
{
	struct json *doc;

	assert_int_equal(yaml_parse(&arena, text, strlen(text), NULL, &doc, NULL), 0);
	return doc;
}

static int claim_of(const char *spec, struct json **ret, struct err *err)
{
	struct object dv = {.name = "disk", .namespace = "default", .uid = "u"};
	struct kind kind = {.group = "cdi.kubevirt.io", .version = "v1beta1", .kind = "DataVolume"};

	dv.kind = &kind;
	*err = ERR_INIT;
	return data_volume_claim(&arena, &dv, parse(spec), ret, err);
}

static void a_claim_is_made_of_either_way(void **state)
{
	struct json *claim;
	struct err err;

	assert_int_equal(claim_of("{spec: {source: {blank: {}}, storage: {resources: {requests: "
				  "{storage: 1Gi}}}}}",
				 &claim, &err),
		0);
	assert_string_equal(json_path_str(claim, "spec.accessModes[0]"), "ReadWriteOnce");
	assert_string_equal(json_path_str(claim, "metadata.name"), "disk");
	assert_true(json_path_bool(claim, "metadata.ownerReferences[0].controller", false));
	assert_int_equal(
		claim_of("{spec: {pvc: {accessModes: [ReadWriteMany], dataSource: {name: x}, "
			 "resources: {requests: {storage: 1Gi}}}}}",
			&claim, &err),
		0);
	assert_string_equal(json_path_str(claim, "spec.accessModes[0]"), "ReadWriteMany");
	assert_null(json_path(claim, "spec.dataSource"));
	assert_int_equal(claim_of("{spec: {storage: {}}}", &claim, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "spec.storage.resources.requests.storage"));
	assert_int_equal(claim_of("{spec: {}}", &claim, &err), -EINVAL);
	assert_int_equal(claim_of("{spec: {pvc: {}, storage: {}}}", &claim, &err), -EINVAL);
}

static void phase_is(const char *dv, const char *claim, bool waits, const char *phase)
{
	struct dv_state s;

	assert_true(data_volume_with_claim(&arena, parse(dv), parse(claim), waits, &s));
	assert_string_equal(s.phase, phase);
}

static void phases_go_as_far_as_the_claim_is(void **state)
{
	struct dv_state s;

	phase_is("{metadata: {name: a}}", "{status: {phase: Pending}}", true,
		"WaitForFirstConsumer");
	phase_is("{metadata: {name: a}}", "{status: {phase: Pending}}", false, "Pending");
	phase_is("{metadata: {name: a}, spec: {source: {upload: {}}}}", "{}", true, "Pending");
	phase_is(
		"{metadata: {annotations: {cdi.kubevirt.io/storage.bind.immediate.requested: ''}}}",
		"{}", true, "Pending");
	phase_is("{metadata: {name: a}}",
		"{metadata: {annotations: {volume.kubernetes.io/selected-node: n}}}", true,
		"Pending");
	phase_is("{status: {phase: WaitForFirstConsumer}}", "{status: {phase: Bound}}", true,
		"PVCBound");
	/* From here on it is the agent's. */
	phase_is("{status: {phase: ImportInProgress}}", "{status: {phase: Bound}}", true,
		"ImportInProgress");
	phase_is("{status: {phase: ImportInProgress}}", "{status: {phase: Lost}}", true, "Failed");
	assert_false(data_volume_with_claim(&arena, parse("{status: {phase: Succeeded}}"),
		parse("{status: {phase: Lost}}"), true, &s));
}

static void others_claims_are_left_alone(void **state)
{
	struct dv_state s;

	data_volume_foreign_claim(&arena, parse("{metadata: {name: a}}"), parse("{}"), &s);
	assert_string_equal(s.event, "ErrResourceExists");
	assert_string_equal(
		s.message, "Resource \"a\" already exists and is not managed by DataVolume");
	data_volume_foreign_claim(&arena, parse("{metadata: {name: a}}"),
		parse("{metadata: {annotations: {cdi.kubevirt.io/storage.populatedFor: a}}}"), &s);
	assert_string_equal(s.phase, "Succeeded");
}

static void the_claim_says_what_clients_look_for(void **state)
{
	struct json *patch = json_new_object(&arena);
	const char *notes = "metadata.annotations";

	assert_true(data_volume_claim_notes(&arena,
		parse("{metadata: {name: a}, status: {phase: UploadReady}}"), parse("{}"), patch));
	assert_string_equal(
		json_str(json_get(json_path(patch, notes), "cdi.kubevirt.io/storage.pod.ready")),
		"true");
	patch = json_new_object(&arena);
	assert_true(data_volume_claim_notes(&arena,
		parse("{metadata: {name: a}, status: {phase: Succeeded}}"), parse("{}"), patch));
	assert_string_equal(
		json_str(json_get(json_path(patch, notes), "cdi.kubevirt.io/storage.pod.phase")),
		"Succeeded");
	assert_false(data_volume_claim_notes(&arena,
		parse("{metadata: {name: a}, status: {phase: Succeeded}}"), patch,
		json_new_object(&arena)));
}

static void what_is_left_open_is_the_profiles(void **state)
{
	static const char sets[] = "[{accessModes: [ReadWriteMany], volumeMode: Block}, "
				   "{accessModes: [ReadWriteOnce], volumeMode: Filesystem}]";
	static const struct {
		const char *storage, *mode, *volume;
	} cases[] = {
		{"{}", "ReadWriteMany", "Block"},
		{"{volumeMode: Filesystem}", "ReadWriteOnce", "Filesystem"},
		{"{accessModes: [ReadWriteOnce]}", "ReadWriteOnce", "Filesystem"},
		{"{accessModes: [ReadOnlyMany]}", "ReadOnlyMany", NULL},
		{"{accessModes: [ReadWriteOnce], volumeMode: Block}", "ReadWriteOnce", "Block"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json *doc =
			parse(arena_printf(&arena, "{spec: {storage: %s}}", cases[i].storage));

		data_volume_fit(&arena, doc, parse(sets));
		assert_string_equal(
			json_path_str(doc, "spec.storage.accessModes[0]"), cases[i].mode);
		if (cases[i].volume)
			assert_string_equal(
				json_path_str(doc, "spec.storage.volumeMode"), cases[i].volume);
		else
			assert_null(json_path(doc, "spec.storage.volumeMode"));
	}
	struct json *pvc = parse("{spec: {pvc: {}}}");
	data_volume_fit(&arena, pvc, parse(sets));
	assert_int_equal(json_count(json_path(pvc, "spec.pvc")), 0);
}

/* What virtctl image-upload pvc makes, and what is not asked for. */
static void a_claim_asks_for_an_upload(void **state)
{
	static const char target[] = "cdi.kubevirt.io/storage.upload.target: \"\"";
	static const struct {
		const char *notes, *spec;
		bool wanted;
	} cases[] = {
		{target, "", true},
		{"a: b", "", false},
		{"%s, cdi.kubevirt.io/storage.pod.phase: Running", "", true},
		{"%s, cdi.kubevirt.io/storage.pod.phase: Succeeded", "", false},
		{"%s, cdi.kubevirt.io/storage.populatedFor: plain", "", false},
		{target, ", dataSource: {kind: PersistentVolumeClaim, name: other}", false},
	};
	struct object claim = {.name = "plain", .namespace = "default", .uid = "u"};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *notes =
			str_has_prefix(cases[i].notes, "%s")
				? arena_printf(&arena, "%s%s", target, cases[i].notes + 2)
				: cases[i].notes;
		struct json *doc = parse(arena_printf(&arena,
			"{metadata: {annotations: {%s}}, spec: {accessModes: [ReadOnlyMany, "
			"ReadWriteOnce], resources: {requests: {storage: 1Gi}}%s}}",
			notes, cases[i].spec));
		struct json *dv = data_volume_for_upload(&arena, &claim, doc);

		assert_int_equal(dv != NULL, cases[i].wanted);
		if (!dv)
			continue;
		assert_string_equal(json_path_str(dv, "spec.pvc.accessModes[0]"), "ReadOnlyMany");
		assert_int_equal(json_count(json_path(dv, "spec.pvc.accessModes")), 1);
		assert_true(data_volume_binds_at_once(dv));
		assert_true(data_volume_is_of_claim(dv, &claim));
		assert_false(data_volume_is_of_claim(dv, &(struct object){.uid = "v"}));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_claim_is_made_of_either_way),
		cmocka_unit_test(what_is_left_open_is_the_profiles),
		cmocka_unit_test(a_claim_asks_for_an_upload),
		cmocka_unit_test(phases_go_as_far_as_the_claim_is),
		cmocka_unit_test(others_claims_are_left_alone),
		cmocka_unit_test(the_claim_says_what_clients_look_for),
	};

	return cmocka_run_group_tests(tests, NULL, done);
}
