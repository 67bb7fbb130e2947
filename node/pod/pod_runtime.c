/* pod_runtime.c - what the container runtime can do: asked when it comes up, before anything is
 * listed or started. */
#include "node/pod/pod_internal.h"

#include "lib/base/log.h"
#include "node/resources/resources.h"

/* containerd's own configuration, which it tells in JSON; other runtimes tell other things. */
bool pod_runtime_info_systemd(struct arena *a, const char *config)
{
	struct err err = ERR_INIT;
	struct json *doc;

	if (!config || json_parse(a, config, strlen(config), NULL, &doc, &err) < 0)
		return false;
	const struct json *containerd = json_get(doc, "containerd");
	const char *name = json_str_or(json_get(containerd, "defaultRuntimeName"), "");
	const struct json *runtime = json_get(json_get(containerd, "runtimes"), name);
	return json_path_bool(runtime, "options.SystemdCgroup", false) ||
	       json_bool_or(json_get(doc, "systemdCgroup"), false);
}

bool pod_runtime_has_user_namespaces(const struct pod_runtime *r, const char *handler)
{
	for (size_t i = 0; i < r->user_namespaces.count; i++) {
		if (streq(r->user_namespaces.items[i], handler))
			return true;
	}
	return false;
}

static void forget(struct pod_runtime *r)
{
	for (size_t i = 0; i < r->user_namespaces.count; i++)
		free(r->user_namespaces.items[i]);
	VEC_FINISH(&r->user_namespaces);
}

void pod_runtime_finish(struct pod_runtime *r)
{
	grpc_call_cancel(r->call);
	r->call = NULL;
	forget(r);
}

static void on_status(void *user, const struct grpc_result *result)
{
	struct pod_manager *m = user;
	struct pod_runtime *r = &m->runtime;
	const Cri__StatusResponse *s = result->response;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	r->call = NULL;
	if (!grpc_ok(result) && result->status != GRPC_UNIMPLEMENTED) {
		r->done(m, result->message);
		return;
	}
	forget(r);
	r->supplemental_groups_policy = false;
	if (grpc_ok(result)) {
		r->supplemental_groups_policy =
			s->features && s->features->supplemental_groups_policy;
		for (size_t i = 0; i < s->n_runtime_handlers; i++) {
			const Cri__RuntimeHandler *h = s->runtime_handlers[i];
			if (h->features && h->features->user_namespaces)
				VEC_PUSH(&r->user_namespaces, xstrdup(h->name));
		}
		if (!r->driver_told)
			r->systemd = pod_runtime_info_systemd(
				&a, cri_pair_get(s->info, s->n_info, "config"));
	}
	r->known = true;
	resources_set_driver(m->n->resources, r->systemd);
	r->done(m, NULL);
}

static void on_config(void *user, const struct grpc_result *result)
{
	struct pod_manager *m = user;
	struct pod_runtime *r = &m->runtime;
	const Cri__RuntimeConfigResponse *c = result->response;

	r->call = NULL;
	if (!grpc_ok(result) && result->status != GRPC_UNIMPLEMENTED) {
		r->done(m, result->message);
		return;
	}
	r->driver_told = grpc_ok(result) && c->linux;
	if (r->driver_told)
		r->systemd = c->linux->cgroup_driver == CRI__CGROUP_DRIVER__SYSTEMD;
	r->call = cri_status_verbose(m->cri, on_status, m);
}

void pod_runtime_ask(
	struct pod_manager *m, void (*done)(struct pod_manager *m, const char *failure))
{
	m->runtime.done = done;
	if (!m->runtime.call)
		m->runtime.call = cri_runtime_config(m->cri, on_config, m);
}
