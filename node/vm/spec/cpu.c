#include "node/vm/spec/spec_internal.h"

#include "lib/object/quantity.h"

/* Old enough for every emulator, new enough (x86-64-v2) for today's distributions. */
#define TCG_CPU "Nehalem"

int spec_read_cpu(struct arena *a, const struct json *domain, struct vm_spec *s, struct err *err)
{
	const struct json *cpu = json_get(domain, "cpu"), *features = json_get(cpu, "features");
	static const char *const policies[] = {
		"force", "require", "optional", "disable", "forbid", NULL};
	int64_t sockets = json_path_int(cpu, "sockets", 0), cores = json_path_int(cpu, "cores", 0),
		threads = json_path_int(cpu, "threads", 0);
	struct vm_cpu_feature *list = arena_zalloc(a, sizeof(*list) * (json_count(features) + 1));

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
	s->sockets = (unsigned)sockets;
	s->cores = (unsigned)cores;
	s->threads = (unsigned)threads;
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
		if (!spec_plain_word(f->name) || !spec_one_of(f->policy, policies))
			return err_set(err, -EINVAL,
				"spec.domain.cpu.features: '%s' with policy '%s' is "
				"not known",
				f->name, f->policy);
	}
	s->cpu_features = list;
	return 0;
}

void xml_write_cpu(struct xml *x, const struct vm_spec *s, const struct domain_host *host)
{
	const char *model = s->cpu_model;
	bool passthrough = streq(model, "host-passthrough") && host->kvm;

	/* Neither can be had without KVM: there is no host CPU to pass on. */
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
		(long long)s->sockets, (long long)s->cores, (long long)s->threads);
	for (size_t i = 0; i < s->cpu_feature_count; i++)
		xml_add(x, "    <feature policy='%s' name='%s'/>\n", s->cpu_features[i].policy,
			s->cpu_features[i].name);
	xml_add(x, "  </cpu>\n");
}
