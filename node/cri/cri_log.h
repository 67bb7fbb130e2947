/* cri_log.h - the log files that a CRI runtime writes, one line a record:
 *
 *   2016-10-06T00:17:09.669794202Z stdout F text of the line
 *   TIME                           STREAM TAG
 *
 * TAG is P for a part of a long line (more of it follows) or F for its end; further tags may follow
 * after ':'. */
#pragma once

#include "lib/base/err.h"

struct cri_log_line {
	int64_t time_ns;  /* since 1970 */
	const char *time; /* as written; not NUL-terminated */
	size_t time_size;
	bool is_stderr;
	bool partial;
	const char *text; /* without the newline */
	size_t size;
};

#define CRI_LOG_LINE_MAX_BYTES (256u << 10) /* runtimes cut at 16 KiB */

/* One line without its newline. -EBADMSG when it is no such record. */
int cri_log_parse(const char *line, size_t size, struct cri_log_line *ret) _must_check_;
/* The time as Kubernetes gives it to clients, always with nine decimals. Not NUL-terminated;
 * returns the size. */
#define CRI_LOG_TIME_ROOM 64
size_t cri_log_time(const struct cri_log_line *l, char ret[CRI_LOG_TIME_ROOM]);
/* Text of the last lines of a file: at most `lines` of them and room bytes. Returns the size; 0
 * when there is nothing to read. Not NUL-terminated. */
size_t cri_log_tail(const char *path, size_t lines, char *ret, size_t room);
