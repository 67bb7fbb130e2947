/* pod_files.h - files of pods on this host that no pod worker looks after from moment to moment:
 * logs that grow, and directories that a killed agent left behind. */
#pragma once

#include "node/pod/pod_internal.h"

/* Begins a new log file for each running container whose log is above 10 MiB, keeps the newest five
 * files of an instance. */
void pod_files_rotate_logs(struct pod_manager *m);
/* Volumes and logs of a pod of which nothing but its uid is known any more. */
void pod_files_remove(struct pod_manager *m, const char *uid);
/* The same for all whose pod is gone; only once all pods are known. */
void pod_files_sweep(struct pod_manager *m);
