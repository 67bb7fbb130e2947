/* agent_facts.h - what guest agents answer, in the words of KubeVirt's API. Pure.
 *
 * The answers come out of guests: whatever has another type than the schema says, is too long or
 * too much is left out or cut, and texts are free of control characters. */
#pragma once

#include "lib/json/json.h"

#define AGENT_TEXT_MAX_BYTES 256 /* of any one text */
#define AGENT_INTERFACES_MAX 32
#define AGENT_ADDRESSES_MAX 16 /* of one interface */
#define AGENT_USERS_MAX 256
#define AGENT_FILESYSTEMS_MAX 256
#define AGENT_DISKS_MAX 32 /* of one file system */
#define AGENT_COMMANDS_MAX 512

/* What is asked for, with the form in which it is kept. */
enum agent_fact {
	AGENT_FACT_INFO,	/* {"guestAgentVersion", "supportedCommands": [{name, enabled}]} */
	AGENT_FACT_INTERFACES,	/* [{interfaceName, mac, ipAddress, ipAddresses}], without lo */
	AGENT_FACT_OS,		/* VirtualMachineInstanceGuestOSInfo */
	AGENT_FACT_HOSTNAME,	/* "name" */
	AGENT_FACT_TIMEZONE,	/* "UTC, 0" */
	AGENT_FACT_FREEZE,	/* "thawed" | "frozen" */
	AGENT_FACT_USERS,	/* [VirtualMachineInstanceGuestOSUser] */
	AGENT_FACT_FILESYSTEMS, /* [VirtualMachineInstanceFileSystem] */
	AGENT_FACT_COUNT,
};
#define AGENT_ALL_FACTS ((1u << AGENT_FACT_COUNT) - 1)

const char *agent_fact_command(enum agent_fact f); /* "guest-info" ... */
/* The form above of the command's "return"; NULL when that has the wrong type altogether. */
struct json *agent_fact_read(struct arena *a, enum agent_fact f, const struct json *value);

/* Whether the agent (its AGENT_FACT_INFO) offers a command. */
bool agent_offers(const struct json *info, const char *command);
/* Why this agent does not do for the VMI (KubeVirt's condition AgentVersionNotSupported), in
 * KubeVirt's words; NULL when it does. */
const char *agent_unsupported(const struct json *info, const struct json *vmi_spec);
