/* data_dir.h - a server's data directory belongs to one process at a time. */
#pragma once

#include "lib/base/err.h"

/* Makes the directory (0700) if it is missing and locks DIR/lock by flock(2); the process id is
 * noted in it. -EBUSY names the process that has it. */
int data_dir_lock(const char *directory, int *ret_fd, struct err *err) _must_check_;
