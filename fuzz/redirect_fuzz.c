/* Locations that containers send to probes. What is followed stays on the host. */
#include <stdint.h>
#include <stdlib.h>

#include "node/pod/probe_redirect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *location = arena_memdup(&a, data, size), *path;

	for (int v6 = 0; v6 < 2; v6++) {
		bool tls = false;
		int port = 8080;
		if (!probe_redirect(&a, location, v6 ? "fd00::1" : "10.0.0.1", "/dir/a?b", &tls,
			    &port, &path))
			continue;
		if (*path != '/' || port <= 0 || port > 65535)
			abort();
	}
	return 0;
}
