#include "lib/json/json_seen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct json *parse(struct arena *a, const char *text)
{
	struct json *v;
	assert_int_equal(json_parse(a, text, strlen(text), NULL, &v, NULL), 0);
	return v;
}

static void few_and_many(void **state)
{
	struct arena a;
	arena_init(&a);
	for (size_t count = 1; count < 3000; count = count * 3 + 1) {
		struct json_seen s = {.arena = &a};
		const struct json *first = NULL;
		for (size_t i = 0; i < count; i++) {
			struct json *v = json_new_printf(&a, "%zu", i);
			first = first ? first : v;
			assert_null(json_seen_put(&s, v));
		}
		assert_int_equal(s.count, count);
		for (size_t i = 0; i < count; i++)
			assert_non_null(json_seen_put(&s, json_new_printf(&a, "%zu", i)));
		assert_ptr_equal(json_seen_find(&s, json_new_string(&a, "0")), first);
		assert_null(json_seen_find(&s, json_new_string(&a, "x")));
		assert_int_equal(s.count, count);
	}
	arena_finish(&a);
}

/* Pads a set until it looks by hash. */
static void pad(struct json_seen *s, size_t count)
{
	for (size_t i = 0; i < count; i++)
		json_seen_put(s, parse(s->arena, "{\"port\":0,\"pad\":0}"));
	for (size_t i = 0; i < count; i++) {
		struct json *v = json_new_object(s->arena);
		json_set_int(s->arena, v, "port", (int64_t)i + 100000);
		json_set_int(s->arena, v, "pad", (int64_t)i);
		json_seen_put(s, v);
	}
}

static void by_members(void **state)
{
	struct arena a;
	arena_init(&a);
	for (size_t padding = 0; padding <= 40; padding += 40) {
		struct json_seen s = {.arena = &a, .by = {"port", "protocol"}};
		pad(&s, padding);
		struct json *tcp = parse(&a, "{\"port\":1,\"protocol\":\"TCP\",\"name\":\"a\"}");
		assert_null(json_seen_put(&s, tcp));
		assert_null(json_seen_put(&s, parse(&a, "{\"port\":1,\"protocol\":\"UDP\"}")));
		assert_null(json_seen_put(&s, parse(&a, "{\"port\":1}")));
		assert_null(json_seen_put(&s, parse(&a, "{\"port\":\"1\",\"protocol\":\"TCP\"}")));
		assert_ptr_equal(
			json_seen_put(&s, parse(&a, "{\"protocol\":\"TCP\",\"port\":1.0}")), tcp);
		assert_non_null(json_seen_put(&s, parse(&a, "{\"port\":1,\"x\":2}")));
	}
	arena_finish(&a);
}

static void whole_values(void **state)
{
	struct arena a;
	arena_init(&a);
	for (size_t padding = 0; padding <= 40; padding += 40) {
		struct json_seen s = {.arena = &a};
		pad(&s, padding);
		assert_null(json_seen_put(&s, parse(&a, "{\"a\":[1,{\"b\":null}],\"c\":true}")));
		assert_non_null(
			json_seen_put(&s, parse(&a, "{\"c\":true,\"a\":[1.0,{\"b\":null}]}")));
		assert_null(json_seen_put(&s, parse(&a, "{\"c\":true,\"a\":[{\"b\":null},1]}")));
		assert_null(json_seen_put(&s, parse(&a, "{\"c\":false,\"a\":[1,{\"b\":null}]}")));
		assert_null(json_seen_put(&s, parse(&a, "-0.0")));
		assert_non_null(json_seen_put(&s, parse(&a, "0")));
	}
	arena_finish(&a);
}

static void of_a_list(void **state)
{
	struct arena a;
	arena_init(&a);
	struct buf text = BUF_INIT;
	buf_add_char(&text, '[');
	for (int i = 0; i < 100000; i++)
		buf_printf(&text, "%s{\"name\":\"n%d\"}", i ? "," : "", i % 50000);
	buf_add_char(&text, ']');
	struct json *list;
	assert_int_equal(json_parse(&a, text.data, text.size, NULL, &list, NULL), 0);
	struct json_seen s = json_seen_of(&a, list, "name");
	assert_int_equal(s.count, 50000);
	assert_ptr_equal(json_seen_find(&s, json_new_string(&a, "n7")), json_at(list, 7));
	assert_null(json_seen_find(&s, json_new_string(&a, "n")));
	assert_null(json_seen_find(&s, NULL));
	buf_finish(&text);
	arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_and_many),
		cmocka_unit_test(by_members),
		cmocka_unit_test(whole_values),
		cmocka_unit_test(of_a_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
