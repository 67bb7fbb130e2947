/* A guest agent that answers when it is told to, and agents of the node that end in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/json/json.h"
#include "node/vm/guest_agent/vm_freeze.h"

struct agent_call {
	char name[64];
	agent_done *done;
	void *user;
};

static struct agent_call call; /* that was asked last; name "" = answered */
static uv_loop_t loop;
static char path[64];
static int64_t now_ns;
static int answers, refusals;

struct agent_call *guest_agent_call(
	struct guest_agent *g, const struct agent_command *c, agent_done *done, void *user)
{
	call = (struct agent_call){.done = done, .user = user};
	snprintf(call.name, sizeof(call.name), "%s", c->name);
	return &call;
}

void agent_call_cancel(struct agent_call *c)
{
	if (c)
		c->name[0] = '\0';
}

void guest_agent_look(struct guest_agent *g)
{
}

static int64_t wall(struct clock *c)
{
	return now_ns;
}

static struct clock test_clock = {.wall_ns = wall, .mono_ns = wall};

static void answer(const char *expected, const char *text)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct agent_call now = call;
	struct err err = ERR_INIT;

	assert_string_equal(now.name, expected);
	call.name[0] = '\0';
	err_set(&err, -ETIMEDOUT, "no answer");
	now.done(now.user, text ? json_new_string(&a, text) : NULL, text ? NULL : &err);
}

static void done(void *user, const struct err *err)
{
	*(err ? &refusals : &answers) += 1;
}

static struct vm_freeze *make(void)
{
	return vm_freeze_create(&(struct vm_freeze_options){
		.loop = &loop, .clock = &test_clock, .path = path, .label = "ns/guest"});
}

static void end(struct vm_freeze *f)
{
	vm_freeze_destroy(f);
	uv_run(&loop, UV_RUN_DEFAULT);
}

static int setup(void **state)
{
	snprintf(path, sizeof(path), "/tmp/vm_freeze_test.%d", (int)getpid());
	unlink(path);
	call.name[0] = '\0';
	answers = refusals = 0;
	now_ns = INT64_C(1000) * NS_PER_S;
	return uv_loop_init(&loop);
}

static int teardown(void **state)
{
	unlink(path);
	return uv_loop_close(&loop);
}

static void without_a_limit_it_stays(void **state)
{
	struct vm_freeze *f = make();

	vm_freeze_freeze(f, 0, done, NULL);
	answer("guest-fsfreeze-status", "thawed");
	assert_int_equal(access(path, F_OK), 0); /* nobody knows yet whether it works */
	answer("guest-fsfreeze-freeze", "1");
	assert_int_equal(answers, 1);
	assert_int_equal(access(path, F_OK), -1);
	end(f);
}

/* The agent of the node goes in any of these states, and another comes. */
static void next_agent_thaws(void)
{
	struct vm_freeze *f = make();

	FILE *file = fopen(path, "re");
	long long due;

	assert_string_equal(call.name, "");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lld", &due), 1);
	fclose(file);
	end(f);
	now_ns = due - NS_PER_MS;
	f = make();
	uv_run(&loop, UV_RUN_ONCE);
	answer("guest-fsfreeze-status", "frozen");
	answer("guest-fsfreeze-thaw", "1");
	assert_int_equal(access(path, F_OK), -1);
	end(f);
}

static void who_ends_before_the_answer_has_it_thawed(void **state)
{
	struct vm_freeze *f = make();

	vm_freeze_freeze(f, 0, done, NULL);
	answer("guest-fsfreeze-status", "thawed");
	end(f);
	call.name[0] = '\0';
	next_agent_thaws();
}

static void what_failed_is_thawed_by_the_next(void **state)
{
	struct vm_freeze *f = make();

	vm_freeze_freeze(f, 0, done, NULL);
	answer("guest-fsfreeze-status", "thawed");
	answer("guest-fsfreeze-freeze", NULL);
	assert_int_equal(refusals, 1);
	end(f);
	next_agent_thaws();
}

static void a_limit_is_kept(void **state)
{
	struct vm_freeze *f = make();

	vm_freeze_freeze(f, 60 * NS_PER_S, done, NULL);
	answer("guest-fsfreeze-status", "thawed");
	answer("guest-fsfreeze-freeze", "1");
	assert_int_equal(access(path, F_OK), 0);
	end(f);
	next_agent_thaws();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_a_limit_it_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(
			who_ends_before_the_answer_has_it_thawed, setup, teardown),
		cmocka_unit_test_setup_teardown(what_failed_is_thawed_by_the_next, setup, teardown),
		cmocka_unit_test_setup_teardown(a_limit_is_kept, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
