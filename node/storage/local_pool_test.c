#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "node/storage/local_pool.h"

static void promises_stop_at_the_factor(void **state)
{
	const struct local_pool p = {.capacity_bytes = 100 << 20, .promised_bytes = 140 << 20};
	struct arena a = ARENA_INIT;
	struct json *none = json_new_object(&a), *some = json_new_object(&a);
	struct err err = ERR_INIT;

	assert_int_equal(local_pool_admit(&p, NULL, INT64_C(1) << 50, &err), 0);
	assert_int_equal(local_pool_admit(&p, none, INT64_C(1) << 50, &err), 0);
	json_set_str(&a, some, "overcommit", "1.5");
	assert_int_equal(local_pool_admit(&p, some, 10 << 20, &err), 0);
	assert_int_equal(local_pool_admit(&p, some, 11 << 20, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "not enough free space"));
	assert_int_equal(local_pool_admit(&p, some, INT64_MAX, &err), -ENOSPC);
	arena_finish(&a);
}

static void a_factor_is_a_number(void **state)
{
	static const char *const bad[] = {"", "x", "-1", "0", "1.5x", "nan", "1e99"};
	const struct local_pool p = {.capacity_bytes = 1};
	struct arena a = ARENA_INIT;
	struct json *some = json_new_object(&a);

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		json_set_str(&a, some, "overcommit", bad[i]);
		assert_int_equal(local_pool_admit(&p, some, 0, NULL), -EINVAL);
	}
	arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(promises_stop_at_the_factor),
		cmocka_unit_test(a_factor_is_a_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
