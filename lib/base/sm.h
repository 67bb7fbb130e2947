/* sm.h - explicit state machines for whatever lives longer than one call.
 *
 * A machine is a table of states, each with the set of states it may go to. sm_move() to a state
 * that the table does not allow aborts: it is a programming error, never caused by outside data.
 * Every move is counted and traced at debug level with the machine's name and the object's. The
 * owner draws the table as an ASCII diagram above it. */
#pragma once

#include "lib/base/util.h"

#define SM_ALLOW(state) (UINT64_C(1) << (state))

struct sm_state {
	const char *name;
	uint64_t next; /* SM_ALLOW(...) | ... of the states that may follow */
	bool final;    /* nothing may follow */
};

struct sm_class {
	const char *name;	       /* "pod worker" */
	const struct sm_state *states; /* indexed by state */
	unsigned state_count;	       /* at most 64 */
	/* Called after each move; aborts inside when an invariant of the new state is broken. */
	void (*check)(const void *owner, unsigned state);
};

struct sm {
	const struct sm_class *class;
	const void *owner; /* passed to check */
	char label[96];	   /* which object, for traces */
	unsigned state;
	unsigned move_count;
	int64_t since_ns; /* `now` of the last move, monotonic */
};

void sm_init(struct sm *sm, const struct sm_class *class, const void *owner, const char *label,
	unsigned first, int64_t now_ns);
void sm_move(struct sm *sm, unsigned to, int64_t now_ns);
const char *sm_name(const struct sm *sm); /* of the present state */
