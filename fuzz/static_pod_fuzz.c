/* static_pod_fuzz.c - files of static pods: taken or refused with a reason. */
#include <stdint.h>
#include <stdlib.h>

#include "node/pod/static_manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct kind_registry *kinds;
	struct err err = ERR_INIT;
	struct object *o = NULL;

	if (!kinds) {
		kinds = kind_registry_create();
		if (kind_registry_load_client(kinds, &err) < 0)
			abort();
	}
	struct static_origin origin = {
		.kinds = kinds,
		.pod_kind = kind_by_resource(kinds, "", "v1", "pods"),
		.node_name = "n",
		.path = "/m",
	};
	if (static_manifest_read(&origin, (const char *)data, size, &o, &err) < 0) {
		if (!*err.msg)
			abort();
		return 0;
	}
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	static_mirror_make(&a, o, "n", "u");
	object_unref(static_leaving(o, 0));
	object_unref(o);
	return 0;
}
