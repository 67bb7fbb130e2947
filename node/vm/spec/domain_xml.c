#include "node/vm/spec/domain_xml.h"

#include "node/vm/spec/spec_internal.h"

static void write_about(struct xml *x, const struct vm_spec *s, const struct domain_host *host)
{
	xml_add(x, "  <name>%s</name>\n  <uuid>%s</uuid>\n", s->domain_name, s->uuid);
	xml_add(x, "  <title>%s/%s</title>\n", s->namespace, s->name);
	xml_add(x,
		"  <description>VirtualMachineInstance %s in namespace %s, run by hanok on node "
		"%s. "
		"Change it with kubectl: what is changed here does not last.</description>\n",
		s->name, s->namespace, host->node);
	xml_add(x, "  <metadata>\n    <hanok:vmi xmlns:hanok='urn:hanok:vmi:1'>\n");
	xml_add(x,
		"      <hanok:namespace>%s</hanok:namespace>\n      <hanok:name>%s</hanok:name>\n"
		"      <hanok:uid>%s</hanok:uid>\n",
		s->namespace, s->name, s->uid);
	xml_add(x, "    </hanok:vmi>\n  </metadata>\n");
}

static int checked(const struct xml *x, struct err *err)
{
	if (x->bad)
		return err_set(err, -EINVAL,
			"the VMI has control characters where libvirt allows none "
			"(serial, kernelArgs or names)");
	return 0;
}

int domain_xml_write(
	struct buf *out, const struct vm_spec *s, const struct domain_host *host, struct err *err)
{
	struct xml x = {.out = out};

	xml_add(&x, "<domain type='%s'>\n", host->kvm ? "kvm" : "qemu");
	write_about(&x, s, host);
	xml_write_memory(&x, s, host);
	xml_write_vcpu(&x, s);
	xml_write_cputune(&x, s, host);
	xml_write_numatune(&x, s);
	xml_write_firmware(&x, s);
	xml_write_features(&x, s, host);
	xml_write_cpu(&x, s, host);
	xml_write_clock(&x, s);
	xml_add(&x,
		"  <on_poweroff>destroy</on_poweroff>\n  <on_reboot>%s</on_reboot>\n"
		"  <on_crash>%s</on_crash>\n",
		s->reboot_terminates ? "destroy" : "restart", s->devices.on_crash);
	xml_write_devices(&x, s, host);
	xml_add(&x, "</domain>\n");
	return checked(&x, err);
}

int domain_xml_disk(
	struct buf *out, const struct vm_spec *s, const struct vm_disk *d, struct err *err)
{
	struct xml x = {.out = out};

	xml_write_disk(&x, s, d);
	return checked(&x, err);
}

int domain_xml_interface(struct buf *out, const struct vm_spec *s, const struct vm_interface *i,
	const struct domain_host *host, struct err *err)
{
	struct xml x = {.out = out};

	xml_write_interface(&x, s, i, host);
	return checked(&x, err);
}
