#include "server/controllers/workloads/index_set.h"

#include <inttypes.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

/* Appends to a set whose array has the room; ranges come in rising order of `first`. */
static void append(struct index_set *s, struct index_range r)
{
	struct index_range *last = s->count ? (struct index_range *)&s->ranges[s->count - 1] : NULL;
	if (last && r.first <= last->last + 1)
		last->last = MAX(last->last, r.last);
	else
		((struct index_range *)s->ranges)[s->count++] = r;
}

static struct index_set with_room(struct arena *a, size_t room)
{
	return (struct index_set){arena_alloc(a, (room + 1) * sizeof(struct index_range)), 0};
}

static bool parse_range(struct str text, int64_t below, struct index_range *ret)
{
	struct str rest = text, first, last;
	str_split(&rest, '-', &first);
	uint64_t from, to;
	if (parse_u64(first, &from) < 0 || from >= (uint64_t)below)
		return false;
	to = from;
	if (str_split(&rest, '-', &last) && (parse_u64(last, &to) < 0 || to < from || rest.p))
		return false;
	*ret = (struct index_range){(int64_t)from, MIN((int64_t)MIN(to, INT64_MAX), below - 1)};
	return true;
}

struct index_set index_set_parse(struct arena *a, const char *text, int64_t below)
{
	if (!text || !text[0] || below <= 0)
		return (struct index_set){0};
	size_t commas = 0;
	for (const char *p = text; *p; p++)
		commas += *p == ',';
	struct index_set s = with_room(a, commas + 1);
	struct str rest = str_from(text), part;
	while (str_split(&rest, ',', &part)) {
		struct index_range r;
		/* Rising order is a promise of the set; what breaks it was not written by us. */
		if (parse_range(part, below, &r) &&
			(!s.count || r.first >= s.ranges[s.count - 1].first))
			append(&s, r);
	}
	return s;
}

static int compare(const void *pa, const void *pb)
{
	const int64_t *x = pa, *y = pb;
	return (*x > *y) - (*x < *y);
}

struct index_set index_set_of(struct arena *a, int64_t *indexes, size_t count)
{
	if (!count)
		return (struct index_set){0};
	struct index_set s = with_room(a, count);
	qsort(indexes, count, sizeof(*indexes), compare);
	for (size_t n = 0; n < count; n++)
		append(&s, (struct index_range){indexes[n], indexes[n]});
	return s;
}

struct index_set index_set_union(struct arena *a, struct index_set x, struct index_set y)
{
	if (!x.count)
		return y;
	if (!y.count)
		return x;
	struct index_set s = with_room(a, x.count + y.count);
	size_t i = 0, j = 0;
	while (i < x.count || j < y.count) {
		bool from_x =
			j == y.count || (i < x.count && x.ranges[i].first <= y.ranges[j].first);
		append(&s, from_x ? x.ranges[i++] : y.ranges[j++]);
	}
	return s;
}

char *index_set_text(struct arena *a, struct index_set s)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	for (size_t n = 0; n < s.count; n++) {
		const struct index_range r = s.ranges[n];
		buf_printf(&b, "%s%" PRId64, n ? "," : "", r.first);
		if (r.last > r.first)
			buf_printf(&b, "%c%" PRId64, r.last == r.first + 1 ? ',' : '-', r.last);
	}
	return arena_memdup(a, b.size ? b.data : "", b.size);
}

int64_t index_set_size(struct index_set s)
{
	int64_t size = 0;
	for (size_t n = 0; n < s.count; n++)
		size += s.ranges[n].last - s.ranges[n].first + 1;
	return size;
}

int64_t index_set_common(struct index_set x, struct index_set y)
{
	int64_t size = 0;
	size_t i = 0, j = 0;
	while (i < x.count && j < y.count) {
		int64_t first = MAX(x.ranges[i].first, y.ranges[j].first),
			last = MIN(x.ranges[i].last, y.ranges[j].last);
		if (first <= last)
			size += last - first + 1;
		if (x.ranges[i].last <= y.ranges[j].last)
			i++;
		else
			j++;
	}
	return size;
}

bool index_set_has(struct index_set s, int64_t index)
{
	size_t low = 0, high = s.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (s.ranges[middle].last < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s.count && s.ranges[low].first <= index;
}

size_t index_set_missing(struct index_set s, int64_t below, size_t most, int64_t *ret)
{
	size_t found = 0;
	int64_t at = 0;
	for (size_t n = 0; n <= s.count; n++) {
		int64_t end = n < s.count ? MIN(s.ranges[n].first, below) : below;
		for (; at < end && found < most; at++)
			ret[found++] = at;
		if (n < s.count)
			at = MAX(at, s.ranges[n].last + 1);
	}
	return found;
}
