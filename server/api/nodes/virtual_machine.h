/* virtual_machine.h - the subresources of virtual machines that KubeVirt's clients use, under
 * /apis/subresources.kubevirt.io/{v1,v1alpha3}/namespaces/NS/{virtualmachines,virtualmachineinstances}/N/.
 */
#pragma once

#include <stddef.h>

#define VM_SUBRESOURCES_GROUP "subresources.kubevirt.io"

struct api_request;

struct vm_subresource {
	const char *resource, *name, *kind;
	const char *method; /* "PUT", or "GET" for streams and reads */
	void (*handle)(struct api_request *req);
};

extern const struct vm_subresource vm_subresources[]; /* grouped by resource */
extern const size_t vm_subresource_count;

const char *vm_subresource_verb(const struct vm_subresource *s); /* "update" or "get" */
