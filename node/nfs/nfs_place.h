/* nfs_place.h - a directory of an NFS server, as a PersistentVolume's spec.nfs names it, and who
 * this host is there. Disks in it are opened by QEMU's own client; nothing is mounted. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/json/json.h"

/* Annotations of a PersistentVolume (and parameters of a StorageClass without the prefix): the user
 * and group by which its files are made and opened. KubeVirt's QEMU is 107, so that is the default.
 */
#define NFS_UID_ANNOTATION "hanok.io/nfs-uid"
#define NFS_GID_ANNOTATION "hanok.io/nfs-gid"
#define NFS_ID_DEFAULT 107

struct nfs_place {
	const char *server; /* a name, or an address of IPv4 */
	const char *path;   /* absolute */
	uint32_t uid, gid;
	bool read_only;
};

/* Of a PersistentVolume with spec.nfs; strings in the arena. -EINVAL: what is not fit for a URL. */
int nfs_place_read(struct arena *a, const struct json *volume, struct nfs_place *ret,
	struct err *err) _must_check_;
/* Whether such a place can be spoken of. */
int nfs_place_check(const char *server, const char *path, struct err *err) _must_check_;
/* "nfs://SERVER/PATH[/NAME]", for people and to tell places apart; name NULL = the directory. */
char *nfs_url(struct arena *a, const struct nfs_place *p, const char *name);
/* The same for QEMU's tools, with the identity. */
char *nfs_url_as(struct arena *a, const struct nfs_place *p, const char *name);
/* An id as text: 0 ... 4294967294. */
int nfs_id_read(const char *text, uint32_t *ret, struct err *err) _must_check_;
