/* thaw.c - a guest whose file systems were frozen for a snapshot is thawed in any case: by who
 * froze it, or by the next agent, which finds a note in the VMI's directory. */
#include "node/vm/snapshot/snapshots_internal.h"

#include <fcntl.h>

#include "lib/base/log.h"

#define THAW_TIMEOUT_S 20

static char *note_path(const struct vm_snapshots *s, const struct vm_worker *w)
{
	return xasprintf("%s/%s/frozen", s->m->directory, w->uid);
}

void freeze_remember(struct vm_snapshots *s, const struct vm_worker *w)
{
	_cleanup_(free_p) char *path = note_path(s, w);
	_cleanup_(close_p) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		log_warn("snapshots", "problem", "a note can't be written", "path", path, NULL);
}

static void forget(struct vm_snapshots *s, const struct vm_worker *w)
{
	_cleanup_(free_p) char *path = note_path(s, w);

	(void)unlink(path);
}

struct thaw {
	struct vm_snapshots *s;
	char uid[37];
};

static void on_thawed(void *user, const struct json *value, const struct err *err)
{
	struct thaw *t = user;
	struct vm_worker *w;

	if (err && err->code == -ECANCELED) {
		free(t); /* the agent stops: the note is for the next one */
		return;
	}
	w = table_get(&t->s->m->workers, t->uid);
	/* Whoever is not there, or was not frozen, need not be thawed. */
	if (w && err &&
		(err->code == -ENOTCONN || err->code == -ETIMEDOUT || agent_unasked(err->code)))
		table_remove(&t->s->thawed, w->uid);
	else if (w)
		forget(t->s, w);
	free(t);
}

void thaw_now(struct vm_snapshots *s, struct vm_worker *w)
{
	struct thaw *t = xcalloc(1, sizeof(*t));

	t->s = s;
	memcpy(t->uid, w->uid, sizeof(t->uid));
	table_set(&s->thawed, w->uid, s);
	guest_agent_call(w->agent,
		&(struct agent_command){
			.name = "guest-fsfreeze-thaw", .timeout_s = THAW_TIMEOUT_S, .urgent = true},
		on_thawed, t);
}

void thaw_if_left(struct vm_snapshots *s, struct vm_worker *w)
{
	_cleanup_(free_p) char *path = NULL;

	if (w->core.sm.state != VM_RUNNING || !guest_agent_present(w->agent) ||
		table_get(&s->thawed, w->uid))
		return;
	table_set(&s->thawed, w->uid, s);
	path = note_path(s, w);
	if (access(path, F_OK) < 0)
		return;
	vm_say(w, "Normal", "Thawed", "Thawed file systems that an earlier agent had frozen");
	thaw_now(s, w);
}
