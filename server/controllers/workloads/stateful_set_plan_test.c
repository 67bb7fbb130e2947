#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/controllers/workloads/revisions.h"
#include "server/controllers/workloads/stateful_set_plan.h"

/* A set is written as its pods, "0a 1u 2-": the ordinal, and a letter: a available, r ready but not
 * long enough, u not ready, t terminated, d being deleted; upper case: of the update revision. */
static size_t read_pods(const char *text, struct stateful_pod *pods)
{
	size_t count = 0;
	for (const char *c = text; *c;) {
		char *end;
		int64_t ordinal = strtol(c, &end, 10);
		char state = (char)(*end | 32);
		pods[count++] = (struct stateful_pod){
			.ordinal = ordinal,
			.terminal = state == 't',
			.deleting = state == 'd',
			.ready = state == 'a' || state == 'r',
			.available = state == 'a',
			.revision = *end == state ? "old" : "new",
		};
		c = end + 1;
		while (*c == ' ')
			c++;
	}
	return count;
}

/* "+N" makes N by the update revision, "*N" by the current one, "-N" deletes. */
static void check(struct stateful_set set, const char *pods, const char *wanted)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf is = BUF_INIT;
	struct stateful_pod items[16];
	struct stateful_action *actions;
	set.pods = items;
	set.count = read_pods(pods, items);
	set.current = "old";
	set.update = "new";
	set.max_unavailable = MAX(set.max_unavailable, 1);
	size_t count = stateful_plan(&a, &set, &actions);
	for (size_t n = 0; n < count; n++)
		buf_printf(&is, "%s%c%d", n ? " " : "",
			actions[n].what == STATEFUL_DELETE ? '-'
			: actions[n].updated		   ? '+'
							   : '*',
			(int)actions[n].ordinal);
	buf_add(&is, "", 1);
	assert_string_equal(is.data, wanted);
}

static void test_ordered(void **state)
{
	struct stateful_set three = {.replicas = 3};
	check(three, "", "+0");
	check(three, "0U", ""); /* waits */
	check(three, "0R", ""); /* for minReadySeconds, too */
	check(three, "0A", "+1");
	check(three, "0A 2A", "+1"); /* a gap */
	check(three, "0T 1A 2A", "-0");
	check(three, "0D 1A 2A", "");
	check(three, "0A 1A 2A", "");
	/* Less: the highest goes first, when those below are available. */
	check(three, "0A 1A 2A 3A 4A", "-4");
	check(three, "0A 1A 2A 3A 4D", "");
	check(three, "0A 1U 2A 3A 4A", "");
	check(three, "0A 1A 2A 3U 4A", "-4");
	check(three, "0A 1A 2A 3A 4U", "-4"); /* the first that is not available */
	check(three, "0A 1A 2A 3U 4U", "");   /* 3 is first, but 4 is higher */
	check((struct stateful_set){.start = 2, .replicas = 2}, "2A 3A 0A", "-0");
	check((struct stateful_set){.start = 2, .replicas = 2}, "0A", "+2");
	check((struct stateful_set){0}, "0A", "-0");
}

static void test_parallel(void **state)
{
	struct stateful_set three = {.replicas = 3, .parallel = true};
	check(three, "", "+0 +1 +2");
	check(three, "1U", "+0 +2");
	check(three, "0T 1U 4A 5A", "-0 +2 -5 -4");
	check(three, "0A 1A 2U", "");
	check(three, "0a 1a 2a", "-2");
	check(three, "0a 1a 2U", "");
}

/* A number that nobody can mean costs no memory, and nothing that is there is taken away. */
static void test_vast(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct stateful_pod pods[2];
	struct stateful_action *actions;
	struct stateful_set vast = {.replicas = INT32_MAX};
	check(vast, "0A", "+1");
	check(vast, "0A 1A 700A", "+2");
	vast.parallel = true;
	vast.max_unavailable = 1;
	vast.current = vast.update = "new";
	vast.pods = pods;
	vast.count = read_pods("0A 900A", pods);
	size_t count = stateful_plan(&a, &vast, &actions);
	assert_in_range(count, 500, 600);
	for (size_t n = 0; n < count; n++)
		assert_int_equal(actions[n].what, STATEFUL_CREATE);
}

static void test_update(void **state)
{
	struct stateful_set four = {.replicas = 4};
	check(four, "0a 1a 2a 3a", "-3");
	check(four, "0a 1a 2a 3d", "");
	check(four, "0a 1a 2a", "+3");
	check(four, "0a 1a 2a 3U", "");
	check(four, "0a 1a 2a 3A", "-2");
	check(four, "0A 1A 2A 3A", "");
	/* In order, what is not available stops everything. */
	check(four, "0u 1a 2a 3a", "");
	struct stateful_set part = {.replicas = 4, .partition = 2};
	check(part, "0a 1a 2A 3A", "");
	check(part, "0a 1a 2a 3A", "-2");
	check(part, "0a 2A 3A", "*1");
	check(part, "0a 1a 3A", "+2");
	struct stateful_set by_hand = {.replicas = 4, .on_delete = true};
	check(by_hand, "0a 1a 2a 3a", "");
	check(by_hand, "0a 2a 3a", "+1");
}

static void test_wide_update(void **state)
{
	struct stateful_set four = {.replicas = 4, .max_unavailable = 2, .parallel = true};
	check(four, "0a 1a 2a 3a", "-3 -2");
	check(four, "0a 1a 2a 3U", "-2");
	check(four, "0a 1a 2U 3U", "");
	check(four, "0a 1u 2U 3U", "-1"); /* costs nothing */
	check(four, "0a 1a 2A 3d", "-1");
}

static void test_names(void **state)
{
	assert_int_equal(stateful_ordinal("web", "web-0"), 0);
	assert_int_equal(stateful_ordinal("web", "web-12"), 12);
	assert_int_equal(stateful_ordinal("web", "web-x"), -1);
	assert_int_equal(stateful_ordinal("web", "web-"), -1);
	assert_int_equal(stateful_ordinal("web", "web"), -1);
	assert_int_equal(stateful_ordinal("web", "web-1-2"), -1);
	assert_int_equal(stateful_ordinal("web-1", "web-1-2"), 2);
	assert_int_equal(stateful_ordinal("web", "web-99999999999999"), -1);
}

static void test_counts(void **state)
{
	struct stateful_pod pods[8];
	struct stateful_set set = {.replicas = 3, .current = "old", .update = "new", .pods = pods};
	set.count = read_pods("0a 1A 2U 3d", pods);
	struct stateful_counts c = stateful_count(&set);
	assert_int_equal(c.replicas, 4);
	assert_int_equal(c.ready, 2);
	assert_int_equal(c.current, 1);
	assert_int_equal(c.updated, 2);
	assert_false(stateful_complete(&set, &c));
	set.count = read_pods("0A 1A 2R", pods);
	c = stateful_count(&set);
	assert_int_equal(c.available, 2);
	assert_true(stateful_complete(&set, &c));
	set.on_delete = true;
	assert_false(stateful_complete(&set, &c));
}

static void test_keepers(void **state)
{
	assert_int_equal(stateful_claim_keeper(false, false, true), KEEPER_NOBODY);
	assert_int_equal(stateful_claim_keeper(true, false, true), KEEPER_SET);
	assert_int_equal(stateful_claim_keeper(false, true, false), KEEPER_NOBODY);
	assert_int_equal(stateful_claim_keeper(false, true, true), KEEPER_POD);
	assert_int_equal(stateful_claim_keeper(true, true, false), KEEPER_SET);
	assert_int_equal(stateful_claim_keeper(true, true, true), KEEPER_POD);
}

static bool is_live(void *user, const struct revision *r)
{
	return streq(r->name, user);
}

static void test_revisions(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc;
	static const char text[] = "{\"spec\":{\"template\":{\"spec\":{\"b\":1,\"a\":2}}}}";
	assert_int_equal(json_parse(&a, text, strlen(text), NULL, &doc, NULL), 0);
	struct json *data = revision_data(&a, doc);
	assert_string_equal(json_text(&a, data),
		"{\"spec\":{\"template\":{\"$patch\":\"replace\",\"metadata\":{"
		"\"creationTimestamp\":null},\"spec\":{\"a\":2,\"b\":1}}}}");
	assert_string_equal(revision_hash(&a, data, 0), revision_hash(&a, data, 0));
	assert_string_not_equal(revision_hash(&a, data, 0), revision_hash(&a, data, 1));

	struct revision items[] = {{.name = "e", .number = 5}, {.name = "a", .number = 1},
		{.name = "c", .number = 3}, {.name = "b", .number = 2}};
	assert_int_equal(revisions_surplus(items, 4, 1, is_live, (void *)"e"), 2);
	assert_string_equal(items[0].name, "a");
	assert_string_equal(items[1].name, "b");
	assert_int_equal(revisions_surplus(items, 4, 3, is_live, (void *)"e"), 0);
	assert_int_equal(revisions_surplus(items, 4, 0, is_live, (void *)"a"), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ordered),
		cmocka_unit_test(test_parallel),
		cmocka_unit_test(test_vast),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_wide_update),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_keepers),
		cmocka_unit_test(test_revisions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
