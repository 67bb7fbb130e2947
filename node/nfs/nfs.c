#include "node/nfs/nfs.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/str.h"
#include "node/child/child.h"

#define ANSWER_MAX_BYTES (2u << 20)

struct nfs_call {
	struct child *child;
	nfs_call_done *done;
	void *user;
	char where[512];
};

static void on_ended(void *user, const struct child_result *r, const struct err *failure)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct nfs_call c = *(struct nfs_call *)user;
	struct err err = ERR_INIT;
	struct json *answer = NULL;

	free(user);
	if (r->timed_out) {
		err_set(&err, -ETIMEDOUT, "%s does not answer", c.where);
	} else if (failure) {
		err = *failure;
		err_context(&err, err.code, "%s", c.where);
	} else if (json_parse(&a, r->out, r->out_size, NULL, &answer, &err) == 0 &&
		   json_get(answer, "error")) {
		int64_t code = json_int_or(json_get(answer, "errno"), 0);

		err_set(&err, code > 0 && code < 4096 ? (int)-code : -EIO, "%s",
			json_str_or(json_get(answer, "error"), ""));
	}
	c.done(c.user, err.code ? NULL : answer, err.code ? &err : NULL);
}

struct nfs_call *nfs_call(uv_loop_t *loop, const struct nfs_place *place, const char *command,
	const char *first, const char *second, nfs_call_done *done, void *user)
{
	struct nfs_call *c = xcalloc(1, sizeof(*c));
	char uid[16], gid[16];
	/* This program itself, whatever an update has put in the place of its file. */
	const char *argv[] = {"/proc/self/exe", "nfs", place->server, place->path, uid, gid,
		command, first, second, NULL};

	snprintf(uid, sizeof(uid), "%u", place->uid);
	snprintf(gid, sizeof(gid), "%u", place->gid);
	snprintf(c->where, sizeof(c->where), "nfs://%s%s", place->server, place->path);
	c->done = done;
	c->user = user;
	c->child = child_run(&(struct child_options){
		.loop = loop,
		.argv = argv,
		.timeout_ms = NFS_CALL_TIMEOUT_MS,
		.output_max = ANSWER_MAX_BYTES,
		.done = on_ended,
		.user = c,
	});
	return c;
}

void nfs_call_cancel(struct nfs_call *c)
{
	if (!c)
		return;
	child_cancel(c->child);
	free(c);
}
