/* image_ref.h - names of images: [HOST[:PORT]/]PATH[:TAG][@ALGORITHM:HEX] (the distribution
 * project's reference grammar, and its short forms: "nginx" is docker.io/library/nginx). Pure. */
#pragma once

#include "lib/base/err.h"
#include "lib/base/str.h"

/* -EINVAL with the reason, in the words that users know, for names that no runtime would take. */
int image_ref_check(const char *ref, struct err *err) _must_check_;
/* No tag and no digest, or the tag "latest": pulled anew by default. */
bool image_ref_is_latest(const char *ref);
/* HOST/PATH without tag and digest: "a:1" -> "docker.io/library/a". Of a valid name. */
const char *image_ref_repository(struct arena *a, const char *ref);
/* What stands between repository and path: "docker.io" when the name has no host. */
const char *image_ref_host(struct arena *a, const char *ref);
