/* cadvisor.c - see cadvisor.h. What the runtime counted (struct usage) and what is in the pods'
 * specs is joined by the container's id with the control groups' files. */
#include "node/stats/cadvisor.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/vec.h"
#include "lib/object/quantity.h"
#include "node/metrics/metrics.h"
#include "node/pod/pod_model.h"
#include "node/pod/pod_running.h"

enum { INTERFACES_MAX = 8, CFS_PERIOD_US = 100000 };

struct row {
	const struct container_usage *usage; /* NULL = the runtime has no figures */
	struct cgroup_usage group;
	bool has_group;
	bool is_pod_or_class; /* no container: only its group has figures */
	const char *labels;   /* container="..",id=".."... */
	const char *pod_labels;
	int64_t started_ns;
	int64_t cpu_request_milli, cpu_limit_milli, memory_limit_bytes;
	bool first_of_pod; /* and the pod has a network of its own */
	struct interface_usage interfaces[INTERFACES_MAX];
	size_t interface_count;
};

struct scrape {
	const struct usage *u;
	struct cgroup_finder *groups;
	int64_t now_ns;
	struct arena a;
	struct table by_id; /* container id -> struct container_usage */
	VEC(struct row) rows;
	struct table seen; /* paths of pods' and classes' groups, for once each */
	const char *last_uid;
};

static const char *label_text(struct scrape *s, const char *container, const char *id,
	const char *image, const char *name, const char *ns, const char *pod)
{
	const struct {
		const char *name, *value;
	} all[] = {{"container", container}, {"id", id}, {"image", image}, {"name", name},
		{"namespace", ns}, {"pod", pod}};
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		buf_printf(&b, "%s%s=\"", i ? "," : "", all[i].name);
		metric_escape(&b, all[i].value);
		buf_add_char(&b, '"');
	}
	return arena_memdup(&s->a, b.data, b.size);
}

static const char *group_above(struct scrape *s, const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash && slash != path ? arena_memdup(&s->a, path, (size_t)(slash - path)) : NULL;
}

/* systemd's slices have underscores where a uid has dashes. */
static bool is_of_pod(const char *group, const char *uid)
{
	const char *name = strrchr(group, '/');
	const char *p = name ? strstr(name, "/pod") : NULL;

	if (!p)
		p = name ? strstr(name, "-pod") : NULL;
	for (p = p ? p + strlen("/pod") : NULL; p && *uid; p++, uid++) {
		if (*p != *uid && !(*p == '_' && *uid == '-'))
			return false;
	}
	return p != NULL;
}

static bool is_class(const char *group)
{
	const char *name = strrchr(group, '/');

	return name && (streq(name, "/burstable") || streq(name, "/besteffort") ||
			       str_has_prefix(name, "/kubepods"));
}

static void add_group(struct scrape *s, const char *path, const char *ns, const char *pod)
{
	struct row r = {.is_pod_or_class = true};

	if (table_set(&s->seen, path, s))
		return;
	r.labels = label_text(s, "", path, "", "", ns, pod);
	r.has_group = cgroup_usage_read(s->groups, path, false, &r.group);
	if (r.has_group)
		VEC_PUSH(&s->rows, r);
}

/* The pod's, its class's and the one of all pods, where the tree is as resources.h has it. */
static void add_groups_above(struct scrape *s, const char *path, const struct container_here *c)
{
	const char *group = group_above(s, path);

	if (!group || !is_of_pod(group, c->uid))
		return;
	add_group(s, group, c->ns, c->pod);
	while ((group = group_above(s, group)) && is_class(group))
		add_group(s, group, "", "");
}

static void add_row(void *user, const struct container_here *c)
{
	struct scrape *s = user;
	const char *path = cgroup_finder_path(s->groups, c->id, s->now_ns);
	const struct json *spec = pod_container_doc_named(c->pod_doc, c->container);
	const struct json *limits = json_path(spec, "resources.limits");
	const struct json *requests = json_path(spec, "resources.requests");
	bool first = !streq(s->last_uid, c->uid);
	struct row r = {
		.usage = table_get(&s->by_id, c->id),
		.labels = label_text(
			s, c->container, path ? path : "", c->image, c->id, c->ns, c->pod),
		.started_ns = c->started_ns,
		.cpu_limit_milli = quantity_json_milli(json_get(limits, "cpu"), 0),
		.cpu_request_milli = quantity_json_milli(json_get(requests, "cpu"), 0),
		.memory_limit_bytes = quantity_json_value(json_get(limits, "memory"), 0),
		.first_of_pod = first && !c->host_network,
	};

	r.has_group = path && cgroup_usage_read(s->groups, path, r.cpu_limit_milli > 0, &r.group);
	long process = r.has_group && r.first_of_pod ? cgroup_process(s->groups, path) : 0;
	if (process > 0) {
		const char *above = group_above(s, path);
		r.pod_labels = label_text(s, "", above ? above : path, "", "", c->ns, c->pod);
		r.interface_count = interfaces_read(process, r.interfaces, INTERFACES_MAX);
	}
	s->last_uid = arena_strdup(&s->a, c->uid);
	VEC_PUSH(&s->rows, r);
	add_groups_above(s, path, c);
}

/* ---- lines ---- */

struct figure {
	const char *name, *type, *help, *more; /* more labels: "cpu=\"total\"", or NULL */
	bool (*value)(const struct row *r, double *ret);
};

#define OF_USAGE(field, expression)                                                                \
	static bool field(const struct row *r, double *ret)                                        \
	{                                                                                          \
		const struct container_usage *u = r->usage;                                        \
		if (!u)                                                                            \
			return false;                                                              \
		*ret = (double)(expression);                                                       \
		return true;                                                                       \
	}
/* The runtime's figure of containers, the kernel's of the groups above them. */
#define OF_EITHER(field, expression, of_group)                                                     \
	static bool field(const struct row *r, double *ret)                                        \
	{                                                                                          \
		const struct container_usage *u = r->usage;                                        \
		const struct cgroup_usage *g = &r->group;                                          \
		if (!u && !r->is_pod_or_class)                                                     \
			return false;                                                              \
		*ret = u ? (double)(expression) : (double)(of_group);                              \
		return true;                                                                       \
	}
#define OF_GROUP(field, expression)                                                                \
	static bool field(const struct row *r, double *ret)                                        \
	{                                                                                          \
		const struct cgroup_usage *g = &r->group;                                          \
		if (!r->has_group)                                                                 \
			return false;                                                              \
		*ret = (double)(expression);                                                       \
		return true;                                                                       \
	}
/* Of containers with a CPU limit. */
#define OF_QUOTA(field, expression)                                                                \
	static bool field(const struct row *r, double *ret)                                        \
	{                                                                                          \
		const struct cgroup_usage *g _unused_ = &r->group;                                 \
		if (r->cpu_limit_milli <= 0 || !r->has_group)                                      \
			return false;                                                              \
		*ret = (double)(expression);                                                       \
		return true;                                                                       \
	}
#define OF_CONTAINER(field, expression)                                                            \
	static bool field(const struct row *r, double *ret)                                        \
	{                                                                                          \
		if (r->is_pod_or_class)                                                            \
			return false;                                                              \
		*ret = (double)(expression);                                                       \
		return true;                                                                       \
	}
#define SECONDS(ns) ((double)(ns) / (double)NS_PER_S)

OF_EITHER(cpu_total, SECONDS(u->cpu_ns), SECONDS(g->cpu_ns))
OF_EITHER(working_set, u->working_set_bytes, g->working_set_bytes)
OF_EITHER(memory_usage, u->usage_bytes ? u->usage_bytes : u->working_set_bytes, g->usage_bytes)
OF_USAGE(layer_bytes, u->layer_bytes)
OF_USAGE(layer_inodes, u->layer_inodes)
OF_USAGE(last_seen, u->time_ns / NS_PER_S)
OF_GROUP(cpu_user, SECONDS(g->user_ns))
OF_GROUP(cpu_system, SECONDS(g->system_ns))
OF_GROUP(resident, g->resident_bytes)
OF_GROUP(cache, g->cache_bytes)
OF_GROUP(mapped, g->mapped_bytes)
OF_GROUP(swap, g->swap_bytes)
OF_GROUP(peak, g->peak_bytes)
OF_GROUP(failcnt, g->limit_failures)
OF_GROUP(oom_kills, g->oom_kills)
OF_GROUP(faults, g->page_faults)
OF_GROUP(major_faults, g->major_page_faults)
OF_GROUP(threads, g->tasks)
OF_QUOTA(periods, g->periods)
OF_QUOTA(throttled_periods, g->throttled_periods)
OF_QUOTA(throttled_seconds, SECONDS(g->throttled_ns))
OF_QUOTA(quota, r->cpu_limit_milli *CFS_PERIOD_US / 1000)
OF_CONTAINER(period, CFS_PERIOD_US)
OF_CONTAINER(shares, MAX(r->cpu_request_milli * 1024 / 1000, 2))
OF_CONTAINER(memory_limit, r->memory_limit_bytes)
OF_CONTAINER(started, SECONDS(r->started_ns))

static const struct figure figures[] = {
	{"container_cpu_cfs_periods_total", "counter", "Periods of the CPU limit", NULL, periods},
	{"container_cpu_cfs_throttled_periods_total", "counter",
		"Periods in which it was held back", NULL, throttled_periods},
	{"container_cpu_cfs_throttled_seconds_total", "counter", "Time it was held back", NULL,
		throttled_seconds},
	{"container_cpu_system_seconds_total", "counter", "CPU time used in the kernel", NULL,
		cpu_system},
	{"container_cpu_usage_seconds_total", "counter", "CPU time used", "cpu=\"total\"",
		cpu_total},
	{"container_cpu_user_seconds_total", "counter", "CPU time used outside the kernel", NULL,
		cpu_user},
	{"container_fs_inodes_used", "gauge", "Inodes written over the image", "device=\"\"",
		layer_inodes},
	{"container_fs_usage_bytes", "gauge", "Bytes written over the image", "device=\"\"",
		layer_bytes},
	{"container_last_seen", "gauge", "When it was last seen", NULL, last_seen},
	{"container_memory_cache", "gauge", "Pages of files", NULL, cache},
	{"container_memory_failcnt", "counter", "Times that the memory limit was met", NULL,
		failcnt},
	{"container_memory_failures_total", "counter", "Page faults",
		"failure_type=\"pgfault\",scope=\"container\"", faults},
	{NULL, NULL, NULL, "failure_type=\"pgmajfault\",scope=\"container\"", major_faults},
	{"container_memory_mapped_file", "gauge", "Mapped pages of files", NULL, mapped},
	{"container_memory_max_usage_bytes", "gauge", "The most memory it ever used", NULL, peak},
	{"container_memory_rss", "gauge", "Anonymous memory", NULL, resident},
	{"container_memory_swap", "gauge", "Memory in swap", NULL, swap},
	{"container_memory_usage_bytes", "gauge", "All memory charged to it", NULL, memory_usage},
	{"container_memory_working_set_bytes", "gauge", "Memory in use", NULL, working_set},
	{"container_oom_events_total", "counter", "Processes killed for want of memory", NULL,
		oom_kills},
	{"container_spec_cpu_period", "gauge", "Period of the CPU limit", NULL, period},
	{"container_spec_cpu_quota", "gauge", "CPU limit: time in a period", NULL, quota},
	{"container_spec_cpu_shares", "gauge", "Its weight among others", NULL, shares},
	{"container_spec_memory_limit_bytes", "gauge", "Memory limit; 0 = none", NULL,
		memory_limit},
	{"container_start_time_seconds", "gauge", "When it was started", NULL, started},
	{"container_threads", "gauge", "Threads in it", NULL, threads},
};

static void line(struct buf *out, const char *name, const char *labels, const char *more, double v,
	int64_t time_ns)
{
	buf_printf(out, "%s{%s%s%s} ", name, labels, more ? "," : "", more ? more : "");
	metric_number(out, v);
	if (time_ns)
		buf_printf(out, " %" PRId64, time_ns / NS_PER_MS);
	buf_add_char(out, '\n');
}

static void write_host(const struct usage *u, const char *name, struct buf *out)
{
	static const char labels[] =
		"container=\"\",id=\"/\",image=\"\",name=\"\",namespace=\"\",pod=\"\"";
	const struct host_usage *h = &u->host;

	if (streq(name, "container_cpu_usage_seconds_total"))
		line(out, name, labels, "cpu=\"total\"", SECONDS(h->cpu_ns), h->time_ns);
	else if (streq(name, "container_memory_working_set_bytes"))
		line(out, name, labels, NULL, (double)h->working_set_bytes, h->time_ns);
	else if (streq(name, "container_memory_usage_bytes"))
		line(out, name, labels, NULL, (double)h->usage_bytes, h->time_ns);
	else if (streq(name, "container_memory_rss"))
		line(out, name, labels, NULL, (double)h->resident_bytes, h->time_ns);
}

static void write_figures(const struct scrape *s, struct buf *out)
{
	const char *name = NULL;
	double v;

	for (size_t f = 0; f < ARRAY_LEN(figures); f++) {
		const struct figure *g = &figures[f];
		if (g->name) {
			name = g->name;
			metric_head(out, name, g->type, g->help);
			write_host(s->u, name, out);
		}
		for (size_t i = 0; i < s->rows.count; i++) {
			const struct row *r = &s->rows.items[i];
			if (g->value(r, &v))
				line(out, name, r->labels, g->more, v,
					r->usage ? r->usage->time_ns : s->u->host.time_ns);
		}
	}
}

static void write_network(const struct scrape *s, struct buf *out)
{
	static const char *const kinds[] = {"bytes", "packets", "errors", "packets_dropped"};

	for (size_t d = 0; d < 2; d++) {
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
			char name[64], more[40];
			snprintf(name, sizeof(name), "container_network_%s_%s_total",
				d ? "transmit" : "receive", kinds[k]);
			metric_head(out, name, "counter",
				d ? "What the pod has sent" : "What the pod has received");
			for (size_t i = 0; i < s->rows.count; i++) {
				const struct row *r = &s->rows.items[i];
				for (size_t n = 0; n < r->interface_count; n++) {
					const struct interface_usage *x = &r->interfaces[n];
					snprintf(more, sizeof(more), "interface=\"%s\"", x->name);
					line(out, name, r->pod_labels, more,
						(double)(d ? x->sent[k] : x->received[k]),
						s->u->host.time_ns);
				}
			}
		}
	}
}

static void write_machine(const struct usage *u, struct buf *out)
{
	metric_head(out, "machine_cpu_cores", "gauge", "CPUs of this node");
	buf_printf(out, "machine_cpu_cores %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
	metric_head(out, "machine_memory_bytes", "gauge", "Memory of this node");
	buf_printf(out, "machine_memory_bytes %" PRIu64 "\n", u->host.memory_bytes);
	metric_head(out, "cadvisor_version_info", "gauge", "What wrote this; always 1");
	buf_add_str(out, "cadvisor_version_info{cadvisorVersion=\"hanok-" HANOK_VERSION "\"} 1\n");
	metric_head(out, "container_scrape_error", "gauge",
		"1 if some figures could not be had, else 0");
	buf_printf(out, "container_scrape_error %d\n", u->failures ? 1 : 0);
}

void cadvisor_write(const struct usage *u, struct pod_manager *pods, struct cgroup_finder *groups,
	int64_t now_ns, struct buf *out)
{
	struct scrape s = {.u = u, .groups = groups, .now_ns = now_ns, .a = ARENA_INIT};

	s.by_id = s.seen = TABLE_INIT;
	for (size_t i = 0; i < u->container_count; i++)
		table_set(&s.by_id, u->containers[i].id, &u->containers[i]);
	pod_manager_walk_running(pods, add_row, &s);
	write_figures(&s, out);
	write_network(&s, out);
	write_machine(u, out);
	table_finish(&s.by_id);
	table_finish(&s.seen);
	VEC_FINISH(&s.rows);
	arena_finish(&s.a);
}
