/* controllers.h - the control loops of a cluster, all in one process on one event loop. They see
 * the API only, through a client; several processes must not run them at the same time. */
#pragma once

#include "lib/client/client.h"

struct controllers;
/* list: "*" all, "a,b" these, "*,-x" all but x, "-*" none, by upstream's names (controller_names).
 * An unknown name is -EINVAL. Begins at once: lists, then reconciles.
 * root_ca: the certificate (PEM) that namespaces are told to trust the API server by; NULL = they
 * are not told. */
struct controllers *controllers_create(
	struct client *c, const char *list, const char *root_ca, struct err *err);
void controllers_destroy(
	struct controllers *c); /* stops at once; NULL allowed. The client stays. */
bool controllers_running(const struct controllers *c); /* first lists are in, loops work */
const char *const *controller_names(void);	       /* NULL-terminated */
