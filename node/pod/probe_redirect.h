/* probe_redirect.h - where the redirect of an HTTP probe leads. Pure. */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/str.h"

/* What a Location header (RFC 9110, 10.2.2; RFC 3986, 5.2) means to somebody who asked `host`,
 * without brackets, for `path`. False when it leaves the host or can't be followed. *ret_path is
 * the path with its query, in the arena; *tls and *port change where the new place says so. */
bool probe_redirect(struct arena *a, const char *location, const char *host, const char *path,
	bool *tls, int *port, const char **ret_path);
