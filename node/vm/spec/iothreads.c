#include "node/vm/spec/spec_internal.h"

#define IOTHREADS_MAX 64

/* KubeVirt's rules: "shared" is one thread for all disks, "auto" one for each disk as long as there
 * are no more than two for each vCPU, "supplementalPool" as many as it says; a disk with a
 * dedicated thread has its own in any case. Only virtio disks have such threads. */
int spec_read_iothreads(const struct json *vmi, struct vm_spec *s, struct err *err)
{
	static const char *const policies[] = {"shared", "auto", "supplementalPool", NULL};
	const struct json *domain = json_path(vmi, "spec.domain");
	const char *policy = json_str_or(json_get(domain, "ioThreadsPolicy"), "");
	int64_t pool = json_path_int(domain, "ioThreads.supplementalPoolThreadCount", 0);
	unsigned dedicated = 0, others = 0, next = 0;

	if (*policy && !spec_one_of(policy, policies))
		return err_set(err, -EINVAL,
			"spec.domain.ioThreadsPolicy: Invalid IOThreadsPolicy (%s)", policy);
	if (streq(policy, "supplementalPool") && (pool < 1 || pool > IOTHREADS_MAX))
		return err_set(err, -EINVAL,
			"spec.domain.ioThreads.supplementalPoolThreadCount: must be between 1 and "
			"%d with the policy supplementalPool",
			IOTHREADS_MAX);
	if (!streq(policy, "supplementalPool") && pool)
		return err_set(err, -EINVAL,
			"spec.domain.ioThreads.supplementalPoolThreadCount: needs "
			"spec.domain.ioThreadsPolicy supplementalPool");
	for (size_t i = 0; i < s->disk_count; i++) {
		const struct vm_disk *d = &s->disks[i];

		if (!streq(d->bus, "virtio"))
			continue;
		if (d->dedicated_iothread && !streq(policy, "supplementalPool"))
			dedicated++;
		else
			others++;
	}
	if (!*policy && !dedicated)
		return 0;
	if (streq(policy, "supplementalPool")) {
		others = (unsigned)pool;
	} else if (streq(policy, "auto")) {
		unsigned most = 2 * spec_cpu_count(s);

		if (dedicated + others > most)
			others = most > dedicated ? most - dedicated : MIN(others, 1u);
	} else {
		others = MIN(others, 1u);
	}
	s->iothreads = others + dedicated;
	dedicated = others;
	for (size_t i = 0; i < s->disk_count; i++) {
		struct vm_disk *d = &s->disks[i];

		if (!streq(d->bus, "virtio"))
			continue;
		if (d->dedicated_iothread && !streq(policy, "supplementalPool"))
			d->iothread = ++dedicated;
		else
			d->iothread = 1 + next++ % MAX(others, 1u);
	}
	return 0;
}
