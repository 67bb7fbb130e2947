/* lifecycle.c - start, stop and restart change the VirtualMachine, and the controller does the
 * rest. KubeVirt's rules: what "running" is to be is the run strategy where that says so, else a
 * request in status.stateChangeRequests. */
#include "server/api/machines/machines.h"

#include "lib/object/machine_pod.h"

/* Of an instance that says nothing (KubeVirt's default). */
#define DEFAULT_GRACE_S 30

enum verb { VM_START, VM_STOP, VM_RESTART };

struct lifecycle {
	struct api_request *req;
	enum verb verb;
	struct json *options; /* StartOptions and so on; NULL = none */
	/* The instance, as it was when the request came. */
	const struct kind *instances;
	const char *uid; /* NULL = there is none */
	bool final, failed, deleting;
	int64_t grace_was_s; /* how long its guest may take to stop */
	/* What the options say of that. */
	bool has_grace;
	int64_t grace_s;
};

static const char *strategy_of(const struct json *vm)
{
	const char *s = json_path_str(vm, "spec.runStrategy");
	if (s && *s)
		return s;
	return json_path_bool(vm, "spec.running", false) ? "Always" : "Halted";
}

static void set_strategy(struct arena *a, struct json *vm, const char *strategy)
{
	struct json *spec = json_object_at(a, vm, "spec");
	if (json_get(spec, "running"))
		json_set_bool(a, spec, "running", streq(strategy, "Always"));
	else
		json_set_str(a, spec, "runStrategy", strategy);
}

static int refuse(struct lifecycle *l, const char *detail)
{
	return machines_conflict(l->req, "virtualmachine", detail);
}

static struct json *new_request(struct lifecycle *l, const char *action, bool with_uid)
{
	struct arena *a = l->req->arena;
	struct json *r = json_new_object(a);
	json_set_str(a, r, "action", action);
	if (with_uid && l->uid)
		json_set_str(a, r, "uid", l->uid);
	return r;
}

/* Both may be NULL. A stop alone takes the place of what else was asked for. */
static int request(struct lifecycle *l, struct json *vm, struct json *stop, struct json *start)
{
	struct arena *a = l->req->arena;
	struct json *status = json_object_at(a, vm, "status"), *list = json_new_array(a);
	if (start && json_count(json_get(status, "stateChangeRequests")))
		return refuse(l, "unable to complete request: stop/start already underway");
	if (stop)
		json_push(a, list, stop);
	if (start)
		json_push(a, list, start);
	json_set(a, status, "stateChangeRequests", list);
	json_remove(status, "startFailure"); /* whoever asks does not wait for the back-off */
	return 0;
}

static bool is_final(const char *phase)
{
	return streq(phase, "Succeeded") || streq(phase, "Failed");
}

/* StopOptions say gracePeriod, RestartOptions gracePeriodSeconds; both are taken of either. */
static int read_grace(struct lifecycle *l)
{
	struct api_request *req = l->req;
	const struct json *grace = json_get(l->options, "gracePeriodSeconds");
	if (!grace)
		grace = json_get(l->options, "gracePeriod");
	if (!grace || json_is(grace, JSON_NULL) || l->verb == VM_START)
		return 0;
	if (!json_is(grace, JSON_INT))
		return status_bad_request(req->arena, &req->st,
			"Can not unmarshal Request body to struct, error: gracePeriod must be a "
			"number of seconds");
	if (grace->i < 0)
		return status_bad_request(
			req->arena, &req->st, "gracePeriod has to be greater or equal to 0");
	if (l->verb == VM_RESTART && grace->i > 0)
		return status_bad_request(req->arena, &req->st,
			"For force restart, only gracePeriod=0 is supported for now");
	l->has_grace = true;
	l->grace_s = grace->i;
	return 0;
}

static struct json *start_request(struct lifecycle *l)
{
	struct arena *a = l->req->arena;
	struct json *r = new_request(l, "Start", false);
	if (json_path_bool(l->options, "paused", false))
		json_set_str(a, json_object_at(a, r, "data"), "paused", "true");
	return r;
}

static int change_start(struct lifecycle *l, struct json *vm)
{
	const char *strategy = strategy_of(vm);
	bool paused = json_path_bool(l->options, "paused", false);
	bool rerun = streq(strategy, "RerunOnFailure");
	if (l->uid && !l->deleting && !l->final)
		return refuse(l, "VM is already running");
	if (streq(strategy, "Always") || streq(strategy, "Once") ||
		streq(strategy, "WaitAsReceiver"))
		return refuse(l, arena_printf(l->req->arena,
					 "%s does not support manual start requests", strategy));
	if (streq(strategy, "Halted") && !paused) {
		if (json_count(json_path(vm, "status.stateChangeRequests")))
			return refuse(l, "unable to complete request: stop/start already underway");
		set_strategy(l->req->arena, vm, "Always");
		return 0;
	}
	if (rerun && l->final && l->failed)
		return refuse(l, "RerunOnFailure does not support starting VM from failed state");
	/* What has ended must go before there can be another. */
	bool ended = l->uid && l->final && !l->deleting && !streq(strategy, "Halted");
	return request(l, vm, ended ? new_request(l, "Stop", true) : NULL, start_request(l));
}

static int change_stop(struct lifecycle *l, struct json *vm)
{
	const char *strategy = strategy_of(vm);
	bool running = l->uid && !l->final;
	if (streq(strategy, "Always") || streq(strategy, "Once")) {
		set_strategy(l->req->arena, vm, "Halted");
		return 0;
	}
	if (!running)
		return refuse(l, "VM is not running");
	if (streq(strategy, "Halted")) {
		if (!l->has_grace || l->grace_s >= l->grace_was_s)
			return refuse(l, "Halted only supports manual stop requests with a shorter "
					 "graceperiod");
	}
	return request(l, vm, new_request(l, "Stop", true), NULL);
}

static int change_restart(struct lifecycle *l, struct json *vm)
{
	const char *strategy = strategy_of(vm);
	/* (The misspelling is what clients know.) */
	if (streq(strategy, "Halted") || streq(strategy, "Once"))
		return refuse(l, arena_printf(l->req->arena,
					 "RunStategy %s does not support manual restart requests",
					 strategy));
	if (!l->uid || l->final)
		return refuse(l, "VM is not running: Halted");
	return request(l, vm, new_request(l, "Stop", true), new_request(l, "Start", false));
}

static int (*const verbs[])(struct lifecycle *, struct json *) = {
	[VM_START] = change_start, [VM_STOP] = change_stop, [VM_RESTART] = change_restart};

static int change(struct update *u, const struct json *present, struct json **ret)
{
	struct lifecycle *l = u->user;
	struct json *vm = json_copy(u->req->arena, present);
	int r = verbs[l->verb](l, vm);
	if (r < 0)
		return r;
	*ret = vm;
	return 0;
}

/* Another grace than its own is written into the instance before it is stopped: its node keeps to
 * it, and its template does not come over it. */
static int set_grace(struct update *u, const struct json *present, struct json **ret)
{
	const struct lifecycle *l = u->user;
	*ret = json_copy(u->req->arena, present);
	json_path_set(u->req->arena, *ret, "spec.terminationGracePeriodSeconds",
		json_new_int(u->req->arena, l->grace_s));
	json_set_str(u->req->arena,
		json_object_at(u->req->arena, json_object_at(u->req->arena, *ret, "metadata"),
			"annotations"),
		MACHINE_STOP_GRACE_ANNOTATION, "true");
	return 0;
}

static void change_machine(struct lifecycle *l)
{
	machines_update(
		l->req, &(struct machines_change){l->req->kind, "lifecycle", change, NULL, l});
}

static void grace_set(struct update *u, int code, struct object *o, struct json *doc)
{
	change_machine(u->user);
}

static void run(struct api_request *req, enum verb verb)
{
	struct lifecycle *l = ARENA_NEW(req->arena, struct lifecycle);
	*l = (struct lifecycle){.req = req, .verb = verb};
	int r = machines_options(req, &l->options);
	if (r == 0)
		r = read_grace(l);
	if (r == 0 && !machines_machine(req))
		r = machines_not_found(req, "virtualmachine", req->route.name);
	if (r < 0) {
		api_fail(req);
		return;
	}
	l->instances =
		kind_by_resource(req->api->kinds, "kubevirt.io", "v1", "virtualmachineinstances");
	const struct object *vmi =
		cache_get(req->api->cache, l->instances, req->route.namespace, req->route.name);
	if (vmi) {
		l->uid = arena_strdup(req->arena, vmi->uid);
		l->deleting = vmi->deleting;
		l->final = is_final(object_field(vmi, "status.phase"));
		l->failed = streq(object_field(vmi, "status.phase"), "Failed");
		l->grace_was_s = json_path_int(object_doc(vmi, req->arena),
			"spec.terminationGracePeriodSeconds", DEFAULT_GRACE_S);
	}
	if (!l->has_grace || !l->uid || l->final) {
		change_machine(l);
		return;
	}
	/* What would be refused anyway must not leave a shorter grace behind. */
	struct json *trial = json_copy(req->arena, object_doc(machines_machine(req), req->arena));
	if (verbs[verb](l, trial) < 0) {
		api_fail(req);
		return;
	}
	machines_update(
		req, &(struct machines_change){l->instances, "lifecycle", set_grace, grace_set, l});
}

void machines_start(struct api_request *req)
{
	if (!machines_restore_saved(req))
		run(req, VM_START);
}

void machines_stop(struct api_request *req)
{
	run(req, VM_STOP);
}

void machines_restart(struct api_request *req)
{
	run(req, VM_RESTART);
}
