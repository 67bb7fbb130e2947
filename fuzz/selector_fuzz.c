/* A selector that parses must read the same after it was written; quantities likewise. */
#include "lib/object/quantity.h"
#include "lib/object/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_labels(struct arena *a, const char *text)
{
	struct selector s, again;
	struct status st = {0};
	char *first;

	if (selector_parse_labels(a, text, &s, &st) < 0) {
		if (st.code != 400)
			abort();
		return;
	}
	first = selector_text(a, &s);
	if (selector_parse_labels(a, first, &again, &st) < 0 ||
		!streq(selector_text(a, &again), first))
		abort();
	selector_matches_labels(&s, NULL, 0);
}

static void check_fields(struct arena *a, const struct kind *k, const char *text)
{
	struct selector s;
	struct status st = {0};

	if (selector_parse_fields(a, k, text, &s, &st) < 0 && st.code != 400)
		abort();
}

static void check_quantity(struct arena *a, const char *text)
{
	struct quantity q, again;
	char *canonical = quantity_canonical(a, text);

	if (!canonical)
		return;
	if (quantity_parse(text, &q) < 0 || quantity_parse(canonical, &again) < 0 ||
		q.nano != again.nano)
		abort();
	if (!streq(quantity_canonical(a, canonical), canonical))
		abort();
	if (quantity_value(q) > quantity_milli_value(q) && quantity_value(q) > 1 &&
		quantity_milli_value(q) != INT64_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct kind_registry *registry;
	struct arena a = ARENA_INIT;
	char *text = arena_memdup(&a, data, size);

	if (!registry) {
		registry = kind_registry_create();
		if (kind_registry_load_builtin(registry, NULL) < 0)
			abort();
	}
	check_labels(&a, text);
	check_fields(&a, kind_by_name(registry, "", "v1", "Pod"), text);
	check_quantity(&a, text);
	arena_finish(&a);
	return 0;
}
