/* agent_status.h - what a guest agent says, in the status of its VirtualMachineInstance. Pure. */
#pragma once

#include "lib/json/json.h"

/* Puts what the guest says of its interfaces (AGENT_FACT_INTERFACES, NULL = nothing) to the
 * interfaces of the domain, by MAC address; those that only the guest has come behind them. An
 * address that the node gave stays the first: a guest can't make others send to another's. */
void agent_status_interfaces(struct arena *a, struct json *interfaces, const struct json *guest);

/* guestOSInfo and fsFreezeStatus as a merge patch of `old`: what is not told any more is removed.
 * os, freeze: NULL = nothing is known. */
void agent_status_set(struct arena *a, struct json *status, const struct json *old,
	const struct json *os, const struct json *freeze);
