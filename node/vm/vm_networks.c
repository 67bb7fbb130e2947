#include "node/vm/vm_networks.h"

#include <stdio.h>

#include "lib/base/log.h"
#include "node/vm/vm_internal.h"

static int attach(struct node_net *net, struct vm_spec *s, struct vm_interface *i, struct err *err)
{
	struct net_attached got;
	const struct net_attachment a = {
		.uid = s->uid,
		.owner = s->domain_name,
		.interface = i->name,
		.namespace = s->namespace,
		.network = i->network,
		.mac = i->mac,
		.hostname = s->hostname,
	};
	int r = net_attach(net, &a, &got, err);

	if (r < 0)
		return err_context(err, r, "interface '%s'", i->name);
	snprintf(i->bridge, sizeof(i->bridge), "%s", got.bridge);
	snprintf(i->tap, sizeof(i->tap), "%s", got.tap);
	snprintf(i->address, sizeof(i->address), "%s", got.address);
	i->mtu = got.mtu;
	return 0;
}

int vm_networks_attach(struct node_net *net, struct vm_spec *s, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->interface_count; i++)
		if (s->interfaces[i].network)
			r = attach(net, s, &s->interfaces[i], err);
	return r;
}

const char *vm_networks_machine(const struct vm_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (!w->object || !*w->domain.name)
		return NULL;
	JSON_FOR_EACH_ITEM(it, json_path(object_doc(w->object, &a), "metadata.ownerReferences"))
		if (streq(json_str(json_get(it, "kind")), "VirtualMachine")) {
			vm_addresses_kept(w->m->addresses);
			return w->domain.name;
		}
	return NULL;
}

void vm_networks_follow(struct vm_worker *w)
{
	struct err err = ERR_INIT;

	if ((w->core.sm.state != VM_RUNNING && w->core.sm.state != VM_SAVED) || w->attached ||
		w->attach_failed || !w->has_spec)
		return;
	w->attached = vm_networks_attach(w->m->node->net, &w->spec, &err) == 0;
	w->attach_failed = !w->attached;
	if (!w->attached && err.code != -EAGAIN)
		log_warn("network of a virtual machine", "vmi", w->core.sm.label, "error", err.msg,
			NULL);
}
