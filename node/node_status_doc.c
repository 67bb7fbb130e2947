/* node_status_doc.c - the Node's status document from facts. Pure. */
#include "node/node_status.h"

static const struct json *condition_named(const struct json *list, const char *type)
{
	JSON_FOR_EACH_ITEM(c, list) {
		if (streq(json_str(json_get(c, "type")), type))
			return c;
	}
	return NULL;
}

static void condition(struct arena *a, struct json *list, const struct node_status_input *in,
	const char *type, const char *status, const char *reason, const char *message)
{
	const struct json *old = condition_named(json_path(in->old, "status.conditions"), type);
	struct json *c = json_new_object(a);
	char now[TIME_RFC3339_ROOM];

	time_format_rfc3339(in->now_ns, now);
	const char *since = json_str(json_get(old, "lastTransitionTime"));
	bool kept = since && streq(json_str(json_get(old, "status")), status);
	json_set_str(a, c, "lastHeartbeatTime", now);
	json_set_str(a, c, "lastTransitionTime", kept ? since : now);
	json_set_str(a, c, "message", message);
	json_set_str(a, c, "reason", reason);
	json_set_str(a, c, "status", status);
	json_set_str(a, c, "type", type);
	json_push(a, list, c);
}

static struct json *conditions(struct arena *a, const struct node_status_input *in)
{
	struct json *list = json_new_array(a);
	const struct node_part *bad = NULL;

	condition(a, list, in, "MemoryPressure", in->memory_pressure ? "True" : "False",
		in->memory_pressure ? "KubeletHasInsufficientMemory" : "KubeletHasSufficientMemory",
		in->memory_pressure ? "kubelet has insufficient memory available"
				    : "kubelet has sufficient memory available");
	condition(a, list, in, "DiskPressure", in->disk_pressure ? "True" : "False",
		in->disk_pressure ? "KubeletHasDiskPressure" : "KubeletHasNoDiskPressure",
		in->disk_pressure ? "kubelet has disk pressure" : "kubelet has no disk pressure");
	condition(a, list, in, "PIDPressure", in->pid_pressure ? "True" : "False",
		in->pid_pressure ? "KubeletHasInsufficientPID" : "KubeletHasSufficientPID",
		in->pid_pressure ? "kubelet has insufficient PID available"
				 : "kubelet has sufficient PID available");
	for (size_t i = 0; i < in->part_count; i++) {
		const struct node_part *p = &in->parts[i];

		/* A hypervisor that is away harms no container: a condition of its own. */
		if (streq(p->name, "libvirt"))
			condition(a, list, in, "VirtualMachinesReady", p->ready ? "True" : "False",
				p->reason, p->message);
		/* Nor does it stop what runs when names are not to be had here. */
		else if (streq(p->name, "dns"))
			condition(a, list, in, "ClusterDNSReady", p->ready ? "True" : "False",
				p->reason, p->message);
		else if (!p->ready && !bad)
			bad = p;
	}
	if (bad)
		condition(a, list, in, "Ready", "False", "KubeletNotReady",
			*bad->reason ? arena_printf(a, "%s: %s", bad->reason, bad->message)
				     : bad->message);
	else
		condition(a, list, in, "Ready", "True", "KubeletReady",
			"kubelet is posting ready status");
	return list;
}

static struct json *resources(struct arena *a, const struct node_status_input *in, bool allocatable)
{
	struct node_amounts amounts = allocatable ? *in->allocatable : *in->capacity;

	amounts.pods = in->pods_max;
	struct json *o = node_amounts_json(a, &amounts);
	/* What others have put there (devices of virtual machines, say) stays as it is. */
	const struct json *old =
		json_path(in->old, allocatable ? "status.allocatable" : "status.capacity");
	JSON_FOR_EACH_MEMBER(m, old) {
		if (!json_get_n(o, m->name, m->name_size))
			json_set_n(a, o, m->name, m->name_size, json_copy(a, m->value));
	}
	return o;
}

static struct json *address(struct arena *a, const char *type, const char *value)
{
	struct json *o = json_new_object(a);

	json_set_str(a, o, "address", value);
	json_set_str(a, o, "type", type);
	return o;
}

struct json *node_status_make(struct arena *a, const struct node_status_input *in)
{
	struct json *s = json_new_object(a), *addresses = json_new_array(a);
	struct json *info = json_new_object(a);
	const struct node_facts *f = in->facts;

	json_push(a, addresses, address(a, "InternalIP", in->host_ip));
	if (in->host_ip6 && *in->host_ip6)
		json_push(a, addresses, address(a, "InternalIP", in->host_ip6));
	json_push(a, addresses, address(a, "Hostname", f->hostname));
	json_set(a, s, "addresses", addresses);
	json_set(a, s, "allocatable", resources(a, in, true));
	json_set(a, s, "capacity", resources(a, in, false));
	json_set(a, s, "conditions", conditions(a, in));
	json_path_set(a, s, "daemonEndpoints.kubeletEndpoint.Port", json_new_int(a, in->port));
	json_set_str(a, info, "architecture", f->architecture);
	json_set_str(a, info, "bootID", f->boot_id);
	json_set_str(a, info, "containerRuntimeVersion", in->runtime_version);
	json_set_str(a, info, "kernelVersion", f->kernel);
	json_set_str(a, info, "kubeProxyVersion", ""); /* as since 1.33 */
	json_set_str(a, info, "kubeletVersion", "v1.33.0+hanok-" HANOK_VERSION);
	json_set_str(a, info, "machineID", f->machine_id);
	json_set_str(a, info, "operatingSystem", "linux");
	json_set_str(a, info, "osImage", f->os_image);
	if (f->swap_bytes >= 0) {
		struct json *swap = json_new_object(a);
		json_set_int(a, swap, "capacity", f->swap_bytes);
		json_set(a, info, "swap", swap);
	}
	json_set_str(a, info, "systemUUID", f->system_uuid);
	if (in->features)
		json_set(a, s, "features", json_copy(a, in->features));
	if (in->images)
		json_set(a, s, "images", json_copy(a, in->images));
	json_set(a, s, "nodeInfo", info);
	if (json_count(in->handlers))
		json_set(a, s, "runtimeHandlers", json_copy(a, in->handlers));
	return s;
}

static bool same_conditions(const struct json *old, const struct json *new)
{
	static const char *const fields[] = {"status", "reason", "message"};

	JSON_FOR_EACH_ITEM(c, new) {
		const struct json *o = condition_named(old, json_str(json_get(c, "type")));
		for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
			if (!streq(json_str(json_get(o, fields[i])),
				    json_str(json_get(c, fields[i]))))
				return false;
		}
	}
	return true;
}

bool node_status_differs(const struct json *old, const struct json *status)
{
	JSON_FOR_EACH_MEMBER(m, status) {
		const struct json *o = json_get_n(old, m->name, m->name_size);
		bool same = streq(m->name, "conditions") ? same_conditions(o, m->value)
							 : json_equal(o, m->value);
		if (!same)
			return true;
	}
	return false;
}

struct node_news node_status_news(const struct json *old, const struct json *status)
{
	const struct json *was = condition_named(json_get(old, "conditions"), "Ready");
	const struct json *is = condition_named(json_get(status, "conditions"), "Ready");
	const char *booted = json_str_or(json_path(old, "nodeInfo.bootID"), "");
	bool ready = streq(json_str(json_get(is, "status")), "True");

	/* That a node which is just made is not ready yet is no news. */
	return (struct node_news){
		.ready = ready,
		.ready_changed = was ? !streq(json_str(json_get(was, "status")),
					       json_str(json_get(is, "status")))
				     : ready,
		.rebooted = *booted && !streq(booted, json_path_str(status, "nodeInfo.bootID")),
	};
}
