/* custom_resources.h - from CustomResourceDefinitions to served resources, and back.
 *
 *	created --> names accepted --> established --> terminating --> gone
 *	   \                              ^
 *	    `--> names taken -------------'  (when whoever has them lets go)
 *
 * Follows the definitions in the cache, writes their status, and changes the registry and the cache
 * of their objects accordingly. A definition that is being deleted is served until its objects are
 * gone, but takes no new ones. */
#pragma once

#include "lib/base/err.h"

struct api;
struct api_request;
struct custom_resources;

#define CUSTOM_RESOURCE_FINALIZER "customresourcecleanup.apiextensions.k8s.io"

/* Takes in the definitions that are there and follows the others. */
int custom_resources_create(
	struct api *api, struct custom_resources **ret, struct err *err) _must_check_;
/* No more reactions; before the cache closes. NULL allowed. */
void custom_resources_stop(struct custom_resources *c);
void custom_resources_destroy(struct custom_resources *c);

/* A request for a custom kind: negative with req->st filled when it can't be served; adds the
 * warnings that it is to be answered with. */
int custom_resource_request(struct api_request *req) _must_check_;
/* The same for an object that is about to be made, whatever the method: asked when the write is
 * decided, for the definition may have changed while it waited. */
int custom_resource_check_create(struct api_request *req) _must_check_;
