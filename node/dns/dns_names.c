/* dns_names.c - domain names in wire form, and addresses as names: see dns_zone_data.h. */
#include "node/dns/dns_zone_data.h"

#include <stdio.h>

/* Appends a label; false when it does not fit. The root label is not part of *size. */
static bool label_add(uint8_t *name, size_t *size, const char *p, size_t length)
{
	if (length == 0 || length > LABEL_MAX || *size + length + 2 > NAME_MAX_BYTES)
		return false;
	name[(*size)++] = (uint8_t)length;
	for (size_t i = 0; i < length; i++)
		name[(*size)++] = (uint8_t)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 32 : p[i]);
	return true;
}

size_t name_from_text(const char *text, uint8_t ret[NAME_MAX_BYTES + 1])
{
	struct str rest = str_from(text), part;
	size_t size = 0;

	if (rest.size && rest.p[rest.size - 1] == '.')
		rest.size--;
	if (!rest.size)
		return 0;
	while (str_split(&rest, '.', &part))
		if (!label_add(ret, &size, part.p, part.size))
			return 0;
	ret[size++] = 0;
	return size;
}

size_t name_size(const uint8_t *name)
{
	size_t n = 0;

	while (name[n])
		n += name[n] + 1u;
	return n + 1;
}

uint8_t *name_make(
	struct arena *a, const struct dns_zone *z, const char *const *labels, size_t *ret_size)
{
	uint8_t room[NAME_MAX_BYTES + 1];
	size_t size = 0;

	for (size_t i = 0; labels[i]; i++)
		if (!label_add(room, &size, labels[i], strlen(labels[i])))
			return NULL;
	if (size + z->domain_size > NAME_MAX_BYTES)
		return NULL;
	memcpy(room + size, z->domain, z->domain_size);
	size += z->domain_size;
	if (ret_size)
		*ret_size = size;
	return (uint8_t *)arena_memdup(a, room, size);
}

size_t split_labels(const uint8_t *name, struct str ret[LABELS_MAX])
{
	size_t n = 0;

	for (; *name && n < LABELS_MAX; name += *name + 1)
		ret[n++] = (struct str){(const char *)name + 1, *name};
	return n;
}

bool plain_label(struct str s)
{
	for (size_t i = 0; i < s.size; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return false;
	}
	return s.size > 0;
}

bool address_parse(const char *text, struct address *ret)
{
	if (inet_pton(AF_INET, text, ret->bytes) == 1)
		ret->size = 4;
	else if (inet_pton(AF_INET6, text, ret->bytes) == 1)
		ret->size = 16;
	else
		return false;
	return true;
}

void address_key(const struct address *a, char ret[ADDRESS_KEY_ROOM])
{
	for (size_t i = 0; i < a->size; i++)
		snprintf(ret + 2 * i, 3, "%02x", a->bytes[i]);
}

/* 10.1.2.3 -> 10-1-2-3, fd00::1 -> fd00--1. */
static void address_label(const struct address *a, char ret[ADDRESS_LABEL_ROOM])
{
	inet_ntop(a->size == 4 ? AF_INET : AF_INET6, a->bytes, ret, INET6_ADDRSTRLEN);
	for (char *p = ret; *p; p++)
		if (*p == '.' || *p == ':')
			*p = '-';
}

bool address_from_label(struct str label, struct address *ret)
{
	char text[INET6_ADDRSTRLEN];

	if (label.size >= sizeof(text))
		return false;
	for (int v6 = 0; v6 < 2; v6++) {
		memcpy(text, label.p, label.size);
		text[label.size] = '\0';
		for (size_t i = 0; i < label.size; i++)
			if (text[i] == '-')
				text[i] = v6 ? ':' : '.';
		if (address_parse(text, ret))
			return ret->size == (v6 ? 16 : 4);
	}
	return false;
}

const char *endpoint_label(const struct endpoint *e, char room[ADDRESS_LABEL_ROOM])
{
	if (e->hostname)
		return e->hostname;
	address_label(&e->address, room);
	return room;
}
