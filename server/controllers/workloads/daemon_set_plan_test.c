#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/controllers/workloads/daemon_set_plan.h"

/* Nodes are written "y:a y:Au n:a s: -:p b:f": y a pod should run there, s one may stay, n none
 * may,
 * - there is no such node, b one should but failed pods must wait; then its pods, the oldest first:
 * a available, r ready, u not ready, p not placed, f failed, e ended, d being deleted, x failed and
 * being deleted; upper case: of the present revision. */
struct scene {
	struct daemon_node nodes[8];
	struct daemon_pod pods[8][4];
	struct object objects[8][4];
	char names[8][4][8];
	size_t count;
};

static void read_scene(const char *text, struct scene *s)
{
	*s = (struct scene){0};
	for (const char *c = text; *c;) {
		size_t n = s->count++;
		struct daemon_node *node = &s->nodes[n];
		*node = (struct daemon_node){.name = "n",
			.exists = *c != '-',
			.should_run = *c == 'y' || *c == 'b',
			.may_stay = *c == 'y' || *c == 'b' || *c == 's',
			.backs_off = *c == 'b',
			.pods = s->pods[n]};
		for (c += 2; *c && *c != ' '; c++) {
			size_t m = node->count++;
			char state = (char)(*c | 32);
			snprintf(s->names[n][m], sizeof(s->names[n][m]), "%zu%c", n, *c);
			s->objects[n][m].name = s->names[n][m];
			s->pods[n][m] = (struct daemon_pod){.object = &s->objects[n][m],
				.failed = state == 'f' || state == 'x',
				.succeeded = state == 'e',
				.deleting = state == 'd' || state == 'x',
				.scheduled = state != 'p',
				.ready = state == 'a' || state == 'r',
				.available = state == 'a',
				.updated = state != *c,
				.created_ns = (int64_t)m};
		}
		while (*c == ' ')
			c++;
	}
}

/* "+0" makes a pod on the node 0, "-0a" deletes its pod a. */
static void expect(const struct scene *s, const struct daemon_action *actions, size_t count,
	const char *wanted)
{
	_cleanup_(buf_finish) struct buf is = BUF_INIT;
	for (size_t n = 0; n < count; n++) {
		const char *space = n ? " " : "";
		if (actions[n].what == DAEMON_CREATE)
			buf_printf(&is, "%s+%d", space, (int)(actions[n].node - s->nodes));
		else
			buf_printf(&is, "%s-%s", space, actions[n].pod->name);
	}
	buf_add(&is, "", 1);
	assert_string_equal(is.data, wanted);
}

static void manage(const char *text, bool surge, const char *wanted)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct scene s;
	struct daemon_action *actions;
	read_scene(text, &s);
	size_t count = daemon_manage(&a, s.nodes, s.count, surge, &actions);
	expect(&s, actions, count, wanted);
}

static void roll(const char *text, int64_t surge, int64_t unavailable, const char *wanted)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct scene s;
	struct daemon_action *actions;
	struct daemon_limits limits = {surge, unavailable};
	read_scene(text, &s);
	size_t count = daemon_roll(&a, s.nodes, s.count, &limits, &actions);
	expect(&s, actions, count, wanted);
}

static void test_manage(void **state)
{
	manage("y: y:A n: s:", false, "+0");
	manage("y:d y:x", false, "+1"); /* one that ended and goes is out of the way */
	manage("n:A s:A", false, "-0A");
	manage("y:f y:e b:f", false, "-0f -1e");
	manage("y:AU", false, "-0U");
	manage("y:pA", false, "-0p"); /* what was placed stays */
	manage("-:pA", false, "-0p");
	manage("y:d", false, "");
}

static void test_surge(void **state)
{
	manage("y:aU", true, "");
	manage("y:aR", true, "");
	manage("y:aA", true, "-0a");
	manage("y:uU", true, "-0u"); /* the old one is of no use */
	manage("y:aUU", true, "-0U");
	manage("y:aa", true, "-0a");
	roll("y:a y:a y:a", 2, 0, "+0 +1");
	roll("y:aU y:a y:a", 2, 0, "+1");
	roll("y:aU y:aU y:a", 2, 0, "");
	roll("y:aA y:aU y:a", 2, 0, "-0a +2");
	roll("y:u y:a y:aU", 1, 0, "+0"); /* costs nothing */
	roll("y:A s:a", 1, 0, "");
}

static void test_roll(void **state)
{
	roll("y:a y:a y:a", 0, 1, "-0a");
	roll("y:a y:a y:a", 0, 2, "-0a -1a");
	roll("y:U y:a y:a", 0, 1, "");
	roll("y:d y:a y:a", 0, 1, "");
	roll("y: y:a y:a", 0, 2, "-1a");
	roll("y:u y:a y:A", 0, 1, "-0u -1a"); /* what is of no use costs nothing */
	roll("y:A y:A", 0, 1, "");
	roll("n: y:a", 0, 1, "-1a"); /* nothing is missing where nothing should be */
}

static void test_limits(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct daemon_limits l = daemon_limits(10, NULL, NULL);
	assert_int_equal(l.unavailable, 1);
	assert_int_equal(l.surge, 0);
	l = daemon_limits(5, NULL, json_new_string(&a, "10%"));
	assert_int_equal(l.unavailable, 1); /* up */
	l = daemon_limits(5, json_new_string(&a, "30%"), json_new_int(&a, 0));
	assert_int_equal(l.surge, 2);
	assert_int_equal(l.unavailable, 0);
	l = daemon_limits(0, json_new_string(&a, "30%"), json_new_int(&a, 0));
	assert_int_equal(l.unavailable, 1); /* both 0: something must give */
}

static void test_counts(void **state)
{
	struct scene s;
	read_scene("y:A y:a y:u y: s:a n: -:p", &s);
	struct daemon_counts c = daemon_count(s.nodes, s.count);
	assert_int_equal(c.desired, 4);
	assert_int_equal(c.current, 3);
	assert_int_equal(c.misscheduled, 1);
	assert_int_equal(c.ready, 2);
	assert_int_equal(c.available, 2);
	assert_int_equal(c.updated, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manage),
		cmocka_unit_test(test_surge),
		cmocka_unit_test(test_roll),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
