/* Lists as long as a request can have them, of items that differ: what comes twice is found in a
 * time that grows with their length, not with its square. */
#include "server/api/hooks/hooks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

#include "server/api/hooks/hooks_test_util.h"

#define ITEMS 40000
#define CPU_SECONDS_MAX 4 /* pairs would take minutes; a sanitizer's build half a second */

static const struct {
	const char *group, *version, *kind;
	const char *before, *item, *after; /* each %d of the item is its number */
	const char *error;		   /* for the first item once more at the end; NULL: none */
} rows[] = {
	{"", "v1", "Pod", "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"ports\":[",
		"{\"name\":\"p%d\",\"containerPort\":1}", "]}]}", "ports[40000].name"},
	{"", "v1", "Pod", "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"ports\":[",
		"{\"hostPort\":1,\"containerPort\":1,\"hostIP\":\"%d\"}", "]}]}",
		"ports[40000].hostPort"},
	{"", "v1", "Pod",
		"\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"volumeMounts\":[",
		"{\"name\":\"v\",\"mountPath\":\"/%d\"}",
		"]}],\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}", NULL},
	{"", "v1", "Pod",
		"\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}],"
		"\"ephemeralContainers\":[",
		"{\"name\":\"e%d\",\"image\":\"i\"}", "]}", NULL},
	{"", "v1", "Pod",
		"\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}],"
		"\"topologySpreadConstraints\":[",
		"{\"maxSkew\":1,\"topologyKey\":\"k%d\",\"whenUnsatisfiable\":\"DoNotSchedule\"}",
		"]}", NULL},
	{"", "v1", "Node", "\"spec\":{\"taints\":[", "{\"key\":\"k%d\",\"effect\":\"NoSchedule\"}",
		"]}", "taints[40000]"},
	{"", "v1", "Service", "\"spec\":{\"ports\":[", "{\"name\":\"p%d\",\"port\":%d}", "]}",
		NULL},
	{"", "v1", "LimitRange", "\"spec\":{\"limits\":[", "{\"type\":\"a/t%d\"}", "]}",
		"limits[40000].type"},
	{"storage.k8s.io", "v1", "CSINode", "\"spec\":{\"drivers\":[",
		"{\"name\":\"d%d\",\"nodeID\":\"n\"}", "]}", NULL},
	{"certificates.k8s.io", "v1", "CertificateSigningRequest",
		"\"spec\":{\"request\":\"\",\"signerName\":\"a/b\",\"usages\":[", "\"u%d\"", "]}",
		"usages[40000]"},
	{"kubevirt.io", "v1", "VirtualMachineInstance",
		"\"spec\":{\"domain\":{\"devices\":{\"disks\":[",
		"{\"name\":\"d%d\",\"disk\":{},\"bootOrder\":%d}", "]}}}",
		"spec.domain.devices.disks"},
};

static struct kind_registry *kinds;

static void add_item(struct buf *b, const char *item, int number)
{
	for (const char *p = item; *p; p++)
		if (p[0] == '%' && p[1] == 'd') {
			buf_printf(b, "%d", number + 1);
			p++;
		} else {
			buf_add_char(b, *p);
		}
}

static void long_lists(void **state)
{
	for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
		_cleanup_(arena_finish) struct arena a = {0};
		_cleanup_(buf_finish) struct buf text = BUF_INIT;
		const struct kind *k =
			kind_by_name(kinds, rows[r].group, rows[r].version, rows[r].kind);
		assert_non_null(k);
		buf_printf(&text, "{\"apiVersion\":\"%s\",\"kind\":\"%s\",", k->gv, k->kind);
		buf_printf(&text, "\"metadata\":{\"name\":\"x\"},%s", rows[r].before);
		for (int i = 0; i <= ITEMS; i++) {
			if (i)
				buf_add_char(&text, ',');
			add_item(&text, rows[r].item, i % ITEMS);
		}
		buf_printf(&text, "%s}", rows[r].after);
		struct json_limits limits = JSON_LIMITS_DEFAULT;
		limits.size_bytes = 8u << 20;
		struct json *doc;
		assert_int_equal(json_parse(&a, text.data, text.size, &limits, &doc, NULL), 0);
		struct field_errors errors = {.arena = &a};
		struct status st = {0};
		struct hook h = {.arena = &a, .errors = &errors, .st = &st, .part = ""};
		clock_t began = clock();
		const struct kind_hooks *hooks = hooks_find(k);
		if (hooks->set_defaults)
			hooks->set_defaults(&h, doc);
		hooks->validate(&h, doc);
		double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
		if (seconds > CPU_SECONDS_MAX)
			fail_msg("%s of %s: %.1f s", rows[r].item, k->kind, seconds);
		(void)status_invalid(&a, &st, k, "x", &errors);
		const char *told = json_text(&a, st.doc);
		if (rows[r].error && field_error_count(&errors) < 500 &&
			!strstr(told, rows[r].error))
			fail_msg("%s: no %s in %.2000s", k->kind, rows[r].error, told);
	}
}

static int setup(void **state)
{
	struct err err = ERR_INIT;
	kinds = kind_registry_create();
	if (kind_registry_load_builtin(kinds, &err) < 0)
		fail_msg("%s", err.msg);
	return 0;
}

static int teardown(void **state)
{
	kind_registry_destroy(kinds);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(long_lists)};
	return cmocka_run_group_tests(tests, setup, teardown);
}
