/* pod_files.c - see pod_files.h. */
#include "node/pod/pod_files.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "node/logs/log_files.h"
#include "node/pod/pod_log_link.h"
#include "node/pod/pod_volumes.h"
#include "node/resources/resources.h"

/* ---- logs ---- */

/* A container's log that is to be looked at. */
struct tended {
	char *path, *id; /* id NULL = it does not run */
	unsigned oldest; /* the first instance whose log is kept */
	/* the outcome */
	int result;
	char *rotated;
};

struct log_tending {
	struct file_job *job;
	struct pod_manager *m; /* not for the thread */
	VEC(struct tended) logs;
	struct log_rotate_limits limits;
	int64_t wall_ns;
};

/* A runtime that was asked to open a log anew. */
struct log_reopen {
	struct list link;
	struct grpc_call *call;
	char *path, *rotated; /* rotated NULL = nothing to be undone */
};

static void tending_free(struct log_tending *t)
{
	for (size_t i = 0; i < t->logs.count; i++) {
		free(t->logs.items[i].path);
		free(t->logs.items[i].id);
		free(t->logs.items[i].rotated);
	}
	VEC_FINISH(&t->logs);
	free(t);
}

static void reopen_free(struct log_reopen *o)
{
	list_remove(&o->link);
	free(o->path);
	free(o->rotated);
	free(o);
}

static void on_reopened(void *user, const struct grpc_result *r)
{
	struct log_reopen *o = user;

	if (!grpc_ok(r)) {
		log_warn("log file could not be rotated", "file", o->path, "reason", r->message,
			NULL);
		if (o->rotated)
			log_rotate_undo(o->path, o->rotated);
	}
	reopen_free(o);
}

/* Between a rotation and the runtime's new file there are only those rotated. */
static bool log_is_gone(const char *path)
{
	struct log_files files;

	if (access(path, F_OK) == 0 || errno != ENOENT)
		return false;
	log_files_list(path, &files);
	bool none = files.rotated.count == 0;
	log_files_finish(&files);
	return none;
}

/* Links whose log is not there any more. */
static void drop_links(void)
{
	DIR *d = opendir(CONTAINER_LOG_ROOT);

	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		char target[PATH_MAX];
		ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		if (str_has_prefix(target, POD_LOG_ROOT "/") && log_is_gone(target))
			unlinkat(dirfd(d), e->d_name, 0);
	}
	closedir(d);
}

static void tend_on_thread(void *user)
{
	struct log_tending *t = user;
	struct err err = ERR_INIT;

	for (size_t i = 0; i < t->logs.count; i++) {
		struct tended *l = &t->logs.items[i];
		if (l->id) {
			l->result = log_rotate(l->path, &t->limits, t->wall_ns, &l->rotated, &err);
			if (l->result < 0)
				log_warn("log file could not be rotated", "reason", err.msg, NULL);
		}
		if (l->oldest > 0) {
			_cleanup_(free_p) char *dir = xstrdup(l->path);
			*strrchr(dir, '/') = '\0';
			log_files_drop_older(dir, l->oldest);
		}
	}
	drop_links();
}

static void on_tended(void *user, bool cancelled)
{
	struct log_tending *t = user;

	/* Those that were renamed keep being written under their new names; the next agent finds
	 * that the old one is missing. */
	if (cancelled) {
		tending_free(t);
		return;
	}
	t->m->tending = NULL;
	for (size_t i = 0; i < t->logs.count; i++) {
		struct tended *l = &t->logs.items[i];
		if (l->result != LOG_ROTATE_RENAMED && l->result != LOG_ROTATE_MISSING)
			continue;
		struct log_reopen *o = xcalloc(1, sizeof(*o));
		o->path = TAKE_PTR(l->path);
		o->rotated = TAKE_PTR(l->rotated);
		list_init(&o->link);
		list_append(&t->m->log_reopens, &o->link);
		o->call = cri_reopen_log(t->m->cri, l->id, on_reopened, o);
	}
	tending_free(t);
}

static void tend_worker(struct log_tending *t, struct pod_worker *w)
{
	for (size_t i = 0; i < w->view.container_count; i++) {
		struct pod_container *c = &w->containers[i];
		bool running = w->view.containers[i].run == RUN_RUNNING;
		unsigned oldest = c->last.id ? c->last.attempt : c->cur.attempt;
		if (!c->cur.id)
			continue;
		if (running && !c->cur.log_linked)
			pod_log_link(w, i);
		if (!running && c->logs_from >= oldest)
			continue;
		struct tended l = {
			.path = pod_log_path(w, i),
			.id = running ? xstrdup(c->cur.id) : NULL,
			.oldest = c->logs_from < oldest ? oldest : 0,
		};
		c->logs_from = oldest;
		VEC_PUSH(&t->logs, l);
	}
}

void pod_files_tend_logs(struct pod_manager *m)
{
	if (m->tending)
		return;
	struct log_tending *t = xcalloc(1, sizeof(*t));
	t->m = m;
	t->limits = (struct log_rotate_limits){
		m->n->config->container_log_max_bytes, m->n->config->container_log_max_files};
	t->wall_ns = wall(m->n);
	for (struct table_iter it = table_iterate(&m->workers); table_next(&it);)
		tend_worker(t, it.value);
	m->tending = t;
	t->job = file_work_queue(m->n->files, "logs", tend_on_thread, on_tended, t);
}

void pod_files_stop(struct pod_manager *m)
{
	if (m->tending)
		file_job_cancel(m->tending->job);
	m->tending = NULL;
	/* Whether the runtime writes to a new file is not known: if not, the next agent finds the
	 * name missing, and asks again. */
	LIST_FOR_EACH(o, &m->log_reopens, struct log_reopen, link) {
		grpc_call_cancel(o->call);
		reopen_free(o);
	}
}

/* ---- sweep ---- */

/* The logs of a pod of which nothing but its uid is known any more: NAMESPACE_NAME_UID. */
static char *log_dir_of(const char *uid)
{
	DIR *d = opendir(POD_LOG_ROOT);
	char *found = NULL;

	for (struct dirent *e; d && !found && (e = readdir(d));) {
		const char *at = strrchr(e->d_name, '_');
		if (at && streq(at + 1, uid))
			found = xasprintf("%s/%s", POD_LOG_ROOT, e->d_name);
	}
	if (d)
		closedir(d);
	return found;
}

void pod_files_remove(struct pod_manager *m, const char *uid)
{
	_cleanup_(free_p) char *dir = xasprintf("%s/pods/%s", m->n->data_dir, uid);
	_cleanup_(free_p) char *logs = log_dir_of(uid);

	/* Before the directory: by that the next start finds what is left. */
	resources_pod_cgroup_remove(m->n->resources, uid);
	pod_volumes_remove(m->n, uid, dir, logs, NULL, NULL);
}

/* Only pods that this agent knew have a directory here: what others keep below /var/log/pods, or
 * run on the same runtime, is theirs. */
void pod_files_sweep(struct pod_manager *m)
{
	_cleanup_(free_p) char *root = xasprintf("%s/pods", m->n->data_dir);
	DIR *d = opendir(root);

	for (struct dirent *e; d && (e = readdir(d));) {
		const char *uid = e->d_name;
		if (*uid != '.' && !table_get(&m->workers, uid) && !pod_manager_is_orphan(m, uid))
			pod_files_remove(m, uid);
	}
	if (d)
		closedir(d);
}

/* ---- what is left ---- */

/* claim_volume.c makes a link for each claim, and the pod's directory goes after its containers. */
static bool has_link_to(const char *volumes, const char *directory)
{
	DIR *d = opendir(volumes);
	bool found = false;

	for (struct dirent *e; d && !found && (e = readdir(d));) {
		char target[PATH_MAX];
		ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = '\0';
		found = streq(target, directory);
	}
	if (d)
		closedir(d);
	return found;
}

bool pod_manager_left_with(struct pod_manager *m, const char *directory)
{
	_cleanup_(free_p) char *root = xasprintf("%s/pods", m->n->data_dir);
	DIR *d = opendir(root);
	bool found = false;

	for (struct dirent *e; d && !found && (e = readdir(d));) {
		_cleanup_(free_p) char *volumes = NULL;

		if (*e->d_name == '.' || table_get(&m->workers, e->d_name))
			continue;
		volumes = xasprintf("%s/%s/volumes", root, e->d_name);
		found = has_link_to(volumes, directory);
	}
	if (d)
		closedir(d);
	return found;
}
