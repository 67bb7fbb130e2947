/* What instancetypes and preferences make of a template, what is a conflict, and what labels of
 * volumes say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/instancetype/instancetype.h"

static struct json *parse(struct arena *a, const char *text)
{
	struct json *doc = NULL;
	struct err err = ERR_INIT;
	if (yaml_parse(a, text, strlen(text), NULL, &doc, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	return doc;
}

static void assert_json(struct arena *a, const struct json *have, const char *want)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	if (json_equal(have, parse(a, want)))
		return;
	json_write(&b, have);
	fail_msg("want %s, have %.*s", want, (int)b.size, b.data);
}

static const struct json *apply(struct arena *a, const char *size, const char *preference,
	const char *template, struct json **ret)
{
	*ret = parse(a, template);
	return instancetype_apply(a, size ? parse(a, size) : NULL,
		preference ? parse(a, preference) : NULL, *ret, "spec.template.spec");
}

#define SIZE(more) "{spec: {cpu: {guest: 4" more "}, memory: {guest: 2Gi}}}"

static void test_topology(void **state)
{
	static const struct {
		const char *preference, *cpu;
	} all[] = {
		{NULL, "{cores: 1, sockets: 4, threads: 1}"},
		{"{spec: {cpu: {preferredCPUTopology: preferCores}}}",
			"{cores: 4, sockets: 1, threads: 1}"},
		{"{spec: {cpu: {preferredCPUTopology: threads}}}",
			"{cores: 1, sockets: 1, threads: 4}"},
		{"{spec: {cpu: {preferredCPUTopology: any}}}",
			"{cores: 1, sockets: 4, threads: 1}"},
		{"{spec: {cpu: {preferredCPUTopology: spread}}}",
			"{cores: 2, sockets: 2, threads: 1}"},
		{"{spec: {cpu: {preferredCPUTopology: spread, spreadOptions: {across: "
		 "CoresThreads}}}}",
			"{cores: 2, sockets: 1, threads: 2}"},
		{"{spec: {cpu: {preferredCPUTopology: spread, spreadOptions: {across: "
		 "SocketsCoresThreads}}}}",
			"{cores: 2, sockets: 1, threads: 2}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		struct json *t;
		assert_null(apply(&a, SIZE(""), all[i].preference, "{spec: {}}", &t));
		assert_json(&a, json_path(t, "spec.domain.cpu"), all[i].cpu);
		assert_json(&a, json_path(t, "spec.domain.memory"), "{guest: 2Gi}");
	}
}

static void test_size(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *t;
	assert_null(apply(&a,
		"{spec: {cpu: {guest: 1, model: host-model, dedicatedCPUPlacement: true}, memory: "
		"{guest: 1Gi, overcommitPercent: 50, hugepages: {pageSize: 2Mi}}, nodeSelector: "
		"{disk: ssd}, ioThreadsPolicy: auto, annotations: {a: b}}}",
		NULL, "{metadata: {annotations: {c: d}}, spec: {domain: {devices: {}}}}", &t));
	assert_json(&a, t,
		"{metadata: {annotations: {c: d, a: b}}, spec: {domain: {devices: {}, cpu: {model: "
		"host-model, dedicatedCpuPlacement: true, cores: 1, sockets: 1, threads: 1}, "
		"memory: {guest: 1Gi, hugepages: {pageSize: 2Mi}}, resources: {requests: {memory: "
		"'536870900'}}, ioThreadsPolicy: auto}, nodeSelector: {disk: ssd}}}");
}

static void test_conflicts(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *t;
	assert_json(&a,
		apply(&a, SIZE(", model: EPYC"), NULL,
			"{metadata: {}, spec: {domain: {cpu: {cores: 2, model: Haswell, threads: "
			"0}, memory: {guest: 1Gi}, resources: {requests: {memory: 1Gi}, limits: "
			"{cpu: 1}}}}}",
			&t),
		"[spec.template.spec.domain.resources.limits.cpu, "
		"spec.template.spec.domain.cpu.cores, spec.template.spec.domain.cpu.model, "
		"spec.template.spec.domain.resources.requests.memory, "
		"spec.template.spec.domain.memory.guest]");
}

static void test_preference(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *t;
	assert_null(apply(&a, NULL,
		"{spec: {devices: {preferredDiskBus: virtio, preferredCdromBus: sata, "
		"preferredDiskDedicatedIoThread: true, preferredInterfaceModel: virtio, "
		"preferredInterfaceMasquerade: {}, preferredRng: {}, "
		"preferredAutoattachInputDevice: "
		"false, preferredInputBus: usb}, machine: {preferredMachineType: pc}, firmware: "
		"{preferredUseEfi: true, preferredUseSecureBoot: true}, features: {preferredSmm: "
		"{}, "
		"preferredHyperv: {relaxed: {}, vapic: {}}}, clock: {preferredClockOffset: {utc: "
		"{}}, preferredTimer: {hpet: {present: false}}}, preferredSubdomain: web, "
		"preferredTerminationGracePeriodSeconds: 60, cpu: {preferredCPUFeatures: [{name: "
		"aes}, {name: vmx, policy: require}]}, annotations: {x: y}}}",
		"{spec: {terminationGracePeriodSeconds: 5, networks: [{name: net, pod: {}}, {name: "
		"m, "
		"multus: {networkName: m}}], domain: {cpu: {features: [{name: vmx, policy: "
		"forbid}]}, features: {hyperv: {vapic: {enabled: false}}}, devices: {disks: "
		"[{name: "
		"a}, {name: b, disk: {bus: sata}}, {name: c, cdrom: {}}], interfaces: [{name: "
		"net}, "
		"{name: m, bridge: {}, model: e1000}], inputs: [{type: tablet, name: t}]}}}}",
		&t));
	assert_json(&a, t,
		"{metadata: {annotations: {x: y}}, spec: {terminationGracePeriodSeconds: 5, "
		"networks: "
		"[{name: net, pod: {}}, {name: m, multus: {networkName: m}}], subdomain: web, "
		"domain: "
		"{cpu: {features: [{name: vmx, policy: forbid}, {name: aes}]}, features: {hyperv: "
		"{vapic: {enabled: false}, relaxed: {}}, smm: {}}, devices: {disks: [{name: a, "
		"disk: "
		"{bus: virtio}, dedicatedIOThread: true}, {name: b, disk: {bus: sata}}, {name: c, "
		"cdrom: {bus: sata}}], interfaces: [{name: net, model: virtio, masquerade: {}}, "
		"{name: "
		"m, bridge: {}, model: e1000}], inputs: [{type: tablet, name: t, bus: usb}], rng: "
		"{}, autoattachInputDevice: false}, machine: {type: pc}, firmware: {bootloader: "
		"{efi: {secureBoot: true}}}, clock: {utc: {}, timer: {hpet: {present: false}}}}}}");
}

static void test_requirements(void **state)
{
	static const struct {
		const char *size, *preference, *template, *field, *why;
	} all[] = {
		{SIZE(""), "{spec: {requirements: {cpu: {guest: 4}, memory: {guest: 2Gi}}}}", "{}",
			NULL, NULL},
		{SIZE(""), "{spec: {requirements: {cpu: {guest: 8}}}}", "{}", "spec.instancetype",
			"insufficient CPU resources of 4 vCPU provided by instance type, "
			"preference "
			"requires 8 vCPU"},
		{SIZE(""), "{spec: {requirements: {memory: {guest: 4Gi}}}}", "{}",
			"spec.instancetype",
			"insufficient Memory resources of 2Gi provided by instance type, "
			"preference "
			"requires 4Gi"},
		{NULL, "{spec: {requirements: {cpu: {guest: 2}}}}",
			"{spec: {domain: {cpu: {cores: 2}}}}",
			"spec.template.spec.domain.cpu.sockets",
			"insufficient CPU resources of 1 vCPU provided by VirtualMachine, "
			"preference requires 2 vCPU provided as sockets"},
		{NULL,
			"{spec: {cpu: {preferredCPUTopology: any}, requirements: {cpu: {guest: "
			"2}}}}",
			"{spec: {domain: {cpu: {cores: 2}}}}", NULL, NULL},
		{"{spec: {cpu: {guest: 3}}}", "{spec: {cpu: {preferredCPUTopology: spread}}}", "{}",
			"instancetype.spec.cpu.guest",
			"3 vCPUs provided by the instance type are not divisible by the "
			"Spec.PreferSpreadSocketToCoreRatio or Spec.CPU.PreferSpreadOptions.Ratio "
			"of 2 provided by the preference"},
		{NULL, "{spec: {requirements: {architecture: arm64}}}",
			"{spec: {architecture: amd64}}", "spec.template.spec.architecture",
			"preference requires architecture arm64 but amd64 is being requested"},
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		const char *field = NULL;
		const char *why = preference_check(&a, all[i].size ? parse(&a, all[i].size) : NULL,
			parse(&a, all[i].preference), parse(&a, all[i].template), &field);
		if (!all[i].why) {
			assert_null(why);
			continue;
		}
		assert_non_null(why);
		assert_string_equal(why, all[i].why);
		assert_string_equal(field, all[i].field);
	}
}

/* Objects of the tests: "KIND NAMESPACE/NAME" and the document. */
static const char *const objects[][2] = {
	{"PersistentVolumeClaim ns/disk",
		"{metadata: {labels: {instancetype.kubevirt.io/default-instancetype: small, "
		"instancetype.kubevirt.io/default-instancetype-kind: "
		"VirtualMachineInstancetype}}}"},
	{"PersistentVolumeClaim ns/plain", "{metadata: {}}"},
	{"DataSource images/debian",
		"{metadata: {}, spec: {source: {pvc: {namespace: ns, name: disk}}}}"},
	{"VirtualMachineInstancetype ns/small", "{spec: {cpu: {guest: 1}}}"},
	{"VirtualMachineClusterInstancetype /small", "{spec: {cpu: {guest: 2}}}"},
	{"ControllerRevision ns/vm-small-1", "{data: {spec: {cpu: {guest: 3}}}}"},
};

static const struct json *get(void *user, struct arena *a, const char *group, const char *kind,
	const char *namespace, const char *name)
{
	const char *key = arena_printf(a, "%s %s/%s", kind, namespace, name);
	for (size_t i = 0; i < ARRAY_LEN(objects); i++)
		if (streq(objects[i][0], key))
			return parse(a, objects[i][1]);
	return NULL;
}
static const struct instancetype_source source = {get, NULL};

static void test_find(void **state)
{
	static const struct {
		const char *vm;
		int cpus; /* 0 = refused */
		const char *error;
	} all[] = {
		{"{spec: {instancetype: {name: small}}}", 2, NULL},
		{"{spec: {instancetype: {name: small, kind: virtualmachineinstancetypes}}}", 1,
			NULL},
		{"{spec: {instancetype: {name: small, revisionName: vm-small-1}}}", 3, NULL},
		{"{spec: {instancetype: {name: small}}, status: {instancetypeRef: {name: small, "
		 "kind: "
		 "VirtualMachineClusterInstancetype, controllerRevisionRef: {name: vm-small-1}}}}",
			3, NULL},
		{"{spec: {instancetype: {name: small}}, status: {instancetypeRef: {name: large, "
		 "kind: "
		 "VirtualMachineClusterInstancetype, controllerRevisionRef: {name: vm-small-1}}}}",
			2, NULL},
		{"{spec: {instancetype: {name: none}}}", 0,
			"virtualmachineclusterinstancetypes.instancetype.kubevirt.io \"none\" not "
			"found"},
		{"{spec: {instancetype: {name: small, kind: Pod}}}", 0,
			"got unexpected kind in InstancetypeMatcher: Pod"},
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		const struct json *found;
		const char *revision;
		struct err err = ERR_INIT;
		int r = instancetype_find(&source, &a, parse(&a, all[i].vm), "ns",
			ROLE_INSTANCETYPE, &found, &revision, &err);
		if (all[i].error) {
			assert_true(r < 0);
			assert_string_equal(err.msg, all[i].error);
		} else {
			assert_int_equal(r, 0);
			assert_int_equal(json_path_int(found, "spec.cpu.guest", 0), all[i].cpus);
			assert_int_equal(revision != NULL, all[i].cpus == 3);
		}
	}
}

#define FROM(volume, more)                                                                         \
	"{spec: {instancetype: {inferFromVolume: root" more                                        \
	"}, template: {spec: {domain: {memory: "                                                   \
	"{guest: 1Gi}}, volumes: [{name: root, " volume "}]}}}}"

static void test_infer(void **state)
{
	static const struct {
		const char *vm, *instancetype, *error;
	} all[] = {
		{FROM("persistentVolumeClaim: {claimName: disk}", ""),
			"{name: small, kind: VirtualMachineInstancetype}", NULL},
		{FROM("dataVolume: {name: disk}", ""),
			"{name: small, kind: VirtualMachineInstancetype}", NULL},
		{"{spec: {instancetype: {inferFromVolume: root}, dataVolumeTemplates: [{metadata: "
		 "{name: new}, spec: {sourceRef: {kind: DataSource, name: debian, namespace: "
		 "images}}}], template: {spec: {volumes: [{name: root, dataVolume: {name: "
		 "new}}]}}}}",
			"{name: small, kind: VirtualMachineInstancetype}", NULL},
		{FROM("persistentVolumeClaim: {claimName: plain}", ""), NULL,
			"unable to find required instancetype.kubevirt.io/default-instancetype "
			"label on the volume"},
		{FROM("persistentVolumeClaim: {claimName: plain}",
			 ", inferFromVolumeFailurePolicy: Ignore"),
			NULL, NULL},
		{FROM("containerDisk: {image: x}", ""), NULL,
			"unable to infer defaults from volume root as type is not supported"},
		{FROM("persistentVolumeClaim: {claimName: none}",
			 ", inferFromVolumeFailurePolicy: Ignore"),
			NULL, "persistentvolumeclaims \"none\" not found"},
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		struct json *vm = parse(&a, all[i].vm);
		struct err err = ERR_INIT;
		int r = instancetype_infer(&source, &a, vm, "ns", ROLE_INSTANCETYPE, &err);
		if (all[i].error) {
			assert_true(r < 0);
			assert_string_equal(err.msg, all[i].error);
			continue;
		}
		assert_int_equal(r, 0);
		if (all[i].instancetype)
			assert_json(&a, json_path(vm, "spec.instancetype"), all[i].instancetype);
		else
			assert_null(json_path(vm, "spec.instancetype"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_topology),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_conflicts),
		cmocka_unit_test(test_preference),
		cmocka_unit_test(test_requirements),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_infer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
