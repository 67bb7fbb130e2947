/*
 * The process that holds a pod sandbox's namespaces open: waits, reaps what is orphaned in a shared
 * PID namespace, ends at once when asked to.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	sigset_t set;
	int signal_number;

	/* Blocked, not handled: PID 1 has no default actions, and sigwait leaves no race. */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	do {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (sigwait(&set, &signal_number) != 0)
			return 1;
	} while (signal_number == SIGCHLD);
	return 0;
}
