/* Golden files: testdata/NAME.yaml says what is asked for, testdata/NAME.xml what libvirt is told.
 * HANOK_UPDATE_GOLDEN=1 writes them anew (then look at the difference before committing). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/wait.h>

#include "node/vm/spec/domain_xml.h"

static struct buf read_file(const char *path)
{
	struct buf b = BUF_INIT;
	char room[4096];
	FILE *f = fopen(path, "r");
	size_t n;

	if (!f)
		fail_msg("can't open %s", path);
	while ((n = fread(room, 1, sizeof(room), f)) > 0)
		buf_add(&b, room, n);
	fclose(f);
	return b;
}

/* What vm_files.c would find. */
static void place_files(struct arena *a, struct vm_spec *s)
{
	for (size_t i = 0; i < s->disk_count; i++) {
		struct vm_disk *d = &s->disks[i];

		d->format =
			d->volume == VM_VOLUME_CONTAINER_DISK || d->volume == VM_VOLUME_EMPTY_DISK
				? "qcow2"
				: "raw";
		d->path = d->host_path ? d->host_path
				       : arena_printf(a, "/var/lib/hanok-node/vms/%s/%s.%s", s->uid,
						 d->name, d->format);
		if (d->volume == VM_VOLUME_CLAIM && str_has_prefix(d->claim, "nas-")) {
			static const struct nfs_place place = {.server = "nas.example.com",
				.path = "/srv/vms",
				.uid = 107,
				.gid = 36};

			d->nfs = &place;
			d->nfs_file = "disk.img";
		}
		if (d->volume == VM_VOLUME_CONTAINER_DISK) {
			struct vm_layer *base = arena_zalloc(a, sizeof(*base));

			base->path = arena_printf(
				a, "/var/lib/hanok-node/vms/%s/%s.base", s->uid, d->name);
			base->format = "qcow2";
			d->backing = base;
			d->backing_count = 1;
		}
	}
	if (s->kernel_boot.kernel_path)
		s->kernel_boot.kernel_file = "/var/lib/hanok-node/vms/x/kernel";
	if (s->kernel_boot.initrd_path)
		s->kernel_boot.initrd_file = "/var/lib/hanok-node/vms/x/initrd";
}

/* What vm_host_prepare would find. */
static void place_hardware(struct arena *a, const struct json *doc, struct vm_spec *s)
{
	const struct json *p = json_get(doc, "placement"), *cpus = json_get(p, "cpus");
	unsigned *list = arena_zalloc(a, sizeof(*list) * 64), *cells = list + 32;

	if (s->firmware.efi)
		s->firmware.nvram_file = "/var/lib/hanok-node/vms/x/nvram.fd";
	s->placement.count = json_count(cpus);
	for (size_t i = 0; i < json_count(cpus); i++) {
		list[i] = (unsigned)json_int_or(json_at(cpus, i), 0);
		cells[i] = (unsigned)json_int_or(json_at(json_get(p, "cells"), i), 0);
	}
	s->placement.cpus = list;
	s->placement.cells = cells;
	for (size_t i = 0; i < s->interface_count; i++)
		s->interfaces[i].mtu = (unsigned)json_int_or(json_get(p, "mtu"), 0);
	s->placement.emulator = json_str(json_get(p, "emulator"));
}

static void golden(const char *name)
{
	struct arena a = ARENA_INIT;
	struct json *doc;
	struct vm_spec s;
	struct err err = ERR_INIT;
	struct buf text, want, xml = BUF_INIT;
	char path[512], command[1024];

	snprintf(path, sizeof(path), TESTDATA "/%s.yaml", name);
	text = read_file(path);
	if (yaml_parse(&a, text.data, text.size, NULL, &doc, &err) < 0)
		fail_msg("%s: %s", path, err.msg);
	if (vm_spec_read(&a, json_get(doc, "vmi"), &s, &err) < 0)
		fail_msg("%s: %s", path, err.msg);
	place_files(&a, &s);
	place_hardware(&a, doc, &s);
	assert_int_equal(domain_xml_write(&xml, &s,
				 &(struct domain_host){.kvm = json_path_bool(doc, "kvm", false),
					 .memory_limits = true,
					 .cgroup2 = json_path_bool(doc, "cgroup2", false),
					 .emulator = "/usr/bin/qemu-system-x86_64",
					 .bridge = "hanok0",
					 .node = "node1"},
				 &err),
		0);
	snprintf(path, sizeof(path), TESTDATA "/%s.xml", name);
	if (getenv("HANOK_UPDATE_GOLDEN")) {
		FILE *f = fopen(path, "w");

		assert_non_null(f);
		fwrite(xml.data, 1, xml.size, f);
		fclose(f);
	}
	want = read_file(path);
	assert_string_equal(xml.data, want.data);
	if (!system("command -v virt-xml-validate >/dev/null && command -v xmllint >/dev/null")) {
		snprintf(command, sizeof(command), "virt-xml-validate %s domain >/dev/null", path);
		assert_int_equal(system(command), 0);
	}
	buf_finish(&text);
	buf_finish(&want);
	buf_finish(&xml);
	arena_finish(&a);
}

static void minimal(void **state)
{
	golden("minimal");
}

static void full(void **state)
{
	golden("full");
}

static void kernel(void **state)
{
	golden("kernel");
}

static void windows(void **state)
{
	golden("windows");
}

static void tuned(void **state)
{
	golden("tuned");
}

static void old(void **state)
{
	golden("old");
}

static void nfs(void **state)
{
	golden("nfs");
}

#define META "metadata: {namespace: ns, name: vm, uid: 6b8f3c55-9a2e-4e6a-8f49-0123456789ab}\n"

static int try_spec(const char *spec, struct vm_spec *ret, struct err *err)
{
	static struct arena a;
	struct json *doc;
	char text[4096];

	arena_finish(&a);
	snprintf(text, sizeof(text), META "%s", spec);
	*err = ERR_INIT;
	if (yaml_parse(&a, text, strlen(text), NULL, &doc, err) < 0)
		fail_msg("%s in:\n%s", err->msg, text);
	return vm_spec_read(&a, doc, ret, err);
}

static void refusals_name_the_field(void **state)
{
	static const struct {
		const char *spec;
		int code;
		const char *message;
	} cases[] = {
		{"spec: {domain: {devices: {}}}", -EINVAL, "memory.guest: Required"},
		{"spec: {domain: {memory: {guest: 1Mi}}}", -EINVAL, "between 4Mi"},
		{"spec: {domain: {memory: {guest: 1Gi}, cpu: {cores: 300, sockets: 300}}}", -EINVAL,
			"spec.domain.cpu"},
		{"spec: {domain: {memory: {guest: 1Gi}, cpu: {cores: -1}}}", -EINVAL,
			"spec.domain.cpu"},
		{"spec: {domain: {memory: {guest: 1Gi}, devices: {disks: [{name: a}]}}}", -EINVAL,
			"no volume named 'a'"},
		{"spec: {domain: {memory: {guest: 1Gi}}, volumes: [{name: a, emptyDisk: {}}]}",
			-EINVAL, "capacity: Required"},
		{"spec: {domain: {memory: {guest: 1Gi}}, volumes: [{name: a, downwardMetrics: "
		 "{}}]}",
			-EOPNOTSUPP, "a volume of downwardMetrics is not supported"},
		{"spec: {domain: {memory: {guest: 1Gi}}, volumes: [{name: '../a', emptyDisk: "
		 "{capacity: "
		 "1Gi}}]}",
			-EINVAL, "'../a' is not a name"},
		{"spec: {domain: {memory: {guest: 1Gi}}, volumes: [{name: a, hostDisk: {path: "
		 "/x/../etc/shadow, type: Disk}}]}",
			-EINVAL, "absolute path"},
		{"spec: {domain: {memory: {guest: 1Gi}}, volumes: [{name: a, containerDisk: "
		 "{image: "
		 "'--all'}}]}",
			-EINVAL, "is not an image name"},
		{"spec: {domain: {memory: {guest: 1Gi}, firmware: {uuid: x}}}", -EINVAL,
			"is not a UUID"},
		{"spec: {domain: {memory: {guest: 1Gi}, devices: {interfaces: [{name: a, bridge: "
		 "{}}]}}}",
			-EINVAL, "no network named 'a'"},
		{"spec: {domain: {memory: {guest: 1Gi}, devices: {interfaces: [{name: a, sriov: "
		 "{}}]}}, "
		 "networks: [{name: a, pod: {}}]}",
			-EOPNOTSUPP, "sriov"},
		{"spec: {domain: {memory: {guest: 1Gi}, devices: {interfaces: [{name: a, "
		 "macAddress: "
		 "'01:00:5e:00:00:01'}]}}, networks: [{name: a, pod: {}}]}",
			-EINVAL, "unicast MAC"},
		{"spec: {domain: {memory: {guest: 1Gi}}, architecture: s390x}", -EOPNOTSUPP,
			"s390x"},
	};
	struct vm_spec s;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int r = try_spec(cases[i].spec, &s, &err);

		if (r != cases[i].code || !strstr(err.msg, cases[i].message))
			fail_msg("%s\ngave %d: %s", cases[i].spec, r, err.msg);
	}
}

static void hardware_refusals(void **state)
{
	/* Under spec.domain, beside memory.guest. */
	static const struct {
		const char *domain;
		int code;
		const char *message;
	} cases[] = {
		{"devices: {gpus: [{name: g}]}", -EINVAL, "gpus[0].deviceName: Required"},
		{"devices: {hostDevices: [{name: g, claimName: c}]}", -EOPNOTSUPP,
			"hostDevices[0]: resource claims"},
		{"cpu: {isolateEmulatorThread: true}", -EINVAL, "DedicatedCPUPlacement"},
		{"cpu: {realtime: {}}", -EINVAL, "dedicatedCpuPlacement"},
		{"cpu: {cores: 2, dedicatedCpuPlacement: true, realtime: {mask: 0-2}}", -EINVAL,
			"realtime.mask: '0-2'"},
		{"cpu: {dedicatedCpuPlacement: true, numa: {guestMappingPassthrough: {}}}", -EINVAL,
			"requires spec.domain.memory.hugepages"},
		{"cpu: {cores: 2, dedicatedCpuPlacement: true}, resources: {limits: {cpu: 1}}",
			-EINVAL, "cpu must be 2"},
		{"cpu: {sockets: 4, maxSockets: 2}", -EINVAL, "maxSockets: 2 is less"},
		{"resources: {limits: {memory: 512Mi}}", -EINVAL, "limits.memory '536870912'"},
		{"firmware: {bootloader: {efi: {}, bios: {}}}", -EINVAL, "mutually exclusive"},
		{"firmware: {bootloader: {efi: {}}}, features: {smm: {enabled: false}}", -EINVAL,
			"requires SMM"},
		{"firmware: {bootloader: {efi: {}}}, machine: {type: pc}", -EINVAL, "q35 machine"},
		{"firmware: {acpi: {slicNameRef: ../a}}", -EINVAL, "slicNameRef: '../a'"},
		{"features: {hyperv: {vendorid: {vendorid: much-too-long-a-name}}}", -EINVAL,
			"1 to 12 characters"},
		{"features: {hyperv: {synic: {}, vpindex: {enabled: false}}}", -EINVAL,
			"synic needs vpindex"},
		{"features: {hyperv: {synic: {}}, hypervPassthrough: {}}", -EINVAL,
			"at the same time"},
		{"clock: {utc: {}, timezone: UTC}", -EINVAL, "only one of utc and timezone"},
		{"clock: {timer: {pit: {tickPolicy: merge}}}", -EINVAL, "pit.tickPolicy: 'merge'"},
		{"ioThreadsPolicy: many", -EINVAL, "Invalid IOThreadsPolicy (many)"},
		{"ioThreadsPolicy: supplementalPool", -EINVAL, "supplementalPoolThreadCount"},
		{"devices: {video: {type: glass}}", -EINVAL, "video.type: 'glass'"},
		{"devices: {sound: {name: s, model: loud}}", -EINVAL, "sound.model: 'loud'"},
		{"devices: {watchdog: {name: w, diag288: {}}}", -EOPNOTSUPP, "only i6300esb"},
		{"devices: {inputs: [{name: i, type: mouse, bus: usb}]}", -EINVAL,
			"inputs[0].type: 'mouse'"},
		{"devices: {panicDevices: [{model: fear}]}", -EINVAL, "model: 'fear'"},
		{"devices: {clientPassthrough: {}}", -EOPNOTSUPP, "clientPassthrough"},
		{"launchSecurity: {sev: {}}", -EOPNOTSUPP, "launchSecurity"},
	};
	struct vm_spec s;
	struct err err;
	char text[1024];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof(text), "spec: {domain: {memory: {guest: 1Gi}, %s}}",
			cases[i].domain);
		int r = try_spec(text, &s, &err);

		if (r != cases[i].code || !strstr(err.msg, cases[i].message))
			fail_msg("%s\ngave %d: %s", text, r, err.msg);
	}
}

static void disk_refusals(void **state)
{
	static const struct {
		const char *disk, *message;
	} cases[] = {
		{"blockSize: {custom: {logical: 100, physical: 512}}", "powers of 2"},
		{"blockSize: {custom: {logical: 4096, physical: 512}}", "Logical size 4096"},
		{"blockSize: {custom: {logical: 512, physical: 512}, matchVolume: {}}",
			"can't be enabled together"},
		{"lun: {reservation: true}", "lun.reservation"},
		{"cdrom: {tray: ajar}", "tray: 'ajar'"},
	};
	struct vm_spec s;
	struct err err;
	char text[1024];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof(text),
			"spec: {domain: {memory: {guest: 1Gi}, devices: {disks: [{name: a, %s}]}}, "
			"volumes: [{name: a, emptyDisk: {capacity: 1Gi}}]}",
			cases[i].disk);
		if (try_spec(text, &s, &err) == 0 || !strstr(err.msg, cases[i].message))
			fail_msg("%s\ngave: %s", text, err.msg);
	}
}

static void pull_policies(void **state)
{
	static const struct {
		const char *image, *want;
	} cases[] = {
		{"a", "Always"},
		{"a:latest", "Always"},
		{"host:5000/a", "Always"},
		{"host:5000/a:1", "IfNotPresent"},
		{"a@sha256:0123", "IfNotPresent"},
	};
	char text[512];
	struct vm_spec s;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof(text),
			"spec: {domain: {memory: {guest: 1Gi}}, volumes: [{name: a, containerDisk: "
			"{image: "
			"'%s'}}]}",
			cases[i].image);
		if (try_spec(text, &s, &err) < 0)
			fail_msg("%s", err.msg);
		assert_string_equal(s.disks[0].image.pull_policy, cases[i].want);
		assert_string_equal(s.disks[0].target, "vda"); /* a volume without a disk */
	}
}

static void control_characters_never_reach_xml(void **state)
{
	struct vm_spec s;
	struct err err;
	struct buf out = BUF_INIT;

	assert_int_equal(
		try_spec("spec: {domain: {memory: {guest: 1Gi}, firmware: {serial: \"a\\x01b\"}}}",
			&s, &err),
		0);
	assert_int_equal(
		domain_xml_write(&out, &s,
			&(struct domain_host){.emulator = "q", .bridge = "b", .node = "n"}, &err),
		-EINVAL);
	buf_finish(&out);
}

static void addresses_stay(void **state)
{
	struct vm_spec s, again;
	struct err err;

	assert_int_equal(try_spec("spec: {domain: {memory: {guest: 1Gi}}}", &s, &err), 0);
	assert_int_equal(s.interface_count, 1);
	assert_memory_equal(s.interfaces[0].mac, "02:", 3);
	assert_string_equal(s.hostname, "vm");
	assert_int_equal(s.grace_s, 30);
	assert_int_equal(try_spec("spec: {domain: {memory: {guest: 2Gi}}}", &again, &err), 0);
	assert_string_equal(s.interfaces[0].mac, again.interfaces[0].mac);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(minimal),
		cmocka_unit_test(full),
		cmocka_unit_test(kernel),
		cmocka_unit_test(windows),
		cmocka_unit_test(tuned),
		cmocka_unit_test(old),
		cmocka_unit_test(nfs),
		cmocka_unit_test(refusals_name_the_field),
		cmocka_unit_test(hardware_refusals),
		cmocka_unit_test(disk_refusals),
		cmocka_unit_test(pull_policies),
		cmocka_unit_test(control_characters_never_reach_xml),
		cmocka_unit_test(addresses_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
