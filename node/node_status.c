/* node_status.c - keeps the Node object and its Lease. Everything is level-triggered by two timers
 * and the informer: a write that failed is made again by the next turn. */
#include "node/node_status.h"

#include <stdio.h>

#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "lib/client/wakeup.h"
#include "node/metrics/node_metrics.h"
#include "node/pod/pod_manager.h"
#include "node/pressure/pressure.h"
#include "node/resources/resources.h"

enum {
	STATUS_SOON_MS = 50, /* after a report: several come together */
	IMAGES_MS = 30000,   /* how often the runtime is asked for its images */
	RETRY_MS = 1000,
	SETTLE_MS = 5000, /* for the parts to come up once the API answered a new agent */
};

struct part {
	char *name, *reason, *message;
	bool ready;
};

struct node_status {
	struct node *n;
	int port;
	const struct kind *node_kind, *lease_kind;
	struct node_facts facts;
	struct informer *informer;
	struct wakeup *status_timer, *lease_timer;
	struct client_call *call, *lease_call;
	struct grpc_call *runtime_status, *list_images;
	struct arena images_arena, runtime_arena;
	struct json *images, *handlers, *features; /* NULL = not known */
	int64_t images_ns;			   /* monotonic: last asked for */
	VEC(struct part) parts;
	bool registered;
	int64_t registered_ns, posted_ns; /* monotonic; 0 = not yet */
	struct node_news news;		  /* of the post under way */
	bool told_start, told_enforcing;  /* by events */
	void (*on_cidr)(void *user);
	void *on_cidr_user;
};

/* ---- registration ---- */

static void status_in(struct node_status *s, int64_t ms)
{
	wakeup_in(s->status_timer, ms);
}

static struct json *labels(struct node_status *s, struct arena *a)
{
	struct json *o = json_new_object(a);

	json_set_str(a, o, "kubernetes.io/hostname", s->facts.hostname);
	json_set_str(a, o, "kubernetes.io/os", "linux");
	json_set_str(a, o, "kubernetes.io/arch", s->facts.architecture);
	json_set_str(a, o, "beta.kubernetes.io/os", "linux");
	json_set_str(a, o, "beta.kubernetes.io/arch", s->facts.architecture);
	/* What KubeVirt's node label says: machines can have CPUs of their own here, and the first
	 * stays for all others (node/vm/host/cpu_pool.h). The scheduler asks for it. */
	json_set_str(a, o, "cpumanager", s->facts.cpu_count > 1 ? "true" : "false");
	node_add_labels(a, o, s->n->config->register_labels);
	return o;
}

static void on_registered(void *user, const struct client_result *r)
{
	struct node_status *s = user;

	s->call = NULL;
	if (client_ok(r)) {
		if (!s->registered)
			log_info("node registered", "node", s->n->name, "address", s->n->host_ip,
				NULL);
		if (!s->registered_ns)
			s->registered_ns = s->n->clock->mono_ns(s->n->clock);
		s->registered = true;
		/* The informer brings the object; posting begins then. */
		status_in(s, STATUS_SOON_MS);
		return;
	}
	log_warn("node could not be registered, trying again", "node", s->n->name, "reason",
		r->message, NULL);
	status_in(s, RETRY_MS);
}

static void on_made(void *user, const struct client_result *r)
{
	if (client_ok(r))
		node_startup_registered();
	on_registered(user, r);
}

static void on_labels_tried(void *user, const struct client_result *r)
{
	struct node_status *s = user;

	if (r->code != 404) {
		on_registered(user, r);
		return;
	}
	if (!s->n->config->register_node) {
		log_info("no node is registered, as the configuration says", "node", s->n->name,
			NULL);
		s->call = NULL;
		status_in(s, s->n->config->status_update_ms);
		return;
	}
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc = node_make(&a, s->n->config, s->n->name, labels(s, &a));
	s->call = client_create(s->n->client, s->node_kind, NULL, doc, on_made, s);
}

static void do_register(struct node_status *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *patch = json_new_object(&a);

	node_startup_attempted();
	json_path_set(&a, patch, "metadata.labels", labels(s, &a));
	json_path_set(&a, patch, "metadata.annotations", node_annotations(&a));
	s->call = client_patch(s->n->client, s->node_kind, NULL, s->n->name, NULL,
		"application/merge-patch+json", patch, on_labels_tried, s);
}

/* ---- status ---- */

static void tell(struct node_status *s, const char *type, const char *reason, const char *text)
{
	if (s->n->object)
		client_event(s->n->client, s->n->object, NULL, type, reason, "%s", text);
}

/* What a post that has arrived tells people. */
static void tell_news(struct node_status *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *reason = s->news.ready ? "NodeReady" : "NodeNotReady";

	if (s->news.rebooted)
		tell(s, "Warning", "Rebooted",
			arena_printf(&a, "Node %s has been rebooted, boot id: %s", s->n->name,
				s->facts.boot_id));
	if (s->news.ready_changed)
		tell(s, "Normal", reason,
			arena_printf(&a, "Node %s status is now: %s", s->n->name, reason));
	if (!s->told_enforcing && s->n->object && resources_enforcing(s->n->resources)) {
		s->told_enforcing = true;
		tell(s, "Normal", "NodeAllocatableEnforced",
			"Updated Node Allocatable limit across pods");
	}
}

static void on_posted(void *user, const struct client_result *r)
{
	struct node_status *s = user;

	s->call = NULL;
	if (client_ok(r)) {
		s->posted_ns = s->n->clock->mono_ns(s->n->clock);
		if (s->news.ready)
			node_startup_ready();
		tell_news(s);
		status_in(s, s->n->config->status_update_ms);
	} else if (r->code == 404) {
		/* Someone deleted the Node: this machine is still here. */
		s->registered = false;
		status_in(s, RETRY_MS);
	} else {
		log_warn("node status could not be written, trying again", "node", s->n->name,
			"reason", r->message, NULL);
		status_in(s, RETRY_MS);
	}
}

/* An agent that has just been started again does not know yet that all is well. To tell so would
 * make every pod that ran on count as not ready: the first post waits a little for the parts. */
static bool is_settling(const struct node_status *s, int64_t now)
{
	if (s->posted_ns || now - s->registered_ns >= SETTLE_MS * NS_PER_MS)
		return false;
	for (size_t i = 0; i < s->parts.count; i++) {
		if (!s->parts.items[i].ready)
			return true;
	}
	return false;
}

static int64_t pods_max(const struct node_status *s)
{
	const struct node_config *c = s->n->config;
	int64_t by_cores = c->pods_per_core * s->facts.cpu_count;

	return by_cores > 0 ? MIN(c->max_pods, by_cores) : c->max_pods;
}

static void post(struct node_status *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct node *n = s->n;
	const struct json *old = n->object ? object_doc(n->object, &a) : NULL;
	struct node_part *parts = arena_alloc(&a, (s->parts.count + 1) * sizeof(*parts));

	for (size_t i = 0; i < s->parts.count; i++)
		parts[i] = (struct node_part){s->parts.items[i].name, s->parts.items[i].ready,
			s->parts.items[i].reason, s->parts.items[i].message};
	struct node_status_input in = {
		.old = old,
		.facts = &s->facts,
		.parts = parts,
		.part_count = s->parts.count,
		.host_ip = n->host_ip,
		.host_ip6 = n->host_ip6,
		.runtime_version =
			n->pods ? pod_manager_runtime_version(n->pods) : "containerd://unknown",
		.images = s->images,
		.handlers = s->handlers,
		.features = s->features,
		.capacity = resources_capacity(n->resources),
		.allocatable = resources_allocatable(n->resources),
		.pods_max = pods_max(s),
		.port = s->port,
		.memory_pressure = pressure_holds(n->pressure, PRESSURE_MEMORY),
		.disk_pressure = pressure_holds(n->pressure, PRESSURE_DISK),
		.pid_pressure = pressure_holds(n->pressure, PRESSURE_PID),
		.now_ns = n->clock->wall_ns(n->clock),
	};
	struct json *status = node_status_make(&a, &in);
	int64_t now = n->clock->mono_ns(n->clock);
	if (is_settling(s, now)) {
		status_in(s, s->registered_ns / NS_PER_MS + SETTLE_MS + 1 - now / NS_PER_MS);
		return;
	}
	if (s->posted_ns && now - s->posted_ns < n->config->status_report_ms * NS_PER_MS &&
		!node_status_differs(json_get(old, "status"), status)) {
		status_in(s, s->n->config->status_update_ms);
		return;
	}
	struct json *patch = json_new_object(&a);
	json_set(&a, patch, "status", status);
	s->news = node_status_news(json_get(old, "status"), status);
	s->call = client_patch(n->client, s->node_kind, NULL, n->name, "status",
		"application/strategic-merge-patch+json", patch, on_posted, s);
}

/* RuntimeReady and NetworkReady, as the runtime itself says. */
static void on_runtime_status(void *user, const struct grpc_result *r)
{
	struct node_status *s = user;
	const Cri__StatusResponse *st = r->response;

	s->runtime_status = NULL;
	if (!grpc_ok(r) || !st->status)
		return; /* the manager reports that */
	arena_finish(&s->runtime_arena);
	s->handlers = node_handlers_make(&s->runtime_arena, st);
	s->features = node_features_make(&s->runtime_arena, st);
	for (size_t i = 0; i < st->n_runtime_handlers; i++) {
		const Cri__RuntimeHandler *h = st->runtime_handlers[i];
		if (streq(h->name, ""))
			s->n->recursive_read_only =
				h->features && h->features->recursive_read_only_mounts;
	}
	for (size_t i = 0; i < st->status->n_conditions; i++) {
		const Cri__RuntimeCondition *c = st->status->conditions[i];
		const char *part = streq(c->type, "NetworkReady")   ? "container network"
				   : streq(c->type, "RuntimeReady") ? "container runtime"
								    : NULL;
		if (part)
			node_status_report(s, part, c->status, c->reason, c->message);
	}
}

static void on_images(void *user, const struct grpc_result *r)
{
	struct node_status *s = user;

	s->list_images = NULL;
	if (!grpc_ok(r))
		return;
	if (s->n->pods)
		pod_manager_images_seen(s->n->pods, r->response);
	arena_finish(&s->images_arena);
	s->images =
		node_images_make(&s->images_arena, r->response, s->n->config->images_in_status_max);
}

static void ask_images(struct node_status *s)
{
	int64_t now = s->n->clock->mono_ns(s->n->clock);

	if (s->list_images || (s->images && now - s->images_ns < IMAGES_MS * NS_PER_MS))
		return;
	s->images_ns = now;
	s->list_images = cri_list_images(pod_manager_cri(s->n->pods), on_images, s);
}

static void on_status_timer(void *user)
{
	struct node_status *s = user;

	if (s->n->pods)
		ask_images(s);
	if (s->n->pods && !s->runtime_status)
		s->runtime_status = cri_status(pod_manager_cri(s->n->pods), on_runtime_status, s);
	if (s->call)
		return; /* its answer arms the timer */
	if (!s->registered)
		do_register(s);
	else
		post(s);
}

void node_status_report(struct node_status *s, const char *name, bool ready, const char *reason,
	const char *message)
{
	struct part *p = NULL;

	for (size_t i = 0; i < s->parts.count && !p; i++) {
		if (streq(s->parts.items[i].name, name))
			p = &s->parts.items[i];
	}
	if (!p) {
		VEC_PUSH(&s->parts, ((struct part){.name = xstrdup(name)}));
		p = &s->parts.items[s->parts.count - 1];
	} else if (p->ready == ready && streq(p->reason, reason) && streq(p->message, message)) {
		return;
	}
	free(p->reason);
	free(p->message);
	p->ready = ready;
	p->reason = xstrdup(reason ? reason : "");
	p->message = xstrdup(message ? message : "");
	if (s->registered && !s->call)
		status_in(s, STATUS_SOON_MS);
}

/* ---- lease ---- */

static void lease_send(struct node_status *s, bool create);

static int64_t lease_ms(const struct node_status *s)
{
	return s->n->config->lease_duration_s * 1000 / 4;
}

static void on_namespace(void *user, const struct client_result *r)
{
	struct node_status *s = user;

	s->lease_call = NULL;
	wakeup_in(s->lease_timer, RETRY_MS);
}

static void on_lease_created(void *user, const struct client_result *r)
{
	struct node_status *s = user;

	s->lease_call = NULL;
	if (r->code == 404) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		struct json *doc = json_new_object(&a);
		json_set_str(&a, doc, "apiVersion", "v1");
		json_set_str(&a, doc, "kind", "Namespace");
		json_path_set(&a, doc, "metadata.name", json_new_string(&a, "kube-node-lease"));
		s->lease_call = client_create(s->n->client,
			kind_by_resource(s->n->kinds, "", "v1", "namespaces"), NULL, doc,
			on_namespace, s);
		return;
	}
	wakeup_in(s->lease_timer, client_ok(r) ? lease_ms(s) : RETRY_MS);
}

static void on_lease_renewed(void *user, const struct client_result *r)
{
	struct node_status *s = user;

	s->lease_call = NULL;
	if (r->code == 404)
		lease_send(s, true);
	else
		wakeup_in(s->lease_timer, client_ok(r) ? lease_ms(s) : RETRY_MS);
}

static void lease_send(struct node_status *s, bool create)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc = json_new_object(&a), *spec = json_new_object(&a);
	struct node *n = s->n;
	char now[TIME_RFC3339_MICRO_ROOM];

	time_format_rfc3339_micro(n->clock->wall_ns(n->clock), now);
	json_set_str(&a, spec, "holderIdentity", n->name);
	json_set_int(&a, spec, "leaseDurationSeconds", n->config->lease_duration_s);
	json_set_str(&a, spec, "renewTime", now);
	json_set(&a, doc, "spec", spec);
	if (!create) {
		s->lease_call = client_patch(n->client, s->lease_kind, "kube-node-lease", n->name,
			NULL, "application/merge-patch+json", doc, on_lease_renewed, s);
		return;
	}
	struct json *meta = json_new_object(&a);
	json_set_str(&a, doc, "apiVersion", "coordination.k8s.io/v1");
	json_set_str(&a, doc, "kind", "Lease");
	json_set_str(&a, meta, "name", n->name);
	json_set_str(&a, meta, "namespace", "kube-node-lease");
	if (n->object) {
		struct json *owners = json_new_array(&a), *o = json_new_object(&a);
		json_set_str(&a, o, "apiVersion", "v1");
		json_set_str(&a, o, "kind", "Node");
		json_set_str(&a, o, "name", n->name);
		json_set_str(&a, o, "uid", n->object->uid);
		json_push(&a, owners, o);
		json_set(&a, meta, "ownerReferences", owners);
	}
	json_set(&a, doc, "metadata", meta);
	s->lease_call = client_create(
		n->client, s->lease_kind, "kube-node-lease", doc, on_lease_created, s);
}

static void on_lease_timer(void *user)
{
	struct node_status *s = user;

	if (s->lease_call)
		return;
	if (s->registered && s->lease_kind)
		lease_send(s, false);
	else
		wakeup_in(s->lease_timer, RETRY_MS);
}

/* ---- the object ---- */

/* Two machines that both call themselves so would overwrite each other's status for ever. */
static void warn_of_namesake(struct node_status *s, const struct json *node)
{
	const char *machine = json_str_or(json_path(node, "status.nodeInfo.machineID"), "");

	if (*machine && *s->facts.machine_id && !streq(machine, s->facts.machine_id))
		log_warn("the Node of this name was another machine's: if that one is still there, "
			 "give one of them another --name",
			"node", s->n->name, "itsMachine", machine, "thisMachine",
			s->facts.machine_id, NULL);
}

static void on_node(void *user, const struct object *old, const struct object *new)
{
	struct node_status *s = user;
	struct node *n = s->n;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	object_unref(n->object);
	n->object = new ? object_ref((struct object *)(uintptr_t) new) : NULL;
	if (!new) {
		s->registered = false;
		if (!s->call)
			status_in(s, RETRY_MS);
		return;
	}
	if (!old) {
		wakeup_in(s->lease_timer, 0);
		warn_of_namesake(s, object_doc(n->object, &a));
		if (!s->told_start)
			tell(s, "Normal", "Starting", "Starting kubelet.");
		s->told_start = true;
	}
	const char *cidr = json_path_str(object_doc(n->object, &a), "spec.podCIDR");
	if (cidr && *cidr && !*n->pod_cidr) {
		snprintf(n->pod_cidr, sizeof(n->pod_cidr), "%s", cidr);
		log_info("pod addresses of this node", "cidr", n->pod_cidr, NULL);
		if (s->on_cidr)
			s->on_cidr(s->on_cidr_user);
	}
}

void node_status_on_pod_cidr(struct node_status *s, void (*known)(void *user), void *user)
{
	s->on_cidr = known;
	s->on_cidr_user = user;
}

struct node_status *node_status_create(struct node *n, const struct node_status_options *options)
{
	static const struct informer_handler handler = {.changed = on_node};
	struct node_status *s = xcalloc(1, sizeof(*s));
	char selector[300];

	s->n = n;
	s->port = options->port;
	s->node_kind = kind_by_resource(n->kinds, "", "v1", "nodes");
	s->lease_kind = kind_by_resource(n->kinds, "coordination.k8s.io", "v1", "leases");
	node_facts_read(n->data_dir, &s->facts);
	s->status_timer = wakeup_create(n->loop, n->clock, on_status_timer, s);
	s->lease_timer = wakeup_create(n->loop, n->clock, on_lease_timer, s);
	node_status_report(s, "runtime", false, "ContainerRuntimeUnknown",
		"the container runtime has not been asked yet");
	snprintf(selector, sizeof(selector), "metadata.name=%s", n->name);
	s->informer = informer_create(n->client, s->node_kind, NULL, NULL, selector);
	informer_add_handler(s->informer, &handler, s);
	informer_start(s->informer);
	status_in(s, 0);
	wakeup_in(s->lease_timer, RETRY_MS);
	return s;
}

void node_status_destroy(struct node_status *s)
{
	if (!s)
		return;
	if (s->call)
		client_cancel(s->n->client, s->call);
	if (s->lease_call)
		client_cancel(s->n->client, s->lease_call);
	grpc_call_cancel(s->runtime_status);
	grpc_call_cancel(s->list_images);
	arena_finish(&s->images_arena);
	arena_finish(&s->runtime_arena);
	informer_destroy(s->informer);
	wakeup_destroy(s->status_timer);
	wakeup_destroy(s->lease_timer);
	for (size_t i = 0; i < s->parts.count; i++) {
		free(s->parts.items[i].name);
		free(s->parts.items[i].reason);
		free(s->parts.items[i].message);
	}
	VEC_FINISH(&s->parts);
	object_unref(s->n->object);
	s->n->object = NULL;
	free(s);
}
