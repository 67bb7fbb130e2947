#include "lib/base/zone.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/base/zone_rule.h"

#define FILE_MAX_BYTES (256u << 10)
#define HEADER_BYTES 44
#define OFFSET_MAX_S (26 * 3600)
#define NAME_MAX_BYTES 255

struct zone {
	size_t change_count;
	int64_t *changes; /* UTC, rising */
	int64_t *offsets; /* offsets[0] before the first change, offsets[n + 1] after n */
	bool has_rule;	  /* for what comes after the last change */
	struct zone_rule rule;
};

void zone_destroy(struct zone *z)
{
	if (!z)
		return;
	free(z->changes);
	free(z->offsets);
	free(z);
}

static void zone_destroy_p(struct zone **z)
{
	zone_destroy(*z);
}

struct header {
	char version;
	uint32_t utc_flags, standard_flags, leaps, changes, types, chars;
};

static uint64_t big_endian(const unsigned char *p, size_t size)
{
	uint64_t n = 0;
	for (size_t i = 0; i < size; i++)
		n = n << 8 | p[i];
	return n;
}

static int read_header(const unsigned char *p, size_t size, struct header *ret)
{
	if (size < HEADER_BYTES || memcmp(p, "TZif", 4) != 0)
		return -EBADMSG;
	ret->version = (char)p[4];
	uint32_t *const counts[] = {&ret->utc_flags, &ret->standard_flags, &ret->leaps,
		&ret->changes, &ret->types, &ret->chars};
	for (size_t n = 0; n < ARRAY_LEN(counts); n++)
		*counts[n] = (uint32_t)big_endian(p + 20 + 4 * n, 4);
	/* So that sums of them are far from overflow; no file is so large. */
	for (size_t n = 0; n < ARRAY_LEN(counts); n++)
		if (*counts[n] > FILE_MAX_BYTES)
			return -EBADMSG;
	return ret->types ? 0 : -EBADMSG;
}

static size_t block_size(const struct header *h, size_t time_size)
{
	return h->changes * (time_size + 1) + h->types * 6u + h->chars +
	       h->leaps * (time_size + 4) + h->standard_flags + h->utc_flags;
}

/* The signed value of a field of four or eight bytes. */
static int64_t time_at(const unsigned char *p, size_t size)
{
	return size == 4 ? (int32_t)(uint32_t)big_endian(p, 4) : (int64_t)big_endian(p, 8);
}

static int read_block(
	const unsigned char *p, const struct header *h, size_t time_size, struct zone *z)
{
	const unsigned char *which = p + h->changes * time_size, *types = which + h->changes;
	z->change_count = h->changes;
	z->changes = xcalloc(h->changes + 1, sizeof(*z->changes));
	z->offsets = xcalloc(h->changes + 1, sizeof(*z->offsets));
	for (size_t n = 0; n <= h->changes; n++) {
		size_t type = n ? which[n - 1] : 0;
		if (type >= h->types)
			return -EBADMSG;
		z->offsets[n] = time_at(types + 6 * type, 4);
		if (z->offsets[n] > OFFSET_MAX_S || z->offsets[n] < -OFFSET_MAX_S)
			return -EBADMSG;
	}
	for (size_t n = 0; n < h->changes; n++) {
		z->changes[n] = time_at(p + n * time_size, time_size);
		if (n && z->changes[n] <= z->changes[n - 1])
			return -EBADMSG;
	}
	return 0;
}

static int read_footer(const unsigned char *p, size_t size, struct zone *z)
{
	const unsigned char *end = size && *p == '\n' ? memchr(p + 1, '\n', size - 1) : NULL;
	if (!end)
		return -EBADMSG;
	if (end == p + 1)
		return 0;
	z->has_rule = true;
	return zone_rule_parse((const char *)p + 1, (size_t)(end - p - 1), &z->rule) < 0 ? -EBADMSG
											 : 0;
}

static int parse(const unsigned char *p, size_t size, struct zone *z)
{
	struct header h;
	size_t time_size = 4;
	if (read_header(p, size, &h) < 0)
		return -EBADMSG;
	if (h.version >= '2') {
		/* The first block is for readers of old; the second has times of 64 bits. */
		size_t skip = HEADER_BYTES + block_size(&h, 4);
		time_size = 8;
		if (skip > size || read_header(p + skip, size - skip, &h) < 0)
			return -EBADMSG;
		p += skip;
		size -= skip;
	}
	p += HEADER_BYTES;
	size -= HEADER_BYTES;
	size_t block = block_size(&h, time_size);
	if (block > size || read_block(p, &h, time_size, z) < 0)
		return -EBADMSG;
	return time_size == 4 ? 0 : read_footer(p + block, size - block, z);
}

int zone_parse(const void *data, size_t size, struct zone **ret, struct err *err)
{
	_cleanup_(zone_destroy_p) struct zone *z = xcalloc(1, sizeof(*z));
	int r = parse(data, size, z);
	if (r < 0)
		return err_set(err, r, "it is no time zone file (TZif)");
	*ret = TAKE_PTR(z);
	return 0;
}

bool zone_name_valid(const char *name)
{
	size_t part = 0;
	for (const char *p = name;; p++) {
		if (*p == '/' || !*p) {
			const char *begin = p - part;
			if (!part || begin[0] == '-' || (part == 1 && begin[0] == '.') ||
				(part == 2 && begin[0] == '.' && begin[1] == '.'))
				return false;
			if (!*p)
				return (size_t)(p - name) <= NAME_MAX_BYTES;
			part = 0;
			continue;
		}
		if (!((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') ||
			    (*p >= '0' && *p <= '9') || strchr(".-_+", *p)))
			return false;
		part++;
	}
}

int zone_load(const char *name, struct zone **ret, struct err *err)
{
	if (!zone_name_valid(name))
		return err_set(err, -EINVAL, "unknown time zone %s", name);
	if (strcmp(name, "UTC") == 0) {
		*ret = xcalloc(1, sizeof(**ret));
		(*ret)->offsets = xcalloc(1, sizeof(int64_t));
		return 0;
	}
	_cleanup_(free_p) char *path = xasprintf(ZONE_DIRECTORY "/%s", name);
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, -ENOENT, "unknown time zone %s", name);
	if (st.st_size <= 0 || st.st_size > FILE_MAX_BYTES)
		return err_set(err, -EBADMSG, "%s: it is no time zone file (TZif)", path);
	size_t size = (size_t)st.st_size, got = 0;
	_cleanup_(free_p) char *data = xmalloc(size);
	while (got < size) {
		ssize_t n = read(fd, data + got, size - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(err, -EBADMSG, "%s: it can't be read to its end", path);
		got += (size_t)n;
	}
	int r = zone_parse(data, size, ret, err);
	return r < 0 ? err_context(err, r, "%s", path) : 0;
}

struct zone_span zone_at(const struct zone *z, int64_t utc_s)
{
	/* How many changes lie at or before it. */
	size_t low = 0, high = z->change_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (z->changes[middle] <= utc_s)
			low = middle + 1;
		else
			high = middle;
	}
	struct zone_span span = {
		.begin_s = low ? z->changes[low - 1] : INT64_MIN,
		.end_s = low < z->change_count ? z->changes[low] : INT64_MAX,
		.offset_s = z->offsets[low],
	};
	if (low < z->change_count || !z->has_rule)
		return span;
	struct zone_span by_rule = zone_rule_at(&z->rule, utc_s);
	by_rule.begin_s = MAX(by_rule.begin_s, span.begin_s);
	return by_rule;
}
