/* cgroup.h - control groups, version 1 (a hierarchy for each controller) and version 2 (one for
 * all) behind one set of functions. A group is named by its path from the root that this process
 * sees, "/kubepods/burstable/podUID". Files are read and written at once: the kernel answers from
 * memory. */
#pragma once

#include "node/resources/qos.h"

#define CGROUP_HIERARCHIES_MAX 24

struct cgroup_tree {
	int version; /* 1 or 2; 0 = this host has none */
	/* v1: one each, of v2 the one. A cgroup2 tree beside v1 has no controllers. */
	struct {
		char *mount;
		char *controllers; /* ",cpu,cpuacct,"; v2: as cgroup.controllers says */
	} hierarchies[CGROUP_HIERARCHIES_MAX];
	size_t count;
};

/* From the text of /proc/self/mountinfo. With v2 the controllers are read from the mount. */
void cgroup_tree_read(const char *mountinfo, struct cgroup_tree *ret);
void cgroup_tree_finish(struct cgroup_tree *t);
bool cgroup_has(const struct cgroup_tree *t, const char *controller);

/* Makes the group and those above it, in every hierarchy whose controller we set, and on v2 hands
 * the controllers down to it. */
int cgroup_make(const struct cgroup_tree *t, const char *path, struct err *err) _must_check_;
/* A value for whose controller the host has none is left out. */
int cgroup_set(const struct cgroup_tree *t, const char *path, const struct cgroup_values *values,
	struct err *err) _must_check_;
/* Removes the group and what is below it, from all hierarchies: the runtime makes them where we do
 * not. Processes that are left in it are killed; -EBUSY while they take their time to go. Nothing
 * there is success. */
int cgroup_remove(const struct cgroup_tree *t, const char *path, struct err *err) _must_check_;
bool cgroup_exists(const struct cgroup_tree *t, const char *path);
/* The names of the groups right below this one, of every hierarchy: one may be told many times. */
void cgroup_children(const struct cgroup_tree *t, const char *path,
	void (*each)(void *user, const char *name), void *user);

/* A small file without white space at its end; -errno. */
int cgroup_file_read(const char *path, char *ret, size_t room);
