/* vm_credentials.h - keeps the ssh keys and passwords of a guest as the VMI's accessCredentials
 * say, through its agent: when the agent comes, and when a Secret changes.
 *
 *            the agent is there              all is told
 *   OFFLINE --------------------> FETCHING -> TELLING ----> IN SYNC
 *      ^                             ^           |             |
 *      |  it goes (from any)         +-- RETRY <-+ it failed   | a Secret changed
 *      |                             +-----------<-------------+ */
#pragma once

#include "node/node.h"
#include "node/pod/ref_watch.h"
#include "node/vm/guest_agent/guest_agent.h"

struct vm_credentials;
struct vm_credentials_options {
	struct node *node;
	struct ref_watches *watches; /* of all VMs; calls vm_credentials_changed */
	struct guest_agent *agent;   /* outlives it */
	const struct json *spec;     /* of the VMI; copied */
	const char *namespace, *uid;
	/* ok, or not with why, in KubeVirt's words: at first, and when that changes. */
	void (*told)(void *user, bool ok, const char *message);
	void *user;
};
/* NULL when the VMI has none that go through the agent. */
struct vm_credentials *vm_credentials_create(const struct vm_credentials_options *o);
void vm_credentials_destroy(struct vm_credentials *c); /* NULL allowed */
/* A Secret changed, or the agent came or went. NULL allowed. */
void vm_credentials_changed(struct vm_credentials *c);
/* What was told last; false = nothing yet. NULL allowed. */
bool vm_credentials_state(const struct vm_credentials *c, bool *ret_ok, const char **ret_message);
