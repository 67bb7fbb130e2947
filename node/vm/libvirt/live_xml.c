#include "node/vm/libvirt/live_xml.h"

#include <ctype.h>
#include <string.h>

static size_t find(struct str in, const char *what)
{
	const char *at = memmem(in.p, in.size, what, strlen(what));

	return at ? (size_t)(at - in.p) : in.size;
}

static struct str from(struct str s, size_t at)
{
	return (struct str){s.p + at, s.size - at};
}

static bool unescape(struct str raw, char *ret, size_t room)
{
	static const struct {
		const char *name;
		char is;
	} known[] = {
		{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&apos;", '\''}, {"&quot;", '"'}};
	size_t n = 0;

	while (raw.size) {
		size_t take = 1;
		char c = raw.p[0];

		for (size_t i = 0; c == '&' && i < ARRAY_LEN(known); i++) {
			size_t size = strlen(known[i].name);

			if (raw.size >= size && !memcmp(raw.p, known[i].name, size)) {
				take = size;
				c = known[i].is;
				break;
			}
		}
		if (n + 1 >= room)
			return false;
		ret[n++] = c;
		raw = from(raw, take);
	}
	ret[n] = '\0';
	return true;
}

/* Of one element's attributes, up to its '>'. */
static bool attribute_of(struct str tag, const char *name, char *ret, size_t room)
{
	size_t size = strlen(name);

	for (size_t at = 0; at + size + 2 < tag.size; at++) {
		if (!isspace((unsigned char)tag.p[at]) || memcmp(tag.p + at + 1, name, size) != 0 ||
			tag.p[at + 1 + size] != '=')
			continue;
		char quote = tag.p[at + 2 + size];
		struct str rest = from(tag, at + 3 + size);
		const char *end =
			quote == '\'' || quote == '"' ? memchr(rest.p, quote, rest.size) : NULL;
		return end && unescape((struct str){rest.p, (size_t)(end - rest.p)}, ret, room);
	}
	return false;
}

/* Up to the '>' that ends the element's start, which may stand in a value too. */
static size_t tag_size(struct str s)
{
	char quote = 0;

	for (size_t i = 0; i < s.size; i++) {
		char c = s.p[i];

		if (quote)
			quote = c == quote ? 0 : quote;
		else if (c == '\'' || c == '"')
			quote = c;
		else if (c == '>')
			return i;
	}
	return s.size;
}

bool live_xml_attribute(struct str xml, const char *element, const char *where, const char *is,
	const char *attribute, char *ret, size_t room)
{
	size_t size = strlen(element);

	while (xml.size) {
		size_t at = find(xml, "<");

		if (at == xml.size)
			break;
		xml = from(xml, at + 1);
		if (xml.size <= size || memcmp(xml.p, element, size) != 0 ||
			!(isspace((unsigned char)xml.p[size]) || xml.p[size] == '>' ||
				xml.p[size] == '/'))
			continue;
		struct str tag = {xml.p + size, tag_size(from(xml, size))};
		char value[256];

		if (where && !(attribute_of(tag, where, value, sizeof(value)) && streq(value, is)))
			continue;
		if (attribute_of(tag, attribute, ret, room))
			return true;
	}
	return false;
}
