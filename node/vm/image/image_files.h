/* image_files.h - small file helpers of the VM modules, and the judging of foreign data about
 * images. */
#pragma once

#include "lib/base/err.h"

/* Removes a file or directory with all below it, following no links. What can't go stays. */
void files_remove_tree(const char *path);
/* The whole file as text, at most room - 1 bytes: the count, or negative errno. */
ssize_t files_read(const char *path, char *ret, size_t room) _must_check_;
/* Written beside and renamed: whole or not at all. */
int files_write(
	const char *path, const void *p, size_t size, unsigned mode, struct err *err) _must_check_;
