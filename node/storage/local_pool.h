/* local_pool.h - what the directory of local volumes has promised, and what it holds. Directories
 *are thin: sizes may add up to more than there is, as far as the StorageClass allows by its
 *parameter
 *
 *	overcommit: "1.5"	all volumes together may be promised 1.5 times the file system's
 *size
 *
 * (absent: no limit). Told as metrics hanok_storage_pool_{capacity,available,promised}_bytes. */
#pragma once

#include "lib/client/informer.h"

struct local_pool {
	int64_t capacity_bytes, available_bytes; /* of the file system */
	int64_t promised_bytes; /* to the volumes in the directory, as their objects say */
};
int local_pool_read(struct informer *volumes, const char *directory, struct local_pool *ret,
	struct err *err) _must_check_;
/* Whether `more_bytes` may be promised, too. parameters: the class's, NULL = none. -ENOSPC, or
 * -EINVAL for a factor that is none. */
int local_pool_admit(const struct local_pool *p, const struct json *parameters, int64_t more_bytes,
	struct err *err) _must_check_;
/* As metrics of the pool of that name: "local", or a server's URL. */
void local_pool_tell(const struct local_pool *p, const char *name);
