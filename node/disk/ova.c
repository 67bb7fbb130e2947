/* ova.c - see disk_probe.h. Bounded in everything: entries, the descriptor's size, names. */
#include <stdio.h>
#include <string.h>

#include "lib/base/str.h"
#include "node/disk/disk_probe.h"

#define BLOCK 512
#define ENTRIES_MAX 1000
#define OVF_MAX_BYTES (1 << 20)
#define NAME_MAX_BYTES 256

struct entry {
	char name[NAME_MAX_BYTES + 1];
	int64_t offset, size;
	char type;
};

bool ova_is_tar(const uint8_t *head, size_t size)
{
	return size >= BLOCK && memcmp(head + 257, "ustar", 5) == 0;
}

/* Octal digits, or base 256 where the first bit is set (GNU tar, for 8 GiB and more). */
static int64_t tar_number(const uint8_t *p, size_t size)
{
	uint64_t v = 0;

	if (p[0] & 0x80) {
		for (size_t i = 1; i < size; i++) {
			if (v > UINT64_MAX >> 9)
				return -1;
			v = v << 8 | p[i];
		}
		return (p[0] & 0x7f) || v > INT64_MAX ? -1 : (int64_t)v;
	}
	for (size_t i = 0; i < size && p[i] && p[i] != ' '; i++) {
		if (p[i] < '0' || p[i] > '7' || v > UINT64_MAX >> 4)
			return -1;
		v = v << 3 | (uint64_t)(p[i] - '0');
	}
	return v > INT64_MAX ? -1 : (int64_t)v;
}

/* 1 = an entry, 0 = the end. */
static int read_entry(const struct disk_bytes *b, int64_t at, struct entry *ret, struct err *err)
{
	uint8_t h[BLOCK];
	ssize_t n = b->read(b->user, h, sizeof(h), at);
	unsigned sum = 0;
	size_t prefix, name;

	if (n < 0)
		return err_errno(err, (int)n, "read the archive");
	if (n < BLOCK || !h[0])
		return 0;
	for (size_t i = 0; i < BLOCK; i++)
		sum += i >= 148 && i < 156 ? ' ' : h[i];
	if (memcmp(h + 257, "ustar", 5) != 0 || tar_number(h + 148, 8) != (int64_t)sum)
		return err_set(err, -EINVAL, "the archive is damaged at byte %lld", (long long)at);
	prefix = strnlen((char *)h + 345, 155);
	name = strnlen((char *)h, 100);
	ret->name[0] = '\0';
	/* Only POSIX's ustar has a prefix there. */
	if (prefix && h[262] == '\0')
		snprintf(ret->name, sizeof(ret->name), "%.*s/%.*s", (int)prefix, h + 345, (int)name,
			h);
	else
		snprintf(ret->name, sizeof(ret->name), "%.*s", (int)name, h);
	ret->size = tar_number(h + 124, 12);
	ret->type = (char)h[156];
	ret->offset = at + BLOCK;
	if (ret->size < 0 || ret->size > b->size_bytes - ret->offset)
		return err_set(
			err, -EINVAL, "the archive is cut off: '%s' is not all there", ret->name);
	return 1;
}

static const char *plain(const char *name)
{
	while (str_has_prefix(name, "./"))
		name += 2;
	return name;
}

typedef bool wanted_entry(const struct entry *e, const void *user);

/* -ENOENT when there is none. */
static int find_entry(const struct disk_bytes *b, wanted_entry *wanted, const void *user,
	struct entry *ret, struct err *err)
{
	int64_t at = 0;

	for (int i = 0; i < ENTRIES_MAX; i++) {
		int r = read_entry(b, at, ret, err);

		if (r < 0)
			return r;
		if (r == 0)
			return -ENOENT;
		if ((ret->type == '0' || ret->type == '\0') && wanted(ret, user))
			return 0;
		at = ret->offset + (ret->size + BLOCK - 1) / BLOCK * BLOCK;
	}
	return err_set(err, -E2BIG, "the archive has more than %d entries", ENTRIES_MAX);
}

static bool is_descriptor(const struct entry *e, const void *user)
{
	size_t size = strlen(e->name);

	return size > 4 && strcasecmp(e->name + size - 4, ".ovf") == 0;
}

static bool is_called(const struct entry *e, const void *user)
{
	return streq(plain(e->name), user);
}

/* ---- the descriptor: elements and their attributes, nothing else of XML ---- */

static const char *local_name(const char *p, const char *end)
{
	for (const char *c = p; c < end; c++)
		if (*c == ':')
			return c + 1;
	return p;
}

/* The next start tag named `element` from *at on; false at the end. The tag's inside is [*ret,
 * *ret_end). Comments are skipped; a document with a DTD is not read at all. */
static bool next_tag(const char **at, const char *element, const char **ret, const char **ret_end)
{
	const char *p = *at;

	while ((p = strchr(p, '<'))) {
		const char *end, *name, *stop;
		char quote = '\0';

		if (str_has_prefix(p, "<!--")) {
			p = strstr(p, "-->");
			if (!p)
				return false;
			continue;
		}
		if (str_has_prefix(p, "<![CDATA[")) {
			p = strstr(p, "]]>");
			if (!p)
				return false;
			continue;
		}
		for (end = p; *end && (quote || *end != '>'); end++) {
			if (quote ? *end == quote : *end == '"' || *end == '\'')
				quote = quote ? '\0' : *end;
		}
		if (!*end)
			return false;
		stop = p + 1 + strcspn(p + 1, " \t\r\n/>");
		name = local_name(p + 1, stop);
		if ((size_t)(stop - name) == strlen(element) &&
			strncmp(name, element, strlen(element)) == 0) {
			*ret = stop;
			*ret_end = end;
			*at = end;
			return true;
		}
		p = end;
	}
	return false;
}

/* The value of an attribute; "" when it is not there. False when it has what would have to be
 * decoded. */
static bool attribute(
	const char *p, const char *end, const char *attribute, char ret[NAME_MAX_BYTES + 1])
{
	ret[0] = '\0';
	while (p < end) {
		const char *name, *stop, *value, *close;

		p += strspn(p, " \t\r\n/");
		if (p >= end)
			return true;
		stop = p + strcspn(p, "= \t\r\n/>");
		name = local_name(p, stop);
		value = stop + strspn(stop, " \t\r\n");
		if (value >= end || *value != '=')
			return true;
		value++;
		value += strspn(value, " \t\r\n");
		if (value >= end || (*value != '"' && *value != '\''))
			return true;
		close = memchr(value + 1, *value, (size_t)(end - value - 1));
		if (!close)
			return true;
		if ((size_t)(stop - name) == strlen(attribute) &&
			strncmp(name, attribute, strlen(attribute)) == 0) {
			size_t size = (size_t)(close - value - 1);

			if (size > NAME_MAX_BYTES || memchr(value + 1, '&', size))
				return false;
			memcpy(ret, value + 1, size);
			ret[size] = '\0';
			return true;
		}
		p = close + 1;
	}
	return true;
}

static int read_descriptor(const char *text, char ret_file[NAME_MAX_BYTES + 1], struct err *err)
{
	char ref[NAME_MAX_BYTES + 1] = "", id[NAME_MAX_BYTES + 1], packed[NAME_MAX_BYTES + 1];
	const char *at = text, *p, *end;

	while (!*ref && next_tag(&at, "Disk", &p, &end))
		if (!attribute(p, end, "fileRef", ref))
			return err_set(err, -EINVAL,
				"its descriptor names a disk in a way that "
				"is not supported");
	if (!*ref)
		return err_set(err, -EINVAL, "its descriptor names no disk with data");
	for (at = text; next_tag(&at, "File", &p, &end);) {
		if (!attribute(p, end, "id", id) || !streq(id, ref))
			continue;
		if (!attribute(p, end, "href", ret_file) || !*ret_file ||
			!attribute(p, end, "compression", packed))
			break;
		if (*packed && !streq(packed, "identity"))
			return err_set(err, -EINVAL, "disks that are packed (%s) are not supported",
				packed);
		return 0;
	}
	return err_set(err, -EINVAL, "its descriptor names no file for the disk '%s'", ref);
}

int ova_find_disk(
	struct arena *a, const struct disk_bytes *b, struct disk_probe *ret, struct err *err)
{
	char file[NAME_MAX_BYTES + 1];
	struct entry e;
	char *text;
	ssize_t n;
	int r = find_entry(b, is_descriptor, NULL, &e, err);

	if (r == -ENOENT)
		return err_set(err, -EINVAL,
			"it is a tar archive without an OVF descriptor: only OVA archives are "
			"taken apart");
	if (r < 0)
		return r;
	if (e.size > OVF_MAX_BYTES)
		return err_set(err, -E2BIG, "the descriptor '%s' has more than %d bytes", e.name,
			OVF_MAX_BYTES);
	text = arena_alloc(a, (size_t)e.size + 1);
	n = b->read(b->user, text, (size_t)e.size, e.offset);
	if (n != (ssize_t)e.size)
		return err_set(err, -EIO, "read the descriptor '%s'", e.name);
	text[n] = '\0';
	if (strlen(text) != (size_t)n)
		return err_set(err, -EINVAL, "the descriptor '%s' is no text", e.name);
	r = read_descriptor(text, file, err);
	if (r < 0)
		return err_context(err, r, "OVA archive");
	r = find_entry(b, is_called, plain(file), &e, err);
	if (r == -ENOENT)
		return err_set(err, -EINVAL,
			"OVA archive: the file '%s' that its descriptor names is not in it", file);
	if (r < 0)
		return r;
	ret->offset = e.offset;
	ret->length = e.size;
	ret->member = arena_strdup(a, e.name);
	return 0;
}
