#include "lib/base/str.h"

struct str str_from(const char *s)
{
	return (struct str){s ? s : "", s ? strlen(s) : 0};
}

bool str_eq(struct str a, const char *b)
{
	size_t size = strlen(b);

	return a.size == size && (size == 0 || memcmp(a.p, b, size) == 0);
}

bool streq(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return strcmp(a, b) == 0;
}

bool str_has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_has_suffix(const char *s, const char *suffix)
{
	size_t size = strlen(s), tail = strlen(suffix);

	return size >= tail && memcmp(s + size - tail, suffix, tail) == 0;
}

bool str_split(struct str *rest, char sep, struct str *ret_part)
{
	const char *at;

	if (!rest->p)
		return false;
	at = rest->size ? memchr(rest->p, sep, rest->size) : NULL;
	if (!at) {
		*ret_part = *rest;
		*rest = (struct str){NULL, 0};
		return true;
	}
	*ret_part = (struct str){rest->p, (size_t)(at - rest->p)};
	rest->size -= ret_part->size + 1;
	rest->p = at + 1;
	return true;
}

int parse_u64(struct str s, uint64_t *ret)
{
	uint64_t n = 0;
	bool over = false;

	if (s.size == 0)
		return -EINVAL;
	for (size_t i = 0; i < s.size; i++) {
		unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

		if (digit > 9)
			return -EINVAL;
		over |= __builtin_mul_overflow(n, 10u, &n);
		over |= __builtin_add_overflow(n, digit, &n);
	}
	if (over)
		return -ERANGE;
	*ret = n;
	return 0;
}

int parse_i64(struct str s, int64_t *ret)
{
	bool minus = false;
	uint64_t n = 0;
	int r;

	if (s.size && (s.p[0] == '-' || s.p[0] == '+')) {
		minus = s.p[0] == '-';
		s.p++;
		s.size--;
	}
	r = parse_u64(s, &n);
	if (r < 0)
		return r;
	if (n > (uint64_t)INT64_MAX + (minus ? 1 : 0))
		return -ERANGE;
	*ret = minus ? (int64_t)(0 - n) : (int64_t)n;
	return 0;
}

/* Size of the well-formed character at p, which starts with a byte over 0x7f; 0 if there is none.
 */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
	unsigned char c = *p;
	size_t more;

	if (c >= 0xc2 && c <= 0xdf)
		more = 1;
	else if (c >= 0xe0 && c <= 0xef)
		more = 2;
	else if (c >= 0xf0 && c <= 0xf4)
		more = 3;
	else
		return 0;
	if (left <= more)
		return 0;
	/* The second byte carries the limits on overlongs, surrogates and U+10FFFF. */
	unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	unsigned char high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;

	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i <= more; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return more + 1;
}

size_t utf8_cut(const char *p, size_t size, size_t most)
{
	if (size <= most)
		return size;
	while (most > 0 && ((unsigned char)p[most] & 0xc0) == 0x80)
		most--;
	return most;
}

bool utf8_valid(const char *text, size_t size)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + size;

	while (p < end) {
		uint64_t word;
		size_t step;

		if (*p < 0x80) {
			if (end - p >= 8 &&
				(memcpy(&word, p, 8), !(word & UINT64_C(0x8080808080808080))))
				p += 8;
			else
				p++;
			continue;
		}
		step = utf8_sequence(p, (size_t)(end - p));
		if (!step)
			return false;
		p += step;
	}
	return true;
}

void utf8_repair(char *text, size_t size)
{
	unsigned char *p = (unsigned char *)text, *end = p + size;

	while (p < end) {
		size_t step = *p < 0x80 ? 1 : utf8_sequence(p, (size_t)(end - p));

		if (!step)
			*p = '?';
		p += MAX(step, (size_t)1);
	}
}

uint32_t fnv1a_32(const void *p, size_t size)
{
	const unsigned char *b = p;
	uint32_t h = UINT32_C(2166136261);

	for (size_t i = 0; i < size; i++)
		h = (h ^ b[i]) * UINT32_C(16777619);
	return h;
}

uint64_t fnv1a_64(const void *p, size_t size)
{
	const unsigned char *b = p;
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < size; i++)
		h = (h ^ b[i]) * UINT64_C(1099511628211);
	return h;
}
