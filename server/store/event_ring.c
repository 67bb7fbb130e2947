#include "server/store/event_ring.h"

static struct ring_event *slot(struct event_ring *r, uint64_t sequence)
{
	return &r->events[sequence & (r->room - 1)];
}

#define HEADER_BYTES 320 /* of an object besides its JSON, about */

static size_t object_bytes(const struct object *o)
{
	return o ? HEADER_BYTES + o->bytes->size : 0;
}

/* The newest state is the cache's, or counted with the event that replaced it; only that of a
 * removed object is nobody else's. */
static size_t event_bytes(const struct ring_event *e)
{
	return sizeof(*e) + object_bytes(e->before) + (e->removed ? object_bytes(e->object) : 0) +
	       (e->line ? e->line->size : 0);
}

static void drop_line(struct event_ring *r, struct ring_event *e)
{
	if (!e->line)
		return;
	r->bytes -= e->line->size;
	r->line_bytes -= e->line->size;
	blob_unref(e->line);
	e->line = NULL;
}

void event_ring_set_line(struct event_ring *r, uint64_t sequence, struct blob *line)
{
	struct ring_event *e = event_ring_at(r, sequence);
	if (!e || sequence < r->lines) {
		blob_unref(line);
		return;
	}
	drop_line(r, e);
	e->line = line;
	r->bytes += line->size;
	r->line_bytes += line->size;
	while (r->line_bytes > EVENT_RING_LINES_MAX_BYTES)
		drop_line(r, slot(r, r->lines++));
}

static void drop_first(struct event_ring *r)
{
	struct ring_event *e = slot(r, r->first);
	r->floor = e->revision;
	drop_line(r, e);
	r->bytes -= event_bytes(e);
	object_unref(e->object);
	object_unref(e->before);
	r->first++;
	r->lines = MAX(r->lines, r->first);
}

void event_ring_finish(struct event_ring *r)
{
	while (r->first < r->end)
		drop_first(r);
	free(r->events);
	*r = (struct event_ring){0};
}

void event_ring_clear(struct event_ring *r, uint64_t revision)
{
	while (r->first < r->end)
		drop_first(r);
	r->first = r->lines = ++r->end;
	r->floor = revision;
}

static void resize(struct event_ring *r, size_t room)
{
	struct ring_event *events = xmalloc(room * sizeof(*events));
	for (uint64_t i = r->first; i < r->end; i++)
		events[i & (room - 1)] = *slot(r, i);
	free(r->events);
	r->events = events;
	r->room = room;
}

void event_ring_push(struct event_ring *r, uint64_t revision, int64_t now_ns, struct object *object,
	struct object *before, bool removed)
{
	event_ring_trim(r, now_ns);
	if (r->end - r->first == r->room)
		resize(r, r->room ? r->room * 2 : 16);
	struct ring_event *e = slot(r, r->end);
	*e = (struct ring_event){
		.revision = revision,
		.at_ns = now_ns,
		.object = object_ref(object),
		.before = before ? object_ref(before) : NULL,
		.removed = removed,
	};
	r->bytes += event_bytes(e);
	r->end++;
}

struct ring_event *event_ring_at(struct event_ring *r, uint64_t sequence)
{
	return sequence >= r->first && sequence < r->end ? slot(r, sequence) : NULL;
}

bool event_ring_seek(struct event_ring *r, uint64_t revision, uint64_t *ret_sequence)
{
	if (revision < r->floor)
		return false;
	uint64_t low = r->first, high = r->end;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		if (slot(r, middle)->revision <= revision)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_sequence = low;
	return true;
}

static size_t max_bytes(const struct event_ring *r)
{
	size_t part = MIN(r->present_bytes / EVENT_RING_PART, (size_t)EVENT_RING_MOST_BYTES);
	return MAX(part, (size_t)EVENT_RING_MAX_BYTES);
}

void event_ring_trim(struct event_ring *r, int64_t now_ns)
{
	while (r->first < r->end &&
		(r->end - r->first >= EVENT_RING_MAX_COUNT || r->bytes > max_bytes(r) ||
			now_ns - slot(r, r->first)->at_ns > EVENT_RING_KEEP_NS))
		drop_first(r);
	for (; r->lines < r->end && now_ns - slot(r, r->lines)->at_ns > EVENT_RING_KEEP_LINES_NS;
		r->lines++)
		drop_line(r, slot(r, r->lines));
	/* A burst's room is given back; sixteen slots stay. */
	if (r->room > 16 && r->end - r->first < r->room / 8)
		resize(r, r->room / 4);
}
