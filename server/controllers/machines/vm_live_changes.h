/* vm_live_changes.h - which changes of a VirtualMachine's template come to its running instance,
 * and which wait for its next start (KubeVirt user guide: "VM Rollout Strategies", LiveUpdate).
 * Pure.
 *
 * Live: cpu.sockets up to maxSockets; memory.guest up to maxGuest, and down as far as the balloon
 * takes it; hot-plugged volumes with their disks, and what is in a CD-ROM drive; interfaces on
 * NetworkAttachmentDefinitions (added; state absent = unplugged), any interface's link;
 * nodeSelector, affinity, tolerations, evictionStrategy, terminationGracePeriodSeconds. */
#pragma once

#include "lib/json/json.h"

/* Annotation of an instance: names of the hot-plugged volumes that its machine gave it; others are
 * the instance's own and stay when the machine does not know them. */
#define VM_PLUGGED_ANNOTATION "hanok.io/plugged-volumes"

struct vm_live_changes {
	struct json *patch;  /* JSON merge patch of the instance; NULL = nothing */
	const char *restart; /* message of the condition RestartRequired; NULL */
};

/* The template's spec without what can change live: equal texts mean that no restart is needed for
 * it. */
struct json *vm_live_fixed(struct arena *a, const struct json *spec);
/* For VM_PLUGGED_ANNOTATION of a new instance: a list with commas. */
const char *vm_live_plugged(struct arena *a, const struct json *spec);
/* wanted: the template's spec as an instance would be made of it now. fixed_differs: its
 * vm_live_fixed is another than at the start: nothing else is passed on then, but links and
 * volumes. */
struct vm_live_changes vm_live_changes(struct arena *a, const struct json *wanted,
	const struct json *instance, bool fixed_differs);
/* JSON merge patch of the machine (also for its own copy of the document) that takes interfaces out
 * of the template which were to go (state absent) and that neither the guest nor the instance has
 * any more, with their networks, as KubeVirt's controller does; NULL = there are none. The last
 * interface of all stays. instance NULL = it does not run. */
struct json *vm_live_unplugged(
	struct arena *a, const struct json *template, const struct json *instance);
/* Under the strategy Stage nothing is passed on. differs: the template is not what it was at the
 * start. */
struct vm_live_changes vm_live_staged(bool differs);
