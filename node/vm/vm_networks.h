/* vm_networks.h - a machine's interfaces on networks other than that of the pods
 * (NetworkAttachmentDefinitions): known to the node's network before its guest runs, and again to a
 * new agent. */
#pragma once

#include "node/net/net.h"
#include "node/vm/spec/vm_spec.h"

struct vm_worker;

/* Fills in bridge, tap and address of each; again is harmless. Errors as of net_attach. */
int vm_networks_attach(struct node_net *net, struct vm_spec *s, struct err *err) _must_check_;
/* What keeps the address when the instance is gone: its VirtualMachine, as NAMESPACE_NAME; NULL. */
const char *vm_networks_machine(const struct vm_worker *w);
/* With each step: a guest that an earlier agent started is attached again, as soon as the networks
 * are known. */
void vm_networks_follow(struct vm_worker *w);
