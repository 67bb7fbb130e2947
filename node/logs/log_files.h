/* log_files.h - the files of one container's log: the one that the runtime writes to, and those
 * that were rotated away, named by when:
 *
 *   0.log                      the newest
 *   0.log.20060102-150405      rotated; the latest of them as it was written
 *   0.log.20060102-140405.gz   older ones, compressed
 *
 * All functions block. */
#pragma once

#include "lib/base/err.h"
#include "lib/base/vec.h"

struct log_file {
	char *path;
	bool compressed;
};
struct log_files {
	VEC(struct log_file) rotated; /* oldest first */
};

/* What was rotated away from `path`. Nothing when there is no such directory. */
void log_files_list(const char *path, struct log_files *ret);
void log_files_finish(struct log_files *f);

struct log_rotate_limits {
	int64_t max_bytes; /* of the file that is written to, until it is rotated */
	int64_t max_files; /* of one log, with that one: 2 or more */
};
enum log_rotate_result {
	LOG_ROTATE_NONE,    /* it is small enough */
	LOG_ROTATE_RENAMED, /* the runtime must be told to open a new one */
	LOG_ROTATE_MISSING, /* the same: a rotation was broken off before */
};
/* Renames a file that has grown too large (*ret_rotated, the caller's, is its new name),
 * compresses those rotated before and removes the oldest. A negative errno when it could not be
 * renamed. */
int log_rotate(const char *path, const struct log_rotate_limits *limits, int64_t wall_ns,
	char **ret_rotated, struct err *err) _must_check_;
/* The runtime did not go along: it goes on with the file, which gets its name back. */
void log_rotate_undo(const char *path, const char *rotated);

/* Removes the logs of instances before `attempt`, with what was rotated of them. */
void log_files_drop_older(const char *dir, unsigned attempt);
