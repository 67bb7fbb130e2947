/* machine_side.c - an application in virtual machines: VirtualMachines NAME-0, NAME-1, ... that are
 * started again, elsewhere if need be. */
#include <inttypes.h>

#include "lib/object/quantity.h"
#include "server/controllers/applications/application_parts.h"
#include "server/controllers/meta.h"

#define ROOT_DISK "root-disk"
#define CLOUD_INIT "cloud-init"

const char *application_machine_name(struct arena *a, const struct object *app, int64_t number)
{
	return arena_printf(a, "%s-%" PRId64, app->name, number);
}

int64_t application_machine_number(const struct object *app, const char *name)
{
	size_t size = strlen(app->name);
	int64_t number;
	if (strncmp(name, app->name, size) != 0 || name[size] != '-' ||
		parse_i64(str_from(name + size + 1), &number) < 0 || number < 0)
		return -1;
	/* "01" and "1" would be two machines of one number. */
	return name[size + 1] == '0' && name[size + 2] ? -1 : number;
}

/* Disks. */

static void add_disk(struct arena *a, struct json *spec, const char *name, struct json *volume)
{
	struct json *disk = json_new_object(a),
		    *devices = json_object_at(a, json_object_at(a, spec, "domain"), "devices");
	json_set_str(a, disk, "name", name);
	json_path_set(a, disk, "disk.bus", json_new_string(a, "virtio"));
	json_push(a, json_array_at(a, devices, "disks"), disk);
	json_set_str(a, volume, "name", name);
	json_push(a, json_array_at(a, spec, "volumes"), volume);
}

static void add_volumes(struct arena *a, const struct json *volumes, struct json *spec)
{
	static const char *const same[] = {
		"persistentVolumeClaim", "emptyDisk", "hostDisk", "containerDisk"};
	JSON_FOR_EACH_ITEM(v, volumes) {
		struct json *volume = json_new_object(a);
		for (size_t i = 0; i < ARRAY_LEN(same); i++)
			if (json_get(v, same[i]))
				json_set(a, volume, same[i], json_copy(a, json_get(v, same[i])));
		if (json_get(v, "emptyDir")) {
			struct json *limit = json_path(v, "emptyDir.sizeLimit");
			json_path_set(a, volume, "emptyDisk.capacity",
				limit ? json_copy(a, limit) : json_new_string(a, "1Gi"));
		}
		add_disk(a, spec, json_str_or(json_get(v, "name"), ""), volume);
	}
}

/* What a container is told directly, the guest is told by cloud-init. */

static void add_quoted(struct buf *out, const char *text)
{
	buf_add_char(out, '\'');
	for (; *text; text++)
		if (*text == '\'')
			buf_add_str(out, "'\\''");
		else
			buf_add_char(out, *text);
	buf_add_char(out, '\'');
}

/* A file of cloud-init's write_files, as a block. */
static void add_file(struct buf *out, const char *path, const char *mode, const char *content)
{
	buf_printf(out, "- path: %s\n  permissions: \"%s\"\n  content: |\n    ", path, mode);
	for (const char *c = content; *c; c++) {
		buf_add_char(out, *c);
		if (*c == '\n' && c[1])
			buf_add_str(out, "    ");
	}
}

static const char *user_data(struct arena *a, const struct json *spec)
{
	const struct json *env = json_get(spec, "env"), *command = json_get(spec, "command"),
			  *args = json_get(spec, "args");
	_cleanup_(buf_finish) struct buf out = BUF_INIT, environment = BUF_INIT, start = BUF_INIT;
	if (!json_count(env) && !json_count(command))
		return NULL;
	buf_add_str(&environment, "# variables of the application\n");
	JSON_FOR_EACH_ITEM(e, env) {
		buf_printf(&environment, "%s=", json_str_or(json_get(e, "name"), ""));
		add_quoted(&environment, json_str_or(json_get(e, "value"), ""));
		buf_add_char(&environment, '\n');
	}
	buf_add_str(&out, "#cloud-config\nwrite_files:\n");
	add_file(&out, "/etc/hanok/environment", "0644", environment.data);
	if (json_count(command)) {
		buf_add_str(&start, "#!/bin/sh\nset -a\n. /etc/hanok/environment\nset +a\n");
		JSON_FOR_EACH_ITEM(word, command) {
			add_quoted(&start, json_str_or(word, ""));
			buf_add_char(&start, ' ');
		}
		JSON_FOR_EACH_ITEM(word, args) {
			add_quoted(&start, json_str_or(word, ""));
			buf_add_char(&start, ' ');
		}
		buf_add_str(&start, "</dev/null >/dev/console 2>&1 &\n");
		add_file(&out, "/etc/hanok/start", "0755", start.data);
		buf_add_str(&out, "runcmd:\n- /bin/sh /etc/hanok/start\n");
	}
	return arena_memdup(a, out.data, out.size);
}

static void add_cloud_init(struct arena *a, const struct json *from, struct json *spec)
{
	const struct json *given = json_get(from, "cloudInit");
	const char *made = json_count(given) ? NULL : user_data(a, from);
	struct json *volume = json_new_object(a);
	if (json_count(given))
		json_set(a, volume, "cloudInitNoCloud", json_copy(a, given));
	else if (made)
		json_path_set(a, volume, "cloudInitNoCloud.userData", json_new_string(a, made));
	else
		return;
	add_disk(a, spec, CLOUD_INIT, volume);
}

/* Size. */

static const struct json *amount(const struct json *spec, const char *name)
{
	const struct json *limit = json_get(json_path(spec, "resources.limits"), name);
	return limit ? limit : json_get(json_path(spec, "resources.requests"), name);
}

static void set_size(struct arena *a, const struct json *from, struct json *spec)
{
	const struct json *memory = json_path(from, "resources.requests.memory"),
			  *cpu = json_path(from, "resources.requests.cpu");
	if (!memory)
		memory = amount(from, "memory");
	int64_t milli = quantity_json_milli(amount(from, "cpu"), 1000);
	struct json *guest = memory ? json_copy(a, memory) : json_new_string(a, "512Mi");
	json_path_set(a, spec, "domain.cpu.cores", json_new_int(a, MAX((milli + 999) / 1000, 1)));
	json_path_set(a, spec, "domain.memory.guest", guest);
	/* What the guest may ever use is set aside for it. */
	json_path_set(a, spec, "domain.resources.requests.memory", json_copy(a, guest));
	if (cpu)
		json_path_set(a, spec, "domain.resources.requests.cpu", json_copy(a, cpu));
}

static void set_network(struct arena *a, struct json *spec)
{
	struct json *interface = json_new_object(a), *network = json_new_object(a),
		    *devices = json_object_at(a, json_object_at(a, spec, "domain"), "devices");
	json_set_str(a, interface, "name", "default");
	json_set(a, interface, "bridge", json_new_object(a));
	json_push(a, json_array_at(a, devices, "interfaces"), interface);
	json_set_str(a, network, "name", "default");
	json_set(a, network, "pod", json_new_object(a));
	json_push(a, json_array_at(a, spec, "networks"), network);
}

static struct json *readiness(struct arena *a, const struct json *spec)
{
	const struct json *given = json_get(spec, "readinessProbe");
	if (json_count(given)) {
		struct json *probe = json_copy(a, given);
		json_remove(probe, "terminationGracePeriodSeconds");
		return probe;
	}
	JSON_FOR_EACH_ITEM(p, json_get(spec, "ports")) {
		if (!streq(json_str_or(json_get(p, "protocol"), "TCP"), "TCP"))
			continue;
		struct json *probe = json_new_object(a), *target = json_get(p, "targetPort");
		json_path_set(a, probe, "tcpSocket.port",
			json_copy(a, target ? target : json_get(p, "port")));
		json_set_int(a, probe, "periodSeconds", 2);
		return probe;
	}
	return NULL;
}

struct json *application_machine(
	struct arena *a, const struct object *app, const struct json *doc, int64_t number)
{
	const struct json *from = json_get(doc, "spec");
	struct json *wanted = json_new_object(a), *template = json_new_object(a),
		    *spec = json_new_object(a), *root = json_copy(a, json_get(from, "disk"));
	const char *criticality = json_path_str(from, "profile.criticality");
	const char *priority = placement_priority_class(criticality);
	struct json *probe = readiness(a, from);
	set_size(a, from, spec);
	add_disk(a, spec, ROOT_DISK, root ? root : json_new_object(a));
	add_volumes(a, json_get(from, "volumes"), spec);
	add_cloud_init(a, from, spec);
	set_network(a, spec);
	if (probe)
		json_set(a, spec, "readinessProbe", probe);
	json_set_int(a, spec, "terminationGracePeriodSeconds",
		json_path_int(from, "terminationGracePeriodSeconds", 30));
	if (priority)
		json_set_str(a, spec, "priorityClassName", priority);
	if (!streq(criticality, "best-effort"))
		json_set(a, spec, "affinity",
			placement_spread(a, application_selector(a, app, SELECTS_MACHINES)));
	json_path_set(a, template, "metadata.labels",
		application_template_labels(a, app, doc, PLACEMENT_VIRTUAL_MACHINE));
	json_set(a, template, "spec", spec);
	json_set_str(a, wanted, "runStrategy", "Always");
	json_set(a, wanted, "template", template);
	return application_part(a, app, doc, "kubevirt.io/v1", "VirtualMachine",
		application_machine_name(a, app, number), wanted);
}
