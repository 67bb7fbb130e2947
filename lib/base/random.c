#include "lib/base/random.h"

#include <stdio.h>
#include <sys/random.h>

static uint64_t splitmix64(uint64_t *x)
{
	uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

struct random random_seeded(uint64_t seed)
{
	struct random r = {.seeded = true};

	for (size_t i = 0; i < ARRAY_LEN(r.s); i++)
		r.s[i] = splitmix64(&seed);
	return r;
}

static uint64_t rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

static uint64_t xoshiro256ss(uint64_t s[4])
{
	uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

static void system_bytes(void *p, size_t size)
{
	for (char *at = p; size > 0;) {
		ssize_t n = getrandom(at, MIN(size, (size_t)256), 0);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			perror("getrandom");
			abort();
		}
		at += n;
		size -= (size_t)n;
	}
}

uint64_t random_u64(struct random *r)
{
	uint64_t n;

	if (r->seeded)
		return xoshiro256ss(r->s);
	system_bytes(&n, sizeof(n));
	return n;
}

uint64_t random_below(struct random *r, uint64_t limit)
{
	uint64_t over, n;

	if (limit == 0)
		abort();
	over = (0 - limit) % limit; /* 2^64 mod limit: what would make low results likelier */
	do
		n = random_u64(r);
	while (n < over);
	return n % limit;
}

void random_bytes(struct random *r, void *p, size_t size)
{
	if (!r->seeded) {
		system_bytes(p, size);
		return;
	}
	for (char *at = p; size > 0;) {
		uint64_t n = random_u64(r);
		size_t part = MIN(size, sizeof(n));

		memcpy(at, &n, part);
		at += part;
		size -= part;
	}
}

void random_uuid(struct random *r, char ret[37])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char b[16];
	char *q = ret;

	random_bytes(r, b, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < sizeof(b); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*q++ = '-';
		*q++ = digits[b[i] >> 4];
		*q++ = digits[b[i] & 15];
	}
	*q = '\0';
}

void random_name_suffix(struct random *r, char *ret, size_t count)
{
	static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";

	for (size_t i = 0; i < count; i++)
		ret[i] = alphabet[random_below(r, sizeof(alphabet) - 1)];
	ret[count] = '\0';
}
