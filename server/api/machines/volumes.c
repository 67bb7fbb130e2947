/* volumes.c - addvolume and removevolume: a disk is added to the specification of a machine (for
 * good) or of an instance (until it ends), and the node follows what it finds there. */
#include "server/api/machines/machines.h"

struct volume_change {
	const struct json *options;
	const char *name;
	const char *resource; /* in the singular */
	const char *spec;     /* path of the instance's specification */
	bool remove;
};

/* Claim or data volume behind it; "" when it is another volume. */
static const char *source_of(const struct json *volume)
{
	const char *dv = json_path_str(volume, "dataVolume.name");
	const char *claim = json_path_str(volume, "persistentVolumeClaim.claimName");
	return dv ? dv : claim ? claim : "";
}

static bool hotpluggable(const struct json *volume)
{
	return json_path_bool(volume, "dataVolume.hotpluggable", false) ||
	       json_path_bool(volume, "persistentVolumeClaim.hotpluggable", false);
}

static int refuse(struct update *u, const char *detail)
{
	const struct volume_change *c = u->user;
	return machines_conflict(u->req, c->resource, detail);
}

static struct json *without(struct arena *a, const struct json *list, const char *name)
{
	struct json *rest = json_new_array(a);
	JSON_FOR_EACH_ITEM(i, list)
		if (!streq(json_str(json_get(i, "name")), name))
			json_push(a, rest, i);
	return rest;
}

static int remove_volume(struct update *u, struct json *spec)
{
	const struct volume_change *c = u->user;
	struct arena *a = u->req->arena;
	struct json *devices = json_object_at(a, json_object_at(a, spec, "domain"), "devices");
	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes")) {
		const char *name = json_str_or(json_get(v, "name"), "");
		if (!streq(name, c->name) && !streq(source_of(v), c->name))
			continue;
		if (!hotpluggable(v))
			return refuse(u, arena_printf(a,
						 "Unable to remove volume [%s] because it is not "
						 "hotpluggable",
						 name));
		json_set(a, spec, "volumes", without(a, json_get(spec, "volumes"), name));
		json_set(a, devices, "disks", without(a, json_get(devices, "disks"), name));
		return 0;
	}
	return refuse(u,
		arena_printf(a, "Unable to remove volume [%s] because it does not exist", c->name));
}

static int add_volume(struct update *u, struct json *spec)
{
	const struct volume_change *c = u->user;
	struct arena *a = u->req->arena;
	const struct json *source = json_get(c->options, "volumeSource");
	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes")) {
		if (streq(json_str(json_get(v, "name")), c->name))
			return refuse(u, arena_printf(a,
						 "Unable to add volume [%s] because volume with "
						 "that name already exists",
						 c->name));
		if (*source_of(source) && streq(source_of(v), source_of(source)))
			return refuse(u, arena_printf(a,
						 "Unable to add volume source [%s] because it "
						 "already exists",
						 source_of(source)));
	}
	struct json *devices = json_object_at(a, json_object_at(a, spec, "domain"), "devices");
	struct json *disk = json_copy(a, json_get(c->options, "disk"));
	struct json *volume = json_copy(a, source);
	struct json *inner = json_get(volume, "dataVolume");
	if (!inner)
		inner = json_get(volume, "persistentVolumeClaim");
	json_set_bool(a, inner, "hotpluggable", true);
	json_set_str(a, volume, "name", c->name);
	json_set_str(a, disk, "name", c->name);
	json_push(a, json_array_at(a, spec, "volumes"), volume);
	json_push(a, json_array_at(a, devices, "disks"), disk);
	return 0;
}

/* Only these QEMU takes while it runs. A disk that names none comes on SCSI, of which there is
 * always room. */
static int check_bus(struct api_request *req, struct json *disk, const char *name)
{
	static const char *const devices[] = {"disk", "lun", "cdrom"};
	struct arena *a = req->arena;
	for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
		struct json *device = json_get(disk, devices[i]);
		const char *bus = json_str_or(json_get(device, "bus"), "");
		bool virtio_too = i == 0;
		if (!json_is(device, JSON_OBJECT))
			continue;
		if (!*bus)
			json_set_str(a, device, "bus", "scsi");
		else if (!streq(bus, "scsi") && !(virtio_too && streq(bus, "virtio")))
			return status_bad_request(a, &req->st,
				"AddVolume request for %s [%s] requires bus to be %s. [%s] is not "
				"permitted.",
				i == 1 ? "LUN" : devices[i], name,
				virtio_too ? "'scsi' or 'virtio'" : "'scsi'", bus);
		return 0;
	}
	return status_bad_request(a, &req->st,
		"AddVolume request for [%s] requires diskDevice of type 'disk' or 'lun' to be "
		"used.",
		name);
}

static int change(struct update *u, const struct json *present, struct json **ret)
{
	const struct volume_change *c = u->user;
	struct json *doc = json_copy(u->req->arena, present);
	struct json *spec = json_path(doc, c->spec);
	if (streq(u->kind->kind, "VirtualMachineInstance") &&
		!streq(json_path_str(doc, "status.phase"), "Running"))
		return refuse(u, "VMI is not running");
	if (!spec)
		return refuse(u, "it has no template");
	int r = c->remove ? remove_volume(u, spec) : add_volume(u, spec);
	if (r < 0)
		return r;
	*ret = doc;
	return 0;
}

static int check_options(struct api_request *req, const struct volume_change *c)
{
	const char *what = c->remove ? "RemoveVolumeOptions" : "AddVolumeOptions";
	const struct json *source = json_get(c->options, "volumeSource");
	if (!req->body_size)
		return status_bad_request(req->arena, &req->st,
			"Request with no body, a new name is expected as the request body");
	if (!*c->name)
		return status_bad_request(req->arena, &req->st, "%s requires name to be set", what);
	if (c->remove)
		return 0;
	if (!json_is(json_get(c->options, "disk"), JSON_OBJECT))
		return status_bad_request(
			req->arena, &req->st, "AddVolumeOptions requires disk to not be nil");
	if (!json_is(source, JSON_OBJECT))
		return status_bad_request(req->arena, &req->st,
			"AddVolumeOptions requires VolumeSource to not be nil");
	if (!json_is(json_get(source, "dataVolume"), JSON_OBJECT) &&
		!json_is(json_get(source, "persistentVolumeClaim"), JSON_OBJECT))
		return status_bad_request(req->arena, &req->st,
			"AddVolumeOptions requires VolumeSource to name a dataVolume or a "
			"persistentVolumeClaim");
	return check_bus(req, json_get(c->options, "disk"), c->name);
}

static void run(struct api_request *req, bool remove)
{
	bool instance = streq(req->route.resource, "virtualmachineinstances");
	struct volume_change *c = ARENA_NEW(req->arena, struct volume_change);
	struct json *options;
	int r = machines_options(req, &options);
	*c = (struct volume_change){
		.options = options,
		.name = json_str_or(json_get(options, "name"), ""),
		.resource = instance ? "virtualmachineinstance" : "virtualmachine",
		.spec = instance ? "spec" : "spec.template.spec",
		.remove = remove,
	};
	if (r == 0)
		r = check_options(req, c);
	if (r == 0 && !(instance ? machines_instance(req) : machines_machine(req)))
		r = machines_not_found(req, c->resource, req->route.name);
	if (r < 0) {
		api_fail(req);
		return;
	}
	machines_update(req, &(struct machines_change){req->kind, "volumes", change, NULL, c});
}

void machines_add_volume(struct api_request *req)
{
	run(req, false);
}

void machines_remove_volume(struct api_request *req)
{
	run(req, true);
}
