/* workload.h - what the kinds that make pods, ask for storage or count resources share. `at` is the
 * path of the value that is checked ("spec.template"). */
#pragma once

#include "server/api/hooks/validate.h"

/* A pod template: labels, annotations, pod. */
void pod_template_validate(struct hook *h, const struct json *template, const char *at);
/* The selector exists, is not empty (`what` names the kind then) and picks the template's pods. */
void workload_selector_validate(struct hook *h, const struct json *spec, const char *what);
/* Pods that are kept running restart always, and have no deadline. */
void always_running_validate(struct hook *h, const struct json *spec, const char *what);
/* spec.selector can't change. */
void fixed_selector_validate(struct hook *h, const struct json *doc, const struct json *old);
/* A claim's spec (persistent_volume_claim.c); also in stateful sets and ephemeral volumes. */
void claim_spec_validate(struct hook *h, const struct json *spec, const char *at);
void claim_spec_default(struct arena *a, struct json *spec);

/* Names and amounts of resources (resources.c). */
bool resource_is_hugepages(const char *name);
bool resource_may_overcommit(const char *name);
void resource_name_validate(struct hook *h, const char *at, const char *name);
void container_resource_name_validate(struct hook *h, const char *at, const char *name);
void resource_amount_validate(
	struct hook *h, const char *at, const char *name, const struct json *amount);
/* The amount's order against another, as Go's Cmp; bad text counts as 0. */
int resource_compare(const struct json *a, const struct json *b);
bool resource_is_positive(const struct json *amount);
/* ResourceRequirements of a container. `claims` are the pod's resourceClaims, by name; NULL: none.
 */
void container_resources_validate(struct hook *h, const struct json *resources,
	const struct json *claims, const struct json_seen *names, const char *at);

/* Whether a volume's member of this name says what the volume is (volume_sources.c). */
bool volume_type_known(const char *type);
/* Exactly one type must be there, and be right. The volume's other members are not looked at.
 * `persistent`: of a PersistentVolume, whose secrets have namespaces. */
void volume_source_validate(struct hook *h, const struct json *volume, const char *at,
	bool persistent, const char *name);
void access_modes_validate(struct hook *h, const struct json *modes, const char *at);
void path_no_backsteps(struct hook *h, const char *at, const struct json *path);
void path_relative(struct hook *h, const char *at, const struct json *path);
void path_local(struct hook *h, const char *at, const struct json *path);

/* A field or resource of the pod that a variable or file shows (pod_containers.c). */
void pod_field_validate(struct hook *h, const struct json *ref, const char *at, bool as_file);
void pod_resource_field_validate(
	struct hook *h, const struct json *ref, const char *at, bool as_file);

/* A core NodeSelector; each term's requirements (pod_affinity.c). */
void node_selector_validate(struct hook *h, const struct json *selector, const char *at);
