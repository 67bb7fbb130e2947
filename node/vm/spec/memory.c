#include "node/vm/spec/spec_internal.h"

#include "lib/object/machine_requests.h"
#include "lib/object/quantity.h"

#define MEMORY_MIN_BYTES (INT64_C(4) << 20)
#define MEMORY_MAX_BYTES (INT64_C(64) << 40)
/* Under this a guest has no room for the bookkeeping of memory that may come (KubeVirt's bound). */
#define GROWABLE_MIN_BYTES (INT64_C(1) << 30)
#define MEMORY_SLOTS 16
#define STATS_PERIOD_S 10

static int read_huge_pages(const struct json *domain, struct vm_spec *s, struct err *err)
{
	static const char at[] = "spec.domain.memory.hugepages.pageSize";
	const struct json *pages = json_path(domain, "memory.hugepages");

	if (!json_is(pages, JSON_OBJECT))
		return 0;
	s->memory.page_bytes = quantity_json_value(json_get(pages, "pageSize"), 0);
	if (s->memory.page_bytes < 4096 || s->memory.page_bytes > MEMORY_MAX_BYTES ||
		(s->memory.page_bytes & (s->memory.page_bytes - 1)))
		return err_set(err, -EINVAL, "%s: '%s' is not a size of pages, such as 2Mi or 1Gi",
			at, json_str_or(json_get(pages, "pageSize"), ""));
	if (s->memory_bytes % s->memory.page_bytes)
		return err_set(err, -EINVAL,
			"%s: the guest's memory of %lld bytes is not a multiple of the page size "
			"%lld",
			at, (long long)s->memory_bytes, (long long)s->memory.page_bytes);
	return 0;
}

/* Swapping by annotation: KubeVirt has no word for it. */
static int read_swap(const struct json *vmi, struct vm_spec *s, struct err *err)
{
	const struct json *v =
		json_get(json_path(vmi, "metadata.annotations"), MACHINE_SWAP_ANNOTATION);
	int r;

	s->memory.swap_bytes = -1;
	if (!v)
		return 0;
	r = machine_swap_read(v, &s->memory.swap_bytes, err);
	return r < 0 ? err_context(err, r, "metadata.annotations[" MACHINE_SWAP_ANNOTATION "]") : 0;
}

int spec_read_memory(const struct json *vmi, struct vm_spec *s, struct err *err)
{
	static const char *const paths[] = {
		"memory.guest", "resources.requests.memory", "resources.limits.memory"};
	const struct json *domain = json_path(vmi, "spec.domain");
	const struct json *annotations = json_path(vmi, "metadata.annotations");
	struct vm_memory *m = &s->memory;
	const char *lock;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(paths) && !s->memory_bytes; i++)
		s->memory_bytes = quantity_json_value(json_path(domain, paths[i]), 0);
	if (!s->memory_bytes)
		return err_set(err, -EINVAL,
			"spec.domain.memory.guest: Required value: how much memory "
			"shall the guest have?");
	if (s->memory_bytes < MEMORY_MIN_BYTES || s->memory_bytes > MEMORY_MAX_BYTES)
		return err_set(err, -EINVAL,
			"spec.domain.memory.guest: %lld bytes: must be between 4Mi "
			"and 64Ti",
			(long long)s->memory_bytes);
	m->max_bytes = quantity_json_value(json_path(domain, "memory.maxGuest"), 0);
	if (m->max_bytes && (m->max_bytes < s->memory_bytes || m->max_bytes > MEMORY_MAX_BYTES))
		return err_set(err, -EINVAL,
			"spec.domain.memory.maxGuest: must be at least spec.domain.memory.guest, "
			"and at most 64Ti");
	m->request_bytes = quantity_json_value(json_path(domain, "resources.requests.memory"), 0);
	m->limit_bytes = quantity_json_value(json_path(domain, "resources.limits.memory"), 0);
	if (m->request_bytes < 0 || m->limit_bytes < 0)
		return err_set(err, -EINVAL, "spec.domain.resources: memory must not be negative");
	if (m->limit_bytes && m->limit_bytes < s->memory_bytes)
		return err_set(err, -EINVAL,
			"spec.domain.memory.guest '%lld' must be equal to or less than the memory "
			"limit spec.domain.resources.limits.memory '%lld'",
			(long long)s->memory_bytes, (long long)m->limit_bytes);
	m->overhead_bytes =
		quantity_json_value(json_path(domain, "memory.reservedOverhead.addedOverhead"), 0);
	if (m->overhead_bytes < 0 || m->overhead_bytes > MEMORY_MAX_BYTES)
		return err_set(err, -EINVAL,
			"spec.domain.memory.reservedOverhead.addedOverhead: out of range");
	lock = json_path_str(domain, "memory.reservedOverhead.memLock");
	if (lock && *lock && !streq(lock, "Required") && !streq(lock, "NotRequired"))
		return err_set(err, -EINVAL,
			"spec.domain.memory.reservedOverhead.memLock: '%s' is not Required or "
			"NotRequired",
			lock);
	m->locked = streq(lock, "Required") || s->cpu_tuning.realtime;
	r = read_huge_pages(domain, s, err);
	if (r < 0 || (r = read_swap(vmi, s, err)) < 0)
		return r;
	/* The host can't take such pages back (KubeVirt's rule). */
	m->stats_period_s = STATS_PERIOD_S;
	m->free_page_reporting =
		!m->page_bytes && !m->locked && !s->cpu_tuning.dedicated &&
		!streq(json_str(json_get(annotations, "kubevirt.io/free-page-reporting-disabled")),
			"true");
	return 0;
}

static bool can_grow(const struct vm_spec *s)
{
	return s->memory.max_bytes > s->memory_bytes && s->memory_bytes >= GROWABLE_MIN_BYTES;
}

/* A small guest has room for more from the start, which its balloon holds until it is given. */
static int64_t most_by_balloon(const struct vm_spec *s)
{
	bool may = s->devices.balloon && !s->memory.page_bytes && !s->memory.locked &&
		   s->memory_bytes < GROWABLE_MIN_BYTES;

	return may ? MAX(s->memory.max_bytes, s->memory_bytes) : s->memory_bytes;
}

bool spec_needs_numa_cell(const struct vm_spec *s)
{
	return can_grow(s);
}

/* Of code that is translated for an emulated guest. QEMU's own default of a gigabyte would dwarf
 * the guest; what does not hold the programs of its boot is emptied and filled over and over
 * (Debian with 320 MiB: 86 s of processor time with 32 MiB, 58 s without an end). */
int64_t spec_tcg_cache_bytes(const struct vm_spec *s)
{
	int64_t mib = ((s->memory_bytes >> 20) - 64) / 2;

	return MIN(MAX(mib, 32), 256) << 20;
}

/* What QEMU may take in all when the guest's memory has a limit: the limit is meant for the guest,
 * and a guest that reaches it must not be killed. */
static int64_t hard_limit(const struct vm_spec *s)
{
	return s->memory.limit_bytes + s->memory.overhead_bytes + MACHINE_OVERHEAD_BYTES +
	       (INT64_C(256) << 20) + spec_tcg_cache_bytes(s) + s->memory_bytes / 512;
}

static void write_memtune(struct xml *x, const struct vm_spec *s)
{
	const struct vm_memory *m = &s->memory;
	long long hard = hard_limit(s) >> 10;

	if (m->limit_bytes || m->swap_bytes >= 0) {
		if (!m->limit_bytes)
			hard += s->memory_bytes >> 10;
		xml_add(x, "  <memtune>\n    <hard_limit unit='KiB'>%lld</hard_limit>\n", hard);
		if (m->swap_bytes >= 0)
			xml_add(x, "    <swap_hard_limit unit='KiB'>%lld</swap_hard_limit>\n",
				hard + (m->swap_bytes >> 10));
		xml_add(x, "  </memtune>\n");
	}
}

void xml_write_memory(struct xml *x, const struct vm_spec *s, const struct domain_host *host)
{
	const struct vm_memory *m = &s->memory;
	long long kib = (s->memory_bytes + 1023) / 1024;
	long long most = (most_by_balloon(s) + 1023) / 1024;

	if (can_grow(s))
		xml_add(x, "  <maxMemory slots='%lld' unit='KiB'>%lld</maxMemory>\n",
			(long long)MEMORY_SLOTS, (long long)(m->max_bytes + 1023) / 1024);
	xml_add(x,
		"  <memory unit='KiB'>%lld</memory>\n  <currentMemory "
		"unit='KiB'>%lld</currentMemory>\n",
		most, kib);
	if (m->page_bytes || m->locked || s->memory.shared) {
		xml_add(x, "  <memoryBacking>\n");
		if (m->page_bytes)
			xml_add(x,
				"    <hugepages>\n      <page size='%lld' unit='KiB'/>\n"
				"    </hugepages>\n",
				(long long)(m->page_bytes >> 10));
		if (m->locked)
			xml_add(x, "    <nosharepages/>\n    <locked/>\n");
		if (s->memory.shared)
			xml_add(x, "    <source type='memfd'/>\n    <access mode='shared'/>\n");
		xml_add(x, "  </memoryBacking>\n");
	}
	if (host->memory_limits)
		write_memtune(x, s);
}
