/* build.h - a recipe made into a root file system, an OCI image and a bootable disk. */
#pragma once

#include "cli/image/recipe.h"

struct build_result {
	const char *directory; /* of the cache: root.tar, oci/, disk.qcow2 */
	const char *layout, *disk;
	bool cached; /* all of it was there */
};
/* Everything is made in a directory of the cache that is known by the content; what is there is not
 * made again. Half-made things never have that name. Results are in the arena. */
int build_image(const struct recipe *r, const char *cache, bool want_oci, bool want_disk,
	struct arena *a, struct build_result *ret, struct err *err) _must_check_;

/* The steps, each from the root file system's tar archive. */
int build_oci(
	const struct recipe *r, const char *tar, const char *layout, struct err *err) _must_check_;
int build_disk(const struct recipe *r, const char *tar, const char *work, const char *disk,
	struct err *err) _must_check_;
