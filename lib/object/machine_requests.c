#include "lib/object/machine_requests.h"

#include "lib/object/quantity.h"

#define AMOUNT_MAX (INT64_C(1) << 48)

static int64_t bounded(int64_t n)
{
	return MIN(MAX(n, INT64_C(0)), AMOUNT_MAX);
}

static int64_t vcpus_of(const struct json *cpu)
{
	static const char *const factors[] = {"cores", "sockets", "threads"};
	int64_t vcpus = 1;

	for (size_t n = 0; n < ARRAY_LEN(factors); n++) {
		int64_t f = json_int_or(json_get(cpu, factors[n]), 1);
		vcpus *= f > 0 && f < 1024 ? f : 1;
	}
	return vcpus;
}

int64_t machine_request_cpu_milli(const struct json *spec)
{
	const struct json *cpu = json_path(spec, "domain.cpu");
	const struct json *asked = json_path(spec, "domain.resources.requests.cpu");
	int64_t vcpus = vcpus_of(cpu), milli;

	if (json_path_bool(cpu, "dedicatedCpuPlacement", false))
		return 1000 * (vcpus + json_path_bool(cpu, "isolateEmulatorThread", false));
	if (!asked && !cpu)
		asked = json_path(spec, "domain.resources.limits.cpu");
	milli = bounded(quantity_json_milli(asked, 0));
	return milli ? milli : vcpus * 100;
}

int64_t machine_guest_bytes(const struct json *spec)
{
	const struct json *requested = json_path(spec, "domain.resources.requests.memory");
	const struct json *guest = json_path(spec, "domain.memory.guest");
	int64_t bytes;

	if (!requested && guest)
		return bounded(quantity_json_value(guest, MACHINE_GUEST_DEFAULT_BYTES));
	if (!requested)
		requested = json_path(spec, "domain.resources.limits.memory");
	bytes = bounded(quantity_json_value(requested, 0));
	return bytes ? bytes : MACHINE_GUEST_DEFAULT_BYTES;
}

int64_t machine_request_memory_bytes(const struct json *spec)
{
	bool pages = json_path_str(spec, "domain.memory.hugepages.pageSize");

	return (pages ? 0 : machine_guest_bytes(spec)) + MACHINE_OVERHEAD_BYTES;
}
