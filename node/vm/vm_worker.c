#include "node/vm/snapshot/resume.h"
#include "node/vm/snapshot/snapshots.h"
#include "node/vm/vm_internal.h"

#include <stdio.h>

#include "lib/base/log.h"
#include "node/vm/control/control.h"
#include "node/vm/guest_dns.h"
#include "node/vm/live/live.h"
#include "node/vm/vm_networks.h"
#include "node/vm/vm_nfs.h"

#define STATUS_RETRY_MS 1000

static int64_t now_of(const struct vm_worker *w)
{
	return w->m->node->clock->mono_ns(w->m->node->clock);
}

void vm_say(struct vm_worker *w, const char *type, const char *reason, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_info(
		"virtual machine", "vmi", w->core.sm.label, "event", reason, "message", text, NULL);
	if (w->object)
		client_event(w->m->node->client, w->object, NULL, type, reason, "%s", text);
}

static void problem(struct vm_worker *w, const char *reason, const struct err *err)
{
	w->problem = *err;
	if (!w->problem.code)
		w->problem.code = -EIO;
	snprintf(w->problem_reason, sizeof(w->problem_reason), "%s", reason);
	vm_say(w, "Warning", "SyncFailed", "%s", w->problem.msg);
}

static void no_problem(struct vm_worker *w)
{
	w->problem = ERR_INIT;
	w->problem_reason[0] = '\0';
}

/* ---- status ---- */

static void send_status(struct vm_worker *w);
static void take_facts(struct vm_worker *w);

static void status_sent(void *user, const struct client_result *r)
{
	struct vm_worker *w = user;
	struct object *fresh = NULL;

	w->status = NULL;
	w->status_again_later = !client_ok(r) && r->code != 404;
	if (w->status_again_later)
		log_debug("status of a VMI was refused", "vmi", w->core.sm.label, "error",
			r->message, NULL);
	/* The answer is the object as it is now: the watch may tell it later. */
	if (client_ok(r) &&
		object_from_bytes(w->m->kind, r->body, r->body_size, &fresh, NULL) == 0) {
		w->sent_revision = fresh->revision;
		if (w->object && streq(fresh->uid, w->uid) &&
			fresh->revision > w->object->revision) {
			object_unref(w->object);
			w->object = fresh;
			take_facts(w); /* the deletion may have come in between */
		} else {
			object_unref(fresh);
		}
	}
	vm_worker_step(w);
}

static const char *phase_of(const struct vm_worker *w)
{
	switch (w->core.outcome) {
	case VM_OUTCOME_SUCCEEDED:
		return "Succeeded";
	case VM_OUTCOME_FAILED:
		return "Failed";
	case VM_OUTCOME_NONE:
		break;
	}
	return !w->core.finished &&
			       (w->core.sm.state == VM_RUNNING || w->core.sm.state == VM_SAVED ||
				       w->core.sm.state == VM_STOPPING ||
				       w->core.sm.state == VM_KILLING)
		       ? "Running"
		       : NULL;
}

/* The status that should be there, NULL when it is. */
static struct json *wanted_status(struct vm_worker *w, struct arena *a)
{
	const char *probe = vm_probe_problem(w);
	const char *reason = w->problem_reason;
	struct vm_facts f = {
		.phase = phase_of(w),
		.alive = vm_core_alive(&w->core) && w->core.sm.state != VM_LOOKING,
		.paused = w->core.domain == VM_DOMAIN_PAUSED,
		.saved = w->core.sm.state == VM_SAVED,
		.not_ready_reason = *probe ? "ReadinessProbeFailed" : "",
		.not_ready_message = probe,
		.address = w->address,
		.spec = w->has_spec ? &w->spec : NULL,
	};

	f.outside_reason = vm_outside_changed(w, &f.outside_message);
	f.outside_undone = vm_outside_undone(w);
	f.memory_now_bytes = vm_outside_memory(w);
	/* Looked up once a start. */
	if (!f.alive)
		w->confinement[0] = '\0';
	else if (!*w->confinement)
		w->runtime_user = vm_host_confinement(
			w->domain.name, w->confinement, sizeof(w->confinement), &w->confined);
	f.confinement = w->confinement;
	f.confined = w->confined;
	f.runtime_user = f.alive && *w->confinement ? w->runtime_user : -1;
	f.machine = w->machine;
	if (f.paused)
		vm_pause_words(w, &f.pause_reason, &f.pause_message);

	/* As with containers: the failure itself first, then that it is tried again with pauses. */
	if (streq(reason, "ErrImagePull") && w->core.failures > 1)
		reason = "ImagePullBackOff";
	/* Services stop sending while it goes down. */
	if (w->core.sm.state == VM_STOPPING || w->core.sm.state == VM_KILLING) {
		f.not_ready_reason = "GuestStopping";
		f.not_ready_message = "the guest is being shut down";
	}
	if (w->problem.code) {
		f.problem_reason = reason;
		f.problem_message = w->problem.msg;
	} else if (f.alive && (f.problem_message = vm_nfs_problem(w))) {
		f.problem_reason = "StorageUnreachable";
	}
	vm_agent_facts(w, a, &f);
	vm_live_facts(w, a, &f);
	return vm_status_patch(
		a, object_doc(w->object, a), &f, w->m->node->clock->wall_ns(w->m->node->clock));
}

static void send_status(struct vm_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *patch;
	const char *text;

	/* Before the first look at libvirt, and when it has been away, nothing is known that the
	 * object does not say. */
	if (w->status || !w->object || w->core.sm.state == VM_LOOKING ||
		w->core.sm.state == VM_RELEASED ||
		(w->core.sm.state == VM_RUNNING && w->core.domain == VM_DOMAIN_UNKNOWN))
		return;
	patch = wanted_status(w, &a);
	if (!patch)
		return;
	/* What the server keeps in other words than it was told is not told again and again. */
	text = json_text(&a, patch);
	if (streq(text, w->sent_status) && w->object->revision <= w->sent_revision)
		return;
	free(w->sent_status);
	w->sent_status = xstrdup(text);
	w->sent_revision = 0;
	w->status = client_patch(w->m->node->client, w->m->kind, w->object->namespace,
		w->object->name, "status", "application/merge-patch+json", patch, status_sent, w);
}

/* ---- actions ---- */

void vm_worker_done(struct vm_worker *w, enum vm_action a, bool ok)
{
	vm_core_done(&w->core, a, ok, now_of(w));
	vm_worker_step(w);
}

/* Reads the object anew; the spec then stays until the next preparation. */
static int read_spec(struct vm_worker *w, struct err *err)
{
	int r;

	w->has_spec = false;
	arena_finish(&w->arena);
	w->doc = object_doc(w->object, &w->arena);
	r = vm_spec_read(&w->arena, w->doc, &w->spec, err);
	if (r < 0)
		return r;
	w->has_spec = true;
	w->core.grace_ns = w->spec.grace_s * NS_PER_S;
	return 0;
}

/* The preparation goes on; people hear what it waits for. */
static void preparation_waits(void *user, const char *reason, const struct err *err)
{
	struct vm_worker *w = user;

	/* No event: nothing has failed, and what is waited for has events of its own. */
	w->problem = *err;
	snprintf(w->problem_reason, sizeof(w->problem_reason), "%s", reason);
	vm_worker_step(w);
}

static void prepared(void *user, const char *address, const char *reason, const struct err *err)
{
	struct vm_worker *w = user;

	w->prepare = NULL;
	if (err)
		problem(w, reason, err);
	else
		snprintf(w->address, sizeof(w->address), "%s", address);
	w->leased = w->attached = w->prepared = !err;
	vm_worker_done(w, VM_DO_PREPARE, !err);
}

static void begin_prepare(struct vm_worker *w)
{
	struct err err = ERR_INIT;

	if (read_spec(w, &err) < 0 || vm_host_check(w->m->hardware, &w->spec, &err) < 0) {
		problem(w, err.code == -EOPNOTSUPP ? "NotSupported" : "InvalidSpec", &err);
		vm_worker_done(w, VM_DO_PREPARE, false);
		return;
	}
	w->prepare = vm_prepare_start(&(struct vm_prepare_options){
		.node = w->m->node,
		.images = w->m->images,
		.directory = w->m->directory,
		.vmi = w->object,
		.arena = &w->arena,
		.spec = &w->spec,
		.waits = preparation_waits,
		.done = prepared,
		.user = w,
	});
}

static bool has_finalizer(const struct json *doc)
{
	JSON_FOR_EACH_ITEM(it, json_path(doc, "metadata.finalizers"))
		if (streq(json_str(it), VM_FINALIZER))
			return true;
	return false;
}

static struct client_call *patch_finalizers(struct vm_worker *w, bool add, client_done *then)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc = object_doc(w->object, &a), *list = json_new_array(&a);
	struct json *patch = json_new_object(&a), *meta = json_object_at(&a, patch, "metadata");

	JSON_FOR_EACH_ITEM(it, json_path(doc, "metadata.finalizers"))
		if (!streq(json_str(it), VM_FINALIZER))
			json_push(&a, list, it);
	if (add)
		json_push(&a, list, json_new_string(&a, VM_FINALIZER));
	json_set_str(&a, meta, "uid", w->uid);
	/* Others' finalizers are in the list too: only if nobody changed it meanwhile. */
	json_set_str(&a, meta, "resourceVersion", json_path_str(doc, "metadata.resourceVersion"));
	json_set(&a, meta, "finalizers", json_count(list) ? list : json_new_null(&a));
	return client_patch(w->m->node->client, w->m->kind, w->object->namespace, w->object->name,
		NULL, "application/merge-patch+json", patch, then, w);
}

static void finalizer_added(void *user, const struct client_result *r)
{
	struct vm_worker *w = user;
	struct err err = ERR_INIT;

	w->release = NULL;
	if (w->core.deleting || w->core.finished || !w->object) {
		vm_worker_done(w, VM_DO_PREPARE, false);
	} else if (client_ok(r) || r->code == 409) {
		/* After a conflict the next try has the newer object. */
		if (client_ok(r))
			begin_prepare(w);
		else
			vm_worker_done(w, VM_DO_PREPARE, false);
	} else {
		err_set(&err, -EIO, "set the finalizer: %s", r->message);
		problem(w, "APIError", &err);
		vm_worker_done(w, VM_DO_PREPARE, false);
	}
}

static void prepare(struct vm_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	/* Nothing may be made here that the object's deletion would not wait for. */
	if (has_finalizer(object_doc(w->object, &a)))
		begin_prepare(w);
	else
		w->release = patch_finalizers(w, true, finalizer_added);
}

static void libvirt_problem(struct vm_worker *w, const char *doing, const struct libvirt_reply *r)
{
	struct err err = ERR_INIT;

	err_set(&err, -EIO, "%s: %s", doing, r->message);
	problem(w, r->code < 0 ? "LibvirtUnreachable" : "LibvirtError", &err);
}

static void defined(void *user, const struct libvirt_reply *r)
{
	struct vm_worker *w = user;
	struct xdr_reader body = r->body;

	w->call = NULL;
	if (r->ok) {
		xdr_get_domain(&body, &w->domain);
		memcpy(w->uuid, w->domain.uuid, sizeof(w->uuid));
		vm_say(w, "Normal", "Created", "Defined domain %s", w->domain.name);
	} else {
		libvirt_problem(w, "define the domain", r);
	}
	vm_worker_done(w, VM_DO_DEFINE, r->ok);
}

static void define(struct vm_worker *w)
{
	_cleanup_(buf_finish) struct buf xml = BUF_INIT;
	struct err err = ERR_INIT;
	const char *reason = "InvalidSpec";

	if (vm_host_place(w->m->hardware, &w->spec, &w->arena, &reason, &err) < 0 ||
		domain_xml_write(&xml, &w->spec, &w->m->host, &err) < 0) {
		problem(w, reason, &err);
		vm_worker_done(w, VM_DO_DEFINE, false);
		return;
	}
	w->call = libvirt_call_xml(
		w->m->libvirt, LIBVIRT_DOMAIN_DEFINE_XML_FLAGS, xml.data, 0, defined, w);
}

/* It waits for its user once, not when it restarts. */
static bool starts_paused(const struct vm_worker *w)
{
	return w->spec.start_paused && !w->core.restarts;
}

void vm_worker_started(struct vm_worker *w)
{
	no_problem(w);
	vm_reboot_over(w);
	net_ports_changed(w->m->node->net);
	w->pause_reason = LIBVIRT_PAUSED_USER;
	if (starts_paused(w))
		vm_core_domain(&w->core, VM_DOMAIN_PAUSED, now_of(w));
	vm_worker_done(w, VM_DO_START, true);
}

static void started(void *user, const struct libvirt_reply *r)
{
	struct vm_worker *w = user;

	w->call = NULL;
	if (r->ok) {
		if (w->core.restarts)
			vm_say(w, "Normal", "Rebooted",
				"The guest was restarting when it was saved: it has shut down, and "
				"is started again");
		else
			vm_say(w, "Normal", "Started", "Started the guest");
		vm_worker_started(w);
		return;
	}
	libvirt_problem(w, "start the guest", r);
	w->pause_reason = LIBVIRT_PAUSED_USER;
	vm_worker_done(w, VM_DO_START, false);
}

void vm_worker_boot(struct vm_worker *w)
{
	w->call = libvirt_call_domain(w->m->libvirt, LIBVIRT_DOMAIN_CREATE_WITH_FLAGS, &w->domain,
		starts_paused(w) ? LIBVIRT_CREATE_PAUSED : 0, started, w);
}

static void shutdown_asked(void *user, const struct libvirt_reply *r)
{
	struct vm_worker *w = user;

	w->call = NULL;
	vm_worker_done(w, VM_DO_SHUTDOWN, r->ok);
}

static void resumed(void *user, const struct libvirt_reply *r)
{
	struct vm_worker *w = user;

	w->call = NULL;
	vm_worker_done(w, VM_DO_RESUME, r->ok);
}

/* The agent in the guest knows how to shut a system down; the power button is for who has none, or
 * one that did not help. */
static void ask_to_power_off(struct vm_worker *w)
{
	if (!w->said_stopping)
		vm_say(w, "Normal", "ShuttingDown", "Asked the guest to power off");
	w->said_stopping = true;
	if (w->core.asks % 2 == 1 && vm_agent_power_off(w))
		vm_worker_done(w, VM_DO_SHUTDOWN, true);
	else
		w->call = libvirt_call_domain(w->m->libvirt, LIBVIRT_DOMAIN_SHUTDOWN_FLAGS,
			&w->domain, LIBVIRT_SHUTDOWN_ACPI, shutdown_asked, w);
}

static void destroyed(void *user, const struct libvirt_reply *r)
{
	struct vm_worker *w = user;

	w->call = NULL;
	if (!r->ok && r->code != LIBVIRT_ERR_NO_DOMAIN && r->code != LIBVIRT_ERR_OPERATION_INVALID)
		libvirt_problem(w, "end the guest", r);
	vm_worker_done(w, VM_DO_DESTROY, r->ok);
}

/* Cleaning: the domain's end and definition, then the address, then the files. */

static void lease_gone(void *user, const struct net_lease *lease, const struct err *err)
{
	struct vm_worker *w = user;

	w->lease = NULL;
	if (err) {
		problem(w, "NetworkNotReady", err);
		vm_worker_done(w, VM_DO_CLEAN, false);
		return;
	}
	vm_prepare_remove(w->m->directory, w->uid);
	no_problem(w);
	vm_worker_done(w, VM_DO_CLEAN, true);
}

static void clean_rest(struct vm_worker *w)
{
	char id[80];

	net_detach(w->m->node->net, w->uid, NULL, 0);
	w->attached = false;
	vm_prepare_lease_id(w->uid, id);
	if (w->lease)
		net_call_cancel(w->lease);
	w->lease = net_lease_remove(w->m->node->net, id, vm_networks_machine(w), lease_gone, w);
}

static void undefined(void *user, const struct libvirt_reply *r)
{
	struct vm_worker *w = user;

	w->call = NULL;
	if (r->ok || r->code == LIBVIRT_ERR_NO_DOMAIN) {
		clean_rest(w);
		return;
	}
	libvirt_problem(w, "undefine the domain", r);
	vm_worker_done(w, VM_DO_CLEAN, false);
}

static void clean_destroyed(void *user, const struct libvirt_reply *r)
{
	struct vm_worker *w = user;

	w->call = NULL;
	if (!r->ok && r->code < 0) {
		vm_worker_done(w, VM_DO_CLEAN, false);
		return;
	}
	w->call = libvirt_call_domain(w->m->libvirt, LIBVIRT_DOMAIN_UNDEFINE_FLAGS, &w->domain,
		LIBVIRT_UNDEFINE_ALL, undefined, w);
}

static void clean_found(void *user, const struct libvirt_reply *r)
{
	struct vm_worker *w = user;
	struct xdr_reader body = r->body;
	struct libvirt_domain d;

	w->call = NULL;
	if (!r->ok && r->code != LIBVIRT_ERR_NO_DOMAIN) {
		vm_worker_done(w, VM_DO_CLEAN, false);
		return;
	}
	if (r->ok)
		xdr_get_domain(&body, &d);
	if (!r->ok || body.bad || !streq(d.name, w->domain.name)) {
		clean_rest(w);
		return;
	}
	w->domain = d;
	w->call = libvirt_call_domain(
		w->m->libvirt, LIBVIRT_DOMAIN_DESTROY_FLAGS, &w->domain, 0, clean_destroyed, w);
}

static void clean(struct vm_worker *w)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;

	vm_console_end(w, "the guest stopped");
	vm_probe_stop(w);
	vm_agent_stop(w);
	if (!vm_lookup_know(w)) {
		clean_rest(w);
		return;
	}
	buf_add(&args, w->uuid, sizeof(w->uuid));
	w->call = libvirt_call(
		w->m->libvirt, LIBVIRT_DOMAIN_LOOKUP_BY_UUID, &args, 0, clean_found, w);
}

static void released(void *user, const struct client_result *r)
{
	struct vm_worker *w = user;

	w->release = NULL;
	vm_worker_done(w, VM_DO_RELEASE, client_ok(r) || r->code == 404);
}

static void release(struct vm_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (!w->object || !has_finalizer(object_doc(w->object, &a)))
		vm_worker_done(w, VM_DO_RELEASE, true);
	else
		w->release = patch_finalizers(w, false, released);
}

static void perform(struct vm_worker *w, enum vm_action a)
{
	switch (a) {
	case VM_DO_LOOKUP:
		vm_lookup(w);
		break;
	case VM_DO_PREPARE:
		prepare(w);
		break;
	case VM_DO_ABORT:
		vm_prepare_cancel(TAKE_PTR(w->prepare));
		if (w->release)
			client_cancel(w->m->node->client, TAKE_PTR(w->release));
		vm_worker_done(w, VM_DO_PREPARE, false);
		break;
	case VM_DO_DEFINE:
		define(w);
		break;
	case VM_DO_START:
		if (w->core.restarts || !vm_resume_start(w))
			vm_worker_boot(w);
		break;
	case VM_DO_RESTORE:
		vm_restore_start(w);
		break;
	case VM_DO_RESUME:
		w->call = libvirt_call_domain(
			w->m->libvirt, LIBVIRT_DOMAIN_RESUME, &w->domain, 0, resumed, w);
		break;
	case VM_DO_SHUTDOWN:
		ask_to_power_off(w);
		break;
	case VM_DO_DESTROY:
		if (w->core.asks)
			vm_say(w, "Warning", "Killing",
				"Switched the guest off: it did not power off in time");
		else
			vm_say(w, "Normal", "Killing", "Switched the guest off");
		w->call = libvirt_call_domain(
			w->m->libvirt, LIBVIRT_DOMAIN_DESTROY_FLAGS, &w->domain, 0, destroyed, w);
		break;
	case VM_DO_CLEAN:
		clean(w);
		break;
	case VM_DO_RELEASE:
		release(w);
		break;
	case VM_DO_NOTHING:
		break;
	}
}

static void on_timer(uv_timer_t *t)
{
	struct vm_worker *w = t->data;

	w->status_again_later = w->lease_failed = w->attach_failed = false;
	vm_worker_step(w);
}

static void adopted_lease(void *user, const struct net_lease *lease, const struct err *err)
{
	struct vm_worker *w = user;

	w->lease = NULL;
	w->leased = !err;
	w->lease_failed = err != NULL; /* the network of a starting agent may not be ready yet */
	if (!err)
		snprintf(w->address, sizeof(w->address), "%s", lease->address);
	vm_worker_step(w);
}

/* A guest that an earlier agent started has its address; DHCP may have to be told again. */
static void adopt_lease(struct vm_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	char id[80];

	if (w->leased || w->lease || w->lease_failed || !w->has_spec ||
		!vm_spec_pod_interface(&w->spec))
		return;
	struct dhcp_resolvers dns = guest_dns(&a, w->spec.object, w->m->node->config);
	vm_prepare_lease_id(w->uid, id);
	w->lease =
		net_lease_add(w->m->node->net, id, NULL, NULL, vm_spec_pod_interface(&w->spec)->mac,
			w->spec.hostname, &dns, true, adopted_lease, w);
}

static void tell_outcome(struct vm_worker *w, enum vm_outcome before)
{
	if (before != VM_OUTCOME_NONE || w->core.outcome == before)
		return;
	if (w->core.outcome == VM_OUTCOME_SUCCEEDED)
		vm_say(w, "Normal", "Stopped", "The guest was shut down");
	else
		vm_say(w, "Warning", "Stopped", "The guest crashed or was lost");
}

void vm_worker_step(struct vm_worker *w)
{
	enum vm_outcome before = w->core.outcome;
	struct vm_step s;
	int64_t now = now_of(w), wake;

	if (w->destroyed)
		return;
	/* The last status goes out before the object is let go. */
	if (w->core.sm.state == VM_CLEAN && !w->core.busy && w->core.deleting && w->object &&
		!w->status_again_later) {
		send_status(w);
		if (w->status)
			return;
	}
	s = vm_core_next(&w->core, now);
	tell_outcome(w, before);
	vm_agent_follow(w);
	if (vm_save_follow(w))
		s = vm_core_next(&w->core, now);
	vm_reboot_follow(w);
	vm_space_follow(w);
	vm_outside_follow(w);
	vm_live_follow(w);
	vm_machine_follow(w);
	vm_resume_follow(w);
	vm_snapshots_follow(w->m->snapshots, w);
	if (w->core.sm.state == VM_RUNNING || w->core.sm.state == VM_SAVED)
		adopt_lease(w);
	vm_networks_follow(w);
	if (w->core.sm.state == VM_RUNNING) {
		vm_probe_start(w);
	}
	if (w->core.sm.state == VM_CLEAN || w->core.sm.state == VM_RELEASED)
		vm_nfs_let_go(w->m);
	if (w->core.sm.state == VM_RELEASED) {
		vm_manager_forget(w->m, w);
		return;
	}
	if (s.action != VM_DO_NOTHING) {
		perform(w, s.action); /* its end calls here again, perhaps already has */
		if (w->destroyed)
			return;
	}
	if (!w->status_again_later)
		send_status(w);
	wake = s.wake_ns;
	if (w->status_again_later || w->lease_failed || w->attach_failed)
		wake = MIN(wake, now + STATUS_RETRY_MS * NS_PER_MS);
	if (wake != INT64_MAX)
		uv_timer_start(&w->timer, on_timer,
			/* Not 0: libuv would run it again before anything else. */
			wake <= now ? 1 : (uint64_t)((wake - now) / NS_PER_MS + 1), 0);
}

void vm_worker_lifecycle(struct vm_worker *w, int event, int detail)
{
	enum vm_domain d;

	switch ((enum libvirt_lifecycle)event) {
	case LIBVIRT_EVENT_STARTED:
	case LIBVIRT_EVENT_RESUMED:
		d = VM_DOMAIN_RUNNING;
		break;
	case LIBVIRT_EVENT_SUSPENDED:
		/* Why, and whether it still is: asked. */
		if (w->core.busy != VM_DO_START)
			vm_watch_paused(w);
		return;
	case LIBVIRT_EVENT_STOPPED:
		if (detail == LIBVIRT_STOPPED_SAVED) {
			vm_watch_saved(w);
			return;
		}
		if (detail != LIBVIRT_STOPPED_SHUTDOWN)
			vm_reboot_over(w);
		d = detail == LIBVIRT_STOPPED_CRASHED  ? VM_DOMAIN_BROKEN
		    : detail == LIBVIRT_STOPPED_FAILED ? VM_DOMAIN_DEFINED
						       : VM_DOMAIN_ENDED;
		break;
	case LIBVIRT_EVENT_CRASHED:
		d = VM_DOMAIN_BROKEN;
		break;
	case LIBVIRT_EVENT_UNDEFINED:
		/* Somebody's virsh: a running guest goes on without its definition. */
		if (vm_core_alive(&w->core) || w->core.domain == VM_DOMAIN_ENDED ||
			w->core.domain == VM_DOMAIN_BROKEN)
			return;
		d = VM_DOMAIN_ABSENT;
		break;
	case LIBVIRT_EVENT_DEFINED:
	case LIBVIRT_EVENT_SHUTDOWN:
	case LIBVIRT_EVENT_PMSUSPENDED:
	default:
		return;
	}
	w->pause_again = w->pause_call != NULL; /* what was asked before is old */
	/* A domain starts paused for a moment before it runs: the answer to the start decides. */
	if (w->core.busy == VM_DO_START && d == VM_DOMAIN_RUNNING)
		return;
	vm_core_domain(&w->core, d, now_of(w));
	vm_worker_step(w);
}

void vm_worker_libvirt(struct vm_worker *w, bool up)
{
	vm_core_libvirt(&w->core, up);
	vm_worker_step(w);
}

static void take_facts(struct vm_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *phase;

	w->core.deleting = true;
	if (!w->object)
		return;
	const struct json *doc = object_doc(w->object, &a);
	phase = json_path_str(doc, "status.phase");
	w->core.deleting = w->object->deleting;
	/* It may have been changed since the spec was read, to whatever. */
	int64_t grace_s =
		json_path_int(doc, "spec.terminationGracePeriodSeconds", VM_GRACE_DEFAULT_S);
	vm_core_grace(&w->core, MIN(MAX(grace_s, 0), (int64_t)INT32_MAX) * NS_PER_S, now_of(w));
	/* Our own word about the end comes back too; it is no news. */
	w->core.finished = w->core.outcome == VM_OUTCOME_NONE &&
			   (streq(phase, "Succeeded") || streq(phase, "Failed"));
	if (w->core.sm.state == VM_LOOKING)
		w->core.was_running = streq(phase, "Running");
}

void vm_worker_object(struct vm_worker *w, struct object *object)
{
	if (object && w->object && object->revision <= w->object->revision)
		return; /* older than the answer to our own patch */
	object_unref(w->object);
	w->object = object ? object_ref(object) : NULL;
	take_facts(w);
	vm_worker_step(w);
}

struct vm_worker *vm_worker_create(struct vm_manager *m, const char *uid, struct object *object)
{
	struct vm_worker *w = xcalloc(1, sizeof(*w));
	_cleanup_(free_p) char *label = object ? xasprintf("%s/%s", object->namespace, object->name)
					       : xasprintf("uid %s", uid);
	struct err err = ERR_INIT;

	w->m = m;
	snprintf(w->uid, sizeof(w->uid), "%s", uid);
	w->object = object ? object_ref(object) : NULL;
	uv_timer_init(m->node->loop, &w->timer);
	w->timer.data = w;
	list_init(&w->actions);
	list_init(&w->screens);
	list_init(&w->dials);
	vm_save_find(w);
	vm_core_init(&w->core, label, now_of(w));
	vm_reboot_find(w);
	w->core.grace_ns = VM_GRACE_DEFAULT_S * NS_PER_S;
	take_facts(w);
	/* A guest that is adopted was accepted once; a spec that can't be read shows when
	 * preparing. */
	if (object && read_spec(w, &err) < 0)
		log_debug("VMI can't be read", "vmi", label, "error", err.msg, NULL);
	vm_core_libvirt(&w->core, libvirt_is_up(m->libvirt));
	return w;
}

static void freed(uv_handle_t *h)
{
	struct vm_worker *w = h->data;

	arena_finish(&w->arena);
	object_unref(w->object);
	free(w->sent_status);
	free(w);
}

void vm_worker_destroy(struct vm_worker *w)
{
	if (w->destroyed)
		return;
	w->destroyed = true;
	vm_console_end(w, "the node agent stops");
	vm_control_end(w);
	vm_live_end(w);
	vm_resume_end(w);
	vm_probe_stop(w);
	vm_agent_stop(w);
	vm_prepare_cancel(w->prepare);
	if (w->call)
		libvirt_call_cancel(w->call);
	if (w->lease)
		net_call_cancel(w->lease);
	if (w->release)
		client_cancel(w->m->node->client, w->release);
	if (w->status)
		client_cancel(w->m->node->client, w->status);
	uv_close((uv_handle_t *)&w->timer, freed);
}
