/* controllers.h - the control loops of a cluster, all in one process on one event loop. They see
 * the API only, through a client; several processes must not run them at the same time. */
#pragma once

#include "lib/client/client.h"

/* The cluster's certificate authority, PEM; the texts outlive the loops. */
struct cluster_ca {
	const char *certificate; /* by which namespaces are told to trust the API server */
	const char *key;	 /* signs certificates of clients and nodes; NULL = does not */
};

struct controllers;
/* list: "*" all, "a,b" these, "*,-x" all but x, "-*" none, by upstream's names (controller_names).
 * An unknown name is -EINVAL (controllers_check asks no more). Begins at once: lists, then
 * reconciles. ca: NULL = there is none: no namespace is told of it, nothing is signed. */
int controllers_check(const char *list, struct err *err) _must_check_;
struct controllers *controllers_create(
	struct client *c, const char *list, const struct cluster_ca *ca, struct err *err);
void controllers_destroy(
	struct controllers *c); /* stops at once; NULL allowed. The client stays. */
bool controllers_running(const struct controllers *c); /* first lists are in, loops work */
const char *const *controller_names(void);	       /* NULL-terminated */
