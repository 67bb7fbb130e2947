#include "server/controllers/machines/virtual_machine_plan.h"

#include "server/controllers/meta.h"

/* Starts of a machine that failed are spread out; one that ran this long has not "failed to start".
 */
#define BACKOFF_FIRST_S 10
#define BACKOFF_MAX_S 300
#define RAN_WELL_S 600

const char *vm_strategy(const struct json *vm)
{
	const char *strategy = json_path_str(vm, "spec.runStrategy");
	if (strategy && strategy[0])
		return strategy;
	return json_path_bool(vm, "spec.running", false) ? "Always" : "Halted";
}

bool vm_phase_final(const char *phase)
{
	return streq(phase, "Succeeded") || streq(phase, "Failed");
}

static bool is_start(const struct json *request)
{
	return streq(json_str(json_get(request, "action")), "Start");
}

/* A request to stop one instance is done when that one is gone. A request to start is done when
 * there is an instance that is not about to go. */
static const struct json *remaining(struct arena *a, const struct vm_facts *f, struct vm_plan *p,
	bool *ret_stop, bool *ret_start)
{
	const struct vm_instance *i = &f->instance;
	struct json *rest = json_new_array(a);
	*ret_stop = *ret_start = false;
	JSON_FOR_EACH_ITEM(r, f->requests) {
		const char *uid = json_str_or(json_get(r, "uid"), "");
		if (streq(json_str(json_get(r, "action")), "Stop") && i->uid &&
			(!uid[0] || streq(uid, i->uid))) {
			*ret_stop = true;
			json_push(a, rest, r);
		} else if (is_start(r) &&
			   (!i->uid || *ret_stop || i->deleting || vm_phase_final(i->phase))) {
			*ret_start = true;
			p->paused = streq(json_path_str(r, "data.paused"), "true");
			json_push(a, rest, r);
		}
	}
	/* One that failed is to run again: said before it is deleted, so that it is not forgotten.
	 */
	if (streq(f->strategy, "RerunOnFailure") && i->uid && streq(i->phase, "Failed") &&
		!i->deleting && !*ret_start && !*ret_stop && !f->deleting) {
		struct json *r = json_new_object(a);
		json_set_str(a, r, "action", "Start");
		json_push(a, rest, r);
		*ret_start = true;
	}
	return json_count(rest) ? rest : json_new_null(a);
}

/* Writes down a failed instance once, with the time before which there is no other. */
static const struct json *note_failure(struct arena *a, const struct vm_facts *f)
{
	const struct vm_instance *i = &f->instance;
	if (streq(f->strategy, "Halted"))
		return json_new_null(a);
	bool ran_well =
		i->running_since_ns && f->now_ns - i->running_since_ns >= RAN_WELL_S * NS_PER_S;
	if (i->uid && streq(i->phase, "Running") && ran_well)
		return json_new_null(a);
	bool failed = i->uid && streq(i->phase, "Failed");
	if (!failed || streq(json_str(json_get(f->start_failure, "lastFailedVMIUID")), i->uid))
		return f->start_failure ? f->start_failure : json_new_null(a);
	int64_t count =
		ran_well ? 1
			 : json_int_or(json_get(f->start_failure, "consecutiveFailCount"), 0) + 1;
	int64_t delay_s =
		count > 6 ? BACKOFF_MAX_S : MIN(BACKOFF_FIRST_S << (count - 1), BACKOFF_MAX_S);
	struct json *failure = json_new_object(a);
	json_set_int(a, failure, "consecutiveFailCount", count);
	json_set_str(a, failure, "lastFailedVMIUID", i->uid);
	json_set(a, failure, "retryAfterTimestamp", meta_time(a, f->now_ns + delay_s * NS_PER_S));
	return failure;
}

static bool wants_instance(const struct vm_facts *f, bool start_asked)
{
	if (f->deleting || streq(f->strategy, "Halted") || streq(f->strategy, "WaitAsReceiver"))
		return false;
	if (streq(f->strategy, "Manual"))
		return start_asked;
	/* Coming from another strategy it runs; once it has ended well, it does not any more. */
	if (streq(f->strategy, "RerunOnFailure") && !f->instance.uid)
		return start_asked || !streq(f->strategy_was, f->strategy);
	return true;
}

static bool must_stop(const struct vm_facts *f, bool stop_asked, bool start_asked)
{
	const struct vm_instance *i = &f->instance;
	if (!i->uid || i->deleting)
		return false;
	if (f->deleting || stop_asked || streq(f->strategy, "Halted"))
		return true;
	bool final = vm_phase_final(i->phase);
	/* What has ended is removed where another one is to follow. */
	if (streq(f->strategy, "Always") || start_asked)
		return final;
	return streq(f->strategy, "RerunOnFailure") && streq(i->phase, "Failed");
}

static const char *image_failure(const struct vm_instance *i)
{
	JSON_FOR_EACH_ITEM(c, i->conditions) {
		const char *reason = json_str_or(json_get(c, "reason"), "");
		if (streq(reason, "ErrImagePull") || streq(reason, "ImagePullBackOff"))
			return streq(reason, "ErrImagePull") ? "ErrImagePull" : "ImagePullBackOff";
	}
	return NULL;
}

static bool unschedulable(const struct vm_instance *i)
{
	const struct json *placed = condition_find(i->conditions, "PodScheduled");
	return streq(json_str(json_get(placed, "reason")), "Unschedulable") &&
	       streq(json_str(json_get(placed, "status")), "False");
}

/* What keeps an instance from running, or the next one from being made; NULL = nothing. KubeVirt's
 * order. */
static const char *obstacle(const struct vm_facts *f, bool wanted)
{
	const struct vm_instance *i = &f->instance;
	bool starting = wanted || i->uid;
	const char *image = i->uid ? image_failure(i) : NULL;
	return f->volume_lost && starting	? "ErrorPvcNotFound"
	       : f->volume_error		? "DataVolumeError"
	       : i->uid && unschedulable(i)	? "ErrorUnschedulable"
	       : f->volumes_provisioning	? "Provisioning"
	       : f->volumes_unbound && starting ? "WaitingForVolumeBinding"
						: image;
}

static const char *name_state(const struct vm_facts *f, bool stop, bool wanted, bool waiting)
{
	const struct vm_instance *i = &f->instance;
	bool there = i->uid && !vm_phase_final(i->phase);
	if (f->deleting)
		return "Terminating";
	if (there && (i->deleting || stop))
		return "Stopping";
	if (there && streq(i->phase, "Unknown"))
		return "Unknown";
	if (there && streq(i->phase, "Running"))
		return i->migrating				       ? "Migrating"
		       : condition_is(i->conditions, "Paused", "True") ? "Paused"
								       : "Running";
	const char *why = obstacle(f, wanted);
	if (why)
		return why;
	if (there)
		return "Starting";
	if (waiting && wanted)
		return "CrashLoopBackOff";
	if (i->uid)
		return i->deleting || stop ? "Stopping" : "Stopped";
	return wanted ? "Starting" : "Stopped";
}

struct vm_plan vm_plan(struct arena *a, const struct vm_facts *f)
{
	struct vm_plan p = {.again_ms = -1};
	bool stop_asked, start_asked;
	p.requests = remaining(a, f, &p, &stop_asked, &start_asked);
	p.start_failure = note_failure(a, f);
	bool wanted = wants_instance(f, start_asked);
	/* Who asks for a start by hand does not wait for the back-off. */
	int64_t wait_ns = start_asked && streq(f->strategy, "Manual")
				  ? 0
				  : meta_time_ns(json_get(p.start_failure, "retryAfterTimestamp")) -
					    f->now_ns;
	bool waiting = wait_ns > 0 && wanted;
	p.stop = must_stop(f, stop_asked, start_asked);
	p.start = wanted && !f->instance.uid && !waiting && f->volumes_ready && !f->locked;
	p.to_always =
		streq(f->strategy, "Halted") && start_asked && !f->instance.uid && !f->deleting;
	if (waiting && !f->instance.uid)
		p.again_ms = wait_ns / NS_PER_MS + 1;
	p.printable_status = name_state(f, p.stop, wanted, waiting);
	return p;
}
