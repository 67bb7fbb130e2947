/* pod_files.h - files of pods on this host that no pod worker looks after from moment to moment:
 * logs that grow, and directories that a killed agent left behind. */
#pragma once

#include "node/pod/pod_internal.h"

/* Begins a new log file for each running container whose log is above 10 MiB, keeps the newest five
 * files of an instance. */
void pod_files_rotate_logs(struct pod_manager *m);
/* Removes directories of volumes and logs whose pod is not known; only once all pods are. */
void pod_files_sweep(struct pod_manager *m);
