/* confinement.h - how a running guest's QEMU is shut in, looked up where the kernel shows it: its
 * user, capabilities, seccomp filter, mount namespace, device cgroup, and the label of SELinux or
 * AppArmor. `root` is "" (or a tree of a test). */
#pragma once

#include "lib/base/err.h"
#include "lib/base/util.h"

struct confinement {
	unsigned uid;	 /* that QEMU runs as */
	char label[128]; /* of SELinux or AppArmor; "" = this host has neither */
	bool own_user, no_capabilities, seccomp, own_mounts, device_group;
};

/* By the file in which libvirt keeps the process id of the domain. -ENOENT when it does not run. */
int confinement_read(const char *root, const char *domain, struct confinement *ret,
	struct err *err) _must_check_;
/* All that does not depend on the host's having SELinux or AppArmor. */
bool confinement_whole(const struct confinement *c);
/* "user 64055; no capabilities; ...; not on this host: SELinux or AppArmor". */
void confinement_text(const struct confinement *c, char *ret, size_t room);
