/* backends.h - who answers for a Service: the pods and virtual machine instances that its selector
 * finds, with their addresses and ports. A virtual machine instance counts like a pod. Shared by
 * the Endpoints and the EndpointSlice loops. */
#pragma once

#include "server/controllers/controller.h"

struct backend_port {
	const char *name, *protocol;
	const char *app_protocol; /* NULL = none */
	int64_t port;
};

struct backend {
	const struct object *object;
	const char *ip;
	const char *second_ip; /* of the target in the other family; "" = none */
	const char *node;      /* "" = unknown */
	const char *hostname;  /* "" = none of its own */
	bool ready;	       /* serving and not terminating, or the service publishes all */
	bool serving;	       /* its Ready condition */
	bool terminating;
	bool ipv6;
	const struct backend_port *ports; /* named target ports are resolved */
	size_t port_count;
	const char *port_key; /* equal for equal ports and address families */
};

struct backends;
/* changed is told of services whose backends may have changed. */
struct backends *backends_create(
	struct shared *sh, void (*changed)(void *user, const struct object *service), void *user);
void backends_destroy(struct backends *b);
struct informer *backends_services(struct backends *b);
/* Has a selector, and is not just a name for something outside. */
bool backends_selects(const struct json *service);
/* In the arena, ordered by port_key (each family for itself), then kind, namespace and name: one
 * for each family of the service that a target has. */
size_t backends_find(struct backends *b, struct arena *a, const struct object *service,
	const struct json *doc, struct backend **ret);
/* The family of Endpoints, which have room for one. */
bool backends_primary_is_ipv6(const struct json *service);
struct json *backend_target(struct arena *a, const struct backend *b); /* ObjectReference */
struct json *backend_ports(struct arena *a, const struct backend *b);
/* Labels that Endpoints and slices take over from their service. */
struct json *backends_labels(struct arena *a, const struct json *service);
