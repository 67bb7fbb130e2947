/* pod_admission.c - the worker's side of admission: who is here already, what other parts of the
 * node say, and what follows from the verdict. */
#include "node/pod/pod_admit.h"
#include "node/pod/pod_internal.h"

#include "lib/base/log.h"

#define PREEMPTED_TEXT "Preempted in order to admit critical pod"
#define PREEMPTED_CONDITION "Pod was preempted by Kubelet to accommodate a critical pod."

void pod_manager_add_check(struct pod_manager *m, pod_check *check, void *user)
{
	VEC_PUSH(&m->checks, ((struct pod_manager_check){check, user}));
}

void pod_manager_count_machines(struct pod_manager *m, machine_list *machines)
{
	m->machines = machines;
}

static void refuse(struct pod_worker *w, const char *reason, const char *message)
{
	_cleanup_(free_p) char *text = xasprintf("Pod was rejected: %s", message);
	struct pod_end end = {.reason = reason, .message = text};

	log_warn("pod refused", "namespace", w->ns, "pod", w->name, "reason", reason, "message",
		message, NULL);
	pod_worker_event(w, -1, "Warning", reason, "%s", message);
	w->refused = true;
	pod_worker_end(w, &end);
}

static void preempt(struct pod_manager *m, const struct pod_verdict *v)
{
	struct pod_end end = {
		.reason = "Preempting",
		.message = PREEMPTED_TEXT,
		.event = "Preempting",
		.disruption = PREEMPTED_CONDITION,
		.grace_s = -1,
	};

	for (size_t i = 0; i < v->victim_count; i++)
		pod_manager_end(m, v->victims[i], &end);
}

static const struct pod_ask *ask_of(struct pod_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (!w->ask)
		w->ask = pod_ask_make(pod_resize_pod(w, &a));
	return w->ask;
}

/* What an agent before this one set up was admitted by it. */
static bool was_admitted(struct pod_worker *w)
{
	if (!w->admitted)
		w->admitted = w->view.sandbox_exists || access(w->dir, F_OK) == 0;
	return w->admitted;
}

/* A machine is nobody's victim. */
static struct pod_ask *machine_ask(const struct machine_request *r)
{
	struct pod_ask *ask = xcalloc(1, sizeof(*ask));

	VEC_PUSH(&ask->amounts, ((struct pod_amount){xstrdup("cpu"), r->cpu_milli}));
	VEC_PUSH(&ask->amounts, ((struct pod_amount){xstrdup("memory"), r->memory_bytes}));
	ask->priority = INT64_MAX;
	ask->critical = true;
	return ask;
}

/* Pods first, then machines, whose asks are the caller's to destroy. */
static size_t residents(
	struct pod_worker *w, struct arena *a, struct pod_resident **ret, size_t *ret_pods)
{
	struct pod_manager *m = w->m;
	struct machine_request *machines = NULL;
	size_t machine_count = m->machines ? m->machines(m->n, a, &machines) : 0, n = 0;
	struct pod_resident *all =
		arena_alloc(a, (m->workers.count + machine_count + 1) * sizeof(*all));

	for (struct table_iter it = table_iterate(&m->workers); table_next(&it);) {
		struct pod_worker *o = it.value;
		if (o != w && !o->view.ended && !o->view.absent && was_admitted(o))
			all[n++] = (struct pod_resident){o->uid, ask_of(o)};
	}
	*ret_pods = n;
	for (size_t i = 0; i < machine_count; i++)
		all[n++] = (struct pod_resident){machines[i].uid, machine_ask(&machines[i])};
	*ret = all;
	return n;
}

void pod_worker_admit(struct pod_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_manager *m = w->m;
	struct pod_resident *others;
	struct pod_verdict v;

	if (w->view.ended || w->view.deleting || w->view.absent || was_admitted(w))
		return;
	const struct json *pod = pod_worker_doc(w, &a);
	for (size_t i = 0; i < m->checks.count; i++) {
		const struct pod_manager_check *c = &m->checks.items[i];
		const char *reason = "UnexpectedAdmissionError", *message = "";
		if (!c->check(c->user, &a, pod, &reason, &message)) {
			refuse(w, reason, message);
			return;
		}
	}
	size_t pods, count = residents(w, &a, &others, &pods);
	pod_admit(&a, w->n->object, pod, ask_of(w), others, count, &v);
	for (size_t i = pods; i < count; i++)
		pod_ask_destroy((struct pod_ask *)(uintptr_t)others[i].ask);
	if (v.admitted) {
		w->admitted = true;
		preempt(m, &v);
	} else {
		refuse(w, v.reason, v.message);
	}
}
