/* nfs_ports.h - where an NFS server is: the addresses of its name, and the ports that its rpcbind
 * (RFC 1833, version 2 of the port mapper) says for NFS and for mountd. Part of nfs_tool.h. */
#pragma once

#include "lib/json/json.h"

/* Blocks, for less than NFS_CALL_TIMEOUT_MS. In `answer`:
 *
 *   {"addresses": [{"address": "192.0.2.1", "own": false,
 *                   "ports": [{"proto": 6, "port": 2049}]}]}
 *
 * own: of this host. Ports are missing where rpcbind does not answer. Fails when the name has no
 * address. */
int nfs_ports_find(
	struct arena *a, const char *server, struct json *answer, struct err *err) _must_check_;
