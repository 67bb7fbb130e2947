/* machine_mac.h - MAC addresses of virtual machines: one that nobody gave is made from the
 * machine's name, so that it is the same when the machine is started again; server and node agent
 * agree. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/util.h"

#define MACHINE_MAC_TEXT 18 /* "02:00:00:12:34:56" and the zero */

/* "02:00:00:12:34:56", also with '-': the six bytes as a number. -EINVAL: not one, or not one that
 * a single interface may have (of a group, or zero). */
int machine_mac_parse(const char *text, uint64_t *ret) _must_check_;
void machine_mac_format(uint64_t mac, char ret[MACHINE_MAC_TEXT]);
/* Of interface `index` of the machine whose domain is NAMESPACE_NAME: locally administered. */
uint64_t machine_mac_of_name(const char *domain, size_t index);
