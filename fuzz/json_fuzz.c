/* Whatever parses must survive writing, reading back, copying and changing. */
#include "lib/json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_duplicate(void *user, const char *path)
{
	if (!utf8_valid(path, strlen(path)))
		abort();
	++*(size_t *)user;
}

static struct json *must_parse(struct arena *a, const struct buf *text)
{
	struct json_limits limits = {.depth = 256, .size_bytes = SIZE_MAX};
	struct json *v = NULL;

	if (json_parse(a, text->data, text->size, &limits, &v, NULL) < 0)
		abort();
	return v;
}

/* Every member is found by its name, and removing one leaves the others. */
static void check_lookups(const struct json *v)
{
	JSON_FOR_EACH_ITEM(item, v)
		check_lookups(item);
	JSON_FOR_EACH_MEMBER(m, v) {
		if (json_get_n(v, m->name, m->name_size) != m->value)
			abort();
		check_lookups(m->value);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT;
	struct buf out = BUF_INIT, again = BUF_INIT;
	size_t duplicates = 0;
	struct json_limits limits = JSON_LIMITS_DEFAULT;
	struct json *v = NULL, *back;
	struct err err = ERR_INIT;
	int r;

	limits.on_duplicate = on_duplicate;
	limits.user = &duplicates;
	r = json_parse(&a, (const char *)data, size, &limits, &v, &err);
	if (r < 0) {
		if (v || err.code != r || !err.msg[0])
			abort();
	} else {
		check_lookups(v);
		json_write(&out, v);
		if (!utf8_valid(out.data, out.size))
			abort();
		if (!json_equal(json_copy(&a, v), v))
			abort();
		/* Doubles that are whole are written as integers, beyond 2^53 with zeros for the
		 * digits that they do not have. From then on nothing changes any more. */
		back = must_parse(&a, &out);
		buf_clear(&out);
		json_write(&out, back);
		if (!json_equal(must_parse(&a, &out), back))
			abort();
		json_write(&again, must_parse(&a, &out));
		if (out.size != again.size || memcmp(out.data, again.data, out.size) != 0)
			abort();
		buf_clear(&again);
		json_write_pretty(&again, back);
		if (!json_equal(must_parse(&a, &again), back))
			abort();
		if (json_is(v, JSON_OBJECT) && json_count(v)) {
			size_t count = json_count(v);

			json_set_int(&a, v, "new", 1);
			json_remove(v, json_members(back)[0].name);
			check_lookups(v);
			if (json_count(v) > count + 1)
				abort();
		}
	}
	buf_finish(&again);
	buf_finish(&out);
	arena_finish(&a);
	return 0;
}
