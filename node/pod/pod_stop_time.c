/* pod_stop_time.c - until when a pod has to have stopped, noted beside its volumes when it begins
 * to stop: an agent that is started anew meanwhile goes on with what is left of the grace period.
 * The deletionTimestamp would not do: it goes by the server's clock, and runs while the agent is
 * away and nobody has asked the containers to end. */
#include <fcntl.h>
#include <stdio.h>

#include "lib/base/str.h"
#include "node/pod/pod_internal.h"

#define FILE_NAME "stop-by"

struct note {
	char *path, text[24];
};

static void run(void *user)
{
	struct note *n = user;
	struct err ignored = ERR_INIT;

	/* A pod without a directory never had anything that could run. Without the note the next
	 * agent gives all of the time again. */
	if (pod_file_write(n->path, n->text, 0600, &ignored) < 0)
		return;
}

static void done(void *user, bool cancelled)
{
	struct note *n = user;

	free(n->path);
	free(n);
}

void pod_stop_time_note(struct pod_worker *w)
{
	if (w->sm.state != POD_STOPPING || w->stop_by_noted_ns == w->view.stop_by_ns)
		return;
	struct note *n = xcalloc(1, sizeof(*n));
	w->stop_by_noted_ns = w->view.stop_by_ns;
	n->path = xasprintf("%s/" FILE_NAME, w->dir);
	snprintf(n->text, sizeof(n->text), "%lld", (long long)w->view.stop_by_ns);
	/* Nobody waits for it: before the directory goes, as jobs of one pod keep their order. */
	file_work_queue(w->n->files, w->uid, run, done, n);
}

int64_t pod_stop_time_recall(const struct pod_worker *w)
{
	_cleanup_(free_p) char *path = xasprintf("%s/" FILE_NAME, w->dir);
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[24];
	ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	int64_t ns;

	if (size <= 0)
		return INT64_MAX;
	text[size] = '\0';
	return parse_i64(str_from(text), &ns) == 0 ? ns : INT64_MAX;
}
