/* fake_logind.c - stands in for systemd-logind on a test host that has a system bus and no systemd:
 * the calls, property and signal of org.freedesktop.login1 that a graceful shutdown needs.
 *
 * usage: fake_logind DELAY_S [DROP_IN]
 *
 * Says on standard output what is asked of it. SIGUSR1: the host is about to go down; SIGUSR2: not
 * any more. Asked to reload it takes InhibitDelayMaxSec from DROP_IN. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <unistd.h>

static sd_bus *bus;
static sd_event *loop;
static uint64_t delay_usec;
static const char *drop_in;

static int on_released(sd_event_source *s, int fd, uint32_t events, void *user)
{
	puts("released");
	sd_event_source_unref(s);
	close(fd);
	return 0;
}

static int inhibit(sd_bus_message *m, void *user, sd_bus_error *error)
{
	const char *what, *who, *why, *mode;
	int ends[2];

	if (sd_bus_message_read(m, "ssss", &what, &who, &why, &mode) < 0 || pipe(ends) < 0)
		return -EINVAL;
	printf("inhibit %s %s %s\n", what, who, mode);
	/* The lock is over when nobody has the other end any more. */
	sd_event_add_io(loop, NULL, ends[0], EPOLLHUP, on_released, NULL);
	int r = sd_bus_reply_method_return(m, "h", ends[1]);
	close(ends[1]);
	return r;
}

static int reload(sd_bus_message *m, void *user, sd_bus_error *error)
{
	const char *unit, *who;
	int number;
	char line[256];
	long long seconds;

	if (sd_bus_message_read(m, "ssi", &unit, &who, &number) < 0)
		return -EINVAL;
	printf("signal %d %s\n", number, unit);
	FILE *f = drop_in ? fopen(drop_in, "re") : NULL;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "InhibitDelayMaxSec=%lld", &seconds) == 1)
			delay_usec = (uint64_t)seconds * 1000000;
	}
	if (f)
		fclose(f);
	return sd_bus_reply_method_return(m, "");
}

static const sd_bus_vtable logind[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Inhibit", "ssss", "h", inhibit, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_PROPERTY("InhibitDelayMaxUSec", "t", NULL, 0, 0),
	SD_BUS_SIGNAL("PrepareForShutdown", "b", 0),
	SD_BUS_VTABLE_END,
};
static const sd_bus_vtable systemd[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("KillUnit", "ssi", "", reload, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *user)
{
	int going_down = si->ssi_signo == SIGUSR1;

	printf("prepare %d\n", going_down);
	return sd_bus_emit_signal(bus, "/org/freedesktop/login1", "org.freedesktop.login1.Manager",
		"PrepareForShutdown", "b", going_down);
}

static int on_term(sd_event_source *s, const struct signalfd_siginfo *si, void *user)
{
	return sd_event_exit(loop, 0);
}

int main(int argc, char **argv)
{
	sigset_t blocked;

	if (argc < 2)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	delay_usec = strtoull(argv[1], NULL, 10) * 1000000;
	drop_in = argc > 2 ? argv[2] : NULL;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigaddset(&blocked, SIGUSR2);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	if (sd_event_default(&loop) < 0 || sd_bus_open_system(&bus) < 0 ||
		sd_bus_attach_event(bus, loop, 0) < 0)
		return 1;
	sd_event_add_signal(loop, NULL, SIGUSR1, on_signal, NULL);
	sd_event_add_signal(loop, NULL, SIGUSR2, on_signal, NULL);
	sd_event_add_signal(loop, NULL, SIGTERM, on_term, NULL);
	/* The property's value is read from where `user` points to. */
	sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/login1",
		"org.freedesktop.login1.Manager", logind, &delay_usec);
	sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/systemd1",
		"org.freedesktop.systemd1.Manager", systemd, NULL);
	if (sd_bus_request_name(bus, "org.freedesktop.login1", 0) < 0 ||
		sd_bus_request_name(bus, "org.freedesktop.systemd1", 0) < 0)
		return 1;
	puts("serving");
	return sd_event_loop(loop) < 0;
}
