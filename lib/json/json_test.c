#include "lib/json/json.h"
#include "lib/base/random.h"

#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena arena;

static int setup(void **state)
{
	arena_init(&arena);
	return 0;
}

static int teardown(void **state)
{
	arena_finish(&arena);
	return 0;
}

static struct json *parse(const char *text)
{
	struct json *v = NULL;

	assert_int_equal(json_parse(&arena, text, strlen(text), NULL, &v, NULL), 0);
	return v;
}

#define assert_json(v, text) assert_string_equal(json_text(&arena, v), text)

static void test_reading(void **state)
{
	struct json *v = parse("{\"spec\":{\"containers\":[{\"image\":\"a\"},{\"image\":\"b\"}],"
			       "\"n\":5,\"d\":5.0,\"f\":5.5,\"t\":true,\"m\":[[1,2],[3]]}}");

	assert_string_equal(json_path_str(v, "spec.containers[1].image"), "b");
	assert_null(json_path(v, "spec.containers[2].image"));
	assert_null(json_path(v, "spec.containers[x]"));
	assert_null(json_path(v, "spec.containers[1"));
	assert_null(json_path(v, "spec.containers[-1]"));
	assert_null(json_path(v, "spec.none.deeper"));
	assert_null(json_path(NULL, "spec"));
	assert_ptr_equal(json_path(v, ""), v);
	assert_int_equal(json_path_int(v, "spec.m[0][1]", -1), 2);
	assert_int_equal(json_path_int(json_path(v, "spec.m"), "[1][0]", -1), 3);
	assert_int_equal(json_path_int(v, "spec.n", -1), 5);
	assert_int_equal(json_path_int(v, "spec.d", -1), 5);
	assert_int_equal(json_path_int(v, "spec.f", -1), -1);
	assert_int_equal(json_path_int(v, "spec.t", -1), -1);
	assert_true(json_path_bool(v, "spec.t", false));
	assert_true(json_path_bool(v, "spec.n", true));
	assert_null(json_str(json_path(v, "spec.n")));
	assert_string_equal(json_str_or(NULL, "x"), "x");
	assert_null(json_get(json_path(v, "spec.n"), "x"));
	assert_null(json_get(NULL, "x"));
	assert_null(json_get_n(v, "spec\0", 5));
	assert_null(json_at(v, 0));
	assert_null(json_at(json_path(v, "spec.m"), 2));
	assert_int_equal(json_count(json_path(v, "spec.containers[0].image")), 0);
	assert_int_equal(json_count(NULL), 0);
	assert_true(json_is(v, JSON_OBJECT));
	assert_false(json_is(NULL, JSON_NULL));
	assert_int_equal(json_int_or(json_new_double(&arena, 0x1p63), -1), -1);
	assert_int_equal(json_int_or(json_new_double(&arena, -0x1p63), -1), INT64_MIN);
}

static void test_iteration(void **state)
{
	struct json *v = parse("{\"a\":[1,2,3,4],\"b\":[],\"c\":{}}");
	int64_t sum = 0;
	size_t count = 0;

	JSON_FOR_EACH_ITEM(item, json_get(v, "a")) {
		if (item->i == 2)
			continue;
		if (item->i == 4)
			break;
		sum += item->i;
	}
	assert_int_equal(sum, 4);
	JSON_FOR_EACH_MEMBER(m, v) {
		JSON_FOR_EACH_ITEM(item, m->value)
			count++;
		JSON_FOR_EACH_MEMBER(inner, m->value)
			count += 100;
		count += 10;
	}
	assert_int_equal(count, 34);
	JSON_FOR_EACH_ITEM(item, NULL)
		fail();
	JSON_FOR_EACH_MEMBER(m, NULL)
		fail();
	JSON_FOR_EACH_ITEM(item, v)
		fail();
	JSON_FOR_EACH_ITEM(item, json_new_array(&arena))
		fail();
	JSON_FOR_EACH_MEMBER(m, json_new_object(&arena))
		fail();
}

static void test_building(void **state)
{
	struct json *o = json_new_object(&arena), *list;

	json_set_str(&arena, o, "name", "x");
	json_set_int(&arena, o, "n", -1);
	json_set_bool(&arena, o, "b", true);
	json_set_str(&arena, o, "name", "y");
	json_set_n(&arena, o, "cut here", 3, json_new_string(&arena, NULL));
	json_path_set(&arena, o, "a.b.c", json_new_int(&arena, 1));
	json_path_set(&arena, o, "a.b.d", json_new_int(&arena, 2));
	json_path_set(&arena, o, "n.e", json_new_null(&arena));
	assert_json(o, "{\"name\":\"y\",\"n\":{\"e\":null},\"b\":true,\"cut\":\"\","
		       "\"a\":{\"b\":{\"c\":1,\"d\":2}}}");
	list = json_array_at(&arena, o, "name");
	assert_ptr_equal(json_array_at(&arena, o, "name"), list);
	for (int i = 0; i < 10; i++)
		json_push(&arena, list, json_new_int(&arena, i));
	json_insert(&arena, list, 0, json_new_printf(&arena, "%s", "first"));
	json_insert(&arena, list, 11, json_new_bool(&arena, false));
	json_remove_at(list, 5);
	json_remove_at(list, 99);
	assert_json(list, "[\"first\",0,1,2,3,5,6,7,8,9,false]");
	json_object_at(&arena, o, "name");
	assert_json(json_get(o, "name"), "{}");
	assert_true(json_remove(o, "name"));
	assert_false(json_remove(o, "name"));
	assert_false(json_remove(list, "name"));
	assert_false(json_remove(NULL, "name"));
	assert_json(
		o, "{\"n\":{\"e\":null},\"b\":true,\"cut\":\"\",\"a\":{\"b\":{\"c\":1,\"d\":2}}}");
}

/* Parsed containers are packed tight and must still grow. */
static void test_growing_parsed(void **state)
{
	struct json *v = parse("{\"a\":{\"x\":1},\"l\":[1,2]}");

	for (int i = 0; i < 20; i++) {
		json_push(&arena, json_get(v, "l"), json_new_int(&arena, 0));
		json_set(&arena, json_get(v, "a"), json_new_printf(&arena, "k%d", i)->s,
			json_new_int(&arena, i));
	}
	assert_int_equal(json_count(json_get(v, "l")), 22);
	assert_int_equal(json_path_int(v, "l[1]", 0), 2);
	assert_int_equal(json_path_int(v, "a.x", 0), 1);
	assert_int_equal(json_path_int(v, "a.k19", 0), 19);
}

/* Sizes on both sides of where objects get their index, against a plain model. */
static void test_big_objects(void **state)
{
	enum { KEYS = 300 };
	struct random r = random_seeded(4);
	int model[KEYS];
	size_t count = 0;
	struct json *o = json_new_object(&arena);
	char key[16];

	memset(model, -1, sizeof(model));
	for (int step = 0; step < 20000; step++) {
		size_t k = random_below(&r, step % 4000 < 2000 ? KEYS : 40);

		snprintf(key, sizeof(key), "key%zu", k);
		if (random_below(&r, 5) < 3) {
			json_set_int(&arena, o, key, step);
			count += model[k] < 0;
			model[k] = step;
		} else {
			assert_int_equal(json_remove(o, key), model[k] >= 0);
			count -= model[k] >= 0;
			model[k] = -1;
		}
		assert_int_equal(o->count, count);
		if (step % 100 == 0) {
			struct json *copy = json_copy(&arena, o);

			for (k = 0; k < KEYS; k++) {
				snprintf(key, sizeof(key), "key%zu", k);
				assert_int_equal(json_int_or(json_get(o, key), -1), model[k]);
				assert_int_equal(json_int_or(json_get(copy, key), -1), model[k]);
			}
			assert_true(json_equal(o, copy));
		}
	}
}

static void test_removal_keeps_order(void **state)
{
	struct json *o = json_new_object(&arena);

	for (int i = 0; i < 100; i++)
		json_set_int(&arena, o, json_new_printf(&arena, "%d", i)->s, i);
	for (int i = 0; i < 100; i += 2)
		assert_true(json_remove(o, json_new_printf(&arena, "%d", i)->s));
	for (int i = 0; i < 50; i++)
		assert_int_equal(o->members[i].value->i, 2 * i + 1);
}

static void test_copy(void **state)
{
	struct json *v = parse("{\"a\":[1,\"s\\u0000t\",{\"b\":null}],\"e\":{},\"l\":[]}");
	struct arena other = ARENA_INIT;
	struct json *copy = json_copy(&other, v);

	assert_true(json_equal(v, copy));
	json_path_set(&arena, v, "e.x", json_new_int(&arena, 1));
	json_push(&other, json_get(copy, "l"), json_new_null(&other));
	assert_int_equal(json_count(json_get(copy, "e")), 0);
	assert_int_equal(json_count(json_get(v, "l")), 0);
	assert_null(json_copy(&other, NULL));
	/* The copy stands alone. */
	arena_reset(&arena);
	assert_string_equal(json_text(&other, copy),
		"{\"a\":[1,\"s\\u0000t\",{\"b\":null}],\"e\":{},\"l\":[null]}");
	arena_finish(&other);
}

static void test_equal(void **state)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} cases[] = {
		{"1", "1.0", true},
		{"1", "1.5", false},
		{"9007199254740993", "9007199254740992.0", false},
		{"9223372036854775807", "9223372036854775807.0", false},
		{"0", "-0.0", true},
		{"1", "\"1\"", false},
		{"null", "false", false},
		{"\"a\"", "\"a\"", true},
		{"\"a\"", "\"a\\u0000\"", false},
		{"[1,2]", "[2,1]", false},
		{"[1,2]", "[1,2,3]", false},
		{"{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", true},
		{"{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}", false},
		{"{\"a\":1}", "{\"a\":1,\"b\":2}", false},
		{"{\"a\":null}", "{\"b\":null}", false},
		{"[]", "{}", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json *a = parse(cases[i].a), *b = parse(cases[i].b);

		if (json_equal(a, b) != cases[i].equal || json_equal(b, a) != cases[i].equal)
			fail_msg("%s and %s", cases[i].a, cases[i].b);
		assert_true(json_equal(a, a));
	}
	assert_true(json_equal(NULL, NULL));
	assert_false(json_equal(NULL, json_new_null(&arena)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_iteration),
		cmocka_unit_test(test_building),
		cmocka_unit_test(test_growing_parsed),
		cmocka_unit_test(test_big_objects),
		cmocka_unit_test(test_removal_keeps_order),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_equal),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
