/* terminal.h - a stream of a virtual machine on this process's standard input and output. */
#pragma once

#include "lib/client/kubeconfig.h"

/* Connects standard input and output with the stream at `path` (sub-protocol plain.kubevirt.io)
 * until the server ends it. With `terminal` set (what the other end is, "the serial console of
 * a/b") a terminal is put into raw mode, and Ctrl-] ends it too. 0, or a negative errno. */
int virt_stdio(const struct kubeconfig *k, const char *path, const char *terminal,
	struct err *err) _must_check_;
