/* image_records.h - which images of this node were fetched with credentials, and whose, so that an
 * image that lies here already is not given to pods that could not have pulled it (KEP-2535, policy
 * NeverVerifyPreloadedImages: images that nobody pulled through this agent, or that came without
 * credentials, are everybody's).
 *
 * Kept in one file, written anew at each change and on the disk when a call returns. Of credentials
 * there is a hash only. */
#pragma once

#include "node/image/image_keyring.h"

struct image_records;
/* A file that is missing is an empty one. One that can't be read is put aside (NAME.bad) and
 * logged: then nobody knows whose the images are that lie here, so all are for some pods only,
 * until somebody pulls them again. */
struct image_records *image_records_open(const char *path);
void image_records_close(struct image_records *r); /* NULL allowed */

/* Whether the image with this id under this name is for some pods only; then image_records_allow
 * tells whether credentials of these were used for it, or Secrets of these names. */
bool image_records_restricted(const struct image_records *r, const char *id, const char *image);
bool image_records_allow(const struct image_records *r, const char *id, const char *image,
	const struct image_auth *auths, size_t count);

/* Around each pull with credentials: until it is over, what has that name and is not recorded is
 * nobody's, so that an agent killed in between gives nothing away. */
void image_records_begin(struct image_records *r, const char *image);
/* auth NULL = none was needed, or it is the node's own: for everybody. */
void image_records_pulled(
	struct image_records *r, const char *id, const char *image, const struct image_auth *auth);
void image_records_failed(struct image_records *r, const char *image);
/* After a file that could not be read: which images those are; later ones are not concerned. */
bool image_records_lost(const struct image_records *r);
void image_records_found(struct image_records *r, const char *const *ids, size_t count);
/* Forgets the images that are not there any more: present() says which are. Only what was not there
 * the last time either: a list may be older than a pull that has ended meanwhile. */
void image_records_sweep(
	struct image_records *r, bool (*present)(void *user, const char *id), void *user);
