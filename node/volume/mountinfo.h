/* mountinfo.h - the mounts of this process' namespace, from /proc/self/mountinfo. */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/err.h"

struct mount_line {
	uint64_t id;
	const char *path; /* unescaped */
	bool shared;	  /* mounts below it are seen by others: "shared:N" */
	bool slave;	  /* ... it sees those of others: "master:N" */
};

/* One line without its newline; it is changed. False when it has another form. */
bool mountinfo_parse(char *line, struct mount_line *ret);

struct mount_table {
	struct mount_line *items; /* later ones are mounted over earlier ones of the same path */
	size_t count;
};
int mountinfo_read(struct arena *a, struct mount_table *ret, struct err *err) _must_check_;
/* The mount that an open file is on, NULL when it is not in the table. */
const struct mount_line *mountinfo_of(const struct mount_table *t, int fd);
