/* patch_error.h - what Kubernetes says of a patch whose result has fields of the wrong type or
 * unknown ones: 422, about the field "patch". */
#pragma once

#include "server/api/api_internal.h"

/* Turns the refusal in req->st (from decoding what the patch made) into that form. `shown`: the
 * patch itself for strategic merge patches, else the patched object. Returns -EREMOTEIO. */
int patch_refused(struct api_request *req, const struct json *shown, bool strategic);
