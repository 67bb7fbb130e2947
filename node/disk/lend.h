/* lend.h - layers that a program without rights works on are its user's meanwhile: disks are made
 * by strangers, and what reads their tables is not to be root. Only of layers that one disk alone
 * has, and that nobody else opens: held (disks.h).
 *
 * An agent that is killed leaves them lent, and its programs end with it: who reads the disk next
 * mends it. */
#pragma once

#include <sys/stat.h>

#include "node/disk/disk_dir.h"

/* Whether a program's user has it. */
bool disk_is_lent(const struct stat *st);
/* What the user needs to read the disk; write: and to write to the layers that are this disk's
 * alone. -EACCES: one that others have, too, is not for everybody to read: the work is to be done
 * with rights. Whatever is returned, some may be lent. */
int disk_lend(const struct disk_chain *chain, uid_t user, bool write, struct err *err) _must_check_;
/* All that is lent is root's again, with its mode. What has another owner by now keeps it: a guest
 * was started. */
void disk_take_back(const struct disk_chain *chain);
/* The same for the disk of a directory; one that can't be read stays as it is. */
void disk_take_back_in(const char *dir);
