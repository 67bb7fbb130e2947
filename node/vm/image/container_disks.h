/* container_disks.h - files out of OCI images: disks of VMs, kernels. Images are fetched by skopeo,
 * layers read by tar to its standard output, disks examined by qemu-img; all of them under limits,
 * since images are somebody else's data. Only regular files come out, and a disk may refer to no
 * other file.
 *
 * Results are kept by the digest of the image under the given directory:
 *     refs/HASH                 which digest a reference had last
 *     sha256-.../HASH.FORMAT    the file, read-only; users make hard links, so it may go any time
 */
#pragma once

#include <uv.h>

#include "lib/base/err.h"
#include "node/vm/spec/vm_spec.h"

struct container_disks;
/* Makes the directory; wipes what an interrupted fetch left. */
int container_disks_create(uv_loop_t *loop, const char *directory, struct container_disks **ret,
	struct err *err) _must_check_;
void container_disks_destroy(struct container_disks *c); /* fetches under way end silently */

struct container_file {
	const char *path;   /* to be linked during the callback */
	const char *format; /* "raw" | "qcow2"; "file" for what is no disk */
	bool fetched;	    /* it came over the network now */
	/* On failure: a word for conditions and events, as for containers: ErrImagePull,
	 * ErrImageNeverPull, InvalidDisk. */
	const char *reason;
};
struct container_get;
typedef void container_get_done(void *user, const struct container_file *f, const struct err *err);
/* `path` in the image, NULL = the only file in /disk. `auth` is a .dockerconfigjson or NULL.
 * is_disk: must be a raw or qcow2 disk. done is called later, once. Same files are fetched once for
 * all who wait. */
struct container_get *container_disks_get(struct container_disks *c, const struct vm_image *image,
	const char *path, bool is_disk, const char *auth, container_get_done *done, void *user);
void container_get_cancel(struct container_get *g); /* done is not called; NULL allowed */

/* Removes files that no VMI has linked, for a disk that is short of room. */
void container_disks_free_unused(struct container_disks *c);

/* The parts that judge foreign data, for tests. */
struct tar_choice {
	char name[1100]; /* as stored, "" = none */
	int64_t size;
	bool hidden; /* a layer above took it away */
};
/* Reads `tar --list --verbose` and chooses: path NULL = the first regular file in disk/. */
void tar_choose(const char *listing, const char *path, struct tar_choice *ret);
/* Reads `qemu-img info --output=json`. */
int disk_info_check(
	const char *text, size_t size, int64_t *ret_virtual_bytes, struct err *err) _must_check_;
/* "host:5000/a/b:1" -> "host:5000"; "docker.io" where none is named. */
void image_registry(const char *image, char *ret, size_t room);
/* containerd's certs.d for a registry says plain HTTP or not to verify. */
bool hosts_toml_insecure(const char *text);
