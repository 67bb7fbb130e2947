/*
 * lab-proc: starts, watches and ends the processes of a lab, without ever guessing a PID.
 *
 *   lab-proc host PIDFILE LOG SETUP [ARG...]
 *       A lab host: new network, mount, PID, UTS, IPC and cgroup namespaces whose PID 1 runs SETUP
 *       to its end, then only reaps. Returns when SETUP has succeeded.
 *   lab-proc daemon PIDFILE LOG CMD [ARG...]
 *       CMD in the background, in the caller's namespaces. Returns when it was exec'd.
 *   lab-proc keep PIDFILE LOG CMD [ARG...]
 *       The same; when it crashes it is started again, as systemd does it (Restart=on-failure).
 *       SIGTERM and SIGKILL are no crash: whoever sent them wants it to be gone.
 *   lab-proc alive PIDFILE
 *       Exit 0 if the process that PIDFILE names still runs.
 *   lab-proc end PIDFILE GRACE_MS
 *       SIGTERM, at most GRACE_MS of waiting, SIGKILL, wait; then removes PIDFILE. With 0 at once
 *       SIGKILL.
 *
 * A PIDFILE holds "PID STARTTIME" (field 22 of /proc/PID/stat), so that a reused PID is never taken
 * for the process meant. PIDs are those of the PID namespace in which lab-proc was called.
 *
 * Statically linked: it runs inside mount namespaces whose libraries are none of its business.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HOST_NAMESPACES                                                                            \
	(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWCGROUP)

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "lab-proc: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Start time of 'pid' in clock ticks since boot; 0 if it does not exist or is a zombie. */
static unsigned long long process_start_time(pid_t pid)
{
	char path[64], text[1024];

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t size = read(fd, text, sizeof text - 1);
	close(fd);
	if (size <= 0)
		return 0;
	text[size] = '\0';

	/* The command name, field 2, may hold spaces and brackets: count from the last ')'. */
	char *at = strrchr(text, ')');
	if (at == NULL || at[1] == '\0' || at[2] == 'Z')
		return 0;
	for (int field = 2; field < 22; field++) {
		at = strchr(at + 1, ' ');
		if (at == NULL)
			return 0;
	}
	return strtoull(at + 1, NULL, 10);
}

static void pidfile_write(const char *path, pid_t pid)
{
	char temporary[4096];

	snprintf(temporary, sizeof temporary, "%s.new", path);
	FILE *file = fopen(temporary, "we");
	if (file == NULL)
		die(temporary);
	fprintf(file, "%d %llu\n", (int)pid, process_start_time(pid));
	if (fclose(file) != 0 || rename(temporary, path) != 0)
		die(path);
}

/* The running process that 'path' names, or 0. */
static pid_t pidfile_read(const char *path)
{
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return 0;
	int pid = 0;
	unsigned long long start_time = 0;
	int fields = fscanf(file, "%d %llu", &pid, &start_time);
	fclose(file);
	if (fields != 2 || pid <= 0 || start_time == 0 || process_start_time(pid) != start_time)
		return 0;
	return pid;
}

static int log_open(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		die(path);
	return fd;
}

/* stdin from nowhere, output to 'out', a session of its own. */
static void detach(int out)
{
	int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (in < 0)
		die("/dev/null");
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		die("dup2");
	setsid();
}

static void close_above(unsigned int first)
{
	syscall(SYS_close_range, first, ~0U, 0);
}

/* argv: PIDFILE LOG CMD [ARG...] */
static pid_t spawn(char **argv)
{
	const char *pidfile = argv[0], *log = argv[1];
	int status_pipe[2];

	/* Carries errno when exec fails; its closing says that exec succeeded. */
	if (pipe2(status_pipe, O_CLOEXEC) != 0)
		die("pipe");
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		detach(log_open(log));
		dup2(status_pipe[1], 3);
		close_above(4);
		fcntl(3, F_SETFD, FD_CLOEXEC);
		execvp(argv[2], argv + 2);
		int error = errno;
		if (write(3, &error, sizeof error) < 0)
			_exit(126);
		_exit(127);
	}
	close(status_pipe[1]);
	int error = 0;
	if (read(status_pipe[0], &error, sizeof error) > 0) {
		errno = error;
		die(argv[2]);
	}
	close(status_pipe[0]);
	pidfile_write(pidfile, pid);
	return pid;
}

static int command_daemon(char **argv)
{
	spawn(argv);
	return 0;
}

static _Noreturn void keep(char **argv, int ready_fd)
{
	const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};

	for (;;) {
		pid_t pid = spawn(argv);
		int status;

		if (ready_fd >= 0) {
			if (write(ready_fd, "", 1) < 0)
				die("pipe");
			ready_fd = -1;
			detach(log_open(argv[1]));
			close_above(3);
		}
		while (waitpid(pid, &status, 0) < 0)
			if (errno != EINTR)
				die("waitpid");
		if (!WIFSIGNALED(status) || WTERMSIG(status) == SIGTERM ||
			WTERMSIG(status) == SIGKILL)
			exit(0);
		fprintf(stderr, "lab-proc: %s crashed (signal %d) and is started again\n", argv[2],
			WTERMSIG(status));
		nanosleep(&pause, NULL);
	}
}

static int command_keep(char **argv)
{
	int ready_pipe[2];
	char byte;

	if (pipe2(ready_pipe, O_CLOEXEC) != 0)
		die("pipe");
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		close(ready_pipe[0]);
		keep(argv, ready_pipe[1]);
	}
	close(ready_pipe[1]);
	return read(ready_pipe[0], &byte, 1) == 1 ? 0 : 1;
}

/* PID 1 of a lab host: whatever is orphaned in it becomes its child. Ends only by SIGKILL. */
static _Noreturn void reap_forever(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (;;) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		int signal_number;
		sigwait(&set, &signal_number);
	}
}

static _Noreturn void host_main(int ready_fd, int log_fd, char **setup)
{
	sigset_t set;

	detach(log_fd);
	dup2(ready_fd, 3);
	close_above(4);
	fcntl(3, F_SETFD, FD_CLOEXEC);
	prctl(PR_SET_NAME, "lab-host");
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);

	pid_t child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		execvp(setup[0], setup);
		die(setup[0]);
	}
	int status = 0;
	pid_t pid;
	while ((pid = waitpid(-1, &status, 0)) != child)
		if (pid < 0 && errno != EINTR)
			die("waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		exit(1);
	if (write(3, "", 1) != 1)
		exit(1);
	close(3);
	reap_forever();
}

static int command_host(char **argv)
{
	const char *pidfile = argv[0], *log = argv[1];
	int ready_pipe[2];

	if (pipe2(ready_pipe, O_CLOEXEC) != 0)
		die("pipe");
	/* Opened through the machine's mount of it: the host's own view of / shall become
	 * read-only. */
	int log_fd = log_open(log);
	if (unshare(HOST_NAMESPACES) != 0)
		die("unshare");
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		host_main(ready_pipe[1], log_fd, argv + 2);
	close(ready_pipe[1]);

	/* Written first: a setup that hangs can then be ended by it. */
	pidfile_write(pidfile, pid);
	char byte;
	if (read(ready_pipe[0], &byte, 1) == 1)
		return 0;
	waitpid(pid, NULL, 0);
	unlink(pidfile);
	fprintf(stderr, "lab-proc: %s failed, see %s\n", argv[2], log);
	return 1;
}

static int command_end(char **argv)
{
	const char *pidfile = argv[0];
	int grace_ms = atoi(argv[1]);

	pid_t pid = pidfile_read(pidfile);
	if (pid > 0) {
		int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		/* Looked at again through the handle: the PID can't be reused from here on. */
		if (pidfd >= 0 && pidfile_read(pidfile) == pid) {
			struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};

			if (grace_ms > 0)
				syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
			if (grace_ms == 0 || poll(&poll_fd, 1, grace_ms) == 0) {
				if (grace_ms > 0)
					fprintf(stderr,
						"lab-proc: PID %d of %s outlived SIGTERM by %d ms, "
						"killed\n",
						(int)pid, pidfile, grace_ms);
				syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
				if (poll(&poll_fd, 1, 30000) == 0) {
					fprintf(stderr, "lab-proc: PID %d of %s does not end\n",
						(int)pid, pidfile);
					return 1;
				}
			}
		}
	}
	unlink(pidfile);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 5 && strcmp(argv[1], "host") == 0)
		return command_host(argv + 2);
	if (argc >= 5 && strcmp(argv[1], "daemon") == 0)
		return command_daemon(argv + 2);
	if (argc >= 5 && strcmp(argv[1], "keep") == 0)
		return command_keep(argv + 2);
	if (argc == 3 && strcmp(argv[1], "alive") == 0)
		return pidfile_read(argv[2]) > 0 ? 0 : 1;
	if (argc == 4 && strcmp(argv[1], "end") == 0)
		return command_end(argv + 2);
	fprintf(stderr, "usage: lab-proc host|daemon|keep PIDFILE LOG CMD... | alive PIDFILE | end "
			"PIDFILE GRACE_MS\n");
	return 2;
}
