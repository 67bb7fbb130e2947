/* The ring of recent events: order, what is dropped when, and the 410 limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "server/store/event_ring.h"
#include "server/store/test_kind.h"

#define SECOND INT64_C(1000000000)

static struct object *thing(const struct kind *k)
{
	struct blob *b = test_thing(k, "a", "x", NULL, NULL);
	struct object *o = NULL;
	assert_int_equal(object_from_stored(k, b->data, b->size, 1, &o, NULL), 0);
	blob_unref(b);
	return o;
}

static void test_seek_and_age(void **state)
{
	struct kind_registry *kinds = test_kinds_create();
	struct object *o = thing(test_kind(kinds));
	struct event_ring r = {.floor = 100};
	uint64_t sequence;
	assert_false(event_ring_seek(&r, 99, &sequence));
	assert_true(event_ring_seek(&r, 100, &sequence));
	for (uint64_t i = 0; i < 60; i++)
		event_ring_push(&r, 101 + 2 * i, (int64_t)i * 4 * SECOND, o, NULL, false);
	assert_true(event_ring_seek(&r, 100, &sequence));
	assert_int_equal(event_ring_at(&r, sequence)->revision, 101);
	assert_true(event_ring_seek(&r, 104, &sequence));
	assert_int_equal(event_ring_at(&r, sequence)->revision, 105);
	assert_true(event_ring_seek(&r, 5000, &sequence));
	assert_null(event_ring_at(&r, sequence));

	/* At 400 s what is older than 300 s goes: the events of 0 to 96 s. */
	event_ring_trim(&r, 400 * SECOND);
	assert_int_equal(event_ring_at(&r, r.first)->at_ns, 100 * SECOND);
	assert_int_equal(r.floor, 101 + 2 * 24);
	assert_false(event_ring_seek(&r, r.floor - 1, &sequence));
	assert_true(event_ring_seek(&r, r.floor, &sequence));
	event_ring_trim(&r, 1000 * SECOND);
	assert_int_equal(r.first, r.end);
	assert_int_equal(r.bytes, 0);
	event_ring_finish(&r);
	assert_int_equal(o->refs, 1);
	object_unref(o);
	kind_registry_destroy(kinds);
}

/* Earlier states and lines are counted as long as the ring holds them, and what is too much goes.
 */
static void test_bytes_are_bounded(void **state)
{
	struct kind_registry *kinds = test_kinds_create();
	struct object *o = thing(test_kind(kinds));
	struct event_ring r = {0};
	for (uint64_t i = 0; i < 5; i++) {
		event_ring_push(&r, i + 1, (int64_t)i * SECOND, o, i ? o : NULL, i == 4);
		event_ring_set_line(&r, i, blob_new("line", 4));
	}
	assert_true(r.bytes > 5 * o->bytes->size + 5 * 4);
	/* A line lives two seconds. */
	event_ring_trim(&r, 5 * SECOND);
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(event_ring_at(&r, i)->line != NULL, i >= 3);
	event_ring_set_line(&r, 2, blob_new("late", 4));
	assert_null(event_ring_at(&r, 2)->line);
	_cleanup_(free_p) char *text = xcalloc(1, EVENT_RING_LINES_MAX_BYTES / 4);
	for (uint64_t i = 5; i < 20; i++) {
		event_ring_push(&r, i + 1, 5 * SECOND, o, o, false);
		event_ring_set_line(&r, i, blob_new(text, EVENT_RING_LINES_MAX_BYTES / 4));
		assert_non_null(event_ring_at(&r, i)->line);
		assert_true(r.line_bytes <= EVENT_RING_LINES_MAX_BYTES);
	}
	assert_int_equal(r.end - r.first, 20);
	assert_null(event_ring_at(&r, 15)->line);
	event_ring_set_line(&r, 19, blob_new(text, EVENT_RING_LINES_MAX_BYTES / 4));
	assert_non_null(event_ring_at(&r, 19)->line);
	event_ring_trim(&r, 1000 * SECOND);
	assert_int_equal(r.bytes, 0);
	assert_int_equal(r.line_bytes, 0);
	/* What many objects are, more may be held of. */
	size_t held[2];
	for (unsigned many = 0; many < 2; many++) {
		r.present_bytes = many ? 8 * (size_t)EVENT_RING_MAX_BYTES : 0;
		for (uint64_t i = 0; i < 90000; i++)
			event_ring_push(&r, 100, 1000 * SECOND, o, o, false);
		held[many] = r.bytes;
	}
	assert_in_range(held[0], EVENT_RING_MAX_BYTES / 2, EVENT_RING_MAX_BYTES + 4096);
	assert_in_range(
		held[1], held[0] + EVENT_RING_MAX_BYTES / 2, 2 * EVENT_RING_MAX_BYTES + 4096);
	event_ring_finish(&r);
	object_unref(o);
	kind_registry_destroy(kinds);
}

static void test_count_is_bounded(void **state)
{
	struct kind_registry *kinds = test_kinds_create();
	struct object *o = thing(test_kind(kinds));
	struct event_ring r = {0};
	for (uint64_t i = 0; i < EVENT_RING_MAX_COUNT + 1000; i++)
		event_ring_push(&r, i + 1, 0, o, NULL, false);
	assert_true(r.end - r.first <= EVENT_RING_MAX_COUNT);
	assert_true(r.bytes <= EVENT_RING_MAX_BYTES + 4096);
	event_ring_finish(&r);
	object_unref(o);
	kind_registry_destroy(kinds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seek_and_age),
		cmocka_unit_test(test_count_is_bounded),
		cmocka_unit_test(test_bytes_are_bounded),
	};
	return cmocka_run_group_tests_name("event_ring", tests, NULL, NULL);
}
