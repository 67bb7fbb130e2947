#include "node/vm/spec/spec_internal.h"

#include <stdio.h>

#include "lib/object/machine_mac.h"
#include "node/net/tap_name.h"

/* Which network it is on. */
static int read_network(const struct json *network, const struct json *interface, const char *field,
	const struct vm_spec *s, struct vm_interface *i, struct err *err)
{
	const struct json *multus = json_get(network, "multus");

	if (json_get(network, "pod"))
		return vm_spec_pod_interface(s) ? err_set(err, -EINVAL,
							  "%s: only one interface can be on the "
							  "pod network",
							  field)
						: 0;
	if (!multus)
		return err_set(err, -EOPNOTSUPP,
			"network '%s': this node agent knows the networks pod and multus", i->name);
	i->network = json_str(json_get(multus, "networkName"));
	if (!i->network || !*i->network || strlen(i->network) > 320 ||
		strspn(i->network, "abcdefghijklmnopqrstuvwxyz0123456789-./") != strlen(i->network))
		return err_set(err, -EINVAL,
			"network '%s': multus.networkName: must be the name of a network "
			"attachment definition, NAME or NAMESPACE/NAME",
			i->name);
	if (json_bool_or(json_get(multus, "default"), false))
		return err_set(err, -EOPNOTSUPP,
			"network '%s': multus.default: no other network can take the pod "
			"network's place on this node",
			i->name);
	if (json_get(interface, "masquerade"))
		return err_set(err, -EINVAL,
			"%s: Masquerade interface only implemented with pod network", field);
	return 0;
}

static int read_interface(const struct json *spec, const struct json *interface, size_t index,
	struct vm_spec *s, struct err *err)
{
	static const char *const models[] = {
		"virtio", "e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139", NULL};
	static const char *const others[] = {
		"sriov", "macvtap", "passt", "passtBinding", "slirp", "binding"};
	struct vm_interface *i = &s->interfaces[s->interface_count];
	const struct json *network;
	const char *mac = json_str(json_get(interface, "macAddress"));
	char field[96];
	uint64_t given;
	int r;

	snprintf(field, sizeof(field), "spec.domain.devices.interfaces[%zu]", index);
	if (streq(json_str(json_get(interface, "state")), "absent"))
		return 0;
	i->name = json_str(json_get(interface, "name"));
	network = i->name ? spec_named(json_get(spec, "networks"), i->name) : NULL;
	if (!network || !spec_device_name(i->name))
		return err_set(err, -EINVAL, "%s: there is no network named '%s'", field,
			i->name ? i->name : "");
	r = read_network(network, interface, field, s, i, err);
	if (r < 0)
		return r;
	for (size_t n = 0; n < ARRAY_LEN(others); n++)
		if (json_get(interface, others[n]))
			return err_set(err, -EOPNOTSUPP,
				"%s.%s is not supported by this node agent; use "
				"bridge or masquerade",
				field, others[n]);
	i->model = json_str_or(json_get(interface, "model"), "virtio");
	if (!spec_one_of(i->model, models))
		return err_set(err, -EINVAL, "%s.model: '%s' is not known", field, i->model);
	i->boot_order = json_int_or(json_get(interface, "bootOrder"), 0);
	if (i->boot_order < 0 || i->boot_order > 999)
		return err_set(err, -EINVAL, "%s.bootOrder: must be between 1 and 999", field);
	if (!mac || !*mac)
		machine_mac_format(machine_mac_of_name(s->domain_name, s->interface_count), i->mac);
	else if (machine_mac_parse(mac, &given) == 0)
		machine_mac_format(given, i->mac);
	else
		return err_set(err, -EINVAL, "%s.macAddress: '%s' is not a unicast MAC address",
			field, mac);
	i->link_down = streq(json_str(json_get(interface, "state")), "down");
	s->interface_count++;
	return 0;
}

const struct vm_interface *vm_spec_pod_interface(const struct vm_spec *s)
{
	for (size_t i = 0; i < s->interface_count; i++)
		if (!s->interfaces[i].network)
			return &s->interfaces[i];
	return NULL;
}

int spec_read_interfaces(const struct json *spec, struct vm_spec *s, struct err *err)
{
	const struct json *interfaces = json_path(spec, "domain.devices.interfaces");
	size_t index = 0;

	if (json_count(interfaces) > VM_INTERFACES_MAX)
		return err_set(err, -EINVAL, "spec.domain.devices.interfaces: at most %d",
			VM_INTERFACES_MAX);
	JSON_FOR_EACH_ITEM(it, interfaces) {
		int r = read_interface(spec, it, index++, s, err);

		if (r < 0)
			return r;
	}
	if (!json_count(interfaces) &&
		json_path_bool(spec, "domain.devices.autoattachPodInterface", true)) {
		struct vm_interface *i = &s->interfaces[s->interface_count++];
		const char *name = json_path_str(spec, "networks[0].name");

		*i = (struct vm_interface){
			.name = spec_device_name(name) ? name : "default", .model = "virtio"};
		machine_mac_format(machine_mac_of_name(s->domain_name, 0), i->mac);
	}
	return 0;
}

void xml_write_interface(struct xml *x, const struct vm_spec *s, const struct vm_interface *n,
	const struct domain_host *host)
{
	char tap[IFNAMSIZ];

	xml_add(x,
		"    <interface type='bridge'>\n      <mac address='%s'/>\n"
		"      <source bridge='%s'/>\n",
		n->mac, *n->bridge ? n->bridge : host->bridge);
	if (n->network)
		net_tap_name_of(s->uid, n->name, tap);
	else
		net_tap_name(s->uid, tap);
	xml_add(x, "      <target dev='%s'/>\n", tap);
	if (n->mtu)
		xml_add(x, "      <mtu size='%lld'/>\n", (long long)n->mtu);
	if (n->link_down)
		xml_add(x, "      <link state='down'/>\n");
	xml_add(x, "      <model type='%s'/>\n",
		streq(n->model, "virtio") ? spec_virtio_model(s) : n->model);
	if (n->queues)
		xml_add(x, "      <driver queues='%lld'/>\n", (long long)n->queues);
	if (n->boot_order)
		xml_add(x, "      <boot order='%lld'/>\n", (long long)n->boot_order);
	xml_add(x, "      <alias name='ua-%s'/>\n    </interface>\n", n->name);
}

void xml_write_interfaces(struct xml *x, const struct vm_spec *s, const struct domain_host *host)
{
	for (size_t i = 0; i < s->interface_count; i++)
		xml_write_interface(x, s, &s->interfaces[i], host);
}
