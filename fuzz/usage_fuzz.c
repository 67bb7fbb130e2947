/* What a node's agent tells of its guests: Prometheus text from another machine. */
#include <stdint.h>

#include "server/usage/samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct usage_samples *s = usage_samples_create();
	struct figures f;
	struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	for (int64_t i = 0; i < 2; i++) {
		if (figures_parse((const char *)data, size, i, &f, &err) < 0) {
			if (!err.code || !*err.msg)
				abort();
			continue;
		}
		for (size_t n = 1; n < f.count; n++)
			if (figure_compare(&f.items[n - 1], &f.items[n]) >= 0)
				abort();
		usage_samples_put(s, "n", &f, i * 10000000000);
	}
	struct usage_rate *r;
	(void)usage_samples_get(s, "n", FIGURE_NODE, "", "", &a, &r);
	(void)usage_samples_get(s, "n", FIGURE_CONTAINER, "n", "p", &a, &r);
	arena_finish(&a);
	usage_samples_destroy(s);
	return 0;
}
