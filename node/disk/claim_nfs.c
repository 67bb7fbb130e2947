/* claim_nfs.c - a claim's disk on an NFS server: disk.img, raw, in the directory of the volume.
 *
 *            there                           has seen QEMU's client work
 *   SIZING ---------> (GROWING) --> TRYING -----------------------------> done
 *      |  none                        ^
 *      +------------> CREATING -------+
 *
 * QEMU opens it by its own client (its module block-nfs); qemu-img, which has the same one, tells
 * whether that can be done before a guest is started. */
#include <stdio.h>

#include "node/child/child.h"
#include "node/disk/disks_internal.h"
#include "node/nfs/nfs.h"

#define TRY_TIMEOUT_MS 45000

struct claim_nfs {
	struct claim_nfs_options o;
	struct nfs_call *call;
	struct child *child;
	char size[24];
};

void claim_nfs_cancel(struct claim_nfs *c)
{
	if (!c)
		return;
	nfs_call_cancel(c->call);
	child_cancel(c->child);
	free(c);
}

static void end(struct claim_nfs *c, const struct err *err)
{
	struct claim_nfs_options o = c->o;

	claim_nfs_cancel(c);
	o.done(o.user, err);
}

static void on_tried(void *user, const struct child_result *r, const struct err *failure)
{
	struct claim_nfs *c = user;
	struct err err = ERR_INIT;

	c->child = NULL;
	c->o.d->qemu_has_nfs |= !failure;
	if (failure && strstr(r->errors, "Unknown protocol"))
		err_set(&err, -ENOSYS,
			"not available on this host: QEMU has no NFS client (package "
			"qemu-block-extra: block-nfs)");
	else if (failure)
		err = *failure;
	end(c, failure ? &err : NULL);
}

static void try_qemu(struct claim_nfs *c)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *argv[] = {
		"qemu-img", "info", "-f", "raw", nfs_url_as(&a, c->o.place, DISK_IMAGE_NAME), NULL};

	if (c->o.d->qemu_has_nfs) {
		end(c, NULL);
		return;
	}
	c->child = child_run(&(struct child_options){
		.loop = c->o.d->n->loop,
		.argv = argv,
		.timeout_ms = TRY_TIMEOUT_MS,
		.unprivileged = true,
		.done = on_tried,
		.user = c,
	});
}

static void on_made(void *user, const struct json *answer, const struct err *failure)
{
	struct claim_nfs *c = user;

	c->call = NULL;
	if (failure)
		end(c, failure);
	else
		try_qemu(c);
}

static void call(struct claim_nfs *c, const char *command)
{
	c->call = nfs_call(
		c->o.d->n->loop, c->o.place, command, DISK_IMAGE_NAME, c->size, on_made, c);
}

static bool size_ok(int64_t bytes)
{
	return bytes > 0 && bytes <= DISK_SIZE_MAX_BYTES;
}

static void on_size(void *user, const struct json *answer, const struct err *failure)
{
	struct claim_nfs *c = user;
	struct err err = ERR_INIT;
	int64_t there = json_int_or(json_get(answer, "size"), 0);
	bool missing = json_bool_or(json_get(answer, "missing"), false);
	int64_t wanted = c->o.wanted_bytes;

	c->call = NULL;
	if (failure)
		err = *failure;
	else if (missing && (!c->o.make || c->o.read_only))
		err_set(&err, -ENODATA, "there is no " DISK_IMAGE_NAME " on nfs://%s%s",
			c->o.place->server, c->o.place->path);
	else if (missing && !size_ok(wanted))
		err_set(&err, -EINVAL, "its size is not one of a disk");
	if (err.code) {
		end(c, &err);
		return;
	}
	snprintf(c->size, sizeof(c->size), "%lld", (long long)wanted);
	if (missing)
		call(c, "create");
	else if (there < wanted && size_ok(wanted) && !c->o.read_only)
		call(c, "grow");
	else
		try_qemu(c);
}

struct claim_nfs *claim_nfs_open(const struct claim_nfs_options *o)
{
	struct claim_nfs *c = xcalloc(1, sizeof(*c));

	c->o = *o;
	c->call = nfs_call(o->d->n->loop, o->place, "size", DISK_IMAGE_NAME, NULL, on_size, c);
	return c;
}
