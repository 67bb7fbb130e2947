#include "node/vm/host/host_caps.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/str.h"
#include "node/vm/libvirt/xml_tree.h"

#define CPUS_MAX 4096

/* Lists grow one by one; there are some hundred words at most, read once a connection. */
static void add(struct arena *a, const char ***list, size_t *count, const char *word)
{
	*list = arena_grow(a, *list, *count * sizeof(**list), (*count + 2) * sizeof(**list));
	(*list)[(*count)++] = word;
	(*list)[*count] = NULL;
}

static bool yes(const struct xml_node *n, const char *attribute)
{
	return streq(xml_attr(n, attribute), "yes");
}

/* The <enum name='NAME'> in n. */
static const struct xml_node *enum_named(const struct xml_node *n, const char *name)
{
	for (n = xml_find(n, "enum"); n; n = xml_next(n))
		if (streq(xml_attr(n, "name"), name))
			return n;
	return NULL;
}

static bool enum_has(const struct xml_node *n, const char *name, const char *value)
{
	for (n = xml_find(enum_named(n, name), "value"); n; n = xml_next(n))
		if (streq(n->text, value))
			return true;
	return false;
}

static const char *const *enum_list(struct arena *a, const struct xml_node *n, const char *name)
{
	const char **list = arena_zalloc(a, sizeof(*list));
	size_t count = 0;

	for (n = xml_find(enum_named(n, name), "value"); n; n = xml_next(n))
		add(a, &list, &count, n->text);
	return list;
}

static void read_machines(struct arena *a, const struct xml_node *caps, struct host_caps *ret)
{
	const char **names = arena_zalloc(a, sizeof(*names)), **are = arena_zalloc(a, sizeof(*are));
	size_t count = 0, same = 0;

	for (const struct xml_node *g = xml_find(caps, "guest"); g; g = xml_next(g)) {
		const struct xml_node *arch = xml_find(g, "arch");

		if (!streq(xml_text(xml_find(g, "os_type")), "hvm") ||
			!streq(xml_attr(arch, "name"), "x86_64"))
			continue;
		for (const struct xml_node *m = xml_find(arch, "machine"); m; m = xml_next(m)) {
			const char *is = xml_attr(m, "canonical");

			add(a, &names, &count, m->text);
			add(a, &are, &same, is ? is : m->text);
		}
	}
	ret->machines = names;
	ret->machine_is = are;
}

static unsigned number(const struct xml_node *n, const char *attribute)
{
	const char *text = xml_attr(n, attribute);

	return text ? (unsigned)strtoul(text, NULL, 10) : 0;
}

static void read_cpus(struct arena *a, const struct xml_node *caps, struct host_caps *ret)
{
	const struct xml_node *cell = xml_find(caps, "host/topology/cells/cell");

	ret->cpus = arena_zalloc(a, CPUS_MAX * sizeof(*ret->cpus));
	for (; cell; cell = xml_next(cell))
		for (const struct xml_node *c = xml_find(cell, "cpus/cpu"); c; c = xml_next(c)) {
			if (ret->cpu_count == CPUS_MAX || !xml_attr(c, "socket_id"))
				continue; /* it is offline */
			ret->cpus[ret->cpu_count++] = (struct host_cpu){.id = number(c, "id"),
				.cell = number(cell, "id"),
				.core = number(c, "socket_id") << 16 | number(c, "die_id") << 12 |
					(number(c, "core_id") & 0xfff)};
		}
}

static void read_security(struct arena *a, const struct xml_node *caps, struct host_caps *ret)
{
	const char **list = arena_zalloc(a, sizeof(*list));
	size_t count = 0;

	for (const struct xml_node *m = xml_find(caps, "host/secmodel"); m; m = xml_next(m)) {
		const char *model = xml_text(xml_find(m, "model"));

		if (*model && !streq(model, "none"))
			add(a, &list, &count, model);
	}
	ret->security = list;
}

static void read_models(struct arena *a, const struct xml_node *cpu, struct host_caps *ret)
{
	const char **list = arena_zalloc(a, sizeof(*list));
	size_t count = 0;

	for (const struct xml_node *m = xml_find(cpu, "mode"); m; m = xml_next(m)) {
		const char *name = xml_attr(m, "name");

		if (streq(name, "host-passthrough"))
			ret->host_passthrough = yes(m, "supported");
		else if (streq(name, "host-model"))
			ret->host_model = yes(m, "supported");
		else if (streq(name, "custom") && yes(m, "supported"))
			for (const struct xml_node *c = xml_find(m, "model"); c; c = xml_next(c))
				if (!streq(xml_attr(c, "usable"), "no"))
					add(a, &list, &count, c->text);
	}
	ret->cpu_models = list;
}

int host_caps_read(struct arena *a, const char *capabilities, size_t size, const char *domain,
	size_t domain_size, struct host_caps *ret, struct err *err)
{
	struct xml_node *caps, *dom;
	const struct xml_node *loader, *tpm;
	int r;

	if ((r = xml_tree_parse(a, capabilities, size, &caps, err)) < 0 ||
		(r = xml_tree_parse(a, domain, domain_size, &dom, err)) < 0)
		return r;
	read_machines(a, caps, ret);
	read_cpus(a, caps, ret);
	read_security(a, caps, ret);
	read_models(a, xml_find(dom, "cpu"), ret);
	ret->cpus_max = number(xml_find(dom, "vcpu"), "max");
	loader = xml_find(dom, "os/loader");
	ret->efi = enum_has(xml_find(dom, "os"), "firmware", "efi");
	ret->secure_boot = ret->efi && enum_has(loader, "secure", "yes");
	tpm = xml_find(dom, "devices/tpm");
	ret->tpm = yes(tpm, "supported") && enum_has(tpm, "backendModel", "emulator") &&
		   (!enum_named(tpm, "backendVersion") || enum_has(tpm, "backendVersion", "2.0"));
	ret->videos = enum_list(a, xml_find(dom, "devices/video"), "modelType");
	ret->virtiofs = enum_has(xml_find(dom, "devices/filesystem"), "driverType", "virtiofs");
	if (yes(xml_find(dom, "features/hyperv"), "supported"))
		ret->hyperv = enum_list(a, xml_find(dom, "features/hyperv"), "features");
	ret->sev = yes(xml_find(dom, "features/sev"), "supported")
			   ? ""
			   : "the CPU, the kernel or QEMU has no AMD SEV";
	ret->known = true;
	return 0;
}

static bool exists(const char *root, const char *path)
{
	_cleanup_(free_p) char *whole = xasprintf("%s%s", root, path);

	return access(whole, F_OK) == 0;
}

/* CAP_SYS_RESOURCE is effective. */
static bool may_raise_limits(const char *root)
{
	_cleanup_(free_p) char *path = xasprintf("%s/proc/self/status", root);
	unsigned long long effective = 0;
	char line[256];
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %llx", &effective) == 1)
			break;
	if (f)
		fclose(f);
	return effective >> 24 & 1;
}

void host_caps_probe(struct host_caps *caps, const char *root)
{
	struct rlimit lock = {0};
	_cleanup_(free_p) char *groups = xasprintf("%s/sys/kernel/iommu_groups/0", root);

	caps->cgroup2 = exists(root, "/sys/fs/cgroup/cgroup.controllers");
	/* v2 always has memory.swap.max where the kernel can swap; v1 when it was built and booted
	 * with swap accounting. */
	caps->swap_limit = caps->cgroup2 ? exists(root, "/proc/swaps")
					 : exists(root, "/sys/fs/cgroup/memory/"
							"memory.memsw.limit_in_bytes");
	/* libvirt, of our kind, raises QEMU's limit of locked memory. */
	getrlimit(RLIMIT_MEMLOCK, &lock);
	caps->lock_memory = lock.rlim_max == RLIM_INFINITY || may_raise_limits(root);
	caps->vsock = exists(root, "/dev/vhost-vsock");
	caps->iommu = access(groups, F_OK) == 0;
}

bool host_caps_has(const char *const *list, const char *word)
{
	for (; list && *list; list++)
		if (streq(*list, word))
			return true;
	return false;
}

const char *host_caps_machine(const struct host_caps *caps, const char *type)
{
	for (size_t i = 0; caps->machines && caps->machines[i]; i++)
		if (streq(caps->machines[i], type))
			return caps->machine_is[i];
	return NULL;
}
