/* pod_sandbox.c - what a sandbox is made of, and the steps before the runtime makes it: the runtime
 * class is looked up, the pod's control group is made. */
#include "node/metrics/node_metrics.h"
#include "node/pod/pod_internal.h"

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "node/pod/pod_dns.h"
#include "node/pod/pod_names.h"
#include "node/pod/pod_refusal.h"
#include "node/resources/resources.h"

enum { HOST_FILE_MAX_BYTES = 1 << 20 };

/* ---- what it is made of ---- */

void pod_worker_security(struct pod_worker *w, struct arena *a, struct security_rules *ret)
{
	*ret = (struct security_rules){
		.seccomp_dir = arena_printf(a, "%s/seccomp", w->n->data_dir),
		.seccomp_default = w->n->config->seccomp_default,
	};
}

static struct str host_file(struct arena *a, const char *path)
{
	struct str text = {"", 0};
	struct err err = ERR_INIT;

	if (*path && file_load(a, path, HOST_FILE_MAX_BYTES, &text, &err) < 0)
		log_warn("file of the host for pods", "reason", err.msg, NULL);
	return text;
}

static Cri__DNSConfig *dns_config(struct pod_worker *w, struct arena *a, bool tell)
{
	const struct node_config *config = w->n->config;
	struct pod_dns_note notes[POD_DNS_NOTES_MAX];
	struct resolv_conf host;
	size_t count;

	resolv_conf_parse(a, host_file(a, config->resolv_conf), &host);
	Cri__DNSConfig *dns = pod_dns_config(a,
		&(struct pod_dns_input){
			.pod = pod_worker_doc(w, a),
			.host = &host,
			.host_file = *config->resolv_conf,
			.cluster_dns = config->cluster_dns,
			.cluster_domain = config->cluster_domain,
		},
		notes, &count);
	for (size_t i = 0; tell && i < count; i++)
		pod_worker_event(w, -1, "Warning", notes[i].reason, "%s", notes[i].message);
	return dns;
}

static Cri__PodSandboxConfig *config_of(
	struct pod_worker *w, struct arena *a, const char *hostname, bool tell)
{
	const struct json *pod = pod_worker_doc(w, a);
	struct security_rules security;

	pod_worker_security(w, a, &security);
	return pod_sandbox_config(
		a, &(struct sandbox_config_input){
			   .pod = pod,
			   .attempt = w->view.sandbox_attempt,
			   .hostname = hostname,
			   .dns = dns_config(w, a, tell),
			   .cgroup_parent = resources_pod_cgroup_parent(w->n->resources, a, pod),
			   .security = &security,
			   .qos = resources_rules(w->n->resources),
		   });
}

Cri__PodSandboxConfig *pod_worker_sandbox_config(struct pod_worker *w, struct arena *a)
{
	const char *hostname = "";
	struct err err = ERR_INIT;

	/* It runs, so its name was good. */
	(void)!pod_kernel_hostname(
		a, pod_worker_doc(w, a), w->n->config->cluster_domain, &hostname, &err);
	return config_of(w, a, hostname, false);
}

void pod_worker_write_hosts(struct pod_worker *w, const char *const *ips, size_t count)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pod = pod_worker_doc(w, &a);
	bool host_network = json_path_bool(pod, "spec.hostNetwork", false);
	struct err err = ERR_INIT;
	const char *text = pod_hosts_file(&a, pod, w->n->config->cluster_domain, ips, count,
		host_file(&a, host_network ? "/etc/hosts" : ""));

	if (pod_file_write(arena_printf(&a, "%s/etc-hosts", w->dir), text, 0644, &err) < 0)
		log_warn("hosts file of pod", "pod", w->name, "reason", err.msg, NULL);
}

/* ---- what this node can't give ---- */

static bool has_apparmor(void)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct str text;

	return file_load(&a, "/sys/module/apparmor/parameters/enabled", 16, &text, &err) == 0 &&
	       text.size > 0 && *text.p == 'Y';
}

bool pod_sandbox_check(void *user, struct arena *a, const struct json *pod, const char **ret_reason,
	const char **ret_message)
{
	const struct pod_manager *m = user;
	struct pod_refusal why;
	struct node_abilities node = {
		.apparmor = has_apparmor(),
		.supplemental_groups_policy = m->runtime.supplemental_groups_policy,
		.allowed_sysctls = m->n->config->allowed_unsafe_sysctls,
	};

	if (!pod_is_refused(a, pod, &node, &why))
		return true;
	*ret_reason = why.reason;
	*ret_message = why.message;
	return false;
}

/* ---- steps ---- */

static void run(struct pod_op *op)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_worker *w = op->w;
	const char *hostname;
	struct err err = ERR_INIT;

	if (pod_kernel_hostname(
		    &a, pod_worker_doc(w, &a), w->n->config->cluster_domain, &hostname, &err) < 0) {
		pod_sandbox_failed(op, err.msg);
		return;
	}
	metric_add(&metric_started_pods, 1, NULL);
	op->grpc = cri_run_sandbox(w->m->cri, config_of(w, &a, hostname, true), w->runtime_handler,
		pod_sandbox_on_run, op);
}

static void on_cgroup(void *user, const struct err *err)
{
	struct pod_op *op = user;

	op->cgroup = NULL;
	if (err) {
		pod_worker_event(op->w, -1, "Warning", "FailedCreatePodContainer",
			"unable to ensure pod container exists: %s", err->msg);
		pod_sandbox_failed(op, err->msg);
		return;
	}
	run(op);
}

static void make_cgroup(struct pod_op *op)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_worker *w = op->w;
	const struct json *pod = pod_worker_doc(w, &a);
	const char *handler = w->runtime_handler ? w->runtime_handler : "";

	/* Never without what was asked for. */
	if (!json_path_bool(pod, "spec.hostUsers", true)) {
		const char *why = "runtime does not support user namespaces";
		if (pod_runtime_has_user_namespaces(&w->m->runtime, handler))
			why = "the node agent does not support user namespaces";
		else if (*handler)
			why = arena_printf(&a,
				"RuntimeClass handler \"%s\" does not support user namespaces",
				handler);
		pod_sandbox_failed(
			op, arena_printf(&a, "can't set `spec.hostUsers: false`, %s", why));
		return;
	}
	op->cgroup = resources_pod_cgroup_make(w->n->resources, pod, on_cgroup, op);
}

static void on_class(void *user, const struct client_result *r)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct json *doc;

	op->client = NULL;
	if (!client_ok(r)) {
		const char *name =
			json_str_or(json_path(pod_worker_doc(w, &a), "spec.runtimeClassName"), "");
		pod_sandbox_failed(op,
			r->code == 404 ? arena_printf(&a,
						 "runtimeclass.node.k8s.io \"%s\" not found", name)
				       : arena_printf(&a, "failed to lookup RuntimeClass %s: %s",
						 name, r->message));
		return;
	}
	if (json_parse(&a, r->body, r->body_size, NULL, &doc, &err) < 0) {
		pod_sandbox_failed(op, err.msg);
		return;
	}
	free(w->runtime_handler);
	w->runtime_handler = xstrdup(json_str_or(json_get(doc, "handler"), ""));
	make_cgroup(op);
}

void pod_sandbox_run(struct pod_op *op)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_worker *w = op->w;
	const char *class =
		json_str_or(json_path(pod_worker_doc(w, &a), "spec.runtimeClassName"), "");

	if (!*class) {
		make_cgroup(op);
		return;
	}
	const struct kind *k = kind_by_resource(w->n->kinds, "node.k8s.io", "v1", "runtimeclasses");
	struct client_request request = {
		.method = "GET",
		.path = client_path(&a, k, NULL, class, NULL),
	};
	op->client = client_request(w->n->client, &request, on_class, op);
}
