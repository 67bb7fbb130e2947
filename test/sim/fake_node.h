/* fake_node.h - what node agents do, as far as control loops see it: pods and virtual machine
 * instances that were placed come to run and get an address, those that are to go end, nodes report
 * in. */
#pragma once

#include "test/sim/fake_api.h"

struct fake_nodes;
struct fake_nodes *fake_nodes_create(
	struct fake_api *f, struct clock *clock, struct random *random);
void fake_nodes_destroy(struct fake_nodes *n);
/* Makes a Node that reports in from now on. */
void fake_node_add(
	struct fake_nodes *n, const char *name, const char *cpu, const char *memory, int pods);
void fake_node_silence(
	struct fake_nodes *n, const char *name, bool silent); /* its pods stay as they are */
/* Instances end with this phase instead of running; NULL = they run. */
void fake_nodes_crash_instances(struct fake_nodes *n, const char *phase);
/* Pods whose first container has this image never become ready; NULL = none. */
void fake_nodes_broken_image(struct fake_nodes *n, const char *image);
/* How a running pod ends: "Succeeded", "Failed", or NULL = it runs on. Asked again and again. */
typedef const char *fake_pod_end(void *user, const struct object *pod, int *ret_exit_code);
void fake_nodes_end_pods(struct fake_nodes *n, fake_pod_end *end, void *user);
