/* bootstrap.h - the objects that every cluster has from the start: namespaces, priority classes,
 * the service by which pods reach the API, default roles and bindings. */
#pragma once

#include "server/api/api.h"

struct bootstrap_options {
	struct api *api;
	struct cache *cache;
	const struct kind_registry *kinds;
	const char *service_cidr;  /* range of service addresses */
	const char *service_cidr6; /* the second one; NULL = none */
	const char *service_ip;	   /* first of it */
	const char *endpoint_ip;   /* where nodes and pods reach this server; NULL = nowhere */
	int endpoint_port;
	const char *upload_url; /* where users upload disks to */
	/* All is there (0), or err says what failed. */
	void (*done)(void *user, int r, const struct err *err);
	void *user;
};

/* Writes what is missing or differs. done may come at once, when nothing does. */
void bootstrap_run(const struct bootstrap_options *options);
