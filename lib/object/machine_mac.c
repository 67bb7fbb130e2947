#include "lib/object/machine_mac.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/str.h"

int machine_mac_parse(const char *text, uint64_t *ret)
{
	uint64_t mac = 0;

	for (size_t i = 0; i < 17; i++) {
		char c = text[i];

		if (i % 3 == 2) {
			if (c != ':' && c != '-')
				return -EINVAL;
			continue;
		}
		if (!isxdigit((unsigned char)c))
			return -EINVAL;
		c = (char)tolower((unsigned char)c);
		mac = mac << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	/* A group address is nobody's own; and zero is no address. */
	if (text[17] || mac >> 40 & 1 || !mac)
		return -EINVAL;
	*ret = mac;
	return 0;
}

void machine_mac_format(uint64_t mac, char ret[MACHINE_MAC_TEXT])
{
	snprintf(ret, MACHINE_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x",
		(unsigned)(mac >> 40 & 255), (unsigned)(mac >> 32 & 255),
		(unsigned)(mac >> 24 & 255), (unsigned)(mac >> 16 & 255),
		(unsigned)(mac >> 8 & 255), (unsigned)(mac & 255));
}

uint64_t machine_mac_of_name(const char *domain, size_t index)
{
	_cleanup_(free_p) char *text = xasprintf("%s/%zu", domain, index);
	uint64_t h = fnv1a_64(text, strlen(text));

	return UINT64_C(2) << 40 | (h >> 56 & 255) << 32 | (h >> 40 & 255) << 24 |
	       (h >> 24 & 255) << 16 | (h >> 8 & 255) << 8 | ((h ^ h >> 32) & 255);
}
