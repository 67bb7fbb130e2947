/* image_ref.h - names of images: [HOST[:PORT]/]PATH[:TAG][@ALGORITHM:HEX] (the distribution
 * project's reference grammar). Pure. */
#pragma once

#include "lib/json/json.h"

/* -EINVAL with the reason for names that no runtime would take. */
int image_ref_check(const char *ref, struct err *err) _must_check_;
/* No tag and no digest, or the tag "latest": pulled anew by default. */
bool image_ref_is_latest(const char *ref);
/* "docker.io" when the name has no host. */
const char *image_ref_host(struct arena *a, const char *ref);

struct registry_auth {
	const char *username, *password, *auth, *identity_token;
};
/* Credentials for the image in a Secret of type kubernetes.io/dockerconfigjson or dockercfg. */
bool registry_auth_find(
	struct arena *a, const struct json *secret, const char *ref, struct registry_auth *ret);
