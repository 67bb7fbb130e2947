/* autoscaler.c - HorizontalPodAutoscalers, v2. Every 15 s for each: the target's scale, what its
 * pods use, what that asks for (advice.h), how fast it may be followed (pace.h); the new size by
 * the scale subresource, and the status. What was advised and done of late is remembered by the
 * process only, as upstream does it: after a start the windows begin anew. */
#include <inttypes.h>

#include "lib/base/table.h"
#include "lib/object/quantity.h"
#include "server/controllers/autoscaling/autoscaler_pods.h"
#include "server/controllers/autoscaling/pace.h"
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"

#define PERIOD_MS 15000
#define TOLERANCE 0.1
#define COMPONENT "horizontal-pod-autoscaler"

struct autoscalers {
	struct loop *loop;
	struct client *client;
	struct informer *scalers, *pods;
	const struct kind *metrics;
	struct table memories; /* "NS/NAME" -> struct memory */
};

struct memory {
	struct pace_memory pace;
	char *ns;
	struct arena arena;	   /* of the selector */
	const char *selector_text; /* of the pods that it scales; NULL = not known */
	struct selector selector;
	bool selects; /* it could be read */
};

struct pass {
	struct autoscalers *c;
	struct object *object;
	struct json *doc, *spec;
	struct memory *memory;
	struct json *scale;
	const struct kind *target;
	int64_t replicas; /* wanted of the target now */
	int64_t desired;
	struct object **pods;
	size_t pod_count;
	struct json *items; /* of the list of metrics; NULL = it could not be had */
	const char *items_problem;
	struct json *conditions, *current; /* of the status to be */
	const char *why;		   /* the size changes */
	bool rescaled;
};

static struct memory *memory_of(struct autoscalers *c, const char *key, const char *ns)
{
	struct memory *m = table_get(&c->memories, key);
	if (!m) {
		m = xcalloc(1, sizeof(*m));
		m->ns = xstrdup(ns);
		table_set(&c->memories, key, m);
	}
	return m;
}

static void memory_free(struct memory *m)
{
	if (!m)
		return;
	pace_memory_finish(&m->pace);
	free(m->ns);
	arena_finish(&m->arena);
	free(m);
}

/* Read once, not by each of its neighbours in each turn. */
static void remember_selector(struct memory *m, const char *text)
{
	struct status st = {0};
	if (m->selector_text && streq(m->selector_text, text))
		return;
	arena_finish(&m->arena);
	m->selector_text = arena_strdup(&m->arena, text);
	m->selects =
		*text && selector_parse_labels(&m->arena, m->selector_text, &m->selector, &st) == 0;
}

static void set_condition(struct sync *s, const char *type, const char *status, const char *reason,
	const char *message)
{
	struct pass *p = s->state;
	struct condition c = {type, status, reason, message, false};
	p->conditions = condition_set(&s->arena, p->conditions, &c, loop_wall_ns(s->loop));
}

static void tell(const struct pass *p, const char *type, const char *reason, const char *message)
{
	client_event_as(p->c->client, COMPONENT, p->object, NULL, type, reason, "%s", message);
}

static void write_status(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *status = json_new_object(a);
	json_set_int(a, status, "currentReplicas", p->replicas);
	json_set_int(a, status, "desiredReplicas", p->desired);
	int64_t generation = json_path_int(p->doc, "metadata.generation", 0);
	if (generation)
		json_set_int(a, status, "observedGeneration", generation);
	if (p->rescaled)
		json_set(a, status, "lastScaleTime", meta_time(a, loop_wall_ns(s->loop)));
	json_set(a, status, "currentMetrics",
		json_count(p->current) ? p->current : json_new_null(a));
	json_set(a, status, "conditions", p->conditions);
	sync_status(s, p->object, p->doc, status, NULL, NULL);
}

/* Nothing is known of the target, or of what its pods use: it stays as it is. */
static void fail(struct sync *s, const char *condition, const char *reason, const char *message)
{
	struct pass *p = s->state;
	set_condition(s, condition, "False", reason, message);
	tell(p, "Warning", reason, message);
	p->desired = json_path_int(p->doc, "status.desiredReplicas", 0);
	write_status(s);
}

/* ---- the new size ---- */

static void on_scaled(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	if (client_ok(r)) {
		pace_done(&p->memory->pace, p->replicas, p->desired, loop_mono_ns(s->loop));
		p->rescaled = true;
		set_condition(s, "AbleToScale", "True", "SucceededRescale",
			arena_printf(a,
				"the HPA controller was able to update the target scale to "
				"%" PRId64,
				p->desired));
		tell(p, "Normal", "SuccessfulRescale",
			arena_printf(a, "New size: %" PRId64 "; reason: %s", p->desired, p->why));
		return;
	}
	/* The answer of a change that took place may be lost: the next turn sees. */
	set_condition(s, "AbleToScale", "False", "FailedUpdateScale",
		arena_printf(a, "the HPA controller was unable to update the target scale: %s",
			r->message));
	tell(p, "Warning", "FailedRescale",
		arena_printf(a, "New size: %" PRId64 "; reason: %s; error: %s", p->desired, p->why,
			r->message));
	p->desired = p->replicas;
}

static void rescale(struct sync *s)
{
	struct pass *p = s->state;
	s->next = write_status;
	if (p->desired == p->replicas)
		return;
	struct arena *a = &s->arena;
	json_path_set(a, p->scale, "spec.replicas", json_new_int(a, p->desired));
	const char *text = json_text(a, p->scale);
	sync_request(s,
		&(struct client_request){
			.method = "PUT",
			.path = client_path(a, p->target, s->ns,
				json_path_str(p->spec, "scaleTargetRef.name"), "scale"),
			.body = text,
			.body_size = strlen(text),
		},
		on_scaled, NULL);
}

/* ---- what the metrics ask for ---- */

struct opinion {
	int64_t replicas;
	const char *what; /* "cpu resource utilization (percentage of request)" */
	struct json *status;
};

static struct json *metric_status(
	struct arena *a, const struct autoscaler_metric *m, const struct advice *advice)
{
	const char *type = m->container ? "ContainerResource" : "Resource";
	struct json *status = json_new_object(a), *current = json_new_object(a);
	struct json *of =
		json_object_at(a, status, m->container ? "containerResource" : "resource");
	struct quantity average = {.nano = (__int128)advice->average * 1000000};
	json_set_str(a, status, "type", type);
	if (m->container)
		json_set_str(a, of, "container", m->container);
	json_set_str(a, of, "name", m->resource);
	if (m->utilization)
		json_set_int(a, current, "averageUtilization", advice->utilization);
	json_set_str(a, current, "averageValue", quantity_text(a, average, false));
	json_set(a, of, "current", current);
	return status;
}

static const struct {
	const char *type, *source, *name, *reason;
} foreign[] = {
	{"Pods", "pods", "metric.name", "FailedGetPodsMetric"},
	{"Object", "object", "metric.name", "FailedGetObjectMetric"},
	{"External", "external", "metric.name", "FailedGetExternalMetric"},
};

static int refuse_foreign(
	struct arena *a, const struct json *metric, const char **reason, struct err *err)
{
	const char *type = json_str_or(json_get(metric, "type"), "");
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
		if (!streq(type, foreign[i].type))
			continue;
		*reason = foreign[i].reason;
		return err_set(err, -EOPNOTSUPP,
			"unable to get metric %s: no API of %s metrics is served",
			json_str_or(json_path(json_get(metric, foreign[i].source), foreign[i].name),
				""),
			streq(type, "External") ? "external" : "custom");
	}
	*reason = "InvalidMetricSourceType";
	return err_set(err, -EINVAL, "unknown metric source type or no target: \"%s\"", type);
}

static int form_opinion(struct sync *s, const struct json *metric, struct opinion *ret,
	const char **reason, struct err *err)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct autoscaler_metric m;
	struct advice_pod *pods;
	struct advice advice;
	if (!autoscaler_metric_read(metric, &m))
		return refuse_foreign(a, metric, reason, err);
	*reason = m.container ? "FailedGetContainerResourceMetric" : "FailedGetResourceMetric";
	int r = 0;
	if (json_count(p->items) == 0)
		r = err_set(err, -ENODATA, "unable to get metrics for resource %s: %s", m.resource,
			p->items_problem ? p->items_problem
					 : "no metrics returned from resource metrics API");
	if (r == 0)
		r = autoscaler_pods(a, &m, p->pods, p->pod_count, p->items, &pods, err);
	struct advice_goal goal = {
		.cpu = streq(m.resource, "cpu"),
		.utilization = m.utilization,
		.target = m.target,
		.tolerance = TOLERANCE,
		.now_ns = loop_wall_ns(s->loop),
	};
	if (r == 0)
		r = advise(&goal, pods, p->pod_count, p->replicas, &advice, err);
	if (r < 0)
		return err_context(err, r, "failed to get %s %s", m.resource,
			m.utilization ? "utilization" : "usage");
	*ret = (struct opinion){
		.replicas = advice.replicas,
		.what = arena_printf(a, "%s %sresource%s", m.resource,
			m.container ? "container " : "",
			m.utilization ? " utilization (percentage of request)" : ""),
		.status = metric_status(a, &m, &advice),
	};
	return 0;
}

/* The metric that asks for most decides; where one can't be had nothing is taken away. */
static bool ask_metrics(struct sync *s, struct opinion *ret)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	const char *first_reason = NULL, *first = NULL, *reason = NULL;
	size_t bad = 0, all = json_count(json_get(p->spec, "metrics"));
	*ret = (struct opinion){.replicas = -1};
	p->current = json_new_array(a);
	JSON_FOR_EACH_ITEM(metric, json_get(p->spec, "metrics")) {
		struct opinion o;
		struct err err = ERR_INIT;
		if (form_opinion(s, metric, &o, &reason, &err) < 0) {
			if (bad++ == 0) {
				first_reason = reason;
				first = arena_strdup(a, err.msg);
			}
			tell(p, "Warning", reason, err.msg);
			continue;
		}
		json_push(a, p->current, o.status);
		if (o.replicas > ret->replicas)
			*ret = o;
	}
	if (all && (bad == 0 || (ret->replicas >= 0 && ret->replicas >= p->replicas)))
		return true;
	if (!first) {
		first_reason = "InvalidMetricSourceType";
		first = "spec.metrics is empty";
	}
	set_condition(s, "ScalingActive", "False", first_reason,
		arena_printf(a, "the HPA was unable to compute the replica count: %s", first));
	tell(p, "Warning", "FailedComputeMetricsReplicas",
		arena_printf(a, "invalid metrics (%zu invalid out of %zu), first error is: %s", bad,
			all, first));
	return false;
}

static void decide(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct opinion o;
	p->desired = p->replicas;
	s->next = rescale;
	if (!ask_metrics(s, &o))
		return;
	struct pace_limits limits;
	pace_limits_read(p->spec, &limits);
	struct pace_verdict v = pace_decide(
		&limits, &p->memory->pace, p->replicas, o.replicas, loop_mono_ns(s->loop));
	p->desired = v.replicas;
	p->why = v.replicas > p->replicas ? arena_printf(a, "%s above target", o.what)
					  : "All metrics below target";
	set_condition(s, "AbleToScale", "True", v.able_reason, v.able_message);
	set_condition(s, "ScalingActive", "True", "ValidMetricFound",
		arena_printf(a,
			"the HPA was able to successfully calculate a replica count from %s",
			o.what));
	set_condition(s, "ScalingLimited", v.limited ? "True" : "False", v.limited_reason,
		v.limited_message);
}

static void on_metrics(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	struct json *doc;
	if (client_ok(r) && json_parse(&s->arena, r->body, r->body_size,
				    &(struct json_limits){.depth = 64, .size_bytes = 256u << 20},
				    &doc, NULL) == 0)
		p->items = json_get(doc, "items");
	else
		p->items_problem = arena_printf(&s->arena,
			"unable to fetch metrics from resource metrics API: %s",
			client_ok(r) ? "the answer can't be read" : r->message);
}

/* ---- the target ---- */

/* Other autoscalers of the namespace that would move the same pods; NULL = none. */
static const char *rivals(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	for (struct table_iter i = table_iterate(&p->c->memories); table_next(&i);) {
		const struct memory *m = i.value;
		if (m == p->memory || !m->selects || !streq(m->ns, s->ns))
			continue;
		bool both = false;
		for (size_t n = 0; n < p->pod_count && !both; n++)
			both = selector_matches_labels(
				&m->selector, p->pods[n]->labels, p->pods[n]->label_count);
		if (both)
			buf_printf(&text, " %s", i.key);
	}
	return text.size ? arena_memdup(a, text.data, text.size) : NULL;
}

static int find_pods(struct sync *s)
{
	struct pass *p = s->state;
	struct object **all;
	if (!p->memory->selects)
		return -EINVAL;
	size_t count = informer_list(p->c->pods, s->ns, &s->arena, &all);
	p->pods = arena_alloc(&s->arena, (count + 1) * sizeof(*p->pods));
	for (size_t i = 0; i < count; i++)
		if (selector_matches_labels(
			    &p->memory->selector, all[i]->labels, all[i]->label_count))
			p->pods[p->pod_count++] = sync_hold(s, all[i]);
	return 0;
}

/* Bounds come before metrics: what is outside is brought inside at once. */
static bool outside_bounds(struct sync *s)
{
	struct pass *p = s->state;
	int64_t least = json_int_or(json_get(p->spec, "minReplicas"), 1);
	int64_t most = json_int_or(json_get(p->spec, "maxReplicas"), 1);
	if (p->replicas > most) {
		p->desired = most;
		p->why = "Current number of replicas above Spec.MaxReplicas";
	} else if (p->replicas < least) {
		p->desired = least;
		p->why = "Current number of replicas below Spec.MinReplicas";
	} else {
		return false;
	}
	return true;
}

static void look_at_target(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	if (!p->scale)
		return; /* said so already */
	set_condition(s, "AbleToScale", "True", "SucceededGetScale",
		"the HPA controller was able to get the target's current scale");
	const char *selector = json_str_or(json_path(p->scale, "status.selector"), "");
	p->desired = p->replicas = json_path_int(p->scale, "spec.replicas", 0);
	remember_selector(p->memory, selector);
	pace_met(&p->memory->pace, p->replicas, loop_mono_ns(s->loop));
	s->next = rescale;
	if (p->replicas == 0 && json_int_or(json_get(p->spec, "minReplicas"), 1) != 0) {
		p->desired = 0;
		set_condition(s, "ScalingActive", "False", "ScalingDisabled",
			"scaling is disabled since the replica count of the target is zero");
		return;
	}
	if (outside_bounds(s))
		return;
	if (find_pods(s) < 0) {
		set_condition(s, "ScalingActive", "False", "InvalidSelector",
			*selector ? "the HPA was unable to compute the replica count: couldn't "
				    "convert selector into a corresponding internal selector object"
				  : "the HPA target's scale is missing a selector");
		return;
	}
	const char *others = rivals(s);
	if (others) {
		const char *message = arena_printf(a,
			"pods by selector %s are controlled by multiple HPAs: [%s%s]", selector,
			s->key, others);
		set_condition(s, "ScalingActive", "False", "AmbiguousSelector", message);
		tell(p, "Warning", "AmbiguousSelector", message);
		return;
	}
	s->next = decide;
	sync_request(s,
		&(struct client_request){
			.method = "GET",
			.path = client_path(a, p->c->metrics, s->ns, NULL, NULL),
			.query = arena_printf(
				a, "labelSelector=%s", percent_encode(a, str_from(selector))),
		},
		on_metrics, NULL);
}

static void on_scale(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	if (client_ok(r) &&
		json_parse(&s->arena, r->body, r->body_size, NULL, &p->scale, NULL) == 0)
		return;
	p->scale = NULL;
	fail(s, "AbleToScale", "FailedGetScale",
		arena_printf(&s->arena,
			"the HPA controller was unable to get the target's current scale: %s",
			client_ok(r) ? "the answer can't be read" : r->message));
}

static const struct kind *target_kind(struct sync *s)
{
	struct pass *p = s->state;
	const char *gv = json_str_or(json_path(p->spec, "scaleTargetRef.apiVersion"), "");
	const char *kind = json_str_or(json_path(p->spec, "scaleTargetRef.kind"), "");
	const char *slash = strchr(gv, '/');
	const char *group = slash ? arena_memdup(&s->arena, gv, (size_t)(slash - gv)) : "";
	const struct kind *k = kind_by_name(p->c->client->kinds, group,
		slash ? slash + 1
		: *gv ? gv
		      : "v1",
		kind);
	if (k && k->namespaced && k->scale_spec_path)
		return k;
	fail(s, "AbleToScale", "FailedGetScale",
		arena_printf(&s->arena,
			"the HPA controller was unable to get the target's current scale: %s kind "
			"\"%s\" in \"%s\"",
			k ? "there is no scale of" : "no matches for", kind, gv));
	return NULL;
}

static void reconcile(struct sync *s)
{
	struct autoscalers *c = s->self;
	struct object *o = informer_get(c->scalers, s->ns, s->name);
	if (!o || o->deleting) {
		memory_free(table_remove(&c->memories, s->key));
		return;
	}
	struct pass *p = s->state = ARENA_NEW(&s->arena, struct pass);
	p->c = c;
	p->object = sync_hold(s, o);
	p->doc = object_doc(o, &s->arena);
	p->spec = json_get(p->doc, "spec");
	p->memory = memory_of(c, s->key, s->ns);
	p->replicas = json_path_int(p->doc, "status.currentReplicas", 0);
	p->conditions = json_path(p->doc, "status.conditions");
	sync_again(s, PERIOD_MS);
	p->target = target_kind(s);
	if (!p->target)
		return;
	s->next = look_at_target;
	sync_request(s,
		&(struct client_request){
			.method = "GET",
			.path = client_path(&s->arena, p->target, s->ns,
				json_path_str(p->spec, "scaleTargetRef.name"), "scale"),
		},
		on_scale, NULL);
}

/* Its own status is no news. */
static void on_scaler(void *user, const struct object *old, const struct object *new)
{
	struct autoscalers *c = user;
	struct arena a = ARENA_INIT;
	bool same = old && new &&streq(old->uid, new->uid) &&
		    json_equal(json_get(object_doc(old, &a), "spec"),
			    json_get(object_doc(new, &a), "spec"));
	arena_finish(&a);
	if (!same)
		loop_add_object(c->loop, new ? new : old);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler on_scalers = {.changed = on_scaler};
	struct autoscalers *c = xcalloc(1, sizeof(*c));
	c->client = sh->client;
	c->memories = TABLE_INIT;
	c->metrics = kind_by_name(sh->client->kinds, "metrics.k8s.io", "v1beta1", "PodMetrics");
	c->scalers = shared_informer(sh, "autoscaling", "v2", "HorizontalPodAutoscaler");
	c->pods = shared_informer(sh, "", "v1", "Pod");
	c->loop = loop_create(sh->client, "horizontal-pod-autoscaler-controller", 5, reconcile, c);
	informer_add_handler(c->scalers, &on_scalers, c);
	return c;
}

static void start(void *self)
{
	struct autoscalers *c = self;
	loop_start(c->loop);
}

static void destroy(void *self)
{
	struct autoscalers *c = self;
	loop_destroy(c->loop);
	for (struct table_iter i = table_iterate(&c->memories); table_next(&i);)
		memory_free(i.value);
	table_finish(&c->memories);
	free(c);
}

const struct controller_class autoscaler_controller = {
	"horizontalpodautoscaling", create, start, destroy};
