/* disk_refs.h - what is remembered of a containerDisk's image: which digest its name stood for, and
 * who may have it without asking the registry again (the rule of node/image/image_records.h). Pure.
 *
 *   DIGEST IMAGE       "sha256-HEX"; the name, because the file's own is only a hash
 *   *                  came without credentials: everybody; or
 *   HEX                SHA-256 of credentials that the registry has taken, a line each
 *
 * A file of one line is older than this: everybody's. */
#pragma once

#include "lib/base/buf.h"

#define DISK_REF_HASHES_MAX 16
#define DISK_REF_BYTES_MAX 4096

/* False when the text is not about the image. hash "" = no credentials. */
bool disk_ref_read(const char *text, const char *image, const char *hash, char ret_digest[72],
	bool *ret_allowed);
/* After the registry has answered to these credentials; old NULL = nothing was there. */
void disk_ref_write(
	struct buf *out, const char *old, const char *digest, const char *image, const char *hash);
