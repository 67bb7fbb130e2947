/* atomic_writer.h - a directory of small files that readers see change all at once: what ConfigMap,
 * Secret, downward API and projected volumes are made of.
 *
 *   DIR/..2026_11_21_03_00_00.123456789/a     the files
 *   DIR/..data -> ..2026_11_21_03_00_00.123456789
 *   DIR/a -> ..data/a                         what the container opens
 *
 * An update makes a new directory and renames the symlink ..data over the old one. This layout is
 * an interface: programs watch ..data. */
#pragma once

#include "lib/base/err.h"

struct payload_file {
	const char *path; /* relative: "a" or "dir/a" */
	const char *data;
	size_t size;
	unsigned mode; /* 0644 */
	bool owned;    /* by `user`, else by whoever writes it */
	uint32_t user;
};

struct payload {
	struct payload_file *items; /* later files replace earlier ones of the same path */
	size_t count, room;
};

struct arena;
void payload_add(struct arena *a, struct payload *p, struct payload_file f);

/* True for paths that stay inside: relative, no "..", no empty or "." part, parts do not begin with
 * "..", at most 4096 bytes. */
bool payload_path_valid(const char *path);
/* Makes DIR show exactly the payload; nothing is written when it does already. gid: group of the
 * files and directories (fsGroup), which may read them all; (gid_t)-1 = leave. On failure (a full
 * disk, for one) DIR shows what it showed before, whole. */
int atomic_writer_write(
	const char *dir, const struct payload *p, gid_t gid, struct err *err) _must_check_;
