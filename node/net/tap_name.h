/* tap_name.h - what the host calls the network interfaces of a machine: known before there is
 * one, so that its port is kept to its address from the first frame on. */
#pragma once

#include <net/if.h>
#include <stdio.h>

#include "lib/base/str.h"

static inline void net_tap_name(const char *uid, char ret[IFNAMSIZ])
{
	snprintf(ret, IFNAMSIZ, "hk%012llx",
		(unsigned long long)(fnv1a_64(uid, strlen(uid)) & 0xffffffffffff));
}

/* Of an interface on another network than the pods'. */
static inline void net_tap_name_of(const char *uid, const char *interface, char ret[IFNAMSIZ])
{
	char text[256];

	snprintf(text, sizeof(text), "%.64s/%.180s", uid, interface);
	net_tap_name(text, ret);
}
