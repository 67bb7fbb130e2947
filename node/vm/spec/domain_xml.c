#include "node/vm/spec/domain_xml.h"

#include <stdarg.h>

#include "node/net/tap_name.h"

/* A TCG guest keeps translated code; QEMU's own default of a gigabyte would dwarf the guest. */
#define TCG_CACHE_MIB 32
/* Old enough for every emulator, new enough (x86-64-v2) for today's distributions. */
#define TCG_CPU "Nehalem"

struct xml {
	struct buf *out;
	bool bad; /* some text can't be written in XML 1.0 */
};

static void add_escaped(struct xml *x, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		switch (c) {
		case '<':
			buf_add_str(x->out, "&lt;");
			break;
		case '>':
			buf_add_str(x->out, "&gt;");
			break;
		case '&':
			buf_add_str(x->out, "&amp;");
			break;
		case '\'':
			buf_add_str(x->out, "&apos;");
			break;
		case '"':
			buf_add_str(x->out, "&quot;");
			break;
		case '\t':
		case '\n':
		case '\r': /* as they are, a parser would make blanks of them in attributes */
			buf_printf(x->out, "&#%d;", c);
			break;
		default:
			/* U+FFFE and U+FFFF are no XML characters either. */
			if (c < 0x20 || c == 0x7f ||
				(c == 0xef && (unsigned char)s[1] == 0xbf &&
					(unsigned char)s[2] >= 0xbe))
				x->bad = true;
			buf_add_char(x->out, (char)c);
		}
	}
}

/* printf for XML: %s is escaped; %lld; nothing else. */
static _printf_(2, 3) void emit(struct xml *x, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	while (*fmt) {
		size_t plain = strcspn(fmt, "%");

		buf_add(x->out, fmt, plain);
		fmt += plain;
		if (str_has_prefix(fmt, "%s")) {
			add_escaped(x, va_arg(ap, const char *));
			fmt += 2;
		} else if (str_has_prefix(fmt, "%lld")) {
			buf_printf(x->out, "%lld", va_arg(ap, long long));
			fmt += 4;
		} else if (*fmt) {
			abort(); /* a format that this function does not know */
		}
	}
	va_end(ap);
}

static void write_about(struct xml *x, const struct vm_spec *s, const struct domain_host *host)
{
	emit(x, "  <name>%s</name>\n  <uuid>%s</uuid>\n", s->domain_name, s->uuid);
	emit(x, "  <title>%s/%s</title>\n", s->namespace, s->name);
	emit(x,
		"  <description>VirtualMachineInstance %s in namespace %s, run by hanok on node "
		"%s. "
		"Change it with kubectl: what is changed here does not last.</description>\n",
		s->name, s->namespace, host->node);
	emit(x, "  <metadata>\n    <hanok:vmi xmlns:hanok='urn:hanok:vmi:1'>\n");
	emit(x,
		"      <hanok:namespace>%s</hanok:namespace>\n      <hanok:name>%s</hanok:name>\n"
		"      <hanok:uid>%s</hanok:uid>\n",
		s->namespace, s->name, s->uid);
	emit(x, "    </hanok:vmi>\n  </metadata>\n");
}

static void write_cpu(struct xml *x, const struct vm_spec *s, const struct domain_host *host)
{
	const char *model = s->cpu_model;
	bool passthrough = streq(model, "host-passthrough") && host->kvm;

	/* Neither can be had without KVM: there is no host CPU to pass on. */
	if (streq(model, "host-model") || streq(model, "host-passthrough"))
		model = NULL;
	if (passthrough)
		emit(x, "  <cpu mode='host-passthrough' check='none'>\n");
	else if (!model && host->kvm)
		emit(x, "  <cpu mode='host-model' check='partial'>\n");
	else
		emit(x,
			"  <cpu mode='custom' match='exact' check='none'>\n"
			"    <model fallback='allow'>%s</model>\n",
			model ? model : TCG_CPU);
	emit(x, "    <topology sockets='%lld' dies='1' cores='%lld' threads='%lld'/>\n",
		(long long)s->sockets, (long long)s->cores, (long long)s->threads);
	for (size_t i = 0; i < s->cpu_feature_count; i++)
		emit(x, "    <feature policy='%s' name='%s'/>\n", s->cpu_features[i].policy,
			s->cpu_features[i].name);
	emit(x, "  </cpu>\n");
}

static bool has_boot_order(const struct vm_spec *s)
{
	for (size_t i = 0; i < s->disk_count; i++)
		if (s->disks[i].boot_order)
			return true;
	for (size_t i = 0; i < s->interface_count; i++)
		if (s->interfaces[i].boot_order)
			return true;
	return false;
}

static void write_os(struct xml *x, const struct vm_spec *s)
{
	emit(x, s->efi ? "  <os firmware='efi'>\n" : "  <os>\n");
	emit(x, "    <type arch='x86_64' machine='%s'>hvm</type>\n", s->machine);
	if (s->efi)
		emit(x,
			"    <firmware>\n      <feature enabled='%s' name='enrolled-keys'/>\n"
			"      <feature enabled='%s' name='secure-boot'/>\n    </firmware>\n",
			s->secure_boot ? "yes" : "no", s->secure_boot ? "yes" : "no");
	if (s->kernel_boot.kernel_file)
		emit(x, "    <kernel>%s</kernel>\n", s->kernel_boot.kernel_file);
	if (s->kernel_boot.initrd_file)
		emit(x, "    <initrd>%s</initrd>\n", s->kernel_boot.initrd_file);
	if (s->kernel_boot.kernel_file && s->kernel_boot.args)
		emit(x, "    <cmdline>%s</cmdline>\n", s->kernel_boot.args);
	if (!has_boot_order(s))
		emit(x, "    <boot dev='hd'/>\n    <boot dev='cdrom'/>\n");
	emit(x, "    <smbios mode='sysinfo'/>\n  </os>\n");
}

static void write_features(struct xml *x, const struct vm_spec *s, const struct domain_host *host)
{
	emit(x, "  <features>\n");
	if (s->acpi)
		emit(x, "    <acpi/>\n");
	if (s->apic)
		emit(x, "    <apic/>\n");
	if (s->smm)
		emit(x, "    <smm state='on'/>\n");
	if (!host->kvm)
		emit(x, "    <tcg>\n      <tb-cache unit='MiB'>%lld</tb-cache>\n    </tcg>\n",
			(long long)TCG_CACHE_MIB);
	emit(x, "  </features>\n");
}

static void write_disk(struct xml *x, const struct vm_disk *d)
{
	emit(x, "    <disk type='file' device='%s'>\n      <driver name='qemu' type='%s'",
		d->device, d->format);
	if (d->cache)
		emit(x, " cache='%s'", d->cache);
	if (d->error_policy)
		emit(x, " error_policy='%s'", d->error_policy);
	if (d->io)
		emit(x, " io='%s'", d->io);
	if (!d->readonly)
		emit(x, " discard='unmap'");
	emit(x, "/>\n      <source file='%s'/>\n", d->path);
	if (d->backing_path) {
		/* Given in full, so that nobody guesses a format from what the guest wrote. Many
		 * VMs share the file and nobody writes it: its owner stays. */
		emit(x,
			"      <backingStore type='file'>\n        <format type='%s'/>\n"
			"        <source file='%s'>\n"
			"          <seclabel model='dac' relabel='no'/>\n        </source>\n"
			"        <backingStore/>\n      </backingStore>\n",
			d->backing_format, d->backing_path);
	} else {
		emit(x, "      <backingStore/>\n");
	}
	emit(x, "      <target dev='%s' bus='%s'/>\n", d->target, d->bus);
	if (d->readonly)
		emit(x, "      <readonly/>\n");
	if (d->shareable)
		emit(x, "      <shareable/>\n");
	if (d->serial && *d->serial)
		emit(x, "      <serial>%s</serial>\n", d->serial);
	if (d->boot_order)
		emit(x, "      <boot order='%lld'/>\n", (long long)d->boot_order);
	emit(x, "      <alias name='ua-%s'/>\n    </disk>\n", d->name);
}

static void write_devices(struct xml *x, const struct vm_spec *s, const struct domain_host *host)
{
	emit(x, "  <devices>\n    <emulator>%s</emulator>\n", host->emulator);
	for (size_t i = 0; i < s->disk_count; i++)
		write_disk(x, &s->disks[i]);
	for (size_t i = 0; i < s->interface_count; i++) {
		const struct vm_interface *n = &s->interfaces[i];
		char tap[IFNAMSIZ];

		emit(x,
			"    <interface type='bridge'>\n      <mac address='%s'/>\n"
			"      <source bridge='%s'/>\n",
			n->mac, host->bridge);
		if (i == 0) {
			net_tap_name(s->uid, tap);
			emit(x, "      <target dev='%s'/>\n", tap);
		}
		emit(x, "      <model type='%s'/>\n", n->model);
		if (n->boot_order)
			emit(x, "      <boot order='%lld'/>\n", (long long)n->boot_order);
		emit(x, "      <alias name='ua-%s'/>\n    </interface>\n", n->name);
	}
	if (s->serial_console)
		emit(x, "    <serial type='pty'>\n      <target port='0'/>\n    </serial>\n"
			"    <console type='pty'>\n      <target type='serial' port='0'/>\n"
			"    </console>\n");
	emit(x, "    <channel type='unix'>\n"
		"      <target type='virtio' name='org.qemu.guest_agent.0'/>\n    </channel>\n");
	if (s->tablet)
		emit(x, "    <input type='tablet' bus='%s'/>\n", s->tablet_bus);
	if (s->graphics)
		emit(x, "    <graphics type='vnc'>\n      <listen type='socket'/>\n    "
			"</graphics>\n"
			"    <video>\n      <model type='vga' vram='16384'/>\n    </video>\n");
	else
		emit(x, "    <video>\n      <model type='none'/>\n    </video>\n");
	if (s->watchdog_action)
		emit(x, "    <watchdog model='i6300esb' action='%s'/>\n", s->watchdog_action);
	if (s->balloon)
		emit(x, "    <memballoon model='virtio'>\n      <stats period='10'/>\n"
			"    </memballoon>\n");
	else
		emit(x, "    <memballoon model='none'/>\n");
	if (s->rng)
		emit(x, "    <rng model='virtio'>\n"
			"      <backend model='random'>/dev/urandom</backend>\n    </rng>\n");
	emit(x, "  </devices>\n");
}

int domain_xml_write(
	struct buf *out, const struct vm_spec *s, const struct domain_host *host, struct err *err)
{
	struct xml x = {.out = out};
	long long kib = (s->memory_bytes + 1023) / 1024;

	emit(&x, "<domain type='%s'>\n", host->kvm ? "kvm" : "qemu");
	write_about(&x, s, host);
	emit(&x,
		"  <memory unit='KiB'>%lld</memory>\n  <currentMemory "
		"unit='KiB'>%lld</currentMemory>\n",
		kib, kib);
	emit(&x, "  <vcpu placement='static'>%lld</vcpu>\n",
		(long long)s->sockets * s->cores * s->threads);
	emit(&x, "  <sysinfo type='smbios'>\n    <system>\n"
		 "      <entry name='manufacturer'>hanok</entry>\n"
		 "      <entry name='product'>Virtual machine</entry>\n");
	if (s->system_serial && *s->system_serial)
		emit(&x, "      <entry name='serial'>%s</entry>\n", s->system_serial);
	emit(&x, "      <entry name='uuid'>%s</entry>\n    </system>\n  </sysinfo>\n", s->uuid);
	write_os(&x, s);
	write_features(&x, s, host);
	write_cpu(&x, s, host);
	if (s->timezone && *s->timezone)
		emit(&x, "  <clock offset='timezone' timezone='%s'/>\n", s->timezone);
	else if (s->clock_offset_s)
		emit(&x, "  <clock offset='variable' adjustment='%lld' basis='utc'/>\n",
			(long long)s->clock_offset_s);
	else
		emit(&x, "  <clock offset='utc'/>\n");
	emit(&x,
		"  <on_poweroff>destroy</on_poweroff>\n  <on_reboot>%s</on_reboot>\n"
		"  <on_crash>destroy</on_crash>\n",
		s->reboot_terminates ? "destroy" : "restart");
	write_devices(&x, s, host);
	emit(&x, "</domain>\n");
	if (x.bad)
		return err_set(err, -EINVAL,
			"the VMI has control characters where libvirt allows none "
			"(serial, kernelArgs or names)");
	return 0;
}
