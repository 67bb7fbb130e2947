/* virt_console.h - the serial console of a virtual machine on this terminal. */
#pragma once

#include "lib/client/kubeconfig.h"

/* Connects standard input and output with the console (sub-protocol plain.kubevirt.io) until the
 * server ends it or, on a terminal, Ctrl-] is typed. 0, or a negative errno. */
int virt_console(const struct kubeconfig *k, const char *namespace, const char *name,
	struct err *err) _must_check_;
