/* json_parse.c - text to document.
 *
 * The text is copied into the arena once, with a zeroed margin, and strings are decoded in place:
 * the closing quote becomes the NUL. Values wait on a stack until their container ends; then all
 * children are laid out in one allocation. No recursion, so the depth costs no C stack. */
#include "lib/json/json_internal.h"

#include <math.h>

#define MARGIN 32     /* readable bytes behind the text, for 16-byte loads */
#define STACK_ROOM 96 /* values that wait without a heap allocation */

/* A value that waits for its container's end. While a container is open its slot's value.count is
 * the slot of the enclosing container; its children follow it on the stack. */
struct slot {
	const char *name; /* NULL in arrays and for the root */
	uint32_t name_size;
	struct json value;
};

#define NO_PARENT UINT32_MAX

struct parser {
	struct arena *arena;
	const struct json_limits *limits;
	struct err *err;
	char *text, *end; /* our copy; *end is NUL */
	char *p;
	struct slot *slots;
	size_t count, room; /* of slots */
	struct slot *heap;  /* the slots once they outgrew the caller's stack */
	unsigned duplicates_told;
};

static int bad(struct parser *ps, const char *at, const char *what)
{
	return err_set(ps->err, -EINVAL, "offset %zu: %s", (size_t)(at - ps->text),
		at >= ps->end ? "unexpected end of text" : what);
}

static struct slot *push_slot(struct parser *ps)
{
	if (__builtin_expect(ps->count == ps->room, 0)) {
		size_t room = ps->room * 2;

		if (ps->heap) {
			ps->heap = xrealloc(ps->heap, room * sizeof(*ps->heap));
		} else {
			ps->heap = xmalloc(room * sizeof(*ps->heap));
			memcpy(ps->heap, ps->slots, ps->count * sizeof(*ps->heap));
		}
		ps->slots = ps->heap;
		ps->room = room;
	}
	return &ps->slots[ps->count++];
}

/* Strings. */

static int hex4(const char *p, uint32_t *ret)
{
	uint32_t n = 0;

	for (int i = 0; i < 4; i++) {
		unsigned char c = (unsigned char)p[i];
		uint32_t digit;

		if (c >= '0' && c <= '9')
			digit = (uint32_t)c - '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (uint32_t)(c | 0x20) - 'a' + 10;
		else
			return -EINVAL;
		n = n << 4 | digit;
	}
	*ret = n;
	return 0;
}

static char *put_utf8(char *q, uint32_t c)
{
	if (c < 0x80) {
		*q++ = (char)c;
	} else if (c < 0x800) {
		*q++ = (char)(0xc0 | c >> 6);
		*q++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*q++ = (char)(0xe0 | c >> 12);
		*q++ = (char)(0x80 | (c >> 6 & 0x3f));
		*q++ = (char)(0x80 | (c & 0x3f));
	} else {
		*q++ = (char)(0xf0 | c >> 18);
		*q++ = (char)(0x80 | (c >> 12 & 0x3f));
		*q++ = (char)(0x80 | (c >> 6 & 0x3f));
		*q++ = (char)(0x80 | (c & 0x3f));
	}
	return q;
}

/* p is at the backslash. Writes the decoded bytes, never more than were read. */
static int take_escape(struct parser *ps, char **p, char **q)
{
	uint32_t c, low;

	switch ((*p)[1]) {
	case '"':
	case '\\':
	case '/':
		*(*q)++ = (*p)[1];
		break;
	case 'b':
		*(*q)++ = '\b';
		break;
	case 'f':
		*(*q)++ = '\f';
		break;
	case 'n':
		*(*q)++ = '\n';
		break;
	case 'r':
		*(*q)++ = '\r';
		break;
	case 't':
		*(*q)++ = '\t';
		break;
	case 'u':
		if (hex4(*p + 2, &c) < 0)
			return bad(ps, *p, "bad \\u escape");
		if (c >= 0xd800 && c <= 0xdfff) {
			if (c >= 0xdc00 || (*p)[6] != '\\' || (*p)[7] != 'u' ||
				hex4(*p + 8, &low) < 0 || low < 0xdc00 || low > 0xdfff)
				return bad(ps, *p, "unpaired surrogate");
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			*p += 6;
		}
		*q = put_utf8(*q, c);
		*p += 6;
		return 0;
	default:
		return bad(ps, *p, "bad escape");
	}
	*p += 2;
	return 0;
}

/* Size of the well-formed UTF-8 sequence at p, which starts with a byte over 0x7f; 0 if none.
 * The margin makes reading three bytes on safe. */
static size_t utf8_sequence(const unsigned char *p)
{
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		return (p[1] & 0xc0) == 0x80 ? 2 : 0;
	if ((p[0] & 0xf0) == 0xe0) {
		unsigned char low = p[0] == 0xe0 ? 0xa0 : 0x80, high = p[0] == 0xed ? 0x9f : 0xbf;

		return p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 ? 3 : 0;
	}
	if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		unsigned char low = p[0] == 0xf0 ? 0x90 : 0x80, high = p[0] == 0xf4 ? 0x8f : 0xbf;

		return p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 && (p[3] & 0xc0) == 0x80
			       ? 4
			       : 0;
	}
	return 0;
}

/* First byte from p on that is a control, a quote, a backslash or above 0x7f. The NUL at the text's
 * end is a control, so this stops within the margin. */
static inline char *skip_plain(char *p)
{
#ifdef __SSE2__
	for (;; p += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		/* Signed, so bytes above 0x7f are less too. */
		__m128i low = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20));
		__m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
		__m128i slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
		int mask = _mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(quote, slash)));

		if (mask)
			return p + __builtin_ctz((unsigned)mask);
	}
#else
	for (;; p += 8) {
		const uint64_t ones = UINT64_C(0x0101010101010101);
		uint64_t w, quote, slash;

		memcpy(&w, p, 8);
		quote = w ^ (ones * '"');
		slash = w ^ (ones * '\\');
		if ((w | (w - ones * 0x20) | ((quote - ones) & ~quote) |
			    ((slash - ones) & ~slash)) &
			(ones << 7))
			break;
	}
	while (!json_byte_is_special((unsigned char)*p, true))
		p++;
	return p;
#endif
}

/* ps->p is behind the opening quote. */
static int take_string(struct parser *ps, const char **ret, uint32_t *ret_size)
{
	char *start = ps->p, *p = skip_plain(start), *q;
	int r;

	/* Until the first escape nothing moves. */
	while ((unsigned char)*p >= 0x80) {
		size_t size = utf8_sequence((unsigned char *)p);

		if (!size)
			return bad(ps, p, "bad UTF-8");
		p = skip_plain(p + size);
	}
	q = p;
	while (*p != '"') {
		char *from = p;

		if (*p == '\\') {
			r = take_escape(ps, &p, &q);
			if (r < 0)
				return r;
			continue;
		}
		if ((unsigned char)*p >= 0x80) {
			size_t size = utf8_sequence((unsigned char *)p);

			if (!size)
				return bad(ps, p, "bad UTF-8");
			p += size;
		} else if ((unsigned char)*p < 0x20) {
			return bad(ps, p, "control character in string");
		}
		p = skip_plain(p);
		memmove(q, from, (size_t)(p - from));
		q += p - from;
	}
	*q = '\0';
	*ret = start;
	*ret_size = (uint32_t)(q - start);
	ps->p = p + 1;
	return 0;
}

/* Numbers. */

/* Exact when the digits fit 53 bits and the power of ten is exact too: one rounding only. */
static bool small_double(uint64_t digits, int64_t exponent, double *ret)
{
	static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10,
		1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

	if (digits > UINT64_C(1) << 53 || exponent < -22 || exponent > 22)
		return false;
	*ret = exponent < 0 ? (double)digits / powers[-exponent]
			    : (double)digits * powers[exponent];
	return true;
}

static int take_number(struct parser *ps, struct json *v)
{
	char *start = ps->p, *p = start;
	bool minus = *p == '-', over = false, whole = true;
	int64_t exponent = 0, scale = 0;
	uint64_t n = 0;

	if (minus)
		p++;
	if (*p < '0' || *p > '9')
		return bad(ps, p, "expected a digit");
	if (*p == '0' && p[1] >= '0' && p[1] <= '9')
		return bad(ps, p, "number starts with 0");
	for (; *p >= '0' && *p <= '9'; p++) {
		over |= __builtin_mul_overflow(n, 10u, &n);
		over |= __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n);
	}
	if (*p == '.') {
		whole = false;
		p++;
		if (*p < '0' || *p > '9')
			return bad(ps, p, "expected a digit");
		for (; *p >= '0' && *p <= '9'; p++) {
			over |= __builtin_mul_overflow(n, 10u, &n);
			over |= __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n);
			scale--;
		}
	}
	if (*p == 'e' || *p == 'E') {
		bool down;

		whole = false;
		p++;
		down = *p == '-';
		if (*p == '-' || *p == '+')
			p++;
		if (*p < '0' || *p > '9')
			return bad(ps, p, "expected a digit");
		for (; *p >= '0' && *p <= '9'; p++)
			if (exponent < 100000)
				exponent = exponent * 10 + (*p - '0');
		if (down)
			exponent = -exponent;
	}
	ps->p = p;
	if (whole && !over && n <= (uint64_t)INT64_MAX + minus) {
		*v = (struct json){.type = JSON_INT, .i = (int64_t)(minus ? 0 - n : n)};
		return 0;
	}
	*v = (struct json){.type = JSON_DOUBLE};
	if (!over && small_double(n, scale + exponent, &v->d)) {
		if (minus)
			v->d = -v->d;
		return 0;
	}
	v->d = strtod(start, NULL);
	if (isinf(v->d))
		return bad(ps, start, "number out of range");
	return 0;
}

/* Containers. */

/* Calls on_duplicate for a member of the container in slot `at`. */
static void report_duplicate(struct parser *ps, uint32_t at, const struct json_member *m)
{
	struct path_text path;

	if (!ps->limits->on_duplicate || ps->duplicates_told == JSON_DUPLICATES_MAX)
		return;
	ps->duplicates_told++;
	path_text_start(&path);
	path_text_name(&path, m->name);
	for (uint32_t up; (up = ps->slots[at].value.count) != NO_PARENT; at = up) {
		if (ps->slots[up].value.type == JSON_OBJECT)
			path_text_name(&path, ps->slots[at].name);
		else
			/* The earlier items are complete: one slot each. */
			path_text_item(&path, at - up - 1);
	}
	ps->limits->on_duplicate(ps->limits->user, path_text_done(&path));
}

struct duplicates {
	struct parser *ps;
	struct json *object;
	uint32_t slot;
	uint32_t count;
};

/* The last value wins, in the place of the first. The later member is marked by a NULL value. */
static void merge_duplicate(void *user, uint32_t first, uint32_t again)
{
	struct duplicates *d = user;
	struct json_member *members = d->object->members;

	report_duplicate(d->ps, d->slot, &members[again]);
	members[first].value = members[again].value;
	members[again].value = NULL;
	d->count++;
}

/* A set bit for each "hash" seen so far lets small objects skip most comparisons. */
static void find_duplicates_small(struct duplicates *d)
{
	const struct json *v = d->object;
	uint64_t seen = 0;

	for (uint32_t i = 0; i < v->count; i++) {
		const struct json_member *m = &v->members[i];
		unsigned hash = m->name_size * 7u;
		uint64_t bit;

		if (m->name_size)
			hash += (unsigned char)m->name[0] * 5u +
				(unsigned char)m->name[m->name_size - 1] * 3u +
				(unsigned char)m->name[m->name_size / 2];
		bit = UINT64_C(1) << (hash & 63);
		for (uint32_t k = 0; (seen & bit) && k < i; k++) {
			const struct json_member *first = &v->members[k];

			if (first->value && first->name_size == m->name_size &&
				memcmp(first->name, m->name, m->name_size) == 0) {
				merge_duplicate(d, k, i);
				break;
			}
		}
		seen |= bit;
	}
}

static void drop_duplicates(struct parser *ps, struct json *v, uint32_t slot)
{
	struct duplicates d = {.ps = ps, .object = v, .slot = slot};
	uint32_t kept = 0;

	if (v->room > JSON_INDEX_ROOM)
		json_index_build(v, merge_duplicate, &d);
	else
		find_duplicates_small(&d);
	if (!d.count)
		return;
	for (uint32_t i = 0; i < v->count; i++)
		if (v->members[i].value)
			v->members[kept++] = v->members[i];
	v->count = kept;
	if (v->room > JSON_INDEX_ROOM)
		json_index_build(v, NULL, NULL);
}

/* Moves the children of the container in slot `at` into one allocation: pointers, then values. */
static void close_array(struct parser *ps, uint32_t at)
{
	const struct slot *children = ps->slots + at + 1;
	uint32_t count = (uint32_t)(ps->count - at - 1);
	struct json array = {.type = JSON_ARRAY, .count = count, .room = count & JSON_COUNT_MAX};
	struct json *values;

	if (count) {
		array.items =
			arena_alloc(ps->arena, count * (sizeof(*array.items) + sizeof(*values)));
		values = (struct json *)(void *)(array.items + count);
		for (uint32_t i = 0; i < count; i++) {
			values[i] = children[i].value;
			array.items[i] = &values[i];
		}
	}
	ps->slots[at].value = array;
	ps->count = at + 1;
}

static void close_object(struct parser *ps, uint32_t at)
{
	const struct slot *children = ps->slots + at + 1;
	uint32_t count = (uint32_t)(ps->count - at - 1);
	struct json object = {.type = JSON_OBJECT, .count = count, .room = count & JSON_COUNT_MAX};
	size_t bytes = json_members_bytes(count);
	struct json *values;

	if (count) {
		object.members = arena_alloc(ps->arena, bytes + count * sizeof(*values));
		values = (struct json *)(void *)((char *)object.members + bytes);
		for (uint32_t i = 0; i < count; i++) {
			values[i] = children[i].value;
			object.members[i] = (struct json_member){
				children[i].name, children[i].name_size, &values[i]};
		}
		drop_duplicates(ps, &object, at);
	}
	ps->slots[at].value = object;
	ps->count = at + 1;
}

static inline void skip_space(struct parser *ps)
{
	while (*ps->p == ' ' || *ps->p == '\n' || *ps->p == '\r' || *ps->p == '\t')
		ps->p++;
}

static bool take_word(struct parser *ps, const char *word, size_t size)
{
	/* The margin makes the comparison safe at the text's end. */
	if (memcmp(ps->p, word, size) != 0)
		return false;
	ps->p += size;
	return true;
}

/* Pushes a slot, for a child of `parent`, with its name and the colon taken. */
static int open_slot(struct parser *ps, uint32_t parent, struct slot **ret)
{
	struct slot *s = push_slot(ps);
	int r;

	s->name = NULL;
	s->name_size = 0;
	if (parent != NO_PARENT && ps->slots[parent].value.type == JSON_OBJECT) {
		if (*ps->p != '"')
			return bad(ps, ps->p, "expected a member name");
		ps->p++;
		r = take_string(ps, &s->name, &s->name_size);
		if (r < 0)
			return r;
		skip_space(ps);
		if (*ps->p != ':')
			return bad(ps, ps->p, "expected ':'");
		ps->p++;
		skip_space(ps);
	}
	*ret = s;
	return 0;
}

/* A value that is no container. */
static int take_scalar(struct parser *ps, struct json *v)
{
	switch (*ps->p) {
	case '"':
		ps->p++;
		*v = (struct json){.type = JSON_STRING};
		return take_string(ps, &v->s, &v->count);
	case '-':
	case '0' ... '9':
		return take_number(ps, v);
	case 't':
		*v = (struct json){.type = JSON_BOOL, .b = true};
		if (take_word(ps, "true", 4))
			return 0;
		break;
	case 'f':
		*v = (struct json){.type = JSON_BOOL};
		if (take_word(ps, "false", 5))
			return 0;
		break;
	case 'n':
		*v = (struct json){.type = JSON_NULL};
		if (take_word(ps, "null", 4))
			return 0;
		break;
	}
	return bad(ps, ps->p, "expected a value");
}

static int parse_all(struct parser *ps)
{
	uint32_t parent = NO_PARENT; /* slot of the innermost open container */
	unsigned depth = 0;
	struct slot *s;
	int r;

	skip_space(ps);
	for (;;) {
		r = open_slot(ps, parent, &s);
		if (r < 0)
			return r;
		if (*ps->p == '{' || *ps->p == '[') {
			char close = *ps->p == '{' ? '}' : ']';

			if (++depth > ps->limits->depth)
				return err_set(ps->err, -E2BIG, "offset %zu: nested deeper than %u",
					(size_t)(ps->p - ps->text), ps->limits->depth);
			s->value = (struct json){
				.type = close == '}' ? JSON_OBJECT : JSON_ARRAY, .count = parent};
			parent = (uint32_t)(ps->count - 1);
			ps->p++;
			skip_space(ps);
			if (*ps->p != close)
				continue;
		} else {
			r = take_scalar(ps, &s->value);
			if (r < 0)
				return r;
		}
		/* Behind a value, or at the end of an empty container. */
		for (;;) {
			bool object;
			uint32_t up;

			if (parent == NO_PARENT)
				return 0;
			skip_space(ps);
			if (*ps->p == ',') {
				ps->p++;
				skip_space(ps);
				break;
			}
			object = ps->slots[parent].value.type == JSON_OBJECT;
			if (*ps->p != (object ? '}' : ']'))
				return bad(ps, ps->p,
					object ? "expected ',' or '}'" : "expected ',' or ']'");
			ps->p++;
			depth--;
			if (ps->count - parent - 1 > JSON_COUNT_MAX)
				return err_set(ps->err, -E2BIG, "offset %zu: too many items",
					(size_t)(ps->p - ps->text));
			up = ps->slots[parent].value.count;
			if (object)
				close_object(ps, parent);
			else
				close_array(ps, parent);
			parent = up;
		}
	}
}

int json_parse(struct arena *a, const char *text, size_t size, const struct json_limits *limits,
	struct json **ret, struct err *err)
{
	struct json_limits defaults = JSON_LIMITS_DEFAULT;
	struct slot stack[STACK_ROOM];
	struct parser ps = {.arena = a,
		.limits = limits ? limits : &defaults,
		.err = err,
		.slots = stack,
		.room = STACK_ROOM};
	struct json *root;
	int r;

	/* Offsets and counts are 32 bits. */
	if (size > ps.limits->size_bytes || size >= UINT32_MAX)
		return err_set(err, -E2BIG, "text of %zu bytes is over the limit of %zu", size,
			ps.limits->size_bytes);
	ps.p = ps.text = arena_alloc(a, size + MARGIN);
	ps.end = ps.text + size;
	if (size)
		memcpy(ps.text, text, size);
	memset(ps.end, 0, MARGIN);

	r = parse_all(&ps);
	if (r == 0) {
		skip_space(&ps);
		if (ps.p != ps.end)
			r = bad(&ps, ps.p, "text behind the value");
	}
	if (r == 0) {
		root = arena_alloc(a, sizeof(*root));
		*root = ps.slots[0].value;
		*ret = root;
	}
	free(ps.heap);
	return r;
}
