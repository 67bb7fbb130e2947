#include "node/vm/host/confinement.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "node/vm/image/image_files.h"

static bool read_text(const char *root, const char *path, char *ret, size_t room)
{
	_cleanup_(free_p) char *whole = xasprintf("%s%s", root, path);
	ssize_t n = files_read(whole, ret, room);

	return n > 0;
}

/* The number after "NAME:" of /proc/PID/status. */
static unsigned long long field(const char *status, const char *name, int base)
{
	const char *at = strstr(status, name);

	return at ? strtoull(at + strlen(name), NULL, base) : 0;
}

static bool same_mounts(const char *root, unsigned pid)
{
	_cleanup_(free_p) char *theirs = xasprintf("%s/proc/%u/ns/mnt", root, pid);
	_cleanup_(free_p) char *ours = xasprintf("%s/proc/self/ns/mnt", root);
	char a[64] = "", b[64] = "";

	return readlink(theirs, a, sizeof(a) - 1) < 0 || readlink(ours, b, sizeof(b) - 1) < 0 ||
	       streq(a, b);
}

/* On v1 a hierarchy of its own; on v2 a program on the group, which only bpf shows: there the group
 * itself is what can be seen. */
static bool has_device_group(const char *cgroup)
{
	const char *at = strstr(cgroup, "devices");
	const char *line = at ? at : cgroup;
	const char *machine = strstr(line, "qemu");
	const char *end = strchr(line, '\n');

	return machine && (!end || machine < end);
}

int confinement_read(const char *root, const char *domain, struct confinement *ret, struct err *err)
{
	_cleanup_(free_p) char *pid_path = xasprintf("/run/libvirt/qemu/%s.pid", domain);
	char text[8192], path[64];
	struct confinement c = {0};
	unsigned pid;

	if (!read_text(root, pid_path, text, sizeof(text)) || sscanf(text, "%u", &pid) != 1 || !pid)
		return err_set(err, -ENOENT, "the guest's process is not known");
	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	if (!read_text(root, path, text, sizeof(text)))
		return err_set(err, -ENOENT, "the guest's process %u is gone", pid);
	c.uid = (unsigned)field(text, "\nUid:", 10);
	c.own_user = c.uid != 0;
	c.no_capabilities = field(text, "\nCapEff:", 16) == 0;
	c.seccomp = field(text, "\nSeccomp:", 10) == 2;
	c.own_mounts = !same_mounts(root, pid);
	snprintf(path, sizeof(path), "/proc/%u/cgroup", pid);
	c.device_group = read_text(root, path, text, sizeof(text)) && has_device_group(text);
	snprintf(path, sizeof(path), "/proc/%u/attr/current", pid);
	if (read_text(root, path, text, sizeof(text))) {
		text[strcspn(text, "\n")] = '\0';
		if (!streq(text, "unconfined") && !streq(text, "kernel"))
			snprintf(c.label, sizeof(c.label), "%.127s", text);
	}
	*ret = c;
	return 0;
}

bool confinement_whole(const struct confinement *c)
{
	return c->own_user && c->no_capabilities && c->seccomp && c->own_mounts && c->device_group;
}

void confinement_text(const struct confinement *c, char *ret, size_t room)
{
	const struct {
		bool is;
		const char *yes, *no;
	} parts[] = {
		{c->no_capabilities, "no capabilities", "CAPABILITIES"},
		{c->seccomp, "seccomp filter", "NO SECCOMP FILTER"},
		{c->own_mounts, "private mounts and devices", "THE HOST'S MOUNTS"},
		{c->device_group, "control group of devices", "NO CONTROL GROUP OF DEVICES"},
	};
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	buf_printf(&b, c->own_user ? "user %u" : "ROOT (user %u)", c->uid);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		buf_printf(&b, "; %s", parts[i].is ? parts[i].yes : parts[i].no);
	if (*c->label)
		buf_printf(&b, "; label %s", c->label);
	else
		buf_add_str(&b, "; not on this host: SELinux, AppArmor");
	snprintf(ret, room, "%s", b.data);
}
