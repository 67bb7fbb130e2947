/* Records of container logs: what the process in a container makes the runtime write. */
#include "node/cri/cri_log.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct cri_log_line l;

	if (cri_log_parse(text, size, &l) == 0) {
		if (l.text < text || l.text + l.size != text + size || l.time != text ||
			l.time_size == 0 || l.time_size >= size)
			abort();
	}
	return 0;
}
