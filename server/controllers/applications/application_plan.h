/* application_plan.h - what is to be done about the two sides of an application, containers and
 * virtual machines, so that its Service always has someone who answers. Pure.
 *
 * A move (from the side where it runs to the side where it is to run), by what is seen in the
 * objects alone; each step may be lost or repeated:
 *
 *     Starting   the new side is made; the Service selects both, but finds only what is Ready
 *        | the new side is Ready and in the Service's Endpoints
 *     Serving    both answer, for a moment
 *        | SERVE_BOTH_MS have passed
 *     Draining   the Service selects the new side only; the old one still runs and ends what it
 *        |       has begun
 *        | the old side is out of the Endpoints, and drainSeconds have passed
 *     Removing   the old side is deleted
 *        | nothing of it is left
 *     (no move)
 *
 * When the new side has nobody left who is Ready while the old one has, the Service goes back to
 * both. When the target changes, the same rules lead back. */
#pragma once

#include "lib/placement/placement.h"

struct application_side {
	bool exists;	   /* there are objects of it */
	bool current;	   /* and they are as wanted, not being rolled out */
	int64_t wanted;	   /* replicas it should have */
	int64_t replicas;  /* that there are */
	int64_t ready;	   /* that answer */
	int64_t published; /* that are in the Service's Endpoints as ready */
};

enum application_selects { SELECTS_NONE, SELECTS_BOTH, SELECTS_MACHINES, SELECTS_CONTAINERS };

struct application_view {
	enum placement_isolation serving; /* where it runs; NEITHER = nowhere yet */
	enum placement_isolation target;  /* where it is to run; NEITHER = leave it all alone */
	struct application_side sides[3]; /* by enum placement_isolation; [0] is unused */
	bool has_service;		  /* it is to be reached, by a Service */
	enum application_selects selects; /* what the Service selects now; NONE = there is none */
	int64_t both_since_ns;		  /* wall; status.move.servingTime; 0 = not yet */
	int64_t drained_since_ns;	  /* wall; status.move.drainTime; 0 = not yet */
	int64_t drain_ms;
	int64_t now_ns;
};

#define SERVE_BOTH_MS 3000

struct application_plan {
	bool keep[3];	/* make it, mend it */
	bool remove[3]; /* a side that is neither is left as it is */
	enum application_selects selects;
	enum placement_isolation serving;	 /* what status.isolation says */
	const char *phase;			 /* of the move; NULL = there is none */
	int64_t both_since_ns, drained_since_ns; /* for the status; 0 = none */
	int64_t again_ms;			 /* look again after this; < 0 = no need */
};
struct application_plan application_plan(const struct application_view *v);
enum application_selects application_selects_side(enum placement_isolation side);
