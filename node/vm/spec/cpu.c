#include "node/vm/spec/spec_internal.h"

#include <stdlib.h>

#include "lib/object/machine_requests.h"
#include "lib/object/quantity.h"

/* Old enough for every emulator, new enough (x86-64-v2) for today's distributions. */
#define TCG_CPU "Nehalem"
#define PERIOD_US 100000
/* More need an I/O MMU with extended interrupts. */
#define PLUGGED_CPUS_MAX INT64_C(255)

static int read_topology(const struct json *domain, struct vm_spec *s, struct err *err)
{
	const struct json *cpu = json_get(domain, "cpu");
	int64_t sockets = json_path_int(cpu, "sockets", 0), cores = json_path_int(cpu, "cores", 0),
		threads = json_path_int(cpu, "threads", 0),
		max_sockets = json_path_int(cpu, "maxSockets", 0);

	if (!sockets && !cores && !threads) {
		/* No topology: as many sockets as the CPU that was asked for. */
		int64_t milli = quantity_json_milli(json_path(domain, "resources.limits.cpu"), 0);

		if (!milli)
			milli = quantity_json_milli(json_path(domain, "resources.requests.cpu"), 0);
		sockets = milli / 1000 + (milli % 1000 > 0);
	}
	sockets = sockets ? sockets : 1;
	cores = cores ? cores : 1;
	threads = threads ? threads : 1;
	if (sockets < 1 || cores < 1 || threads < 1 || sockets > VM_CPUS_MAX ||
		cores > VM_CPUS_MAX || threads > VM_CPUS_MAX ||
		sockets * cores * threads > VM_CPUS_MAX)
		return err_set(
			err, -EINVAL, "spec.domain.cpu: must make 1 to %d CPUs", VM_CPUS_MAX);
	if (max_sockets && max_sockets < sockets)
		return err_set(err, -EINVAL,
			"spec.domain.cpu.maxSockets: %lld is less than the %lld sockets of "
			"spec.domain.cpu.sockets",
			(long long)max_sockets, (long long)sockets);
	s->sockets = (unsigned)sockets;
	s->cores = (unsigned)cores;
	s->threads = (unsigned)threads;
	/* The server fills maxSockets in by a rule; what no machine has is no more than that. */
	s->cpu_tuning.max_sockets =
		(unsigned)MIN(max_sockets, MAX(sockets, PLUGGED_CPUS_MAX / (cores * threads)));
	return 0;
}

static int read_model(struct arena *a, const struct json *cpu, struct vm_spec *s, struct err *err)
{
	static const char *const policies[] = {
		"force", "require", "optional", "disable", "forbid", NULL};
	const struct json *features = json_get(cpu, "features");
	struct vm_cpu_feature *list = arena_zalloc(a, sizeof(*list) * (json_count(features) + 1));

	s->cpu_model = json_str(json_get(cpu, "model"));
	if (s->cpu_model && !*s->cpu_model)
		s->cpu_model = NULL;
	if (s->cpu_model && !spec_plain_word(s->cpu_model))
		return err_set(err, -EINVAL, "spec.domain.cpu.model: '%s' is not a CPU model",
			s->cpu_model);
	JSON_FOR_EACH_ITEM(it, features) {
		struct vm_cpu_feature *f = &list[s->cpu_feature_count++];

		f->name = json_str_or(json_get(it, "name"), "");
		f->policy = json_str_or(json_get(it, "policy"), "require");
		if (!*f->policy)
			f->policy = "require";
		if (!spec_plain_word(f->name) || !spec_one_of(f->policy, policies))
			return err_set(err, -EINVAL,
				"spec.domain.cpu.features: '%s' with policy '%s' is "
				"not known",
				f->name, f->policy);
	}
	s->cpu_features = list;
	return 0;
}

/* A list of vCPUs as libvirt writes it: "0-3,^1,7". */
static bool cpu_list_ok(const char *p, unsigned count)
{
	do {
		unsigned long first, last;
		char *end;

		if (*p == '^')
			p++;
		if (*p < '0' || *p > '9')
			return false;
		first = last = strtoul(p, &end, 10);
		if (*end == '-') {
			p = end + 1;
			if (*p < '0' || *p > '9')
				return false;
			last = strtoul(p, &end, 10);
		}
		if (first > last || last >= count)
			return false;
		p = end;
	} while (*p++ == ',');
	return p[-1] == '\0';
}

static int read_placement(const struct json *domain, struct vm_spec *s, struct err *err)
{
	const struct json *cpu = json_get(domain, "cpu"), *realtime = json_get(cpu, "realtime");
	struct vm_cpu_tuning *t = &s->cpu_tuning;
	int64_t request = quantity_json_milli(json_path(domain, "resources.requests.cpu"), 0);
	int64_t vcpus = (int64_t)spec_cpu_count(s);

	t->dedicated = json_path_bool(cpu, "dedicatedCpuPlacement", false);
	t->isolate_emulator = json_path_bool(cpu, "isolateEmulatorThread", false);
	t->numa_passthrough = json_is(json_path(cpu, "numa.guestMappingPassthrough"), JSON_OBJECT);
	t->realtime = json_is(realtime, JSON_OBJECT);
	t->limit_milli = quantity_json_milli(json_path(domain, "resources.limits.cpu"), 0);
	t->request_milli = request;
	if (request < 0 || t->limit_milli < 0)
		return err_set(err, -EINVAL, "spec.domain.resources: cpu must not be negative");
	if (t->isolate_emulator && !t->dedicated)
		return err_set(err, -EINVAL,
			"IsolateEmulatorThread should be only set in combination with "
			"DedicatedCPUPlacement");
	if (t->numa_passthrough && !t->dedicated)
		return err_set(err, -EINVAL,
			"spec.domain.cpu.numa.guestMappingPassthrough must be used in combination "
			"with spec.domain.cpu.dedicatedCpuPlacement");
	if (t->numa_passthrough && !json_path(domain, "memory.hugepages"))
		return err_set(err, -EINVAL,
			"spec.domain.cpu.numa.guestMappingPassthrough requires "
			"spec.domain.memory.hugepages");
	if (t->realtime && !t->dedicated)
		return err_set(err, -EINVAL,
			"spec.domain.cpu.realtime must be used in combination with "
			"spec.domain.cpu.dedicatedCpuPlacement");
	if (t->dedicated && ((request && request != vcpus * 1000) ||
				    (t->limit_milli && t->limit_milli != vcpus * 1000)))
		return err_set(err, -EINVAL,
			"spec.domain.resources: with dedicatedCpuPlacement cpu must be %lld, the "
			"number of vCPUs",
			(long long)vcpus);
	t->realtime_mask = json_str(json_get(realtime, "mask"));
	if (t->realtime_mask && !*t->realtime_mask)
		t->realtime_mask = NULL;
	if (t->realtime_mask && !cpu_list_ok(t->realtime_mask, spec_cpu_count(s)))
		return err_set(err, -EINVAL,
			"spec.domain.cpu.realtime.mask: '%s' is not a list of vCPUs such as "
			"0-1,^0",
			t->realtime_mask);
	return 0;
}

int spec_read_cpu(struct arena *a, const struct json *vmi, struct vm_spec *s, struct err *err)
{
	const struct json *domain = json_path(vmi, "spec.domain");
	int r;

	if ((r = read_topology(domain, s, err)) < 0 ||
		(r = read_model(a, json_get(domain, "cpu"), s, err)) < 0 ||
		(r = read_placement(domain, s, err)) < 0)
		return r;
	if (!s->cpu_tuning.request_milli)
		s->cpu_tuning.request_milli = machine_request_cpu_milli(json_get(vmi, "spec"));
	return 0;
}

static bool can_grow(const struct vm_spec *s)
{
	return s->cpu_tuning.max_sockets > s->sockets && !s->cpu_tuning.dedicated;
}

static unsigned max_sockets(const struct vm_spec *s)
{
	return can_grow(s) ? s->cpu_tuning.max_sockets : s->sockets;
}

void xml_write_vcpu(struct xml *x, const struct vm_spec *s)
{
	long long most = (long long)max_sockets(s) * s->cores * s->threads;

	xml_add(x, "  <vcpu placement='static'");
	if (s->placement.shared)
		xml_add(x, " cpuset='%s'", s->placement.shared);
	if (can_grow(s))
		xml_add(x, " current='%lld'", (long long)spec_cpu_count(s));
	xml_add(x, ">%lld</vcpu>\n", most);
	if (s->iothreads)
		xml_add(x, "  <iothreads>%lld</iothreads>\n", (long long)s->iothreads);
}

/* Kubernetes' scales: 1024 shares a CPU on cgroup v1, on v2 their range mapped to 1..10000. */
static long long weight(int64_t milli, bool cgroup2)
{
	int64_t shares = MIN(MAX(milli * 1024 / 1000, 2), 262144);

	return cgroup2 ? 1 + (shares - 2) * 9999 / 262142 : shares;
}

void xml_write_cputune(struct xml *x, const struct vm_spec *s, const struct domain_host *host)
{
	const struct vm_cpu_tuning *t = &s->cpu_tuning;
	const struct vm_placement *p = &s->placement;

	if (!t->request_milli && !t->limit_milli && !p->count)
		return;
	xml_add(x, "  <cputune>\n");
	if (t->request_milli)
		xml_add(x, "    <shares>%lld</shares>\n", weight(t->request_milli, host->cgroup2));
	if (t->limit_milli && !t->dedicated)
		xml_add(x,
			"    <global_period>%lld</global_period>\n"
			"    <global_quota>%lld</global_quota>\n",
			(long long)PERIOD_US, (long long)t->limit_milli * PERIOD_US / 1000);
	for (size_t i = 0; i < p->count; i++)
		xml_add(x, "    <vcpupin vcpu='%lld' cpuset='%lld'/>\n", (long long)i,
			(long long)p->cpus[i]);
	if (p->emulator) {
		xml_add(x, "    <emulatorpin cpuset='%s'/>\n", p->emulator);
		for (unsigned i = 1; i <= s->iothreads; i++)
			xml_add(x, "    <iothreadpin iothread='%lld' cpuset='%s'/>\n", (long long)i,
				p->emulator);
	}
	if (t->realtime && t->realtime_mask)
		xml_add(x, "    <vcpusched vcpus='%s' scheduler='fifo' priority='1'/>\n",
			t->realtime_mask);
	else if (t->realtime)
		xml_add(x, "    <vcpusched vcpus='0-%lld' scheduler='fifo' priority='1'/>\n",
			(long long)spec_cpu_count(s) - 1);
	xml_add(x, "  </cputune>\n");
}

/* The guest's cells in the order in which its CPUs meet them: cell i is that of first[i]. */
static size_t guest_cells(const struct vm_placement *p, unsigned first[VM_CPUS_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < p->count; i++) {
		size_t c = 0;

		while (c < count && p->cells[first[c]] != p->cells[i])
			c++;
		if (c == count)
			first[count++] = (unsigned)i;
	}
	return count;
}

void xml_write_numatune(struct xml *x, const struct vm_spec *s)
{
	const struct vm_placement *p = &s->placement;
	unsigned first[VM_CPUS_MAX];
	size_t count = s->cpu_tuning.numa_passthrough ? guest_cells(p, first) : 0;

	if (!count)
		return;
	xml_add(x, "  <numatune>\n    <memory mode='strict' nodeset='");
	for (size_t c = 0; c < count; c++)
		xml_add(x, c ? ",%lld" : "%lld", (long long)p->cells[first[c]]);
	xml_add(x, "'/>\n");
	for (size_t c = 0; c < count; c++)
		xml_add(x, "    <memnode cellid='%lld' mode='strict' nodeset='%lld'/>\n",
			(long long)c, (long long)p->cells[first[c]]);
	xml_add(x, "  </numatune>\n");
}

/* Whole pages in each cell, what is left over in the first. */
static void write_numa(struct xml *x, const struct vm_spec *s)
{
	const struct vm_placement *p = &s->placement;
	int64_t page = s->memory.page_bytes ? s->memory.page_bytes : 4096;
	unsigned first[VM_CPUS_MAX];
	size_t count = s->cpu_tuning.numa_passthrough ? guest_cells(p, first) : 0;

	if (!count && spec_needs_numa_cell(s))
		xml_add(x,
			"    <numa>\n      <cell id='0' cpus='0-%lld' memory='%lld' unit='KiB'/>\n"
			"    </numa>\n",
			(long long)max_sockets(s) * s->cores * s->threads - 1,
			(long long)(s->memory_bytes + 1023) / 1024);
	if (!count)
		return;
	xml_add(x, "    <numa>\n");
	for (size_t c = 0; c < count; c++) {
		int64_t pages = s->memory_bytes / page, each = pages / (int64_t)count;
		bool any = false;

		if (c == 0)
			each += pages % (int64_t)count;
		xml_add(x, "      <cell id='%lld' cpus='", (long long)c);
		for (size_t i = 0; i < p->count; i++)
			if (p->cells[i] == p->cells[first[c]]) {
				xml_add(x, any ? ",%lld" : "%lld", (long long)i);
				any = true;
			}
		xml_add(x, "' memory='%lld' unit='KiB'/>\n", (long long)each * page / 1024);
	}
	xml_add(x, "    </numa>\n");
}

void xml_write_cpu(struct xml *x, const struct vm_spec *s, const struct domain_host *host)
{
	const char *model = s->cpu_model;
	bool passthrough = streq(model, "host-passthrough") && host->kvm;

	/* Without KVM the best of the host is a plain model that emulation has. */
	if (streq(model, "host-model") || streq(model, "host-passthrough"))
		model = NULL;
	if (passthrough)
		xml_add(x, "  <cpu mode='host-passthrough' check='none'>\n");
	else if (!model && host->kvm)
		xml_add(x, "  <cpu mode='host-model' check='partial'>\n");
	else
		xml_add(x,
			"  <cpu mode='custom' match='exact' check='none'>\n"
			"    <model fallback='allow'>%s</model>\n",
			model ? model : TCG_CPU);
	xml_add(x, "    <topology sockets='%lld' dies='1' cores='%lld' threads='%lld'/>\n",
		(long long)max_sockets(s), (long long)s->cores, (long long)s->threads);
	for (size_t i = 0; i < s->cpu_feature_count; i++)
		xml_add(x, "    <feature policy='%s' name='%s'/>\n", s->cpu_features[i].policy,
			s->cpu_features[i].name);
	write_numa(x, s);
	xml_add(x, "  </cpu>\n");
}
