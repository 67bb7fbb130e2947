/* pod_files.c - see pod_files.h. */
#include "node/pod/pod_files.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/base/log.h"
#include "node/pod/pod_volumes.h"

#define LOG_MAX_BYTES (INT64_C(10) << 20)
enum { LOG_FILES_MAX = 5 };

/* ---- rotation ---- */

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Older files are "0.log.20060102-150405": their names sort by age. */
static void drop_oldest(const char *dir, const char *prefix)
{
	DIR *d = opendir(dir);
	VEC(char *) found = {0};

	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		if (str_has_prefix(e->d_name, prefix))
			VEC_PUSH(&found, xstrdup(e->d_name));
	}
	if (found.count > 0)
		qsort(found.items, found.count, sizeof(*found.items), compare);
	for (size_t i = 0; i < found.count; i++) {
		/* The live file is one of the five. */
		if (found.count - i > LOG_FILES_MAX - 1)
			unlinkat(dirfd(d), found.items[i], 0);
		free(found.items[i]);
	}
	VEC_FINISH(&found);
	closedir(d);
}

struct reopen {
	char *from, *to; /* to undo the renaming when the runtime does not go along */
};

static void on_reopened(void *user, const struct grpc_result *r)
{
	struct reopen *o = user;

	/* Without a new file the runtime goes on with the old one, which must keep its name. */
	if (!grpc_ok(r)) {
		log_warn("log file could not be rotated", "file", o->from, "reason", r->message,
			NULL);
		if (access(o->from, F_OK) < 0 && rename(o->to, o->from) < 0)
			log_warn("log file keeps its old name", "file", o->to, NULL);
	}
	free(o->from);
	free(o->to);
	free(o);
}

static void rotate(struct pod_worker *w, size_t i, const char *root)
{
	struct pod_container *c = &w->containers[i];
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *path =
		arena_printf(&a, "%s/%s", root, container_log_path(&a, c->name, c->cur.attempt));
	struct stat st;
	struct tm tm;
	char stamp[32];
	time_t now = (time_t)(wall(w->n) / NS_PER_S);

	if (stat(path, &st) < 0 || st.st_size <= LOG_MAX_BYTES)
		return;
	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	struct reopen *o = xcalloc(1, sizeof(*o));
	o->from = xstrdup(path);
	o->to = xasprintf("%s.%s", path, stamp);
	if (rename(o->from, o->to) < 0) {
		free(o->from);
		free(o->to);
		free(o);
		return;
	}
	drop_oldest(arena_printf(&a, "%s/%s", root, c->name),
		arena_printf(&a, "%u.log.", c->cur.attempt));
	cri_reopen_log(w->m->cri, c->cur.id, on_reopened, o);
}

void pod_files_rotate_logs(struct pod_manager *m)
{
	for (struct table_iter it = table_iterate(&m->workers); table_next(&it);) {
		struct pod_worker *w = it.value;
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		const char *root = NULL;
		for (size_t i = 0; i < w->view.container_count; i++) {
			if (w->view.containers[i].run != RUN_RUNNING)
				continue;
			if (!root)
				root = pod_log_dir(&a, pod_worker_doc(w, &a));
			rotate(w, i, root);
		}
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
