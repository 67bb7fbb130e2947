/* node_status.h - the Node object as this agent keeps it: registration, status, Lease. */
#pragma once

#include "node/cri/cri.h"
#include "node/node.h"
#include "node/node_facts.h"
#include "node/resources/allocatable.h"

struct node_status;
struct node_status_options {
	int port; /* of the agent's server */
};
/* Registers the node (again and again until the API answers, and anew when somebody deletes it),
 * then posts the status when it changed, at the latest every status_report_ms, and renews the Lease
 * every quarter of its duration. */
struct node_status *node_status_create(struct node *n, const struct node_status_options *options);
void node_status_destroy(struct node_status *s); /* NULL allowed */
void node_status_report(struct node_status *s, const char *part, bool ready, const char *reason,
	const char *message);
/* Called when the Node object's podCIDR became known; n->pod_cidr is set by then. */
void node_status_on_pod_cidr(struct node_status *s, void (*known)(void *user), void *user);

/* Pure: the status document. `old` is the present object's document or NULL. */
struct node_part {
	const char *name;
	bool ready;
	const char *reason, *message;
};
struct node_status_input {
	const struct json *old;
	const struct node_facts *facts;
	const struct node_part *parts;
	size_t part_count;
	const char *host_ip, *runtime_version;
	const struct json *images, *handlers, *features; /* of the runtime; NULL = not known */
	const struct node_amounts *capacity, *allocatable;
	int64_t pods_max;
	const char *host_ip6; /* "" or NULL = none */
	int port;
	bool memory_pressure, disk_pressure, pid_pressure;
	int64_t now_ns;
};
struct json *node_status_make(struct arena *a, const struct node_status_input *in);
/* True when they differ in more than heartbeat times. */
bool node_status_differs(const struct json *old_status, const struct json *status);

/* Pure: what people are told of when this status replaces that one (NULL = none). */
struct node_news {
	bool ready_changed, ready, rebooted;
};
struct node_news node_status_news(const struct json *old_status, const struct json *status);

/* Pure: what the runtime says, as the status has it. The `most` largest images; -1 = all. */
struct json *node_images_make(struct arena *a, const Cri__ListImagesResponse *list, int64_t most);
struct json *node_handlers_make(struct arena *a, const Cri__StatusResponse *st);
struct json *node_features_make(struct arena *a, const Cri__StatusResponse *st);
/* Pure: what every Node of this agent is annotated with. */
struct json *node_annotations(struct arena *a);
/* Pure: the Node to be made, and labels "key=value" into an object. */
struct json *node_make(
	struct arena *a, const struct node_config *c, const char *name, struct json *labels);
void node_add_labels(struct arena *a, struct json *labels, const char *const *list);
