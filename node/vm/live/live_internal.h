/* live_internal.h - what the files of this room share: the loop (live.c), what people see of it
 * (live_status.c). */
#pragma once

#include "node/vm/live/live.h"

#include "node/vm/live/live_plan.h"

#define LIVE_TRIES_MAX 48
enum live_state { LIVE_SETTLED, LIVE_READING, LIVE_CALLING, LIVE_WAITING };

/* What was tried and did not do, or is asked of the guest. */
struct live_try {
	enum live_kind kind;
	char name[64];
	unsigned failures;
	bool asked; /* libvirt took it; the guest has yet to follow */
	int64_t again_ns;
	char problem[512];
};

/* A claim that is opened for a disk. */
struct live_opening {
	struct vm_live *l;
	char name[64];
	struct claim_disk *call;
	char waits[256]; /* for what; "" = nothing known */
};

struct vm_live {
	struct vm_worker *w;
	enum live_state state;
	uint64_t spec_hash; /* of the specification that was taken; 0 = none yet */
	uint64_t revision;  /* of the object that was looked at last */
	bool again;	    /* something happened while it was read */
	struct libvirt_call *call;
	struct arena arena; /* of the last reading, and the plan made of it */
	struct live_domain now;
	bool known; /* now is filled */
	struct live_plan plan;
	struct live_step step; /* under way; texts are in the arena */
	struct live_try tries[LIVE_TRIES_MAX];
	size_t try_count;
	struct live_opening openings[VM_DISKS_MAX];
	size_t opening_count;
	int64_t wake_ns;
	bool said_problem;
	uv_timer_t timer;
};

/* What is known of a step; NULL = it was not tried yet. */
const struct live_try *live_try_find(const struct vm_live *l, const struct live_step *s);
