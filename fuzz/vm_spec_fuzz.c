/* A VirtualMachineInstance of any form is refused, or makes XML in which nothing of it can act as
 * markup. */
#include "node/vm/spec/domain_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The text has only the elements and quotes that domain_xml.c writes: '<' begins a name or a close,
 * and what stands between tags has no '<', '>' or bare '&'. */
static void check_markup(const char *xml)
{
	int depth = 0;

	for (const char *p = xml; *p; p++) {
		if (*p == '>' || (unsigned char)*p < 0x20) {
			if (*p != '\n')
				abort();
		} else if (*p == '&') {
			static const char *const known[] = {
				"&lt;", "&gt;", "&amp;", "&apos;", "&quot;", "&#"};
			bool ok = false;

			for (size_t i = 0; i < ARRAY_LEN(known); i++)
				ok |= str_has_prefix(p, known[i]);
			if (!ok)
				abort();
		} else if (*p == '<') {
			bool close = p[1] == '/', quoted = false;

			if (!close && !(p[1] >= 'a' && p[1] <= 'z'))
				abort();
			for (p++; *p && (*p != '>' || quoted); p++) {
				if (*p == '\'')
					quoted = !quoted;
				else if (*p == '<')
					abort();
			}
			if (!*p)
				abort();
			depth += close ? -1 : p[-1] == '/' ? 0 : 1;
			if (depth < 0)
				abort();
		}
	}
	if (depth)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT;
	struct buf xml = BUF_INIT;
	struct json *vmi;
	struct vm_spec s;
	struct vm_layer layers[VM_DISKS_MAX];
	struct err err = ERR_INIT;

	if (json_parse(&a, (const char *)data, size, NULL, &vmi, NULL) == 0) {
		int r = vm_spec_read(&a, vmi, &s, &err);

		if (r < 0 && (r != err.code || !*err.msg))
			abort();
		for (size_t i = 0; r == 0 && i < s.disk_count; i++) {
			s.disks[i].path = s.disks[i].host_path ? s.disks[i].host_path : "/d";
			s.disks[i].format = "qcow2";
			layers[i] =
				(struct vm_layer){.path = s.disks[i].image_path, .format = "raw"};
			s.disks[i].backing = &layers[i];
			s.disks[i].backing_count = s.disks[i].image_path != NULL;
		}
		if (r == 0) {
			s.kernel_boot.kernel_file = s.kernel_boot.kernel_path;
			s.kernel_boot.initrd_file = s.kernel_boot.initrd_path;
			r = domain_xml_write(&xml, &s,
				&(struct domain_host){.kvm = size & 1,
					.cgroup2 = size & 2,
					.memory_limits = size & 4,
					.emulator = "/usr/bin/qemu",
					.bridge = "hanok0",
					.node = "n"},
				&err);
			if (r == 0)
				check_markup(xml.data);
		}
	}
	buf_finish(&xml);
	arena_finish(&a);
	return 0;
}
