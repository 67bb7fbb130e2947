/* resume.h - a machine that went back to a snapshot with memory goes on where its guest was: beside
 * the tops of its disks stands the guest's memory (DISK_MEMORY_NAME, a link to the snapshot's). It
 * is good for one start only, of just these disks: once a guest has written to them, its memory is
 * of another moment. So the guest is loaded paused, the links go, and then it runs; where it can't
 * be loaded, the links go and it boots.
 *
 *   LOOKING (libvirt's XML) --> LOADING --> RUNNING (links gone) --> started
 *                                  | libvirt refuses: said, links gone --> it boots
 *
 * DATA/vms/UID/resuming names the directories while this goes on: what an agent left behind that
 * was killed in it, the next one ends. */
#pragma once

#include <stdbool.h>

struct vm_worker;

/* VM_DO_START; false: there is no memory that fits, the guest boots. */
bool vm_resume_start(struct vm_worker *w);
void vm_resume_follow(struct vm_worker *w); /* with each step: was one left behind? */
void vm_resume_end(struct vm_worker *w);    /* no more is heard of it */
