/* event_ring.h - the recent events of one kind, oldest first. Watchers are cursors into it: each
 * event has a sequence number, and what was dropped at the old end can't be had any more. */
#pragma once

#include "lib/object/object.h"

/* Kept this long unless the ring grows beyond its bounds: as long as etcd keeps what a list that is
 * paged through needs, and longer than between two bookmarks (60 s), so that a watcher that got one
 * can resume from it. */
#define EVENT_RING_KEEP_NS (INT64_C(300) * 1000000000)
#define EVENT_RING_MAX_COUNT 102400u
/* Bytes that a ring may hold, and the part of those of the present objects when that is more: who
 * follows many objects must be able to be away for longer, since to list them anew takes longer. */
#define EVENT_RING_MAX_BYTES (16u << 20)
#define EVENT_RING_MOST_BYTES (128u << 20)
#define EVENT_RING_PART 4
/* Watch lines are for those who follow closely; who comes later has them made anew. */
#define EVENT_RING_KEEP_LINES_NS (INT64_C(2) * 1000000000)
#define EVENT_RING_LINES_MAX_BYTES (4u << 20)

struct ring_event {
	uint64_t revision;
	int64_t at_ns;	       /* monotonic, when it happened */
	struct object *object; /* NULL never: the last state for a removal */
	struct object *before; /* NULL for a creation */
	bool removed;
	struct blob *line; /* watch line for its own type, made when first asked for */
};

struct event_ring {
	struct ring_event *events; /* circular, room is a power of two */
	size_t room;
	uint64_t first, end;  /* sequence numbers: [first, end) are held */
	uint64_t lines;	      /* sequence number of the first event that may have its line */
	size_t bytes;	      /* of what only the ring holds: earlier states, watch lines */
	size_t present_bytes; /* of the kind's objects, as the user of the ring has told */
	size_t line_bytes;    /* of the lines among it */
	uint64_t floor;	      /* every event after this revision is held */
};

void event_ring_finish(struct event_ring *r);
void event_ring_push(struct event_ring *r, uint64_t revision, int64_t now_ns, struct object *object,
	struct object *before, bool removed); /* takes references of its own */
struct ring_event *event_ring_at(
	struct event_ring *r, uint64_t sequence); /* NULL: dropped or future */
/* Sequence number of the first event after the revision; false when some of them were dropped. */
bool event_ring_seek(struct event_ring *r, uint64_t revision, uint64_t *ret_sequence);
/* Forgets everything up to the revision; every cursor has fallen off. */
void event_ring_clear(struct event_ring *r, uint64_t revision);
void event_ring_trim(struct event_ring *r, int64_t now_ns);
/* The line of an event, unless it is one of those that have none any more. Takes the reference. */
void event_ring_set_line(struct event_ring *r, uint64_t sequence, struct blob *line);
