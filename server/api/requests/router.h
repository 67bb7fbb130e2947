/* router.h - what a URL path means, by its form alone.
 *
 *	/api/v1/pods                                collection over all namespaces
 *	/apis/apps/v1/namespaces/NS/deployments     collection in a namespace
 *	/apis/apps/v1/namespaces/NS/deployments/N/scale
 *	/api/v1/nodes/N                             cluster-scoped
 *	/api/v1/watch/...                           the old form of ?watch=true
 *
 * Whether the group, version and resource exist is asked of the kind registry later. */
#pragma once

#include "lib/base/arena.h"

enum route_type {
	ROUTE_NONE,	    /* no path of ours: 404 */
	ROUTE_API,	    /* /api */
	ROUTE_APIS,	    /* /apis */
	ROUTE_GROUP,	    /* /apis/G */
	ROUTE_VERSION_LIST, /* /api/v1, /apis/G/V */
	ROUTE_RESOURCE,
	ROUTE_OPENAPI, /* /openapi/... */
	ROUTE_HEALTH,  /* /healthz, /livez, /readyz and below */
	ROUTE_METRICS,
	ROUTE_SERVER_VERSION, /* /version */
};

struct route {
	enum route_type type;
	bool watch;					       /* /watch/ form */
	const char *group;				       /* "" for /api */
	const char *version;				       /* NULL where the path has none */
	const char *namespace, *resource, *name, *subresource; /* NULL where the path has none */
	const char *rest; /* behind the subresource, without the slash; NULL = nothing */
};

struct route route_parse(struct arena *a, const char *path);
