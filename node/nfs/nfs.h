/* nfs.h - what an agent does to directories of NFS servers: each call is a program of its own
 * (nfs_tool.h), so that a server that hangs holds up nobody but who asked. */
#pragma once

#include <uv.h>

#include "node/nfs/nfs_place.h"

#define NFS_CALL_TIMEOUT_MS 45000

struct nfs_call;
/* Later, once. `answer` is the tool's, valid during the call; on failure it is NULL, and err's code
 * is the server's (-ENOENT, -ENOSPC, -EACCES ...), -ETIMEDOUT, or -ENOSYS: there is no client on
 * this host. */
typedef void nfs_call_done(void *user, const struct json *answer, const struct err *err);
/* Command and up to two arguments; NULL = none. */
struct nfs_call *nfs_call(uv_loop_t *loop, const struct nfs_place *place, const char *command,
	const char *first, const char *second, nfs_call_done *done, void *user);
void nfs_call_cancel(struct nfs_call *c); /* done is not called; NULL allowed */
