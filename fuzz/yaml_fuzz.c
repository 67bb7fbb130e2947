/* Whatever parses must have a JSON form and come back from being written as YAML. */
#include "lib/json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_duplicate(void *user, const char *path)
{
	++*(size_t *)user;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_limits limits = {.depth = 64, .size_bytes = 1u << 20}, wide = limits;
	struct arena a = ARENA_INIT;
	struct buf out = BUF_INIT;
	struct json *all = NULL, *back = NULL;
	struct err err = ERR_INIT;
	size_t duplicates = 0;
	int r;

	limits.on_duplicate = on_duplicate;
	limits.user = &duplicates;
	wide.size_bytes = SIZE_MAX;
	r = yaml_parse_all(&a, (const char *)data, size, &limits, &all, &err);
	if (r < 0 && (all || err.code != r || !err.msg[0]))
		abort();
	JSON_FOR_EACH_ITEM(v, all) {
		buf_clear(&out);
		json_write(&out, v);
		if (json_parse(&a, out.data, out.size, &wide, &back, NULL) < 0 ||
			!json_equal(v, back))
			abort();
		buf_clear(&out);
		yaml_write(&out, v);
		if (yaml_parse(&a, out.data, out.size, &wide, &back, NULL) < 0 ||
			!json_equal(v, back))
			abort();
	}
	buf_finish(&out);
	arena_finish(&a);
	return 0;
}
