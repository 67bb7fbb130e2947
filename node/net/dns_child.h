/* dns_child.h - keeps a hanok-dns running on the bridge's address (node/dns/main.c). It outlives
 * the agent: a new agent starts a new one, and ends those before it when the new one serves. */
#pragma once

#include <uv.h>

struct dns_child_config {
	const char *program;	/* path of hanok-dns */
	const char *kubeconfig; /* the node's */
	const char *address;	/* of the bridge */
	const char *domain, *resolv_conf;
	const char *directory; /* of this node's own, exists; those that run are noted in it */
};

struct dns_child;
/* Copies the configuration. report: NULL = it serves; else what is wrong; it is tried again. */
struct dns_child *dns_child_create(uv_loop_t *loop, const struct dns_child_config *c,
	void (*report)(void *user, const char *problem), void *user);
/* The process goes on: what runs here still needs names. NULL allowed. */
void dns_child_destroy(struct dns_child *d);
