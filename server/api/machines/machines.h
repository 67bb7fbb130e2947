/* machines.h - what the handlers of virtual machines' subresources share. */
#pragma once

#include "server/api/api_internal.h"
#include "server/api/machines/subresources.h"

/* Handlers. req->kind is the kind of the row's resource. */
void machines_start(struct api_request *req);
void machines_stop(struct api_request *req);
void machines_restart(struct api_request *req);
void machines_add_volume(struct api_request *req);
void machines_remove_volume(struct api_request *req);
void machines_memory_dump(struct api_request *req);
void machines_remove_memory_dump(struct api_request *req);
void machines_migrate(struct api_request *req);
void machines_evacuate_cancel(struct api_request *req);
void machines_object_graph(struct api_request *req);
void machines_expand(struct api_request *req);
void machines_expand_sent(struct api_request *req); /* the machine is the body */
/* A machine of that namespace, in place. Sets req->st. */
int machines_expand_stored(struct api_request *req, const char *ns, struct json *vm) _must_check_;
void machines_pass(struct api_request *req); /* to the node of the instance */
/* The machine's instance is saved to disk: to start the machine is to restore that. True: the
 * request is taken over. */
bool machines_restore_saved(struct api_request *req);

/* Checks of instances, for machines_pass. */
int machines_may_pause(struct api_request *req, const struct json *instance);
int machines_may_unpause(struct api_request *req, const struct json *instance);
int machines_may_reboot(struct api_request *req, const struct json *instance);
int machines_may_console(struct api_request *req, const struct json *instance);
int machines_may_vnc(struct api_request *req, const struct json *instance);
int machines_may_forward(struct api_request *req, const struct json *instance);
int machines_has_agent(struct api_request *req, const struct json *instance);

/* Paths that name no machine: version, healthz, guestfs, expand-vm-spec. False: there is no such
 * one. */
bool machines_platform(struct api_request *req);

/* KubeVirt's words: the resource in the singular, "virtualmachine" or "virtualmachineinstance".
 * Both set req->st and return < 0. */
int machines_conflict(
	struct api_request *req, const char *resource, const char *detail) _must_check_;
int machines_not_found(
	struct api_request *req, const char *resource, const char *name) _must_check_;

/* The body as JSON or YAML; *ret is NULL when there is none. Sets req->dry_run from its dryRun. */
int machines_options(struct api_request *req, struct json **ret) _must_check_;
/* Those of the path; NULL when there is none. In the cache's memory. */
const struct object *machines_instance(struct api_request *req);
const struct object *machines_machine(struct api_request *req);

/* 202 and nothing more. */
void machines_accepted(struct api_request *req);
/* Changes the object of the path's name; answers by machines_accepted, or by reply. What change and
 * reply mean: struct update; user is theirs, and lives as long as the request. */
struct machines_change {
	const struct kind *kind;
	const char *part; /* "lifecycle" or "volumes": which part of it changes */
	int (*change)(struct update *u, const struct json *present, struct json **ret);
	void (*reply)(
		struct update *u, int code, struct object *o, struct json *doc); /* NULL = 202 */
	void *user;
};
void machines_update(struct api_request *req, const struct machines_change *c);
