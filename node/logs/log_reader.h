/* log_reader.h - one container's log from its oldest file that is still there to the newest, as if
 * it were one: bytes in order, compressed files unpacked.
 *
 * log_reader_open() may read much (a tail that reaches into older files) and belongs on a worker
 * thread; reading is by small pieces. A reader that goes on while the log is rotated asks
 * log_reader_catch_up() from time to time: files are found as long as they have a name, and read
 * to their end as long as they are open here. */
#pragma once

#include "lib/base/err.h"

struct log_reader;
/* Begins with the last `tail` lines (-1 = all). Lines written in parts count once. Files that
 * were last written before since_ns are left out. */
int log_reader_open(const char *path, int64_t tail, int64_t since_ns, struct log_reader **ret,
	struct err *err) _must_check_;
void log_reader_close(struct log_reader *r); /* NULL allowed */

/* 0 = the file at hand is at its end: log_reader_next() turns to a newer one. A damaged compressed
 * file ends early. */
ssize_t log_reader_read(struct log_reader *r, char *to, size_t room);
/* False when there is no newer one. */
bool log_reader_next(struct log_reader *r);
/* Opens what has come after the newest file that is open here. True when there was something. At
 * most max_files are kept open: who reads too slowly loses the oldest of them. */
bool log_reader_catch_up(struct log_reader *r, size_t max_files);
