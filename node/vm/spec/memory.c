#include "node/vm/spec/spec_internal.h"

#include "lib/object/quantity.h"

#define MEMORY_MIN_BYTES (INT64_C(4) << 20)
#define MEMORY_MAX_BYTES (INT64_C(64) << 40)

int spec_read_memory(const struct json *domain, struct vm_spec *s, struct err *err)
{
	static const char *const paths[] = {
		"memory.guest", "resources.requests.memory", "resources.limits.memory"};

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
	return 0;
}

void xml_write_memory(struct xml *x, const struct vm_spec *s)
{
	long long kib = (s->memory_bytes + 1023) / 1024;

	xml_add(x,
		"  <memory unit='KiB'>%lld</memory>\n  <currentMemory "
		"unit='KiB'>%lld</currentMemory>\n",
		kib, kib);
}
