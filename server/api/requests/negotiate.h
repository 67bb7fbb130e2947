/* negotiate.h - which form of an answer a client asked for (Accept), as the Kubernetes API has it:
 * media ranges are tried from left to right; parameters as=, v= and g= ask for another form of the
 * object. Bodies may come as JSON, YAML or protobuf; answers are JSON, or YAML on request. */
#pragma once

#include "lib/base/arena.h"

enum accept_form {
	ACCEPT_OBJECT,
	ACCEPT_TABLE,
	ACCEPT_PARTIAL,	     /* PartialObjectMetadata */
	ACCEPT_PARTIAL_LIST, /* PartialObjectMetadataList */
	ACCEPT_DISCOVERY,    /* APIGroupDiscoveryList */
	ACCEPT_OPENAPI_V2,   /* the protobuf form of OpenAPI v2 */
};

struct accept {
	enum accept_form form;
	const char *version; /* of the form: "v1", "v1beta1", "v2", ...; "" for objects */
	bool yaml;
};

/* What a path can answer beside plain objects, as bits of SERVES(form). */
#define SERVES(form) (1u << (form))

/* accept NULL means any. -ENOTSUP when nothing that is listed can be served. */
int accept_parse(
	struct arena *a, const char *accept, unsigned serves, struct accept *ret) _must_check_;
