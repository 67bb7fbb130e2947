/* pod_log_link.c - see pod_log_link.h. */
#include "node/pod/pod_log_link.h"

#include <sys/stat.h>

#include "lib/base/log.h"

enum { NAME_ROOM = 256 };

char *pod_log_path(const struct pod_worker *w, size_t i)
{
	const struct pod_container *c = &w->containers[i];

	return xasprintf(POD_LOG_ROOT "/%s_%s_%s/%s/%u.log", w->ns, w->name, w->uid, c->name,
		c->cur.attempt);
}

void pod_log_link(struct pod_worker *w, size_t i)
{
	static const char suffix[] = ".log";
	struct pod_container *c = &w->containers[i];
	_cleanup_(free_p) char *target = pod_log_path(w, i);
	_cleanup_(free_p) char *name = xasprintf("%s_%s_%s-%s", w->name, w->ns, c->name, c->cur.id);
	size_t most = NAME_ROOM - sizeof(suffix);

	if (strlen(name) > most)
		name[most] = '\0';
	_cleanup_(free_p) char *path = xasprintf(CONTAINER_LOG_ROOT "/%s%s", name, suffix);
	if (mkdir(CONTAINER_LOG_ROOT, 0755) < 0 && errno != EEXIST)
		log_debug("links of logs", "dir", CONTAINER_LOG_ROOT, "reason", strerror(errno),
			NULL);
	else if (symlink(target, path) < 0 && errno != EEXIST)
		log_debug("link of a log", "file", path, "reason", strerror(errno), NULL);
	c->cur.log_linked = true;
}
