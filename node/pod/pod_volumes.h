/* pod_volumes.h - a pod's volumes, from the worker's side: pod_op_setup() and pod_op_refresh() of
 * pod_internal.h, and the removal of directories. */
#pragma once

#include "node/pod/pod_internal.h"

#define POD_VOLUME_REFRESH_S 60

/* Removes what a pod had on disk, on a thread, after all that is under way with its files. Each
 * directory may be NULL. done (may be NULL: failures are logged) gets NULL when all is gone. */
struct file_job *pod_volumes_remove(struct node *n, const char *uid, const char *dir,
	const char *log_dir, void (*done)(void *user, const struct err *err), void *user);
