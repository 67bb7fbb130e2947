/* Lines of /proc/self/mountinfo: whoever mounts, or names directories, writes parts of them. */
#include "node/volume/mountinfo.h"

#include <stdint.h>

#include "lib/base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(free_p) char *line = xstrndup((const char *)data, size);
	struct mount_line m;

	if (mountinfo_parse(line, &m)) {
		if (*m.path != '/' || m.path < line || m.path > line + size)
			abort();
	}
	return 0;
}
