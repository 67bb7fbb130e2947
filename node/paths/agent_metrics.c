/* agent_metrics.c - /metrics: what the agent counts about itself; /metrics/probes: the pods'
 * probes. */
#include "node/metrics/node_metrics.h"
#include "node/paths/paths.h"
#include "node/pod/pod_running.h"

static struct metric running_pods =
	METRIC_GAUGE("kubelet_running_pods", "[ALPHA] Pods that have a sandbox that is ready", "");
static struct metric running_containers = METRIC_GAUGE("kubelet_running_containers",
	"[ALPHA] Containers that there are, by state", "container_state");

static struct metric desired_pods = METRIC_GAUGE(
	"kubelet_desired_pods", "[ALPHA] Pods that are to run here; static: of a file", "static");
static struct metric active_pods = METRIC_GAUGE(
	"kubelet_active_pods", "[ALPHA] Pods that are not over; static: of a file", "static");
static struct metric mirror_pods =
	METRIC_GAUGE("kubelet_mirror_pods", "[ALPHA] Mirror pods that there are", "");

static void look(struct node *n)
{
	struct pod_counts c;

	pod_manager_count(n->pods, &c);
	metric_set(&running_pods, (double)c.sandboxes, NULL);
	metric_set(&desired_pods, (double)c.desired[0], "");
	metric_set(&desired_pods, (double)c.desired[1], "true");
	metric_set(&active_pods, (double)c.active[0], "");
	metric_set(&active_pods, (double)c.active[1], "true");
	metric_set(&mirror_pods, (double)c.mirrors, NULL);
	metric_set(&running_containers, (double)c.containers_created, "created");
	metric_set(&running_containers, (double)c.containers_running, "running");
	metric_set(&running_containers, (double)c.containers_exited, "exited");
}

void agent_metrics_write(struct node *n, bool probes, struct buf *out)
{
	if (probes) {
		pod_manager_probe_metrics(n->pods, out);
		return;
	}
	look(n);
	metric_write_process(out);
	metric_write_all(out);
}
