/* write_out.h - a file that grows goes to the disk while it grows, so that the fsync
 * in the end has little left to wait for, and the host's memory is not full of it meanwhile. It
 * only begins writes, and promises nothing: who needs the file to be there syncs it. */
#pragma once

#include "node/node.h"

struct write_out;
/* path: of a regular file, which may come later; whoever writes it never goes back. */
struct write_out *write_out_start(struct node *n, const char *path);
void write_out_stop(struct write_out *w); /* NULL allowed */

/* What it does on its thread: what is whole of the file from `from` on, both multiples of
 * WRITE_OUT_STEP_BYTES, begins to be written. Where the next one goes on; `from` = nothing new;
 * INT64_MAX = this file is better left alone, since what comes of it has its data elsewhere. */
#define WRITE_OUT_STEP_BYTES (INT64_C(1) << 20)
int64_t write_out_step(const char *path, int64_t from);
