/* pod_env.h - a container's environment, command and arguments from the pod's spec. Pure: what the
 * spec refers to is given in a struct env_context.
 *
 * Rules (Kubernetes, "Define Environment Variables"): envFrom in order, then env in order, a later
 * name replaces an earlier one; $(NAME) in env values, command and args is replaced by what is
 * known so far, $$ gives $, an unknown name stays as written. Variables that describe services are
 * there unless the spec sets the same name. */
#pragma once

#include "lib/json/json.h"
#include "node/resources/allocatable.h"

struct env_var {
	const char *name, *value;
};

struct env_vars {
	struct env_var *items;
	size_t count, room;
	uint32_t *index; /* by name: hash table of places in items, each + 1; NULL = of few none */
	size_t index_room;
};

/* No process can be given more (arguments and environment together: 3/4 of _STK_LIM in fs/exec.c),
 * so nothing is gained by building more; without a limit B=$(A)$(A), C=$(B)$(B), ... takes all
 * memory. */
#define ENV_TEXT_MAX_BYTES (6u << 20)
#define ENV_SET_MAX 8192 /* variables that env and envFrom may set */

struct env_context {
	void *user;
	/* Documents of the pod's namespace; NULL when there is no such object. */
	const struct json *(*config_map)(void *user, const char *name);
	const struct json *(*secret)(void *user, const char *name);
	/* Service documents: those of the pod's namespace, and default/kubernetes. */
	const struct json *const *services;
	size_t service_count;
	const char *host_ip, *pod_ip;
	const char *host_ips, *pod_ips;		/* "A,B" of all families; NULL = those above */
	const struct node_amounts *allocatable; /* for limits that are not set */
	/* Names of one source that can't be variables and were left out, "a, b"; may be NULL. */
	void (*invalid_names)(void *user, bool secret, const char *source, const char *names);
};

/* A failure is a CreateContainerConfigError in the field's words ("configmap "x" not found"). Texts
 * live in the arena. */
int env_make(struct arena *a, const struct json *pod, const struct json *container,
	const struct env_context *ctx, struct env_vars *ret, struct err *err) _must_check_;
/* Expands $(NAME) by the variables. *room: bytes that results may still take, of ENV_TEXT_MAX_BYTES
 * at first; NULL when the result would take more. */
const char *env_expand(
	struct arena *a, const char *text, const struct env_vars *vars, size_t *room);
/* The names, "A, B", that $(NAME) of the text means and that have no value; NULL = none. */
const char *env_missing(struct arena *a, const char *text, const struct env_vars *vars);
/* metadata.name, metadata.labels['k'], status.podIP, ...; also for downward API volumes, which may
 * ask for metadata.labels and metadata.annotations as a whole. */
int env_field(struct arena *a, const struct json *pod, const char *path,
	const struct env_context *ctx, const char **ret, struct err *err) _must_check_;
/* limits.cpu, requests.memory, ... of a container with a divisor. */
int env_resource(struct arena *a, const struct json *pod, const struct json *container,
	const struct json *resource_field_ref, const struct env_context *ctx, const char **ret,
	struct err *err) _must_check_;
void env_services(struct arena *a, const struct env_context *ctx, bool links, struct env_vars *ret);
