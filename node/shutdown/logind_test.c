/* logind_test.c - the lock of logind and its signals, on a private bus with a stand-in for logind
 * (test/lab/fake_logind.c). Skipped where there is no dbus-daemon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "lib/base/str.h"
#include "node/shutdown/logind.h"

extern char **environ;

static char directory[] = "/tmp/hanok-logind-XXXXXX";
static pid_t bus, fake;
static FILE *said; /* by the stand-in */

static pid_t run(char *const argv[], FILE **ret_output)
{
	posix_spawn_file_actions_t actions;
	int ends[2];
	pid_t pid = -1;

	if (pipe(ends) < 0)
		return -1;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
	posix_spawn_file_actions_addclose(&actions, ends[0]);
	if (posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ) != 0)
		pid = -1;
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	*ret_output = fdopen(ends[0], "r");
	return pid;
}

static char *path_of(const char *name)
{
	return xasprintf("%s/%s", directory, name);
}

static void expect(const char *line)
{
	char text[256] = "";

	if (!fgets(text, sizeof(text), said))
		fail_msg("nothing said, '%s' was expected", line);
	text[strcspn(text, "\n")] = '\0';
	assert_string_equal(text, line);
}

static int start(void **state)
{
	char address[512];
	FILE *printed;

	if (!mkdtemp(directory))
		return -1;
	_cleanup_(free_p) char *listen = xasprintf("unix:path=%s/bus", directory);
	_cleanup_(free_p) char *drop_in = path_of("drop-in.conf");
	char *daemon[] = {"dbus-daemon", "--config-file=" BUS_CONFIG, "--nofork",
		"--print-address=1", "--address", listen, NULL};
	bus = run(daemon, &printed);
	/* Not here: the tests skip. */
	if (bus < 0 || !printed || !fgets(address, sizeof(address), printed)) {
		bus = -1;
		return 0;
	}
	address[strcspn(address, "\n")] = '\0';
	setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
	fclose(printed);
	char *stand_in[] = {FAKE_LOGIND, "5", drop_in, NULL};
	fake = run(stand_in, &said);
	if (fake < 0)
		return -1;
	expect("serving");
	return 0;
}

static int end(void **state)
{
	_cleanup_(free_p) char *socket = path_of("bus"), *drop_in = path_of("drop-in.conf");

	if (fake > 0) {
		kill(fake, SIGTERM);
		waitpid(fake, NULL, 0);
		fclose(said);
	}
	if (bus > 0) {
		kill(bus, SIGTERM);
		waitpid(bus, NULL, 0);
	}
	unlink(socket);
	unlink(drop_in);
	rmdir(directory);
	return 0;
}

struct seen {
	uv_loop_t loop;
	unsigned states, prepares;
	bool ready, going_down;
	int64_t delay_s;
	char why[1024];
};

static void on_prepare(void *user, bool going_down)
{
	struct seen *s = user;

	s->prepares++;
	s->going_down = going_down;
	uv_stop(&s->loop);
}

static void on_state(void *user, bool ready, int64_t delay_s, const struct err *err)
{
	struct seen *s = user;

	s->states++;
	s->ready = ready;
	s->delay_s = delay_s;
	snprintf(s->why, sizeof(s->why), "%s", err ? err->msg : "");
	uv_stop(&s->loop);
}

static const struct logind_handler handler = {on_prepare, on_state};

static void a_shutdown(void **state)
{
	if (bus < 0)
		skip();
	_cleanup_(free_p) char *drop_in = path_of("drop-in.conf");
	struct seen s = {0};
	uv_loop_init(&s.loop);
	/* 5 s are too few: logind is told, asked to reload, and then holds 30 s. */
	struct logind *l = logind_create(&s.loop, clock_system(), 30, drop_in, &handler, &s);
	uv_run(&s.loop, UV_RUN_DEFAULT);
	assert_string_equal(s.why, "");
	assert_true(s.ready);
	assert_int_equal(s.delay_s, 30);
	expect("signal 1 systemd-logind.service");
	expect("inhibit shutdown hanok-node delay");

	kill(fake, SIGUSR1);
	uv_run(&s.loop, UV_RUN_DEFAULT);
	assert_int_equal(s.prepares, 1);
	assert_true(s.going_down);
	expect("prepare 1");
	logind_let_go(l);
	expect("released");

	/* Called off: the lock is taken anew. */
	kill(fake, SIGUSR2);
	uv_run(&s.loop, UV_RUN_DEFAULT);
	assert_false(s.going_down);
	expect("prepare 0");
	logind_hold(l);
	uv_run(&s.loop, UV_RUN_DEFAULT);
	assert_true(s.ready);
	expect("inhibit shutdown hanok-node delay");
	logind_destroy(l);
	expect("released");
	uv_run(&s.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&s.loop), 0);
}

static void no_bus(void **state)
{
	struct seen s = {0};
	_cleanup_(free_p) char *before = NULL;

	if (bus < 0)
		skip();
	before = xstrdup(getenv("DBUS_SYSTEM_BUS_ADDRESS"));
	setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/no/such/bus", 1);
	uv_loop_init(&s.loop);
	struct logind *l = logind_create(&s.loop, clock_system(), 30, NULL, &handler, &s);
	uv_run(&s.loop, UV_RUN_DEFAULT);
	assert_false(s.ready);
	assert_int_equal(s.states, 1);
	assert_string_equal(s.why, "system bus: No such file or directory");
	logind_destroy(l);
	uv_run(&s.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&s.loop), 0);
	setenv("DBUS_SYSTEM_BUS_ADDRESS", before, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_bus),
		cmocka_unit_test(a_shutdown),
	};

	return cmocka_run_group_tests_name("logind", tests, start, end);
}
