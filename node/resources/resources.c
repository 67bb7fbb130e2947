/* resources.c - see resources.h. */
#include "node/resources/resources.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/base/file.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/table.h"
#include "lib/client/wakeup.h"
#include "node/child/child.h"
#include "node/metrics/node_metrics.h"
#include "node/pod/pod_resources.h"
#include "node/resources/slice.h"

#define MOUNTINFO_MAX_BYTES (16u << 20)

struct share { /* of one pod */
	enum pod_qos qos;
	int64_t cpu_milli;
};

struct resources {
	struct node *n;
	struct cgroup_tree tree;
	struct node_amounts capacity, allocatable, enforced;
	struct hugepage_size sizes[HUGEPAGE_SIZES_MAX];
	struct qos_rules rules;
	char *root; /* "/kubepods", below cgroup_root */
	bool driver_known, systemd;
	bool enforcing;		  /* the root group has its limits */
	char *unavailable;	  /* why pods run without; NULL = they don't */
	struct table shares;	  /* uid -> struct share */
	struct table unknown;	  /* by uid: pods whose groups the last sweep did not know */
	int64_t burstable_milli;  /* sum of the requests of that class */
	int64_t burstable_shares; /* as last written; 0 = not yet */
	struct list calls;
};

/* What is under way: a group of a pod, or (done NULL) a change that nobody waits for. */
struct resources_call {
	struct list link;
	struct resources *r;
	char *path; /* of the group */
	struct cgroup_values values;
	struct wakeup *later;
	struct child *child;
	bool change, stop;
	struct err err;
	void (*done)(void *user, const struct err *err);
	void *user;
};

static const char *const class_names[] = {
	[QOS_GUARANTEED] = "",
	[QOS_BURSTABLE] = "/burstable",
	[QOS_BEST_EFFORT] = "/besteffort",
};

/* ---- the host ---- */

static void read_capacity(struct resources *r, const struct node_amounts *machine)
{
	const struct node_config *config = r->n->config;

	r->capacity = *machine;
	r->capacity.pods = config->max_pods;
	if (config->pods_per_core > 0)
		r->capacity.pods =
			MIN(config->max_pods, config->pods_per_core * machine->cpu_milli / 1000);
	r->capacity.pids = node_pids_max("/proc");
	node_amounts_read_hugepages("/sys/kernel/mm/hugepages", &r->capacity);
	for (size_t i = 0; i < r->capacity.hugepage_count; i++)
		r->sizes[i] = r->capacity.hugepages[i].size;
	node_allocatable(config, &r->capacity, &r->allocatable);
	node_enforced(config, &r->capacity, &r->enforced);
	r->rules = (struct qos_rules){
		.sizes = r->sizes,
		.size_count = r->capacity.hugepage_count,
		.pids_limit = config->pod_pids_limit,
		.quota_period_us =
			config->cpu_cfs_quota ? config->cpu_cfs_quota_period_ms * 1000 : 0,
		.node_memory = machine->memory_bytes,
	};
}

/* The agent must outlive the pods that it looks after. */
static void protect_agent(void)
{
	_cleanup_(close_p) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "-999", 4) != 4)
		log_debug("oom_score_adj of the agent stays as it is", "reason", strerror(errno),
			NULL);
}

struct resources *resources_create(struct node *n, const struct node_amounts *machine)
{
	struct resources *r = xcalloc(1, sizeof(*r));
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *root = n->config->cgroup_root;
	struct err err = ERR_INIT;
	struct str mounts;

	r->n = n;
	list_init(&r->calls);
	if (file_load(&a, "/proc/self/mountinfo", MOUNTINFO_MAX_BYTES, &mounts, &err) == 0)
		cgroup_tree_read(mounts.p, &r->tree);
	while (*root == '/')
		root++;
	r->root = xasprintf("%s%s/kubepods", *root ? "/" : "", root);
	if (!n->config->cgroups_per_qos)
		r->unavailable = xstrdup("cgroupsPerQOS is false");
	else if (r->tree.version == 0)
		r->unavailable = xstrdup("no control groups are mounted on this host");
	read_capacity(r, machine);
	protect_agent();
	return r;
}

void resources_destroy(struct resources *r)
{
	if (!r)
		return;
	LIST_FOR_EACH(c, &r->calls, struct resources_call, link)
		resources_call_cancel(c);
	for (struct table_iter it = table_iterate(&r->shares); table_next(&it);)
		free(it.value);
	table_finish(&r->shares);
	table_finish(&r->unknown);
	cgroup_tree_finish(&r->tree);
	free(r->root);
	free(r->unavailable);
	free(r);
}

const struct node_amounts *resources_capacity(const struct resources *r)
{
	return &r->capacity;
}

const struct node_amounts *resources_allocatable(const struct resources *r)
{
	return &r->allocatable;
}

const struct qos_rules *resources_rules(const struct resources *r)
{
	return &r->rules;
}

const struct cgroup_tree *resources_cgroups(const struct resources *r)
{
	return &r->tree;
}

const char *resources_unavailable(const struct resources *r)
{
	return r->unavailable;
}

bool resources_driver_known(const struct resources *r)
{
	return r->driver_known;
}

/* ---- calls ---- */

static void call_free(struct resources_call *c)
{
	list_remove(&c->link);
	wakeup_destroy(c->later);
	free(c->path);
	free(c);
}

void resources_call_cancel(struct resources_call *c)
{
	if (!c)
		return;
	child_cancel(c->child);
	call_free(c);
}

static void call_end(struct resources_call *c)
{
	void (*done)(void *user, const struct err *err) = c->done;
	struct err err = c->err;
	void *user = c->user;

	if (!done && err.code)
		log_warn("control group", "path", c->path, "reason", err.msg, NULL);
	call_free(c);
	if (done)
		done(user, err.code ? &err : NULL);
}

static void on_later(void *user)
{
	call_end(user);
}

/* Where the files of a group are. */
static const char *files_at(struct resources *r, struct arena *a, const char *path)
{
	return r->systemd ? slice_path(a, path) : path;
}

static void count(struct resources *r, const char *operation, int64_t began_ns)
{
	int64_t took_ns = r->n->clock->mono_ns(r->n->clock) - began_ns;

	metric_observe(&metric_cgroup_seconds, (double)took_ns / (double)NS_PER_S, operation);
}

static int write_values(
	struct resources *r, const char *path, const struct cgroup_values *values, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *at = files_at(r, &a, path);
	bool there = cgroup_exists(&r->tree, at);
	int64_t began_ns = r->n->clock->mono_ns(r->n->clock);
	int result = cgroup_make(&r->tree, at, err);

	result = result < 0 ? result : cgroup_set(&r->tree, at, values, err);
	count(r, there ? "update" : "create", began_ns);
	return result;
}

static void run_busctl(struct resources_call *c);

static void on_busctl(void *user, const struct child_result *result, const struct err *err)
{
	struct resources_call *c = user;

	c->child = NULL;
	/* It is there already, with the values of another time. */
	if (err && !c->change && !c->stop && strstr(result->errors, "already")) {
		c->change = true;
		run_busctl(c);
		return;
	}
	if (err && !c->stop)
		err_set(&c->err, err->code, "systemd: %s", err->msg);
	else if (!c->stop)
		/* What systemd has no property for: huge pages. */
		(void)!write_values(c->r, c->path, &c->values, &c->err);
	call_end(c);
}

static void run_busctl(struct resources_call *c)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	int version = c->r->tree.version;

	c->child = child_run(&(struct child_options){
		.loop = c->r->n->loop,
		.argv = c->stop	    ? slice_stop_args(&a, c->path)
			: c->change ? slice_change_args(&a, c->path, version, &c->values)
				    : slice_start_args(&a, c->path, version, &c->values),
		.done = on_busctl,
		.user = c,
	});
}

static struct resources_call *call_new(struct resources *r, const char *path,
	void (*done)(void *user, const struct err *err), void *user)
{
	struct resources_call *c = xcalloc(1, sizeof(*c));

	c->r = r;
	c->path = xstrdup(path);
	c->done = done;
	c->user = user;
	list_init(&c->link);
	list_append(&r->calls, &c->link);
	return c;
}

static struct resources_call *call_start(struct resources *r, const char *path,
	const struct cgroup_values *values, void (*done)(void *user, const struct err *err),
	void *user)
{
	struct resources_call *c = call_new(r, path, done, user);

	c->values = *values;
	if (!r->unavailable && r->systemd) {
		run_busctl(c);
		return c;
	}
	if (!r->unavailable)
		(void)!write_values(r, path, values, &c->err);
	c->later = wakeup_create(r->n->loop, r->n->clock, on_later, c);
	wakeup_in(c->later, 0);
	return c;
}

/* ---- kubepods and its classes ---- */

static bool enforces_pods(const struct node_config *config)
{
	for (const char *const *p = config->enforce_node_allocatable; p && *p; p++) {
		if (streq(*p, "pods"))
			return true;
	}
	return false;
}

static void root_values(const struct resources *r, struct cgroup_values *ret)
{
	const struct node_amounts *e = &r->enforced;

	*ret = (struct cgroup_values){.cpu_shares = cpu_shares(r->capacity.cpu_milli)};
	if (!enforces_pods(r->n->config))
		return;

	*ret = (struct cgroup_values){
		.cpu_shares = cpu_shares(e->cpu_milli),
		.memory_bytes = e->memory_bytes,
		.pids = e->pids,
	};
	for (size_t i = 0; i < e->hugepage_count; i++) {
		ret->hugepages[i].size = &r->sizes[i];
		ret->hugepages[i].bytes = e->hugepages[i].bytes;
	}
	ret->hugepage_count = e->hugepage_count;
}

static void set_class(struct resources *r, enum pod_qos qos, int64_t shares)
{
	_cleanup_(free_p) char *path = xasprintf("%s%s", r->root, class_names[qos]);

	call_start(r, path, &(struct cgroup_values){.cpu_shares = shares}, NULL, NULL);
}

static void update_burstable(struct resources *r)
{
	int64_t shares = cpu_shares(r->burstable_milli);

	if (!r->driver_known || r->unavailable || shares == r->burstable_shares)
		return;
	r->burstable_shares = shares;
	set_class(r, QOS_BURSTABLE, shares);
}

static void tell_unavailable(struct resources *r)
{
	log_warn("pods run without control groups of their own: limits hold for containers only",
		"reason", r->unavailable, NULL);
	if (r->n->object)
		client_event(r->n->client, r->n->object, NULL, "Warning", "CgroupsNotAvailable",
			"pods run without control groups of their own: %s", r->unavailable);
}

static void on_root(void *user, const struct err *err)
{
	struct resources *r = user;

	if (err) {
		free(r->unavailable);
		r->unavailable = xstrdup(err->msg);
		tell_unavailable(r);
		return;
	}
	r->enforcing = enforces_pods(r->n->config);
	set_class(r, QOS_BEST_EFFORT, CPU_SHARES_MIN);
	r->burstable_shares = 0;
	update_burstable(r);
}

bool resources_enforcing(const struct resources *r)
{
	return r->enforcing;
}

void resources_set_driver(struct resources *r, bool systemd)
{
	const char *wanted = r->n->config->cgroup_driver;
	struct cgroup_values values;

	if (*wanted)
		systemd = streq(wanted, "systemd");
	if (r->driver_known && r->systemd == systemd)
		return;
	r->systemd = systemd;
	r->driver_known = true;
	if (r->unavailable) {
		tell_unavailable(r);
		return;
	}
	log_info("control groups of pods", "root", r->root, "version",
		r->tree.version == 2 ? "2" : "1", "driver", systemd ? "systemd" : "cgroupfs", NULL);
	root_values(r, &values);
	if (systemd) {
		call_start(r, r->root, &values, on_root, r);
		return;
	}
	/* At once, so that the first pod finds it. */
	struct err err = ERR_INIT;
	on_root(r, write_values(r, r->root, &values, &err) < 0 ? &err : NULL);
}

/* ---- pods ---- */

static const char *uid_of(const struct json *pod)
{
	return json_str_or(json_path(pod, "metadata.uid"), "");
}

static char *pod_path(const struct resources *r, enum pod_qos qos, const char *uid)
{
	return xasprintf("%s%s/pod%s", r->root, class_names[qos], uid);
}

/* NULL pod = it is gone. */
static void note_share(struct resources *r, const char *uid, const struct json *pod)
{
	struct share *s = pod ? table_get(&r->shares, uid) : table_remove(&r->shares, uid);

	if (s && s->qos == QOS_BURSTABLE)
		r->burstable_milli -= s->cpu_milli;
	if (!pod) {
		free(s);
	} else {
		if (!s) {
			s = xcalloc(1, sizeof(*s));
			table_set(&r->shares, uid, s);
		}
		*s = (struct share){pod_qos(pod), pod_request(pod, "cpu")};
		if (s->qos == QOS_BURSTABLE)
			r->burstable_milli += s->cpu_milli;
	}
	update_burstable(r);
}

void resources_pod_adopt(struct resources *r, const struct json *pod)
{
	note_share(r, uid_of(pod), pod);
}

struct resources_call *resources_pod_cgroup_make(struct resources *r, const struct json *pod,
	void (*done)(void *user, const struct err *err), void *user)
{
	_cleanup_(free_p) char *path = pod_path(r, pod_qos(pod), uid_of(pod));
	struct cgroup_values values;

	pod_cgroup_values(pod, &r->rules, &values);
	note_share(r, uid_of(pod), pod);
	return call_start(r, path, &values, done, user);
}

const char *resources_pod_cgroup_parent(
	struct resources *r, struct arena *a, const struct json *pod)
{
	if (r->unavailable || !r->driver_known)
		return "";
	_cleanup_(free_p) char *path = pod_path(r, pod_qos(pod), uid_of(pod));
	return r->systemd ? slice_name(a, path) : arena_strdup(a, path);
}

int resources_pod_cgroup_update(struct resources *r, const struct json *pod, struct err *err)
{
	_cleanup_(free_p) char *path = pod_path(r, pod_qos(pod), uid_of(pod));
	struct cgroup_values values;
	int result = 0;

	pod_cgroup_values(pod, &r->rules, &values);
	if (!r->unavailable) {
		result = write_values(r, path, &values, err);
		/* systemd must know too, or it writes its own values back one day. */
		if (result == 0 && r->systemd) {
			struct resources_call *c = call_new(r, path, NULL, NULL);
			c->values = values;
			c->change = true;
			run_busctl(c);
		}
	}
	if (result == 0)
		note_share(r, uid_of(pod), pod);
	return result;
}

void resources_pod_cgroup_remove(struct resources *r, const char *uid)
{
	note_share(r, uid, NULL);
	if (r->tree.version == 0 || !r->driver_known)
		return;
	for (size_t i = 0; i < ARRAY_LEN(class_names); i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		_cleanup_(free_p) char *path = pod_path(r, (enum pod_qos)i, uid);
		const char *at = files_at(r, &a, path);
		struct err err = ERR_INIT;
		if (!cgroup_exists(&r->tree, at))
			continue;
		int64_t began_ns = r->n->clock->mono_ns(r->n->clock);
		if (cgroup_remove(&r->tree, at, &err) < 0)
			log_warn("control group of a pod could not be removed", "uid", uid,
				"reason", err.msg, NULL);
		count(r, "destroy", began_ns);
		if (r->systemd) {
			struct resources_call *c = call_new(r, path, NULL, NULL);
			c->stop = true;
			run_busctl(c);
		}
	}
}

struct sweep {
	struct resources *r;
	bool (*known)(void *user, const char *uid);
	void *user;
	struct table unknown;
};

static void sweep_group(void *user, const char *name)
{
	struct sweep *s = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *dash = s->r->systemd ? strrchr(name, '-') : NULL;
	char *uid = arena_strdup(&a, dash ? dash + 1 : name);

	if (strncmp(uid, "pod", 3) != 0)
		return;
	uid += 3;
	/* As slice_name() had it. */
	for (char *p = uid; s->r->systemd && *p; p++)
		*p = *p == '_' ? '-' : *p == '.' ? '\0' : *p;
	if (!s->known(s->user, uid))
		table_set(&s->unknown, uid, s);
}

void resources_sweep(struct resources *r, bool (*known)(void *user, const char *uid), void *user)
{
	struct sweep s = {.r = r, .known = known, .user = user};

	if (r->tree.version == 0 || !r->driver_known)
		return;
	for (size_t i = 0; i < ARRAY_LEN(class_names); i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		_cleanup_(free_p) char *path = xasprintf("%s%s", r->root, class_names[i]);
		cgroup_children(&r->tree, files_at(r, &a, path), sweep_group, &s);
	}
	for (struct table_iter it = table_iterate(&s.unknown); table_next(&it);) {
		if (table_get(&r->unknown, it.key))
			resources_pod_cgroup_remove(r, it.key);
	}
	table_finish(&r->unknown);
	r->unknown = s.unknown;
}
