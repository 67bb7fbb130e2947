/* subresources.h - the subresources of virtual machines that KubeVirt's clients use, under
 * /apis/subresources.kubevirt.io/{v1,v1alpha3}/namespaces/NS/{virtualmachines,virtualmachineinstances}/N/.
 *
 * To add one: a row in the table of subresources.c and a handler. What the guest's node answers
 * needs no handler here: machines_pass() takes it there, with the check that the row names. */
#pragma once

#include <stddef.h>

#define VM_SUBRESOURCES_GROUP "subresources.kubevirt.io"

struct api_request;
struct json;

struct vm_subresource {
	const char *resource;
	const char *name; /* "vnc/screenshot"; "portforward" has a port and a protocol behind it */
	const char *kind;
	const char *method; /* "PUT", or "GET" for streams and reads */
	void (*handle)(struct api_request *req);
	/* For machines_pass: sets req->st and returns < 0 when the instance (its document, and how
	 * it stands) is in no state for this. NULL = it must only run. */
	int (*check)(struct api_request *req, const struct json *instance);
};

extern const struct vm_subresource vm_subresources[]; /* grouped by resource */
extern const size_t vm_subresource_count;

const char *vm_subresource_verb(const struct vm_subresource *s); /* "update" or "get" */
