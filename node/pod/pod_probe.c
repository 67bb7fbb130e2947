/* pod_probe.c - liveness, readiness and startup probes of running containers (Kubernetes,
 * "Configure Liveness, Readiness and Startup Probes").
 *
 *   no startup probe, or it has succeeded:  liveness and readiness run, each in its own period
 *   before that:                            only the startup probe
 *
 * A verdict changes after successThreshold or failureThreshold results of the same kind in a row.
 * What could not be asked says nothing about the container: it is tried again at once, TRIES times,
 * and then in the next period. */
#include "node/pod/pod_check.h"

#include <stdio.h>

#include "lib/base/random.h"
#include "node/metrics/metrics.h"

enum { TRIES = 3, TIME_BOUNDS = 11 };

/* By the bounds of metric_seconds; the last is of all. */
struct probe_times {
	uint32_t counts[TIME_BOUNDS + 1];
	double sum;
};

static const struct {
	const char *field, *name;
} kinds[PROBE_KINDS] = {
	[PROBE_LIVENESS] = {"livenessProbe", "Liveness"},
	[PROBE_READINESS] = {"readinessProbe", "Readiness"},
	[PROBE_STARTUP] = {"startupProbe", "Startup"},
};

struct pod_probe {
	struct pod_worker *w;
	size_t container;
	enum probe_kind kind;
	int64_t period_ms, timeout_ms;
	int64_t asked_ns; /* monotonic: when the latest one began */
	unsigned success_threshold, failure_threshold;
	unsigned in_a_row, tries;
	bool last_ok;
	char *error; /* why it could not be asked; told when the container is known to run still */
	struct wakeup *timer;
	struct pod_check *check;
};

static struct pod_probe **slot(struct pod_worker *w, size_t container, enum probe_kind kind)
{
	return &w->probes[container * PROBE_KINDS + kind];
}

static void probe_free(struct pod_probe *p)
{
	if (!p)
		return;
	*slot(p->w, p->container, p->kind) = NULL;
	pod_check_cancel(p->check);
	wakeup_destroy(p->timer);
	free(p->error);
	free(p);
}

static void start_kind(struct pod_worker *w, size_t container, enum probe_kind kind);

static void verdict(struct pod_probe *p, bool ok)
{
	struct pod_worker *w = p->w;
	struct container_view *v = &w->view.containers[p->container];
	struct pod_container *c = &w->containers[p->container];
	size_t container = p->container;

	switch (p->kind) {
	case PROBE_LIVENESS:
		if (!ok)
			v->sick = KILL_LIVENESS;
		break;
	case PROBE_READINESS:
		if (c->probe_ready == ok)
			return;
		c->probe_ready = ok;
		break;
	case PROBE_STARTUP:
		if (!ok) {
			v->sick = KILL_STARTUP;
			break;
		}
		v->started = true;
		probe_free(p);
		start_kind(w, container, PROBE_LIVENESS);
		start_kind(w, container, PROBE_READINESS);
		break;
	case PROBE_KINDS:
		break;
	}
	pod_worker_poke(w);
}

static void ask(struct pod_probe *p);

/* The period is from one question to the next, however long the answer took. */
static void wakeup_at_period(struct pod_probe *p)
{
	int64_t spent_ms = (mono(p->w->n) - p->asked_ns) / NS_PER_MS;

	wakeup_in(p->timer, spent_ms < p->period_ms ? p->period_ms - spent_ms : 0);
}

static void note_time(struct pod_probe *p)
{
	struct probe_times **t = &p->w->containers[p->container].probe_times[p->kind];
	double s = (double)(mono(p->w->n) - p->asked_ns) / (double)NS_PER_S;

	if (!*t)
		*t = xcalloc(1, sizeof(**t));
	for (size_t i = 0; i < TIME_BOUNDS; i++)
		(*t)->counts[i] += s <= metric_seconds[i];
	(*t)->counts[TIME_BOUNDS]++;
	(*t)->sum += s;
}

static void on_checked(void *user, enum check_result result, const char *text)
{
	struct pod_probe *p = user;
	struct pod_worker *w = p->w;
	bool ok = result == CHECK_OK || result == CHECK_WARNING;
	enum probe_outcome outcome = ok			      ? PROBE_SUCCESSFUL
				     : result == CHECK_FAILED ? PROBE_FAILED
							      : PROBE_UNKNOWN;

	p->check = NULL;
	if (result == CHECK_ERROR && ++p->tries < TRIES) {
		ask(p);
		return;
	}
	w->containers[p->container].probe_results[p->kind][outcome]++;
	/* Kubelets do not count how long it took to fail. */
	if (outcome != PROBE_FAILED)
		note_time(p);
	wakeup_at_period(p);
	if (result == CHECK_ERROR) {
		free(p->error);
		p->error = xstrdup(text);
		pod_op_detail(w, p->container);
		return;
	}
	if (result == CHECK_WARNING)
		pod_worker_event(w, (long)p->container, "Warning", "ProbeWarning",
			"%s probe warning: %s", kinds[p->kind].name, text);
	if (!ok)
		pod_worker_event(w, (long)p->container, "Warning", "Unhealthy",
			"%s probe failed: %s", kinds[p->kind].name, text);
	if (p->in_a_row == 0 || p->last_ok != ok)
		p->in_a_row = 0;
	p->last_ok = ok;
	p->in_a_row++;
	if (p->in_a_row >= (ok ? p->success_threshold : p->failure_threshold))
		verdict(p, ok);
}

static void ask(struct pod_probe *p)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *doc = pod_container_doc(pod_worker_doc(p->w, &a), p->container);

	p->check = pod_check_run(p->w, p->container, json_get(doc, kinds[p->kind].field),
		p->timeout_ms, on_checked, p);
}

static void on_timer(void *user)
{
	struct pod_probe *p = user;

	p->tries = 0;
	p->asked_ns = mono(p->w->n);
	ask(p);
}

static void start_kind(struct pod_worker *w, size_t container, enum probe_kind kind)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *spec =
		json_get(pod_container_doc(pod_worker_doc(w, &a), container), kinds[kind].field);
	struct pod_probe **at = slot(w, container, kind);

	if (!spec || *at)
		return;
	struct pod_probe *p = *at = xcalloc(1, sizeof(*p));
	p->w = w;
	p->container = container;
	p->kind = kind;
	p->period_ms = MAX(json_path_int(spec, "periodSeconds", 10), 1) * 1000;
	p->timeout_ms = MAX(json_path_int(spec, "timeoutSeconds", 1), 1) * 1000;
	p->success_threshold = (unsigned)MAX(json_path_int(spec, "successThreshold", 1), 1);
	p->failure_threshold = (unsigned)MAX(json_path_int(spec, "failureThreshold", 3), 1);
	p->timer = wakeup_create(w->n->loop, w->n->clock, on_timer, p);

	int64_t age_ms = (wall(w->n) - w->containers[container].cur.started_ns) / NS_PER_MS;
	int64_t delay_ms = json_path_int(spec, "initialDelaySeconds", 0) * 1000 - MAX(age_ms, 0);
	/* Adopted containers: not all of them in the same moment. */
	if (delay_ms < 0 && age_ms > p->period_ms)
		delay_ms =
			(int64_t)random_below(client_random(w->n->client), (uint64_t)p->period_ms);
	wakeup_in(p->timer, MAX(delay_ms, 0));
}

/* What the last agent found out about this very container still holds. */
static void recall(struct pod_worker *w, size_t container)
{
	static const char *const lists[] = {
		"status.containerStatuses", "status.initContainerStatuses"};
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pod = pod_worker_doc(w, &a);
	const char *id = arena_printf(&a, "containerd://%s", w->containers[container].cur.id);

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		JSON_FOR_EACH_ITEM(s, json_path(pod, lists[i])) {
			if (!streq(json_str(json_get(s, "containerID")), id))
				continue;
			if (json_bool_or(json_get(s, "ready"), false))
				w->containers[container].probe_ready = true;
			if (json_bool_or(json_get(s, "started"), false))
				w->view.containers[container].started = true;
		}
	}
}

/* An error of a container that has ended meanwhile is nobody's concern. */
static void tell_error(struct pod_probe *p)
{
	_cleanup_(free_p) char *error = TAKE_PTR(p->error);

	if (error && !p->w->view.containers[p->container].killing)
		pod_worker_event(p->w, (long)p->container, "Warning", "Unhealthy",
			"%s probe errored and resulted in unknown state: %s", kinds[p->kind].name,
			error);
}

void pod_probes_start(struct pod_worker *w, size_t container)
{
	bool there = false;

	for (int k = 0; k < PROBE_KINDS; k++) {
		struct pod_probe *p = *slot(w, container, (enum probe_kind)k);
		if (!p)
			continue;
		tell_error(p);
		there = true;
	}
	if (there)
		return;
	if (!w->containers[container].cur.id || w->view.containers[container].killing)
		return;
	recall(w, container);
	if (!w->view.containers[container].started) {
		start_kind(w, container, PROBE_STARTUP);
		return;
	}
	start_kind(w, container, PROBE_LIVENESS);
	start_kind(w, container, PROBE_READINESS);
}

void pod_probes_leave(struct pod_worker *w, size_t container)
{
	probe_free(*slot(w, container, PROBE_LIVENESS));
	probe_free(*slot(w, container, PROBE_STARTUP));
}

void pod_probes_stop(struct pod_worker *w, size_t container)
{
	for (int k = 0; k < PROBE_KINDS; k++)
		probe_free(*slot(w, container, (enum probe_kind)k));
}

static void write_times(const struct pod_worker *w, size_t container, int kind, struct buf *out)
{
	const struct probe_times *t = w->containers[container].probe_times[kind];
	_cleanup_(free_p) char *labels =
		xasprintf("container=\"%s\",namespace=\"%s\",pod=\"%s\",probe_type=\"%s\"",
			w->containers[container].name, w->ns, w->name, kinds[kind].name);

	for (size_t i = 0; i <= TIME_BOUNDS; i++) {
		buf_printf(out, "prober_probe_duration_seconds_bucket{%s,le=\"", labels);
		if (i < TIME_BOUNDS)
			metric_number(out, metric_seconds[i]);
		else
			buf_add_str(out, "+Inf");
		buf_printf(out, "\"} %u\n", t->counts[i]);
	}
	buf_printf(out, "prober_probe_duration_seconds_sum{%s} ", labels);
	metric_number(out, t->sum);
	buf_printf(out, "\nprober_probe_duration_seconds_count{%s} %u\n", labels,
		t->counts[TIME_BOUNDS]);
}

static void write_all_times(struct pod_manager *m, struct buf *out)
{
	metric_head(out, "prober_probe_duration_seconds", "histogram",
		"[ALPHA] How long probes of containers took");
	for (struct table_iter it = table_iterate(&m->workers); table_next(&it);) {
		const struct pod_worker *w = it.value;
		for (size_t i = 0; i < w->view.container_count; i++) {
			for (int k = 0; k < PROBE_KINDS; k++) {
				if (w->containers[i].probe_times[k])
					write_times(w, i, k, out);
			}
		}
	}
}

void pod_manager_probe_metrics(struct pod_manager *m, struct buf *out)
{
	static const char *const outcomes[] = {
		[PROBE_SUCCESSFUL] = "successful",
		[PROBE_FAILED] = "failed",
		[PROBE_UNKNOWN] = "unknown",
	};

	buf_add_str(out, "# HELP prober_probe_total Results of liveness, readiness and startup "
			 "probes of containers.\n"
			 "# TYPE prober_probe_total counter\n");
	for (struct table_iter it = table_iterate(&m->workers); table_next(&it);) {
		const struct pod_worker *w = it.value;
		for (size_t i = 0; i < w->view.container_count; i++) {
			const struct pod_container *c = &w->containers[i];
			for (int k = 0; k < PROBE_KINDS; k++) {
				for (int o = 0; o < PROBE_OUTCOMES; o++) {
					if (!c->probe_results[k][o])
						continue;
					buf_printf(out,
						"prober_probe_total{container=\"%s\",namespace=\"%"
						"s\","
						"pod=\"%s\",pod_uid=\"%s\",probe_type=\"%s\","
						"result=\"%s\"} %u\n",
						c->name, w->ns, w->name, w->uid, kinds[k].name,
						outcomes[o], c->probe_results[k][o]);
				}
			}
		}
	}
	write_all_times(m, out);
}
