#include "node/net/old_process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "lib/base/str.h"

static bool is_it(pid_t pid, const char *program, const char *word)
{
	char path[64], text[4096 + 1];
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		return false;
	text[n] = '\0';
	const char *slash = strrchr(text, '/'); /* of argv[0] */
	return streq(slash ? slash + 1 : text, program) &&
	       memmem(text, (size_t)n, word, strlen(word));
}

bool old_process_signal(pid_t pid, const char *program, const char *word, int sig)
{
	/* Held before it is looked at: from here on the number can't become another's. */
	_cleanup_(close_p) int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0 && errno != ENOSYS)
		return false;
	if (!is_it(pid, program, word))
		return false;
	if (fd < 0) /* a kernel before 5.3 */
		return kill(pid, sig) == 0;
	return syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) == 0;
}
