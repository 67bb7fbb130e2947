#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "lib/base/file.h"
#include "node/vm/host/host_caps.h"
#include "node/vm/host/host_check.h"

static struct arena arena;

static struct host_caps read_caps(const char *name)
{
	struct host_caps caps = {.kvm = streq(name, "kvm"), .libvirt_version = 9000000};
	struct str c, d;
	struct err err = ERR_INIT;

	if (file_load(&arena, arena_printf(&arena, TESTDATA "/%s.caps.xml", name), 1 << 20, &c,
		    &err) < 0 ||
		file_load(&arena, arena_printf(&arena, TESTDATA "/%s.domain.xml", name), 1 << 20,
			&d, &err) < 0 ||
		host_caps_read(&arena, c.p, c.size, d.p, d.size, &caps, &err) < 0)
		fail_msg("%s", err.msg);
	return caps;
}

static void what_libvirt_says(void **state)
{
	struct host_caps tcg = read_caps("tcg"), kvm = read_caps("kvm");

	assert_string_equal(host_caps_machine(&tcg, "q35"), "pc-q35-7.2");
	assert_string_equal(host_caps_machine(&tcg, "pc-i440fx-7.2"), "pc-i440fx-7.2");
	assert_null(host_caps_machine(&tcg, "pc-q35-99"));
	assert_int_equal(tcg.cpu_count, 2);
	assert_true(tcg.efi && tcg.secure_boot && tcg.tpm && tcg.virtiofs && tcg.host_model);
	assert_false(tcg.host_passthrough);
	assert_true(host_caps_has(tcg.cpu_models, "Nehalem"));
	assert_false(host_caps_has(tcg.cpu_models, "EPYC-Rome"));
	assert_true(host_caps_has(tcg.security, "dac"));
	assert_false(host_caps_has(tcg.security, "none"));
	assert_true(host_caps_has(tcg.videos, "bochs"));
	assert_int_equal(tcg.cpus_max, 288);
	assert_true(kvm.host_passthrough && host_caps_has(kvm.cpu_models, "EPYC-Rome"));
	assert_int_equal(kvm.cpu_count, 16);
	assert_int_equal(kvm.cpus[4].id, 8);
	assert_int_equal(kvm.cpus[4].core, kvm.cpus[0].core);
	assert_int_equal(kvm.cpus[15].cell, 1);
	assert_true(host_caps_has(kvm.security, "apparmor"));
}

static void nonsense_is_refused(void **state)
{
	struct host_caps caps = {0};
	struct err err = ERR_INIT;

	assert_int_equal(host_caps_read(&arena, "<a>", 3, "<b/>", 4, &caps, &err), -EINVAL);
	assert_false(caps.known);
	assert_int_equal(host_caps_read(&arena, "<a/>", 4, "<b/>", 4, &caps, &err), 0);
	assert_null(host_caps_machine(&caps, "q35"));
}

static void the_host_refuses_by_name(void **state)
{
	static const struct {
		const char *host, *domain, *message; /* NULL = it can */
	} cases[] = {
		{"tcg", "{}", NULL},
		{"kvm", "{}", NULL},
		{"tcg", "{cpu: {model: host-model}}", NULL},
		{"tcg", "{cpu: {model: host-passthrough}}", "host-passthrough is not available"},
		{"kvm", "{cpu: {model: host-passthrough}}", NULL},
		{"tcg", "{cpu: {model: EPYC-Rome}}", "'EPYC-Rome' is not available on this host"},
		{"kvm", "{cpu: {model: EPYC-Rome}}", NULL},
		{"kvm", "{cpu: {sockets: 300}}", "at most 288"},
		{"tcg", "{machine: {type: pc-q35-99}}", "machine.type: 'pc-q35-99'"},
		{"tcg", "{machine: {type: pc}}", NULL},
		{"tcg", "{firmware: {bootloader: {efi: {}}}, devices: {tpm: {}}}", NULL},
		{"tcg", "{features: {hyperv: {spinlocks: {}}}}", NULL},
		{"tcg", "{features: {hyperv: {relaxed: {}}}}", "hyperv.relaxed is not available"},
		{"kvm", "{features: {hyperv: {relaxed: {}, synictimer: {}}}}", NULL},
		{"tcg", "{features: {hypervPassthrough: {}}}", "needs KVM"},
		{"tcg", "{devices: {video: {type: bochs}}}", NULL},
		{"tcg", "{devices: {autoattachVSOCK: true}}", "vhost-vsock"},
		{"tcg", "{devices: {panicDevices: [{model: isa}]}}", NULL},
		{"tcg", "{devices: {panicDevices: [{model: pvpanic}]}}", "libvirt 9.1"},
	};
	struct host_caps tcg = read_caps("tcg"), kvm = read_caps("kvm");

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *text = arena_printf(&arena,
			"{metadata: {namespace: ns, name: vm, uid: "
			"6b8f3c55-9a2e-4e6a-8f49-0123456789ab}, spec: {domain: %s}}",
			cases[i].domain);
		struct json *doc, *domain;
		struct vm_spec s;
		struct err err = ERR_INIT;

		assert_int_equal(yaml_parse(&arena, text, strlen(text), NULL, &doc, &err), 0);
		domain = json_path(doc, "spec.domain");
		json_path_set(&arena, domain, "memory.guest", json_new_string(&arena, "1Gi"));
		if (vm_spec_read(&arena, doc, &s, &err) < 0)
			fail_msg("%s: %s", cases[i].domain, err.msg);
		int r = host_check(streq(cases[i].host, "kvm") ? &kvm : &tcg, &s, &err);
		if (!cases[i].message != !r ||
			(cases[i].message && !strstr(err.msg, cases[i].message)))
			fail_msg("%s %s gave %d: %s", cases[i].host, cases[i].domain, r, err.msg);
	}
}

static int finish(void **state)
{
	arena_finish(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_libvirt_says),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(the_host_refuses_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, finish);
}
