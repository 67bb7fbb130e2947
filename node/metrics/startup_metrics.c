/* startup_metrics.c - kubelet_node_startup_*: how long a machine took to become a node. Only of a
 * Node that is made now: one that was there before has been started long ago. */
#include <time.h>

#include "node/metrics/node_metrics.h"

static struct metric total = METRIC_GAUGE("kubelet_node_startup_duration_seconds",
	"[ALPHA] From the start of the machine to the node being ready", "");
static struct metric before = METRIC_GAUGE("kubelet_node_startup_pre_kubelet_duration_seconds",
	"[ALPHA] From the start of the machine to the agent's", "");
static struct metric until_attempt =
	METRIC_GAUGE("kubelet_node_startup_pre_registration_duration_seconds",
		"[ALPHA] From the agent's start to its asking for the Node", "");
static struct metric until_registered =
	METRIC_GAUGE("kubelet_node_startup_registration_duration_seconds",
		"[ALPHA] From asking for the Node to its being there", "");
static struct metric until_ready =
	METRIC_GAUGE("kubelet_node_startup_post_registration_duration_seconds",
		"[ALPHA] From the Node being there to its being ready", "");

/* Seconds since the machine was started; 0 = not yet. */
static double began, attempted, registered, ready;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void node_startup_began(void)
{
	began = now();
}

void node_startup_attempted(void)
{
	if (!(attempted > 0))
		attempted = now();
}

void node_startup_registered(void)
{
	if (registered > 0)
		return;
	registered = now();
	metric_set(&before, began, NULL);
	metric_set(&until_attempt, attempted - began, NULL);
	metric_set(&until_registered, registered - attempted, NULL);
}

void node_startup_ready(void)
{
	if (ready > 0 || !(registered > 0))
		return;
	ready = now();
	metric_set(&until_ready, ready - registered, NULL);
	metric_set(&total, ready, NULL);
}
