/* kubelet_config_fuzz.c - configuration files of the node agent; what was taken must come back the
 * same by way of /configz. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "node/node_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct node_config c = *node_config_default();

	log_set_level(LOG_ERROR);
	struct str text = {arena_memdup(&a, data, size), size};
	if (node_config_parse(&a, "f", text, &c, &err) < 0) {
		if (!*err.msg)
			abort();
		return 0;
	}
	node_config_doc(&a, &c);
	return 0;
}
