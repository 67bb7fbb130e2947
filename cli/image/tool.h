/* tool.h - other programs, run one after the other, with their output where the user sees it. */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

struct tool {
	const char *directory;	/* to start in; NULL = here */
	const char *out_path;	/* standard output goes to this file; NULL = to standard error */
	const char *const *env; /* more "NAME=value"; may be NULL */
	bool quiet;		/* standard error is shown only when it fails */
};
/* argv ends with NULL; argv[0] is looked up in PATH and the system's directories. -ENOENT names the
 * Debian package that has it, where that is known. */
int tool_run(const struct tool *t, const char *const *argv, struct err *err) _must_check_;
/* Is there such a program? */
bool tool_exists(const char *name);
/* "sha256:HEX" of a file, and its size. */
int tool_digest(struct arena *a, const char *path, char **ret, uint64_t *ret_size,
	struct err *err) _must_check_;
int tool_write(const char *path, unsigned mode, const void *data, size_t size,
	struct err *err) _must_check_;
/* Copies `size` bytes (0 = all) of a file to an offset of another, which exists; holes stay. */
int tool_copy_into(const char *from, uint64_t size, const char *to, uint64_t offset,
	struct err *err) _must_check_;
