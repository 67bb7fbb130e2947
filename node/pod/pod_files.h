/* pod_files.h - files of pods on this host that no pod worker looks after from moment to moment:
 * logs that grow and their links, and directories that a killed agent left behind. */
#pragma once

#include "node/pod/pod_internal.h"

/* On a thread: begins a new log file for each running container whose log is above
 * container_log_max_bytes, keeps the newest container_log_max_files of an instance, removes those
 * of instances that are not kept, links what is new and drops links to what is gone. */
void pod_files_tend_logs(struct pod_manager *m);
void pod_files_stop(struct pod_manager *m); /* what is under way ends silently */
/* Volumes and logs of a pod of which nothing but its uid is known any more. */
void pod_files_remove(struct pod_manager *m, const char *uid);
/* The same for all whose pod is gone; only once all pods are known. */
void pod_files_sweep(struct pod_manager *m);
