/* Whom a number in an old file may still concern. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/net/old_process.h"

static pid_t child(const char *name)
{
	int ready[2];
	char c;

	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		/* Says "x" when it runs as what it is called. */
		dup2(ready[1], 1);
		close(ready[0]);
		close(ready[1]);
		execl("/bin/sh", name, "-c", "printf x; read line", "/run/ours/hosts",
			(char *)NULL);
		_exit(1);
	}
	assert_true(pid > 0);
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void only_the_one_that_is_meant(void **state)
{
	int status, in[2];

	assert_int_equal(pipe(in), 0); /* what the child reads from never ends */
	assert_int_equal(dup2(in[0], 0), 0);
	pid_t pid = child("/usr/sbin/dnsmasq");
	assert_false(old_process_signal(pid, "vim", "/run/ours", SIGKILL));
	assert_false(old_process_signal(pid, "dnsmas", "/run/ours", SIGKILL));
	assert_false(old_process_signal(pid, "dnsmasq", "/run/theirs", SIGKILL));
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_true(old_process_signal(pid, "dnsmasq", "/run/ours", SIGKILL));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_false(old_process_signal(pid, "dnsmasq", "/run/ours", SIGKILL));
	close(in[0]);
	close(in[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(only_the_one_that_is_meant)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
