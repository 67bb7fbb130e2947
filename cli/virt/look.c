/* look.c - what machines there are, what one is, what it uses. */
#include <stdio.h>
#include <time.h>

#include "cli/virt/virt.h"

static const char *condition(const struct json *object, const char *type, const char *field)
{
	JSON_FOR_EACH_ITEM(c, json_path(object, "status.conditions")) {
		if (streq(json_str_or(json_get(c, "type"), ""), type))
			return json_str_or(json_get(c, field), "");
	}
	return "";
}

static const char *name_of(const struct json *object)
{
	return json_str_or(json_path(object, "metadata.name"), "");
}

static const char *namespace_of(const struct json *object)
{
	return json_str_or(json_path(object, "metadata.namespace"), "");
}

static const struct json *find_named(
	const struct json *list, const char *namespace, const char *name)
{
	JSON_FOR_EACH_ITEM(it, json_get(list, "items")) {
		if (streq(name_of(it), name) && streq(namespace_of(it), namespace))
			return it;
	}
	return NULL;
}

static const char *cpu_text(struct virt *v, const struct json *domain)
{
	int64_t sockets = json_path_int(domain, "cpu.sockets", 1),
		cores = json_path_int(domain, "cpu.cores", 1),
		threads = json_path_int(domain, "cpu.threads", 1);
	return arena_printf(&v->arena, "%lld", (long long)(sockets * cores * threads));
}

static const char *memory_text(const struct json *domain)
{
	return json_path_str(domain, "memory.guest")
		       ?: json_path_str(domain, "resources.requests.memory") ?: "";
}

static void list_row(struct virt_table *t, bool all, const struct json *vm, const struct json *vmi)
{
	struct virt *v = t->v;
	const struct json *it = vm ? vm : vmi;
	const struct json *domain =
		vmi ? json_path(vmi, "spec.domain") : json_path(vm, "spec.template.spec.domain");
	if (all)
		virt_table_cell(t, namespace_of(it));
	virt_table_cell(t, name_of(it));
	virt_table_cell(t, vm ? json_path_str(vm, "status.printableStatus")
			      : json_path_str(vmi, "status.phase"));
	virt_table_cell(t, condition(it, "Ready", "status"));
	virt_table_cell(t, cpu_text(v, domain));
	virt_table_cell(t, memory_text(domain));
	virt_table_cell(t, json_path_str(vmi, "status.interfaces[0].ipAddress"));
	virt_table_cell(t, json_path_str(vmi, "status.nodeName"));
	virt_table_cell(t, vm ? "vm" : "vmi");
	virt_table_cell(t, virt_age(v, json_path_str(it, "metadata.creationTimestamp")));
}

static int list(struct virt *v, struct err *err)
{
	bool all = virt_has(v, "all-namespaces"), running = virt_has(v, "running");
	const char *namespace = all ? NULL : v->namespace;
	struct json *vms, *vmis;
	const char *selector =
		virt_value(v, "selector")
			? arena_printf(&v->arena, "?labelSelector=%s",
				  percent_encode(&v->arena, str_from(virt_value(v, "selector"))))
			: "";
	int r = virt_get(v,
		arena_printf(&v->arena, "%s%s",
			virt_path(v, "kubevirt.io/v1", namespace, "virtualmachines", NULL, NULL),
			selector),
		&vms, err);
	if (r == 0)
		r = virt_get(v,
			virt_path(v, "kubevirt.io/v1", namespace, "virtualmachineinstances", NULL,
				NULL),
			&vmis, err);
	if (r < 0)
		return r;
	static const char *const titles[] = {"NAMESPACE", "NAME", "STATUS", "READY", "CPU",
		"MEMORY", "IP", "NODE", "KIND", "AGE"};
	struct virt_table t = virt_table(v, all ? 10 : 9, titles + !all);
	JSON_FOR_EACH_ITEM(vm, json_get(vms, "items")) {
		const struct json *vmi = find_named(vmis, namespace_of(vm), name_of(vm));
		if (virt_has(v, "names") && (vmi || !running))
			printf("%s\n", name_of(vm));
		else if (vmi || !running)
			list_row(&t, all, vm, vmi);
	}
	JSON_FOR_EACH_ITEM(vmi, json_get(vmis, "items")) {
		if (*selector || find_named(vms, namespace_of(vmi), name_of(vmi)))
			continue;
		if (virt_has(v, "names"))
			printf("%s\n", name_of(vmi));
		else
			list_row(&t, all, NULL, vmi);
	}
	if (!virt_has(v, "names"))
		virt_table_print(&t);
	return 0;
}

static void line(const char *title, const char *text)
{
	if (text && *text)
		printf("%-16s %s\n", title, text);
}

static const char *volume_source(struct virt *v, const struct json *volume)
{
	static const struct {
		const char *kind, *field;
	} sources[] = {
		{"persistentVolumeClaim", "claimName"},
		{"dataVolume", "name"},
		{"containerDisk", "image"},
		{"hostDisk", "path"},
		{"emptyDisk", "capacity"},
		{"ephemeral", NULL},
		{"cloudInitNoCloud", NULL},
		{"cloudInitConfigDrive", NULL},
		{"configMap", "name"},
		{"secret", "secretName"},
		{"sysprep", NULL},
		{"memoryDump", "claimName"},
		{"serviceAccount", "serviceAccountName"},
		{"downwardAPI", NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		const struct json *s = json_get(volume, sources[i].kind);
		const char *what =
			sources[i].field ? json_str(json_get(s, sources[i].field)) : NULL;
		if (s)
			return arena_printf(&v->arena, "%s%s%s", sources[i].kind, what ? " " : "",
				what ? what : "");
	}
	return "?";
}

static void info_disks(struct virt *v, const struct json *spec, const struct json *vmi)
{
	JSON_FOR_EACH_ITEM(disk, json_path(spec, "domain.devices.disks")) {
		const char *name = json_str_or(json_get(disk, "name"), ""), *how = "disk";
		const char *target = "";
		const struct json *volume = NULL;
		if (json_get(disk, "cdrom"))
			how = "cdrom";
		else if (json_get(disk, "lun"))
			how = "lun";
		JSON_FOR_EACH_ITEM(it, json_get(spec, "volumes")) {
			if (streq(json_str_or(json_get(it, "name"), ""), name))
				volume = it;
		}
		JSON_FOR_EACH_ITEM(it, json_path(vmi, "status.volumeStatus")) {
			if (streq(json_str_or(json_get(it, "name"), ""), name))
				target = json_str_or(json_get(it, "target"), "");
		}
		line("Disk",
			arena_printf(&v->arena, "%s: %s%s%s, %s, %s%s%s", name, how,
				*target ? " " : "", target,
				json_str_or(json_get(json_get(disk, how), "bus"), "default bus"),
				volume ? volume_source(v, volume) : "no volume",
				json_int_or(json_get(disk, "bootOrder"), 0) ? ", boot order " : "",
				json_int_or(json_get(disk, "bootOrder"), 0)
					? arena_printf(&v->arena, "%lld",
						  (long long)json_int_or(
							  json_get(disk, "bootOrder"), 0))
					: ""));
	}
}

static void info_interfaces(struct virt *v, const struct json *vmi)
{
	JSON_FOR_EACH_ITEM(it, json_path(vmi, "status.interfaces")) {
		struct buf text = BUF_INIT;
		buf_printf(&text, "%s: %s", json_str_or(json_get(it, "name"), ""),
			json_str_or(json_get(it, "mac"), "no MAC address"));
		if (json_count(json_get(it, "ipAddresses")) == 0 && json_get(it, "ipAddress"))
			buf_printf(&text, " %s", json_str_or(json_get(it, "ipAddress"), ""));
		JSON_FOR_EACH_ITEM(ip, json_get(it, "ipAddresses")) {
			buf_printf(&text, " %s", json_str_or(ip, ""));
		}
		if (json_get(it, "interfaceName"))
			buf_printf(&text, ", %s in the guest",
				json_str_or(json_get(it, "interfaceName"), ""));
		line("Interface", text.data);
		buf_finish(&text);
	}
}

static void info_conditions(struct virt *v, const struct json *object)
{
	JSON_FOR_EACH_ITEM(c, json_path(object, "status.conditions")) {
		const char *reason = json_str_or(json_get(c, "reason"), ""),
			   *message = json_str_or(json_get(c, "message"), "");
		line("Condition",
			arena_printf(&v->arena, "%s=%s%s%s%s%s",
				json_str_or(json_get(c, "type"), ""),
				json_str_or(json_get(c, "status"), ""), *reason ? " " : "", reason,
				*message ? ": " : "", message));
	}
}

/* What the agent says of how the machine is confined and so on is in annotations of hanok.io. */
static void info_annotations(const struct json *vmi)
{
	JSON_FOR_EACH_MEMBER(m, json_path(vmi, "metadata.annotations")) {
		if (str_has_prefix(m->name, "hanok.io/") &&
			!str_has_suffix(m->name, "/template-hash"))
			line(m->name + strlen("hanok.io/"), json_str_or(m->value, ""));
	}
}

static int info(struct virt *v, struct err *err)
{
	struct virt_target t;
	unsigned used;
	struct json *vm = NULL, *vmi = NULL;
	int r = virt_target_args(v, &t, &used, err);
	if (r < 0)
		return r;
	struct err none = ERR_INIT;
	r = virt_get(v,
		virt_path(
			v, "kubevirt.io/v1", t.namespace, "virtualmachineinstances", t.name, NULL),
		&vmi, &none);
	if (r < 0 && r != -ENOENT)
		return err_set(err, r, "%s", none.msg);
	r = virt_get(v,
		virt_path(v, "kubevirt.io/v1", t.namespace, "virtualmachines", t.name, NULL), &vm,
		err);
	if (r < 0 && !(r == -ENOENT && vmi))
		return r;
	const struct json *spec = vmi ? json_get(vmi, "spec") : json_path(vm, "spec.template.spec");
	const struct json *domain = json_get(spec, "domain");
	line("Name", arena_printf(&v->arena, "%s/%s", t.namespace, t.name));
	line("Kind", vm ? "VirtualMachine" : "VirtualMachineInstance");
	line("UUID", json_path_str(domain, "firmware.uuid"));
	line("State", vm ? json_path_str(vm, "status.printableStatus")
			 : json_path_str(vmi, "status.phase"));
	line("Run strategy", json_path_str(vm, "spec.runStrategy"));
	line("Node", json_path_str(vmi, "status.nodeName"));
	line("Libvirt domain", vmi ? arena_printf(&v->arena, "%s_%s", t.namespace, t.name) : NULL);
	line("Age", virt_age(v, json_path_str(vm ? vm : vmi, "metadata.creationTimestamp")));
	line("CPU", cpu_text(v, domain));
	line("CPU model", json_path_str(domain, "cpu.model"));
	line("Memory", memory_text(domain));
	line("Memory now", json_path_str(vmi, "status.memory.guestCurrent"));
	line("Machine",
		json_path_str(vmi, "status.machine.type") ?: json_path_str(domain, "machine.type"));
	line("Firmware", json_path(domain, "firmware.bootloader.efi") ? "UEFI" : "BIOS");
	info_disks(v, spec, vmi);
	info_interfaces(v, vmi);
	line("Guest agent", !vmi ? NULL
			    : streq(condition(vmi, "AgentConnected", "status"), "True")
				    ? "connected"
				    : "not connected");
	line("Guest", json_path_str(vmi, "status.guestOSInfo.prettyName"));
	info_annotations(vmi);
	info_conditions(v, vmi ? vmi : vm);
	return 0;
}

/* Figures of a node, in the text form of Prometheus. */
struct figures {
	double cpu, memory, received, sent, read, written;
};

static void add_figure(struct figures *f, struct str metric, double value)
{
	static const struct {
		const char *name;
		size_t offset;
	} known[] = {
		{"kubevirt_vmi_cpu_usage_seconds_total", offsetof(struct figures, cpu)},
		{"kubevirt_vmi_memory_resident_bytes", offsetof(struct figures, memory)},
		{"kubevirt_vmi_network_receive_bytes_total", offsetof(struct figures, received)},
		{"kubevirt_vmi_network_transmit_bytes_total", offsetof(struct figures, sent)},
		{"kubevirt_vmi_storage_read_traffic_bytes_total", offsetof(struct figures, read)},
		{"kubevirt_vmi_storage_write_traffic_bytes_total",
			offsetof(struct figures, written)},
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eq(metric, known[i].name))
			*(double *)(void *)((char *)f + known[i].offset) += value;
}

static bool has_label(struct arena *a, struct str labels, const char *name, const char *value)
{
	const char *wanted = arena_printf(a, "%s=\"%s\"", name, value);
	const char *at = memmem(labels.p, labels.size, wanted, strlen(wanted));
	return at && (at == labels.p || at[-1] == ',' || at[-1] == '{');
}

static struct figures figures_of(
	struct arena *a, struct str text, const char *namespace, const char *name)
{
	struct figures f = {0};
	struct str part;
	while (str_split(&text, '\n', &part)) {
		const char *open = memchr(part.p, '{', part.size);
		const char *close =
			open ? memchr(open, '}', part.size - (size_t)(open - part.p)) : NULL;
		if (!close || part.p[0] == '#')
			continue;
		struct str labels = {open, (size_t)(close - open)};
		if (!has_label(a, labels, "namespace", namespace) ||
			!has_label(a, labels, "name", name))
			continue;
		char number[64];
		size_t size = MIN(sizeof(number) - 1, part.size - (size_t)(close + 1 - part.p));
		memcpy(number, close + 1, size);
		number[size] = '\0';
		add_figure(&f, (struct str){part.p, (size_t)(open - part.p)}, strtod(number, NULL));
	}
	return f;
}

static int node_figures(struct virt *v, const char *node, struct str *ret, struct err *err)
{
	struct api_session_request request = {
		.path = arena_printf(&v->arena, "/api/v1/nodes/%s/proxy/metrics/resource",
			percent_encode(&v->arena, str_from(node))),
		.accept = "text/plain"};
	struct api_session_answer answer;
	int r = api_session_call(v->session, &v->arena, &request, &answer, err);
	*ret = answer.body;
	return r < 0 ? err_context(err, r, "figures of node '%s'", node) : 0;
}

/* The figures of each node that has a machine, at two times. */
struct sample {
	const char *node;
	struct str first, second;
	int64_t first_ns, second_ns;
};

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct sample *sample_of(struct sample *all, size_t count, const char *node)
{
	for (size_t i = 0; i < count; i++)
		if (streq(all[i].node, node))
			return &all[i];
	return NULL;
}

static void stats_row(struct virt_table *t, const struct json *vmi, const struct sample *s)
{
	struct virt *v = t->v;
	struct figures a = figures_of(&v->arena, s->first, namespace_of(vmi), name_of(vmi)),
		       b = figures_of(&v->arena, s->second, namespace_of(vmi), name_of(vmi));
	double seconds = (double)(s->second_ns - s->first_ns) / 1e9;
	virt_table_cell(t, namespace_of(vmi));
	virt_table_cell(t, name_of(vmi));
	/* Without figures the first time (libvirt was away, the guest began) there is no
	 * difference. */
	virt_table_cell(
		t, a.memory > 0 && b.memory > 0 && seconds > 0
			   ? arena_printf(&v->arena, "%.1f", (b.cpu - a.cpu) / seconds * 100)
			   : "-");
	virt_table_cell(t, virt_bytes(v, (int64_t)b.memory));
	virt_table_cell(t, virt_bytes(v, (int64_t)b.received));
	virt_table_cell(t, virt_bytes(v, (int64_t)b.sent));
	virt_table_cell(t, virt_bytes(v, (int64_t)b.read));
	virt_table_cell(t, virt_bytes(v, (int64_t)b.written));
}

static int stats(struct virt *v, struct err *err)
{
	int64_t interval = 1;
	struct json *vmis;
	int r = virt_number(v, "interval", 0, 3600, &interval, err);
	if (r == 0)
		r = virt_get(v,
			virt_path(v, "kubevirt.io/v1",
				virt_has(v, "all-namespaces") ? NULL : v->namespace,
				"virtualmachineinstances", NULL, NULL),
			&vmis, err);
	if (r < 0)
		return r;
	const struct json *items = json_get(vmis, "items");
	struct sample *samples =
		arena_zalloc(&v->arena, (json_count(items) + 1) * sizeof(*samples));
	size_t count = 0;
	JSON_FOR_EACH_ITEM(vmi, items) {
		const char *node = json_path_str(vmi, "status.nodeName");
		if (node && !sample_of(samples, count, node))
			samples[count++].node = node;
	}
	for (int second = 0; second < 2; second++) {
		if (second)
			nanosleep(&(struct timespec){.tv_sec = interval}, NULL);
		for (size_t i = 0; i < count; i++) {
			struct sample *s = &samples[i];
			r = node_figures(v, s->node, second ? &s->second : &s->first, err);
			if (r < 0)
				return r;
			*(second ? &s->second_ns : &s->first_ns) = now_ns();
		}
	}
	static const char *const titles[] = {
		"NAMESPACE", "NAME", "CPU%", "MEMORY", "RECEIVED", "SENT", "READ", "WRITTEN"};
	struct virt_table t = virt_table(v, ARRAY_LEN(titles), titles);
	JSON_FOR_EACH_ITEM(vmi, items) {
		const struct sample *s =
			sample_of(samples, count, json_path_str(vmi, "status.nodeName") ?: "");
		if (s && (v->arg_count == 0 || streq(v->args[0], name_of(vmi))))
			stats_row(&t, vmi, s);
	}
	virt_table_print(&t);
	if (v->arg_count && t.count == t.columns)
		return err_set(err, -ENOENT, "no running virtual machine '%s/%s'", v->namespace,
			v->args[0]);
	return 0;
}

static const struct virt_flag list_flags[] = {
	{"all-namespaces", 'A', NULL, "of every namespace"},
	{"running", 0, NULL, "only those that run"},
	{"names", 0, NULL, "only names, one a line"},
	{"selector", 'l', "LABELS", "only virtual machines with these labels"},
	{0},
};
static const struct virt_flag stats_flags[] = {
	{"all-namespaces", 'A', NULL, "of every namespace"},
	{"interval", 0, "SECONDS", "over which CPU time is counted; default 1"},
	{0},
};

const struct virt_verb virt_look_verbs[] = {
	{"list", "", 0, 0, "the virtual machines, with state, address and node", list, list_flags,
		false},
	{"info|dominfo", "NAME", 1, 2, "what one is, where it runs, its disks and addresses", info,
		NULL, false},
	{"stats|top", "[NAME]", 0, 1, "CPU time, memory, traffic", stats, stats_flags, false},
	{0},
};
