#include "test/sim/fake_node.h"

#include "lib/base/vec.h"
#include "lib/client/wakeup.h"

#define TICK_MS 250
#define HEARTBEAT_NS (10 * NS_PER_S)

struct fake_node {
	char *name;
	bool silent;
	int64_t beat_ns; /* of the last heartbeat */
};

struct fake_nodes {
	struct fake_api *api;
	struct clock *clock;
	struct random *random;
	struct wakeup *wakeup;
	VEC(struct fake_node) nodes;
	const char *crash_phase, *broken_image;
	unsigned next_address;
	fake_pod_end *end; /* NULL = pods run on */
	void *end_user;
};

static const char *now_text(struct fake_nodes *n, char text[TIME_RFC3339_ROOM])
{
	time_format_rfc3339(n->clock->wall_ns(n->clock), text);
	return text;
}

static bool alive(struct fake_nodes *n, const char *name)
{
	for (size_t i = 0; i < n->nodes.count; i++)
		if (streq(n->nodes.items[i].name, name))
			return !n->nodes.items[i].silent && fake_api_get(n->api, "Node", "", name);
	return false;
}

static void heartbeat(struct fake_nodes *n, struct fake_node *node)
{
	char now[TIME_RFC3339_ROOM];
	int64_t mono_ns = n->clock->mono_ns(n->clock);
	struct object *o = fake_api_get(n->api, "Node", "", node->name);
	if (node->silent || !o || mono_ns - node->beat_ns < HEARTBEAT_NS)
		return;
	node->beat_ns = mono_ns;
	fake_api_patch_text(n->api, "Lease", "kube-node-lease", node->name,
		"{'spec':{'renewTime':'%.19s.000000Z'}}", now_text(n, now));
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc = object_doc(o, &a);
	if (!streq(json_path_str(doc, "status.conditions[0].status"), "True"))
		fake_api_patch_text(n->api, "Node", "", node->name,
			"{'status':{'conditions':[{'type':'Ready','status':'True','reason':'"
			"KubeletReady',"
			"'lastHeartbeatTime':'%s','lastTransitionTime':'%s'}]}}",
			now_text(n, now), now);
}

static bool soon(struct fake_nodes *n)
{
	return random_below(n->random, 4) == 0;
}

static void end_pod(struct fake_nodes *n, const struct object *pod, const char *phase, int code)
{
	char now[TIME_RFC3339_ROOM];
	fake_api_patch_text(n->api, "Pod", pod->namespace, pod->name,
		"{'status':{'phase':'%s','conditions':[{'type':'Ready','status':'False',"
		"'lastTransitionTime':'%s'}],'containerStatuses':[{'name':'c','image':'i',"
		"'imageID':'','ready':false,'restartCount':0,'state':{'terminated':{"
		"'exitCode':%d,'finishedAt':'%s'}}}]}}",
		phase, now_text(n, now), code, now);
}

static void run_pod(struct fake_nodes *n, struct object *pod)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	char now[TIME_RFC3339_ROOM];
	struct json *doc = object_doc(pod, &a);
	const char *node = json_path_str(doc, "spec.nodeName");
	const char *phase = json_str_or(json_path(doc, "status.phase"), "");
	if (!node || !alive(n, node) || !soon(n))
		return;
	if (pod->deleting) {
		object_ref(pod);
		if (!streq(phase, "Succeeded") && !streq(phase, "Failed"))
			end_pod(n, pod, "Failed", 143);
		if (json_path_int(doc, "metadata.deletionGracePeriodSeconds", 0) > 0)
			fake_api_delete(n->api, "Pod", pod->namespace, pod->name, 0, NULL);
		object_unref(pod);
		return;
	}
	int code = 0;
	const char *end =
		n->end && streq(phase, "Running") ? n->end(n->end_user, pod, &code) : NULL;
	if (end) {
		end_pod(n, pod, end, code);
		return;
	}
	if (streq(phase, "Running") || streq(phase, "Succeeded") || streq(phase, "Failed"))
		return;
	bool broken = n->broken_image &&
		      streq(json_path_str(doc, "spec.containers[0].image"), n->broken_image);
	unsigned address = ++n->next_address;
	if (broken)
		fake_api_patch_text(n->api, "Pod", pod->namespace, pod->name,
			"{'status':{'containerStatuses':[{'name':'c','image':'i','imageID':'',"
			"'ready':false,'restartCount':0,'state':{'waiting':{'reason':"
			"'ImagePullBackOff','message':'Back-off pulling image'}}}]}}");
	fake_api_patch_text(n->api, "Pod", pod->namespace, pod->name,
		"{'status':{'phase':'%s','podIP':'10.1.%u.%u','startTime':'%s',"
		"'conditions':[{'type':'Ready','status':'%s','lastTransitionTime':'%s'}]}}",
		broken ? "Pending" : "Running", address / 250, address % 250 + 1, now_text(n, now),
		broken ? "False" : "True", now);
}

static void run_instance(struct fake_nodes *n, struct object *vmi)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	char now[TIME_RFC3339_ROOM];
	struct json *doc = object_doc(vmi, &a);
	const char *node = json_path_str(doc, "status.nodeName");
	const char *phase = json_str_or(json_path(doc, "status.phase"), "");
	if (!node || !alive(n, node) || !soon(n))
		return;
	if (vmi->deleting) {
		fake_api_patch_text(n->api, "VirtualMachineInstance", vmi->namespace, vmi->name,
			"{'metadata':{'finalizers':null}}");
		return;
	}
	if (!streq(phase, "Scheduled"))
		return;
	if (n->crash_phase) {
		fake_api_patch_text(n->api, "VirtualMachineInstance", vmi->namespace, vmi->name,
			"{'status':{'phase':'%s'}}", n->crash_phase);
		return;
	}
	unsigned address = ++n->next_address;
	fake_api_patch_text(n->api, "VirtualMachineInstance", vmi->namespace, vmi->name,
		"{'status':{'phase':'Running','interfaces':[{'name':'default','ipAddress':'10.1.%u."
		"%u'}],"
		"'phaseTransitionTimestamps':[{'phase':'Running','phaseTransitionTimestamp':'%s'}],"
		"'conditions':[{'type':'Ready','status':'True','lastTransitionTime':'%s'}]}}",
		address / 250, address % 250 + 1, now_text(n, now), now);
}

static void on_tick(void *user)
{
	struct fake_nodes *n = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	for (size_t i = 0; i < n->nodes.count; i++)
		heartbeat(n, &n->nodes.items[i]);
	size_t count = fake_api_list(n->api, "Pod", NULL, &a, &all);
	for (size_t i = 0; i < count; i++)
		run_pod(n, all[i]);
	count = fake_api_list(n->api, "VirtualMachineInstance", NULL, &a, &all);
	for (size_t i = 0; i < count; i++)
		run_instance(n, all[i]);
	wakeup_in(n->wakeup, TICK_MS);
}

struct fake_nodes *fake_nodes_create(struct fake_api *f, struct clock *clock, struct random *random)
{
	struct fake_nodes *n = xcalloc(1, sizeof(*n));
	n->api = f;
	n->clock = clock;
	n->random = random;
	n->wakeup = wakeup_create(NULL, clock, on_tick, n);
	wakeup_in(n->wakeup, TICK_MS);
	return n;
}

void fake_nodes_destroy(struct fake_nodes *n)
{
	wakeup_destroy(n->wakeup);
	for (size_t i = 0; i < n->nodes.count; i++)
		free(n->nodes.items[i].name);
	VEC_FINISH(&n->nodes);
	free(n);
}

void fake_node_add(
	struct fake_nodes *n, const char *name, const char *cpu, const char *memory, int pods)
{
	char now[TIME_RFC3339_ROOM];
	fake_api_create_text(n->api,
		"{'apiVersion':'v1','kind':'Node','metadata':{'name':'%s','labels':{'kubernetes.io/"
		"hostname':"
		"'%s'}},'status':{'allocatable':{'cpu':'%s','memory':'%s','pods':'%d'},'conditions'"
		":[{"
		"'type':'Ready','status':'True','reason':'KubeletReady','lastHeartbeatTime':'%s',"
		"'lastTransitionTime':'%s'}]}}",
		name, name, cpu, memory, pods, now_text(n, now), now);
	fake_api_create_text(n->api,
		"{'apiVersion':'coordination.k8s.io/v1','kind':'Lease','metadata':{'namespace':"
		"'kube-node-lease','name':'%s'},'spec':{'holderIdentity':'%s','"
		"leaseDurationSeconds':40,"
		"'renewTime':'%.19s.000000Z'}}",
		name, name, now);
	struct fake_node node = {xstrdup(name), false, n->clock->mono_ns(n->clock)};
	VEC_PUSH(&n->nodes, node);
}

void fake_node_silence(struct fake_nodes *n, const char *name, bool silent)
{
	for (size_t i = 0; i < n->nodes.count; i++)
		if (streq(n->nodes.items[i].name, name))
			n->nodes.items[i].silent = silent;
}

void fake_nodes_crash_instances(struct fake_nodes *n, const char *phase)
{
	n->crash_phase = phase;
}

void fake_nodes_broken_image(struct fake_nodes *n, const char *image)
{
	n->broken_image = image;
}

void fake_nodes_end_pods(struct fake_nodes *n, fake_pod_end *end, void *user)
{
	n->end = end;
	n->end_user = user;
}
