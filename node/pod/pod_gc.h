/* pod_gc.h - what the runtime keeps of pods and nobody needs: sandboxes that were replaced, and all
 * of pods that are over. Of each container one dead instance stays beside the newest (that is
 * pod_worker.c's). */
#pragma once

#include "node/pod/pod_internal.h"

/* Removes one dead sandbox that is not the newest and holds no container. */
void pod_gc_sandboxes(struct pod_worker *w, Cri__PodSandbox **sandboxes, size_t sandbox_count,
	Cri__Container **containers, size_t container_count);
/* Whether a pod's sandbox was made by an agent with this data directory, or says that an agent of
 * ours made it: the runtime may have others' as well. */
bool pod_gc_is_ours(struct pod_manager *m, const Cri__PodSandbox *s, const char *uid);
/* The manager ends. */
void pod_gc_cancel(struct pod_manager *m);
/* The agent set this pod up once and has not removed all of it. */
bool pod_gc_was_here(struct pod_manager *m, const char *uid);
