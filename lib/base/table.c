#include "lib/base/table.h"
#include "lib/base/random.h"

#include <pthread.h>

struct table_slot {
	char *key; /* NULL: never used (hash 0) or removed (hash 1) */
	uint64_t hash;
	size_t size; /* of key */
	void *value;
};

#define HASH_EMPTY 0
#define HASH_DEAD 1
#define ROOM_MIN 8

static uint64_t hash_key[2];

static void hash_key_init(void)
{
	struct random r = RANDOM_SYSTEM;

	random_bytes(&r, hash_key, sizeof(hash_key));
}

static inline uint64_t rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

#define SIP_ROUND                                                                                  \
	do {                                                                                       \
		v0 += v1;                                                                          \
		v1 = rotl(v1, 13) ^ v0;                                                            \
		v0 = rotl(v0, 32);                                                                 \
		v2 += v3;                                                                          \
		v3 = rotl(v3, 16) ^ v2;                                                            \
		v0 += v3;                                                                          \
		v3 = rotl(v3, 21) ^ v0;                                                            \
		v2 += v1;                                                                          \
		v1 = rotl(v1, 17) ^ v2;                                                            \
		v2 = rotl(v2, 32);                                                                 \
	} while (0)

uint64_t table_hash(const void *data, size_t size)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const unsigned char *p = data;
	uint64_t v0, v1, v2, v3, m;
	size_t left = size;

	pthread_once(&once, hash_key_init);
	v0 = hash_key[0] ^ UINT64_C(0x736f6d6570736575);
	v1 = hash_key[1] ^ UINT64_C(0x646f72616e646f6d);
	v2 = hash_key[0] ^ UINT64_C(0x6c7967656e657261);
	v3 = hash_key[1] ^ UINT64_C(0x7465646279746573);
	for (; left >= 8; left -= 8, p += 8) {
		memcpy(&m, p, 8);
		v3 ^= m;
		SIP_ROUND;
		v0 ^= m;
	}
	m = (uint64_t)size << 56;
	for (size_t i = 0; i < left; i++)
		m |= (uint64_t)p[i] << (8 * i);
	v3 ^= m;
	SIP_ROUND;
	v0 ^= m;
	v2 ^= 0xff;
	SIP_ROUND;
	SIP_ROUND;
	SIP_ROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

static uint64_t slot_hash(const char *key, size_t size)
{
	uint64_t h = table_hash(key, size);

	return h > HASH_DEAD ? h : h + 2;
}

static struct table_slot *find(const struct table *t, const char *key, size_t size, uint64_t hash)
{
	if (!t->room)
		return NULL;
	for (size_t i = hash & (t->room - 1);; i = (i + 1) & (t->room - 1)) {
		struct table_slot *s = &t->slots[i];

		if (s->hash == HASH_EMPTY)
			return NULL;
		if (s->hash == hash && s->size == size && memcmp(s->key, key, size) == 0)
			return s;
	}
}

static void rehash(struct table *t, size_t room)
{
	struct table_slot *old = t->slots;
	size_t old_room = t->room;

	t->slots = xcalloc(room, sizeof(*t->slots));
	t->room = room;
	t->dead = 0;
	for (size_t i = 0; i < old_room; i++) {
		size_t at;

		if (!old[i].key)
			continue;
		at = old[i].hash & (room - 1);
		while (t->slots[at].hash != HASH_EMPTY)
			at = (at + 1) & (room - 1);
		t->slots[at] = old[i];
	}
	free(old);
}

void table_finish(struct table *t)
{
	for (size_t i = 0; i < t->room; i++)
		free(t->slots[i].key);
	free(t->slots);
	*t = TABLE_INIT;
}

void *table_get_n(const struct table *t, const char *key, size_t size)
{
	struct table_slot *s;

	if (!t->count)
		return NULL;
	s = find(t, key, size, slot_hash(key, size));
	return s ? s->value : NULL;
}

void *table_get(const struct table *t, const char *key)
{
	return table_get_n(t, key, strlen(key));
}

void *table_set(struct table *t, const char *key, void *value)
{
	size_t size = strlen(key), at;
	uint64_t hash = slot_hash(key, size);
	struct table_slot *s = find(t, key, size, hash);

	if (!value)
		abort();
	if (s) {
		void *old = s->value;

		s->value = value;
		return old;
	}
	/* At most three quarters full, dead slots counted; mostly dead ones are swept in place. */
	if ((t->count + t->dead + 1) * 4 > t->room * 3) {
		size_t room = t->room ? t->room : ROOM_MIN;

		while ((t->count + 1) * 2 > room)
			room *= 2;
		rehash(t, room);
	}
	at = hash & (t->room - 1);
	while (t->slots[at].key)
		at = (at + 1) & (t->room - 1);
	if (t->slots[at].hash == HASH_DEAD)
		t->dead--;
	t->slots[at] = (struct table_slot){xstrndup(key, size), hash, size, value};
	t->count++;
	return NULL;
}

void *table_remove(struct table *t, const char *key)
{
	size_t size = strlen(key);
	struct table_slot *s = find(t, key, size, slot_hash(key, size));
	void *value;

	if (!s)
		return NULL;
	value = s->value;
	free(s->key);
	*s = (struct table_slot){.hash = HASH_DEAD};
	t->count--;
	t->dead++;
	return value;
}

struct table_iter table_iterate(const struct table *t)
{
	return (struct table_iter){.t = t};
}

bool table_next(struct table_iter *it)
{
	for (; it->at < it->t->room; it->at++) {
		const struct table_slot *s = &it->t->slots[it->at];

		if (s->key) {
			it->key = s->key;
			it->value = s->value;
			it->at++;
			return true;
		}
	}
	return false;
}
