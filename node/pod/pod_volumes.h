/* pod_volumes.h - a pod's volumes, from the worker's side: pod_op_setup() and pod_op_refresh() of
 * pod_internal.h, and the removal of directories. */
#pragma once

#include "node/pod/pod_internal.h"

/* Begins to look whether what the container waits for comes. */
void pod_volumes_await_env(struct pod_worker *w);
/* Something that the pod refers to has changed. */
void pod_volumes_ref_changed(struct pod_worker *w);
/* The pod's own object will be `new`. */
void pod_volumes_pod_changed(struct pod_worker *w, const struct object *new);
/* Contents stay as they are from now on. */
void pod_volumes_leave(struct pod_worker *w);

/* They are about to be removed: no agent takes them for set up any more. */
void pod_volumes_forget(struct pod_worker *w);

/* Removes what a pod had on disk, on a thread, after all that is under way with its files. Each
 * directory may be NULL. done (may be NULL: failures are logged) gets NULL when all is gone. */
struct file_job *pod_volumes_remove(struct node *n, const char *uid, const char *dir,
	const char *log_dir, void (*done)(void *user, const struct err *err), void *user);
