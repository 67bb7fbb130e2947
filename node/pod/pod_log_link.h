/* pod_log_link.h - links of logs, by which collectors of logs find them:
 * POD_NAMESPACE_CONTAINER-ID.log -> the file in /var/log/pods. Links to what is gone are dropped by
 * pod_files.c. */
#pragma once

#include "node/pod/pod_internal.h"

#define CONTAINER_LOG_ROOT "/var/log/containers"

/* Of the newest instance; the caller's. */
char *pod_log_path(const struct pod_worker *w, size_t container);
/* Links the log of the newest instance, which has just started. */
void pod_log_link(struct pod_worker *w, size_t container);
