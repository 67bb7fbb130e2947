/* usage_metrics.c - /metrics/resource: the figures as Prometheus text. */
#include <inttypes.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "node/stats/usage.h"

/* Names of objects need no escaping: the API lets only letters, digits, '-' and '.' in. */
struct line {
	struct buf *out;
	const char *name;
};

static struct line begin(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
	return (struct line){out, name};
}

static void seconds(const struct line *l, const char *labels, uint64_t ns, int64_t time_ns)
{
	buf_printf(l->out, "%s%s %" PRIu64 ".%09" PRIu64 " %" PRId64 "\n", l->name, labels,
		ns / (uint64_t)NS_PER_S, ns % (uint64_t)NS_PER_S, time_ns / NS_PER_MS);
}

static void number(const struct line *l, const char *labels, uint64_t value, int64_t time_ns)
{
	buf_printf(l->out, "%s%s %" PRIu64 " %" PRId64 "\n", l->name, labels, value,
		time_ns / NS_PER_MS);
}

static const char *container_labels(struct arena *a, const struct container_usage *c)
{
	return arena_printf(
		a, "{container=\"%s\",namespace=\"%s\",pod=\"%s\"}", c->container, c->ns, c->pod);
}

static const char *machine_labels(struct arena *a, const struct usage *u, const struct vm_usage *v)
{
	return arena_printf(
		a, "{name=\"%s\",namespace=\"%s\",node=\"%s\"}", v->name, v->ns, u->node);
}

/* Containers of one pod stand side by side: where those of the pod that begins here end. */
static size_t pod_end(const struct usage *u, size_t begin)
{
	size_t end = begin;

	while (end < u->container_count && streq(u->containers[end].uid, u->containers[begin].uid))
		end++;
	return end;
}

enum figure { POD_CPU, POD_MEMORY, POD_SWAP };

static void write_pods(const struct usage *u, struct arena *a, struct buf *out, enum figure f)
{
	bool cpu = f == POD_CPU;
	struct line l =
		f == POD_SWAP ? begin(out, "pod_swap_usage_bytes", "gauge",
					"[ALPHA] Memory of the pod that lies in swap")
		: cpu	      ? begin(out, "pod_cpu_usage_seconds_total", "counter",
					"[STABLE] CPU time that the pod has used, in seconds of one CPU")
			      : begin(out, "pod_memory_working_set_bytes", "gauge",
					"[STABLE] Memory that the pod has in use");

	for (size_t i = 0, end; i < u->container_count; i = end) {
		uint64_t sum = 0;
		const struct container_usage *c = &u->containers[i];
		end = pod_end(u, i);
		for (size_t n = i; n < end; n++)
			sum += cpu	       ? u->containers[n].cpu_ns
			       : f == POD_SWAP ? u->containers[n].swap_bytes
					       : u->containers[n].working_set_bytes;
		const char *labels =
			arena_printf(a, "{namespace=\"%s\",pod=\"%s\"}", c->ns, c->pod);
		if (cpu)
			seconds(&l, labels, sum, c->time_ns);
		else
			number(&l, labels, sum, c->time_ns);
	}
}

/* Without a time of its own: what does not change is not stale. */
static void write_starts(const struct usage *u, struct arena *a, struct buf *out)
{
	struct line l = begin(out, "container_start_time_seconds", "gauge",
		"[STABLE] Start time of the container, in seconds since the epoch");

	for (size_t i = 0; i < u->container_count; i++) {
		const struct container_usage *c = &u->containers[i];
		if (c->started_ns > 0)
			buf_printf(out, "%s%s %" PRId64 ".%09" PRId64 "\n", l.name,
				container_labels(a, c), c->started_ns / NS_PER_S,
				c->started_ns % NS_PER_S);
	}
}

/* KubeVirt's names and labels, but that processors of a guest are added up. */
struct figure_of {
	const char *name, *type, *help;
	size_t offset;
	bool may_be_unknown; /* then it is 0, and no line is written */
	bool time;	     /* in nanoseconds */
};
static const struct figure_of machine_figures[] = {
#define FIGURE(name, type, help, member)                                                           \
	{                                                                                          \
		"kubevirt_vmi_" name, type, help, offsetof(struct vm_usage, member), false, false  \
	}
#define TOLD(name, type, help, member)                                                             \
	{                                                                                          \
		"kubevirt_vmi_" name, type, help, offsetof(struct vm_usage, member), true, false   \
	}
#define TIME(name, help, member)                                                                   \
	{                                                                                          \
		"kubevirt_vmi_" name "_seconds_total", "counter", help,                            \
			offsetof(struct vm_usage, member), false, true                             \
	}
	TIME("cpu_usage", "CPU time that the guest has used, in seconds of one CPU", cpu_ns),
	TIME("cpu_user_usage", "Of that in user mode", cpu_user_ns),
	TIME("cpu_system_usage", "Of that in the host's kernel", cpu_system_ns),
	TIME("vcpu", "CPU time of its processors", vcpu_ns),
	TIME("vcpu_wait", "Time that its processors waited for I/O", vcpu_wait_ns),
	TIME("vcpu_delay", "Time that its processors waited for a CPU", vcpu_delay_ns),
	FIGURE("memory_resident_bytes", "gauge", "Host memory that the guest has resident",
		resident_bytes),
	FIGURE("memory_domain_bytes", "gauge", "Memory that the guest may use", most_bytes),
	FIGURE("memory_actual_balloon_bytes", "gauge", "Memory that its balloon leaves it",
		guest_bytes),
	TOLD("memory_available_bytes", "gauge", "Memory that the guest's system sees", seen_bytes),
	TOLD("memory_unused_bytes", "gauge", "Memory that the guest uses for nothing",
		unused_bytes),
	TOLD("memory_usable_bytes", "gauge", "Memory that the guest could use without swapping",
		usable_bytes),
	TOLD("memory_used_bytes", "gauge", "Memory that the guest's system uses", used_bytes),
	TOLD("memory_cached_bytes", "gauge", "Memory that the guest uses as a cache of its disks",
		cached_bytes),
	TOLD("memory_swap_in_traffic_bytes", "gauge", "Bytes that the guest read from its swap",
		swapped_in_bytes),
	TOLD("memory_swap_out_traffic_bytes", "gauge", "Bytes that the guest wrote to its swap",
		swapped_out_bytes),
	TOLD("memory_pgmajfault_total", "counter", "Page faults of the guest that needed a disk",
		major_faults),
	TOLD("memory_pgminfault_total", "counter", "Other page faults of the guest", minor_faults),
#undef FIGURE
#undef TOLD
#undef TIME
};

#define COUNT(name, help, member)                                                                  \
	{                                                                                          \
		"kubevirt_vmi_" name, "counter", help, OF(member), false, false                    \
	}
#define TIME(name, help, member)                                                                   \
	{                                                                                          \
		"kubevirt_vmi_" name "_seconds_total", "counter", help, OF(member), false, true    \
	}
static const struct figure_of interface_figures[] = {
#define OF(member) offsetof(struct vm_interface_usage, member)
	COUNT("network_receive_bytes_total", "Bytes that the guest received", received_bytes),
	COUNT("network_receive_packets_total", "Packets that the guest received", received_packets),
	COUNT("network_receive_errors_total", "Errors of receiving", received_errors),
	COUNT("network_receive_packets_dropped_total", "Packets for it that were lost",
		received_dropped),
	COUNT("network_transmit_bytes_total", "Bytes that the guest sent", sent_bytes),
	COUNT("network_transmit_packets_total", "Packets that the guest sent", sent_packets),
	COUNT("network_transmit_errors_total", "Errors of sending", sent_errors),
	COUNT("network_transmit_packets_dropped_total", "Packets of it that were lost",
		sent_dropped),
#undef OF
};
static const struct figure_of disk_figures[] = {
#define OF(member) offsetof(struct vm_disk_usage, member)
	COUNT("storage_read_traffic_bytes_total", "Bytes read from its disks", read_bytes),
	COUNT("storage_write_traffic_bytes_total", "Bytes written to its disks", written_bytes),
	COUNT("storage_iops_read_total", "Reads from its disks", reads),
	COUNT("storage_iops_write_total", "Writes to its disks", writes),
	COUNT("storage_flush_requests_total", "Flushes of its disks", flushes),
	TIME("storage_read_times", "Time that reads took", read_ns),
	TIME("storage_write_times", "Time that writes took", write_ns),
	TIME("storage_flush_times", "Time that flushes took", flush_ns),
#undef OF
#undef COUNT
#undef TIME
};

static void write_figure(const struct line *l, const char *labels, const struct figure_of *f,
	const void *from, int64_t time_ns)
{
	uint64_t value;

	memcpy(&value, (const char *)from + f->offset, sizeof(value));
	if (f->time)
		seconds(l, labels, value, time_ns);
	else if (value || !f->may_be_unknown)
		number(l, labels, value, time_ns);
}

/* Names of devices that others attached are anything. */
static const char *device_labels(struct arena *a, const struct usage *u, const struct vm_usage *v,
	const char *label, const char *device)
{
	struct buf safe = BUF_INIT;

	for (; *device; device++)
		buf_add(&safe, strchr("\"\\\n{}", *device) ? "_" : device, 1);
	const char *labels = arena_printf(a, "{%s=\"%s\",name=\"%s\",namespace=\"%s\",node=\"%s\"}",
		label, safe.data ? safe.data : "", v->name, v->ns, u->node);
	buf_finish(&safe);
	return labels;
}

static void write_devices(const struct usage *u, struct arena *a, struct buf *out)
{
	for (size_t f = 0; f < ARRAY_LEN(interface_figures); f++) {
		const struct figure_of *figure = &interface_figures[f];
		struct line l = begin(out, figure->name, figure->type, figure->help);
		for (size_t i = 0; i < u->machine_count; i++) {
			const struct vm_usage *v = &u->machines[i].vm;
			for (size_t n = 0; n < v->interface_count; n++)
				write_figure(&l,
					device_labels(a, u, v, "interface", v->interfaces[n].name),
					figure, &v->interfaces[n], u->machines[i].time_ns);
		}
	}
	for (size_t f = 0; f < ARRAY_LEN(disk_figures); f++) {
		const struct figure_of *figure = &disk_figures[f];
		struct line l = begin(out, figure->name, figure->type, figure->help);
		for (size_t i = 0; i < u->machine_count; i++) {
			const struct vm_usage *v = &u->machines[i].vm;
			for (size_t n = 0; n < v->disk_count; n++)
				write_figure(&l, device_labels(a, u, v, "drive", v->disks[n].name),
					figure, &v->disks[n], u->machines[i].time_ns);
		}
	}
}

static void write_machines(const struct usage *u, struct arena *a, struct buf *out)
{
	struct line l = begin(out, "kubevirt_vmi_info", "gauge", "The guests that run here");

	for (size_t i = 0; i < u->machine_count; i++) {
		const struct vm_usage *v = &u->machines[i].vm;
		buf_printf(out,
			"%s{name=\"%s\",namespace=\"%s\",node=\"%s\",phase=\"running\"} 1\n",
			l.name, v->name, v->ns, u->node);
	}
	for (size_t f = 0; f < ARRAY_LEN(machine_figures); f++) {
		l = begin(out, machine_figures[f].name, machine_figures[f].type,
			machine_figures[f].help);
		for (size_t i = 0; i < u->machine_count; i++) {
			const struct machine_usage *m = &u->machines[i];
			write_figure(&l, machine_labels(a, u, &m->vm), &machine_figures[f], &m->vm,
				m->time_ns);
		}
	}
	write_devices(u, a, out);
}

void usage_write_metrics(const struct usage *u, struct buf *out)
{
	struct arena a = ARENA_INIT;
	struct line l = begin(out, "container_cpu_usage_seconds_total", "counter",
		"[STABLE] CPU time that the container has used, in seconds of one CPU");

	for (size_t i = 0; i < u->container_count; i++)
		seconds(&l, container_labels(&a, &u->containers[i]), u->containers[i].cpu_ns,
			u->containers[i].time_ns);
	l = begin(out, "container_memory_working_set_bytes", "gauge",
		"[STABLE] Memory that the container has in use");
	for (size_t i = 0; i < u->container_count; i++)
		number(&l, container_labels(&a, &u->containers[i]),
			u->containers[i].working_set_bytes, u->containers[i].time_ns);
	l = begin(out, "container_swap_usage_bytes", "gauge",
		"[ALPHA] Memory of the container that lies in swap");
	for (size_t i = 0; i < u->container_count; i++)
		number(&l, container_labels(&a, &u->containers[i]), u->containers[i].swap_bytes,
			u->containers[i].time_ns);
	write_starts(u, &a, out);
	l = begin(out, "node_cpu_usage_seconds_total", "counter",
		"[STABLE] CPU time that the node has used, in seconds of one CPU");
	seconds(&l, "", u->host.cpu_ns, u->host.time_ns);
	l = begin(out, "node_memory_working_set_bytes", "gauge",
		"[STABLE] Memory that the node has in use");
	number(&l, "", u->host.working_set_bytes, u->host.time_ns);
	l = begin(out, "node_swap_usage_bytes", "gauge",
		"[ALPHA] Memory of the node that lies in swap");
	number(&l, "", u->host.swap_used_bytes, u->host.time_ns);
	write_pods(u, &a, out, POD_CPU);
	write_pods(u, &a, out, POD_MEMORY);
	write_pods(u, &a, out, POD_SWAP);
	write_machines(u, &a, out);
	buf_printf(out,
		"# HELP resource_scrape_error [STABLE] 1 if some figures could not be had, else 0\n"
		"# TYPE resource_scrape_error gauge\nresource_scrape_error %d\n",
		u->failures ? 1 : 0);
	arena_finish(&a);
}
