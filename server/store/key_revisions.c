#include "server/store/key_revisions.h"

#define ROOM_MIN 64

void key_revisions_finish(struct key_revisions *m)
{
	free(m->slots);
	*m = (struct key_revisions){0};
}

/* The slot of the hash, or the empty one where it would be. */
static size_t find(const struct key_revisions *m, uint64_t hash)
{
	size_t at = hash & (m->room - 1);
	while (m->slots[at].revision && m->slots[at].hash != hash)
		at = (at + 1) & (m->room - 1);
	return at;
}

uint64_t key_revisions_get(const struct key_revisions *m, uint64_t hash)
{
	return m->room ? m->slots[find(m, hash)].revision : 0;
}

static void resize(struct key_revisions *m, size_t room)
{
	struct key_revisions old = *m;
	m->slots = xcalloc(room, sizeof(*m->slots));
	m->room = room;
	for (size_t i = 0; i < old.room; i++)
		if (old.slots[i].revision)
			m->slots[find(m, old.slots[i].hash)] = old.slots[i];
	free(old.slots);
}

/* What stands behind a removed slot moves up, so that no search ends too early. */
static void remove_slot(struct key_revisions *m, size_t at)
{
	size_t mask = m->room - 1, next = at;
	for (;;) {
		next = (next + 1) & mask;
		if (!m->slots[next].revision)
			break;
		size_t home = m->slots[next].hash & mask;
		if (((next - home) & mask) < ((next - at) & mask))
			continue;
		m->slots[at] = m->slots[next];
		at = next;
	}
	m->slots[at].revision = 0;
	m->count--;
}

void key_revisions_set(struct key_revisions *m, uint64_t hash, uint64_t revision)
{
	if (!revision) {
		size_t at = m->room ? find(m, hash) : 0;
		if (m->room && m->slots[at].revision)
			remove_slot(m, at);
		if (m->room > ROOM_MIN && m->count < m->room / 8)
			resize(m, m->room / 4);
		return;
	}
	if (m->count >= m->room / 4 * 3)
		resize(m, m->room ? m->room * 2 : ROOM_MIN);
	struct key_slot *s = &m->slots[find(m, hash)];
	m->count += s->revision == 0;
	*s = (struct key_slot){hash, revision};
}
