/* export.h - the content of a disk as a stream: GET /exports/claims/NS/CLAIM?format=raw|gzip and
 * /exports/contents/NS/CONTENT/VOLUME?format=... of the agent's server. Read by qemu-nbd as the
 * client takes it; nothing is written to this host's disks. While a claim is read nobody else opens
 * it: a machine that is started waits. 409: it is in use. Raw disks have an ETag of their bytes,
 * and know Range and If-Range; a client that takes nothing for a minute is cut off. */
#pragma once

#include <stddef.h>

struct http_request;
struct vm_manager;
/* parts: of the path, behind /exports/. */
void vm_exports_serve(
	struct vm_manager *m, struct http_request *req, const char *const *parts, size_t count);
