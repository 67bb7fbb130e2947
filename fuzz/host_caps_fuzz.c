/* Whatever stands in the place of libvirt's description of the host: refused, or read into lists
 * that end and CPUs that can be chosen from. */
#include "node/vm/host/cpu_pool.h"
#include "node/vm/host/host_caps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count(const char *const *list)
{
	size_t n = 0;

	while (list && list[n] && *list[n] != '\1')
		n++;
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *text = (const char *)data;
	struct host_caps caps = {0};
	struct err err = ERR_INIT;
	int r = host_caps_read(&a, text, size, text, size, &caps, &err);

	if (r < 0 && (r != err.code || !*err.msg || caps.known))
		abort();
	if (r < 0)
		return 0;
	if (count(caps.machines) != count(caps.machine_is))
		abort();
	count(caps.cpu_models);
	count(caps.security);
	count(caps.videos);
	count(caps.hyperv);
	if (caps.cpu_count) {
		_cleanup_(free_p) bool *taken = xcalloc(caps.cpu_count, sizeof(*taken));
		unsigned want = 1 + (unsigned)size % 8, got[8], emulator = 0;

		if (cpu_pool_choose(&caps, taken, want, size & 1, got, &emulator, &err) == 0)
			for (unsigned i = 0; i < want; i++)
				if (got[i] == 0 || got[i] >= caps.cpu_count)
					abort();
	}
	return 0;
}
