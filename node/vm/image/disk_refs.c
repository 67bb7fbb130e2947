#include "node/vm/image/disk_refs.h"

#include "lib/base/str.h"

enum { DIGEST_SIZE = 71, HASH_SIZE = 64 };
#define EVERYBODY "*"

static bool is_hex(const char *s, size_t size)
{
	return strspn(s, "0123456789abcdef") == size;
}

/* The lines after the first; NULL = it is about something else. "" = there are none. */
static const char *rights_of(const char *text, const char *image)
{
	size_t size = strlen(image);

	if (!str_has_prefix(text, "sha256-") || strlen(text) < DIGEST_SIZE + 1 + size ||
		!is_hex(text + 7, HASH_SIZE) || text[DIGEST_SIZE] != ' ' ||
		strncmp(text + DIGEST_SIZE + 1, image, size) != 0)
		return NULL;
	text += DIGEST_SIZE + 1 + size;
	if (*text == '\n')
		return text + 1;
	return *text ? NULL : text;
}

static bool has_line(const char *rights, const char *line)
{
	struct str left = str_from(rights), one;

	while (str_split(&left, '\n', &one))
		if (one.size == strlen(line) && memcmp(one.p, line, one.size) == 0)
			return true;
	return false;
}

bool disk_ref_read(const char *text, const char *image, const char *hash, char ret_digest[72],
	bool *ret_allowed)
{
	const char *rights = rights_of(text, image);

	if (!rights)
		return false;
	memcpy(ret_digest, text, DIGEST_SIZE);
	ret_digest[DIGEST_SIZE] = '\0';
	*ret_allowed = !*rights || has_line(rights, EVERYBODY) || (*hash && has_line(rights, hash));
	return true;
}

void disk_ref_write(
	struct buf *out, const char *old, const char *digest, const char *image, const char *hash)
{
	const char *rights = old ? rights_of(old, image) : NULL;
	size_t count = 1;

	/* Another digest is another image. */
	if (rights && strncmp(old, digest, DIGEST_SIZE) != 0)
		rights = NULL;
	buf_printf(out, "%s %s\n", digest, image);
	if (!*hash || (rights && (!*rights || has_line(rights, EVERYBODY)))) {
		buf_add_str(out, EVERYBODY);
		return;
	}
	buf_add_str(out, hash);
	if (!rights)
		return;
	struct str left = str_from(rights), one;
	while (str_split(&left, '\n', &one) && count < DISK_REF_HASHES_MAX) {
		if (one.size != HASH_SIZE || memcmp(one.p, hash, HASH_SIZE) == 0)
			continue;
		buf_printf(out, "\n%.*s", (int)one.size, one.p);
		count++;
	}
}
