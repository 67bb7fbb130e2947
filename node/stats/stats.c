/* stats.c - see stats.h. */
#include "node/stats/stats.h"

#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "node/pod/pod_config.h"
#include "node/pod/pod_manager.h"
#include "node/pod/pod_running.h"
#include "node/stats/cgroup_usage.h"

#define DISKS_AGE_NS (60 * NS_PER_S)
/* Rates are taken over at least this time: figures of the runtime are some hundred ms coarse. */
#define RATE_MIN_NS (5 * NS_PER_S)

struct waiter {
	node_stats_done *done;
	void *user;
};

/* Two points of a counter: the rate is between them. */
struct rate {
	int64_t old_ns, new_ns;
	uint64_t old_cpu, new_cpu;
	bool seen; /* in this round */
};

struct node_stats {
	struct node *n;
	VEC(struct waiter) waiters;
	unsigned pending; /* of the runtime's and libvirt's answers */
	struct grpc_call *runtime;
	struct vm_usage_call *libvirt;
	struct table rates; /* id -> struct rate */
	struct disk_usage *disks;
	struct cgroup_finder groups;
	node_memory_available *memory_available; /* NULL: /proc/meminfo alone tells */
	/* The round under way. */
	struct arena arena;
	struct usage usage;
	VEC(struct container_usage) containers;
	VEC(struct machine_usage) machines;
};

struct node_stats *node_stats_create(struct node *n)
{
	struct node_stats *s = xcalloc(1, sizeof(*s));

	s->n = n;
	s->rates = TABLE_INIT;
	s->arena = ARENA_INIT;
	s->disks = disk_usage_create(n);
	cgroup_finder_init(&s->groups, "/sys/fs/cgroup");
	return s;
}

struct disk_usage *node_stats_disks(struct node_stats *s)
{
	return s->disks;
}

static uint64_t rate_of(struct node_stats *s, const char *id, int64_t time_ns, uint64_t cpu_ns)
{
	struct rate *r = table_get(&s->rates, id);

	if (!r) {
		r = xcalloc(1, sizeof(*r));
		r->old_ns = r->new_ns = time_ns;
		r->old_cpu = r->new_cpu = cpu_ns;
		table_set(&s->rates, id, r);
	}
	r->seen = true;
	/* Less than before: it was started anew. */
	if (cpu_ns < r->new_cpu || time_ns < r->new_ns) {
		r->old_ns = r->new_ns = time_ns;
		r->old_cpu = r->new_cpu = cpu_ns;
	}
	if (time_ns - r->new_ns >= RATE_MIN_NS) {
		r->old_ns = r->new_ns;
		r->old_cpu = r->new_cpu;
		r->new_ns = time_ns;
		r->new_cpu = cpu_ns;
	}
	if (r->new_ns == r->old_ns)
		return USAGE_UNKNOWN;
	return (uint64_t)((double)(r->new_cpu - r->old_cpu) * 1e9 /
			  (double)(r->new_ns - r->old_ns));
}

static void forget_unseen(struct node_stats *s)
{
	VEC(char *) gone = {0};

	for (struct table_iter i = table_iterate(&s->rates); table_next(&i);) {
		struct rate *r = i.value;
		if (!r->seen)
			VEC_PUSH(&gone, xstrdup(i.key));
		r->seen = false;
	}
	for (size_t i = 0; i < gone.count; i++) {
		free(table_remove(&s->rates, gone.items[i]));
		free(gone.items[i]);
	}
	VEC_FINISH(&gone);
}

static int by_pod(const void *x, const void *y)
{
	const struct container_usage *a = x, *b = y;
	int c = strcmp(a->ns, b->ns);

	c = c ? c : strcmp(a->pod, b->pod);
	c = c ? c : strcmp(a->uid, b->uid);
	return c ? c : strcmp(a->container, b->container);
}

static int by_name(const void *x, const void *y)
{
	const struct machine_usage *a = x, *b = y;
	int c = strcmp(a->vm.ns, b->vm.ns);

	return c ? c : strcmp(a->vm.name, b->vm.name);
}

static const struct pod_disk *disk_of(void *disks, const char *uid)
{
	return disk_usage_of(disks, uid);
}

static void on_disks(void *user)
{
	/* The next question finds the figures. */
}

void node_stats_refresh_disks(struct node_stats *s)
{
	int64_t at = disk_usage_counted_ns(s->disks), now = s->n->clock->mono_ns(s->n->clock);
	int64_t age = MAX(DISKS_AGE_NS, disk_usage_cost_ns(s->disks) * 50);

	if (at == 0 || now - at > age)
		disk_usage_count(s->disks, NULL, on_disks, s);
}

/* Waiters that come from inside a callback belong to the next round. */
static void answer(struct node_stats *s, const struct usage *u)
{
	struct waiter *waiters = s->waiters.items;
	size_t count = s->waiters.count;

	s->waiters.items = NULL;
	s->waiters.count = s->waiters.room = 0;
	for (size_t i = 0; i < count; i++)
		waiters[i].done(waiters[i].user, u);
	free(waiters);
}

/* The runtime does not say what lies in swap; without any on the host it is nothing. */
static void set_swap(struct node_stats *s)
{
	int64_t now = s->n->clock->mono_ns(s->n->clock);

	for (size_t i = 0; s->usage.host.swap_used_bytes && i < s->containers.count; i++) {
		struct container_usage *u = &s->containers.items[i];
		const char *path = cgroup_finder_path(&s->groups, u->id, now);
		u->swap_bytes = path ? cgroup_swap_read(&s->groups, path) : 0;
	}
}

static void set_start(void *user, const struct container_here *c)
{
	struct container_usage *u = table_get(user, c->id);

	if (u)
		u->started_ns = c->started_ns;
}

static void set_starts(struct node_stats *s)
{
	struct table by_id = TABLE_INIT;

	for (size_t i = 0; i < s->containers.count; i++)
		table_set(&by_id, s->containers.items[i].id, &s->containers.items[i]);
	pod_manager_walk_running(s->n->pods, set_start, &by_id);
	table_finish(&by_id);
}

static void part_done(struct node_stats *s)
{
	if (--s->pending > 0)
		return;
	set_starts(s);
	set_swap(s);
	struct usage u = s->usage;
	struct arena arena = s->arena;
	struct container_usage *containers = s->containers.items;
	struct machine_usage *machines = s->machines.items;

	u.containers = containers;
	u.container_count = s->containers.count;
	u.machines = machines;
	u.machine_count = s->machines.count;
	if (u.container_count > 1)
		qsort(containers, u.container_count, sizeof(*containers), by_pod);
	if (u.machine_count > 1)
		qsort(machines, u.machine_count, sizeof(*machines), by_name);
	forget_unseen(s);
	s->arena = ARENA_INIT;
	s->containers.items = NULL;
	s->containers.count = s->containers.room = 0;
	s->machines.items = NULL;
	s->machines.count = s->machines.room = 0;
	answer(s, &u);
	free(containers);
	free(machines);
	arena_finish(&arena);
}

static uint64_t number(const Cri__UInt64 *v)
{
	return v ? v->value : 0;
}

static char *text(struct node_stats *s, const char *p)
{
	return arena_strdup(&s->arena, p);
}

static void add_container(struct node_stats *s, const Cri__ContainerStats *c)
{
	const Cri__ContainerAttributes *at = c->attributes;

	/* A container that ended in between has no figures. */
	if (!at || !at->id || !c->cpu || !c->memory)
		return;
	Cri__Pair *const *labels = at->labels;
	const char *ns = cri_pair_get(labels, at->n_labels, LABEL_POD_NAMESPACE);
	const char *pod = cri_pair_get(labels, at->n_labels, LABEL_POD_NAME);
	const char *uid = cri_pair_get(labels, at->n_labels, LABEL_POD_UID);
	const char *name = cri_pair_get(labels, at->n_labels, LABEL_CONTAINER_NAME);
	if (!ns || !pod || !uid || !name)
		return;
	struct container_usage u = {
		.id = text(s, at->id),
		.ns = text(s, ns),
		.pod = text(s, pod),
		.uid = text(s, uid),
		.container = text(s, name),
		.time_ns = c->cpu->timestamp,
		.cpu_ns = number(c->cpu->usage_core_nano_seconds),
		.working_set_bytes = number(c->memory->working_set_bytes),
		.usage_bytes = number(c->memory->usage_bytes),
		.resident_bytes = number(c->memory->rss_bytes),
		.layer_bytes = c->writable_layer ? number(c->writable_layer->used_bytes) : 0,
		.layer_inodes = c->writable_layer ? number(c->writable_layer->inodes_used) : 0,
	};
	u.nano_cores = rate_of(s, at->id, u.time_ns, u.cpu_ns);
	VEC_PUSH(&s->containers, u);
}

static void on_containers(void *user, const struct grpc_result *r)
{
	struct node_stats *s = user;

	s->runtime = NULL;
	if (grpc_ok(r)) {
		const Cri__ListContainerStatsResponse *all = r->response;
		for (size_t i = 0; i < all->n_stats; i++)
			add_container(s, all->stats[i]);
	} else {
		s->usage.failures++;
	}
	part_done(s);
}

/* The answer's own are gone with it. */
static void keep_devices(struct node_stats *s, struct vm_usage *u)
{
	u->disks = (void *)arena_memdup(
		&s->arena, u->disks ? (void *)u->disks : "", u->disk_count * sizeof(*u->disks));
	u->interfaces = (void *)arena_memdup(&s->arena, u->interfaces ? (void *)u->interfaces : "",
		u->interface_count * sizeof(*u->interfaces));
	for (size_t i = 0; i < u->disk_count; i++)
		u->disks[i].name = text(s, u->disks[i].name ? u->disks[i].name : "");
	for (size_t i = 0; i < u->interface_count; i++)
		u->interfaces[i].name = text(s, u->interfaces[i].name ? u->interfaces[i].name : "");
}

static void on_machines(
	void *user, const struct vm_usage *items, size_t count, const struct err *err)
{
	struct node_stats *s = user;

	s->libvirt = NULL;
	if (!items)
		s->usage.failures++;
	for (size_t i = 0; i < count; i++) {
		struct machine_usage m = {.vm = items[i], .time_ns = s->usage.host.time_ns};
		m.vm.ns = text(s, items[i].ns);
		m.vm.name = text(s, items[i].name);
		m.vm.uid = text(s, items[i].uid);
		keep_devices(s, &m.vm);
		m.nano_cores = rate_of(s, m.vm.uid, m.time_ns, m.vm.cpu_ns);
		VEC_PUSH(&s->machines, m);
	}
	part_done(s);
}

void node_stats_memory_by(struct node_stats *s, node_memory_available *available)
{
	s->memory_available = available;
}

/* What is shown is what eviction goes by: so people see how near a node is to it. */
static void use_memory_of_eviction(struct node_stats *s)
{
	struct host_usage *h = &s->usage.host;
	int64_t capacity, available;

	if (!s->memory_available || (available = s->memory_available("", &capacity)) < 0)
		return;
	h->available_bytes = (uint64_t)available;
	h->working_set_bytes = (uint64_t)(capacity - available);
	h->usage_bytes = MAX(h->usage_bytes, h->working_set_bytes);
}

void node_stats_get(struct node_stats *s, node_stats_done *done, void *user)
{
	struct waiter w = {done, user};

	VEC_PUSH(&s->waiters, w);
	if (s->pending > 0)
		return;
	s->pending = 2;
	s->usage = (struct usage){.node = s->n->name, .disk_of = disk_of, .disks = s->disks};
	host_usage_read(s->n->data_dir, s->n->clock->wall_ns(s->n->clock), &s->usage.host);
	use_memory_of_eviction(s);
	/* No id of a container or a machine is empty. */
	s->usage.host_nano_cores = rate_of(s, "", s->usage.host.time_ns, s->usage.host.cpu_ns);
	s->runtime = cri_list_stats(pod_manager_cri(s->n->pods), on_containers, s);
	s->libvirt = vm_usage_get(s->n->vms, on_machines, s);
}

void node_stats_destroy(struct node_stats *s)
{
	if (!s)
		return;
	grpc_call_cancel(s->runtime);
	vm_usage_cancel(s->libvirt);
	answer(s, NULL);
	disk_usage_destroy(s->disks);
	cgroup_finder_finish(&s->groups);
	for (struct table_iter i = table_iterate(&s->rates); table_next(&i);)
		free(i.value);
	table_finish(&s->rates);
	VEC_FINISH(&s->waiters);
	VEC_FINISH(&s->containers);
	VEC_FINISH(&s->machines);
	arena_finish(&s->arena);
	free(s);
}
