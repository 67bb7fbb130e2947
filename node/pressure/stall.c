/* stall.c - see stall.h. */
#include "node/pressure/stall.h"

#include <fcntl.h>

#include "lib/base/util.h"

/* Some process waited 200 ms of 2 s. Windows that are multiples of 2 s need no privilege. */
#define TRIGGER "some 200000 2000000"

struct stall {
	uv_poll_t poll;
	int fd;
	void (*stalled)(void *user);
	void *user;
};

static void on_freed(uv_handle_t *h)
{
	struct stall *s = CONTAINER_OF((uv_poll_t *)h, struct stall, poll);

	close(s->fd);
	free(s);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
	struct stall *s = CONTAINER_OF(p, struct stall, poll);

	/* An error would come again and again. */
	if (status < 0)
		uv_poll_stop(p);
	else
		s->stalled(s->user);
}

struct stall *stall_create(uv_loop_t *loop, void (*stalled)(void *user), void *user)
{
	int fd = open("/proc/pressure/memory", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	/* The kernel wants the NUL as well. */
	if (fd < 0 || write(fd, TRIGGER, sizeof(TRIGGER)) < 0) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	struct stall *s = xcalloc(1, sizeof(*s));
	s->fd = fd;
	s->stalled = stalled;
	s->user = user;
	if (uv_poll_init(loop, &s->poll, fd) < 0) {
		close(fd);
		free(s);
		return NULL;
	}
	uv_poll_start(&s->poll, UV_PRIORITIZED, on_poll);
	return s;
}

void stall_destroy(struct stall *s)
{
	if (!s)
		return;
	uv_poll_stop(&s->poll);
	uv_close((uv_handle_t *)&s->poll, on_freed);
}
