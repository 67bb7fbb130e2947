/* device.c - disks, interfaces and settings of a virtual machine. What KubeVirt has a request for
 * is asked for; the rest is a change of the specification. */
#include <stdio.h>

#include "cli/virt/virt.h"

static struct json *template_spec(struct virt *v, struct json *vm)
{
	struct arena *a = &v->arena;
	return json_object_at(
		a, json_object_at(a, json_object_at(a, vm, "spec"), "template"), "spec");
}

static struct json *domain_of(struct virt *v, struct json *vm)
{
	return json_object_at(&v->arena, template_spec(v, vm), "domain");
}

static struct json *devices_of(struct virt *v, struct json *vm)
{
	return json_object_at(&v->arena, domain_of(v, vm), "devices");
}

static struct json *named(const struct json *list, const char *name)
{
	JSON_FOR_EACH_ITEM(it, list) {
		if (streq(json_str_or(json_get(it, "name"), ""), name))
			return it;
	}
	return NULL;
}

static bool remove_named(struct json *list, const char *name)
{
	for (size_t i = 0; i < json_count(list); i++)
		if (streq(json_str_or(json_get(json_at(list, i), "name"), ""), name)) {
			json_remove_at(list, i);
			return true;
		}
	return false;
}

/* Changes the virtual machine that the first argument names, and says so. */
static int change_vm(struct virt *v,
	int (*change)(struct virt *v, struct json *vm, void *user, struct err *err), void *user,
	const char *done, struct err *err)
{
	struct virt_target t;
	int r = virt_target(v, v->args[0], &t, err);
	if (r < 0)
		return r;
	t.resource = "virtualmachines";
	r = virt_update(v, virt_path(v, "kubevirt.io/v1", t.namespace, t.resource, t.name, NULL),
		change, user, err);
	if (r < 0)
		return err_context(err, r, "change virtual machine '%s/%s'", t.namespace, t.name);
	virt_say(&t, done);
	return 0;
}

static bool object_exists(struct virt *v, const char *path)
{
	struct json *found;
	struct err none;
	return virt_get(v, path, &found, &none) == 0;
}

static int addvolume(struct virt *v, struct err *err)
{
	struct arena *a = &v->arena;
	struct virt_target t;
	const char *name = virt_value(v, "volume-name"),
		   *type = virt_value_or(v, "disk-type", "disk");
	int r = virt_target(v, v->args[0], &t, err);
	if (r == 0 && !name)
		r = virt_misuse(v, err, "--volume-name is needed: a DataVolume or a claim");
	if (r == 0 && !streq(type, "disk") && !streq(type, "lun") && !streq(type, "cdrom"))
		r = virt_misuse(v, err, "--disk-type '%s': disk, lun or cdrom", type);
	if (r < 0)
		return r;
	bool data_volume = object_exists(
		v, virt_path(v, "cdi.kubevirt.io/v1beta1", t.namespace, "datavolumes", name, NULL));
	if (!data_volume && !object_exists(v, virt_path(v, "v1", t.namespace,
						      "persistentvolumeclaims", name, NULL)))
		return err_set(err, -ENOENT,
			"there is neither a DataVolume nor a PersistentVolumeClaim '%s/%s'",
			t.namespace, name);
	struct json *body = json_new_object(a), *disk = json_object_at(a, body, "disk"),
		    *source = json_object_at(a, json_object_at(a, body, "volumeSource"),
			    data_volume ? "dataVolume" : "persistentVolumeClaim");
	json_set_str(a, body, "name", name);
	json_set_str(a, disk, "name", name);
	json_set_str(a, json_object_at(a, disk, type), "bus", virt_value_or(v, "bus", "scsi"));
	json_set_str(a, disk, "serial", virt_value_or(v, "serial", name));
	if (virt_value(v, "cache"))
		json_set_str(a, disk, "cache", virt_value(v, "cache"));
	json_set_str(a, source, data_volume ? "name" : "claimName", name);
	json_set_bool(a, source, "hotpluggable", true);
	if (virt_has(v, "dry-run"))
		json_push(a, json_array_at(a, body, "dryRun"), json_new_string(a, "All"));
	if (!t.typed)
		t.resource = virt_has(v, "persist") ? "virtualmachines" : "virtualmachineinstances";
	r = virt_send(v, "PUT", virt_sub_path(v, &t, "addvolume"), NULL, body, NULL, err);
	if (r < 0)
		return err_context(err, r, "add volume '%s' to virtual machine '%s/%s'", name,
			t.namespace, t.name);
	virt_say(&t, arena_printf(a, "volume %s is being added", name));
	return 0;
}

static int removevolume(struct virt *v, struct err *err)
{
	struct arena *a = &v->arena;
	struct virt_target t;
	const char *name = virt_value(v, "volume-name");
	int r = virt_target(v, v->args[0], &t, err);
	if (r == 0 && !name)
		r = virt_misuse(v, err, "--volume-name is needed");
	if (r < 0)
		return r;
	struct json *body = json_new_object(a);
	json_set_str(a, body, "name", name);
	if (!t.typed)
		t.resource = virt_has(v, "persist") ? "virtualmachines" : "virtualmachineinstances";
	r = virt_send(v, "PUT", virt_sub_path(v, &t, "removevolume"), NULL, body, NULL, err);
	if (r < 0)
		return err_context(err, r, "remove volume '%s' from virtual machine '%s/%s'", name,
			t.namespace, t.name);
	virt_say(&t, arena_printf(a, "volume %s is being removed", name));
	return 0;
}

/* Interfaces are declared: the change of the machine is the request. */
static int add_interface(struct virt *v, struct json *vm, void *user, struct err *err)
{
	struct arena *a = &v->arena;
	const char *network = user, *name = virt_value(v, "name");
	const char *slash = strrchr(network, '/');
	if (!name)
		name = slash ? slash + 1 : network;
	const char *binding = virt_value_or(v, "binding", "bridge");
	struct json *interfaces = json_array_at(a, devices_of(v, vm), "interfaces"),
		    *networks = json_array_at(a, template_spec(v, vm), "networks");
	if (named(interfaces, name) &&
		!streq(json_str_or(json_get(named(interfaces, name), "state"), ""), "absent"))
		return err_set(err, -EEXIST, "it has an interface '%s' already", name);
	remove_named(interfaces, name);
	remove_named(networks, name);
	struct json *interface = json_new_object(a), *one = json_new_object(a);
	json_set_str(a, interface, "name", name);
	json_object_at(a, interface, binding);
	if (virt_value(v, "mac"))
		json_set_str(a, interface, "macAddress", virt_value(v, "mac"));
	if (virt_value(v, "model"))
		json_set_str(a, interface, "model", virt_value(v, "model"));
	json_push(a, interfaces, interface);
	json_set_str(a, one, "name", name);
	if (streq(network, "pod"))
		json_object_at(a, one, "pod");
	else
		json_set_str(a, json_object_at(a, one, "multus"), "networkName", network);
	json_push(a, networks, one);
	return 0;
}

static int attach_interface(struct virt *v, struct err *err)
{
	return change_vm(v, add_interface, v->args[1], "interface is being attached", err);
}

static int set_state(
	struct virt *v, struct json *vm, const char *name, const char *state, struct err *err)
{
	struct json *interface = named(json_get(devices_of(v, vm), "interfaces"), name);
	if (!interface)
		return err_set(err, -ENOENT, "it has no interface '%s'", name);
	json_set_str(&v->arena, interface, "state", state);
	return 0;
}

static int drop_interface(struct virt *v, struct json *vm, void *user, struct err *err)
{
	return set_state(v, vm, user, "absent", err);
}

static int detach_interface(struct virt *v, struct err *err)
{
	return change_vm(v, drop_interface, v->args[1], "interface is being detached", err);
}

static int change_link(struct virt *v, struct json *vm, void *user, struct err *err)
{
	return set_state(v, vm, v->args[1], user, err);
}

static int link_state(struct virt *v, struct err *err)
{
	if (!streq(v->args[2], "up") && !streq(v->args[2], "down"))
		return virt_misuse(v, err, "'%s': up or down", v->args[2]);
	return change_vm(v, change_link, v->args[2],
		arena_printf(&v->arena, "link of %s is to be %s", v->args[1], v->args[2]), err);
}

/* cdrom insert NAME DISK --claim C; cdrom eject NAME DISK: a CD-ROM drive is empty when no volume
 * has its name. */
static int change_cdrom(struct virt *v, struct json *vm, void *user, struct err *err)
{
	struct arena *a = &v->arena;
	bool insert = streq(user, "insert");
	const char *drive = v->args[2];
	struct json *disk = named(json_get(devices_of(v, vm), "disks"), drive),
		    *volumes = json_array_at(a, template_spec(v, vm), "volumes");
	if (!json_get(disk, "cdrom"))
		return err_set(err, -ENOENT, "it has no CD-ROM drive '%s'", drive);
	bool was_there = remove_named(volumes, drive);
	if (!insert)
		return was_there ? 0 : err_set(err, -ENOENT, "CD-ROM drive '%s' is empty", drive);
	struct json *volume = json_new_object(a), *source;
	json_set_str(a, volume, "name", drive);
	if (virt_value(v, "data-volume")) {
		source = json_object_at(a, volume, "dataVolume");
		json_set_str(a, source, "name", virt_value(v, "data-volume"));
	} else {
		source = json_object_at(a, volume, "persistentVolumeClaim");
		json_set_str(a, source, "claimName", virt_value(v, "claim"));
	}
	json_set_bool(a, source, "hotpluggable", true);
	json_push(a, volumes, volume);
	return 0;
}

static int cdrom(struct virt *v, struct err *err)
{
	char *verb = v->args[0];
	bool insert = streq(verb, "insert");
	if (!insert && !streq(verb, "eject"))
		return virt_misuse(v, err, "cdrom: insert or eject");
	if (insert && !virt_value(v, "claim") == !virt_value(v, "data-volume"))
		return virt_misuse(v, err, "cdrom insert: --claim or --data-volume is needed");
	/* change_vm takes the machine from the first argument. */
	char *args[] = {v->args[1], v->args[0], v->args[2]};
	v->args = args;
	return change_vm(v, change_cdrom, verb,
		insert ? "CD-ROM is being inserted" : "CD-ROM is being ejected", err);
}

static int boot_order(struct virt *v, struct json *vm, const char *text, struct err *err)
{
	struct json *devices = devices_of(v, vm);
	JSON_FOR_EACH_ITEM(it, json_get(devices, "disks")) {
		json_remove(it, "bootOrder");
	}
	JSON_FOR_EACH_ITEM(it, json_get(devices, "interfaces")) {
		json_remove(it, "bootOrder");
	}
	struct str rest = str_from(text), part;
	for (int64_t order = 1; str_split(&rest, ',', &part); order++) {
		const char *name = arena_printf(&v->arena, STR_FMT, STR_ARG(part));
		struct json *it = named(json_get(devices, "disks"), name);
		if (!it)
			it = named(json_get(devices, "interfaces"), name);
		if (!it)
			return err_set(err, -ENOENT,
				"--boot-order: it has no disk or interface '%s'", name);
		json_set_int(&v->arena, it, "bootOrder", order);
	}
	return 0;
}

static int change_settings(struct virt *v, struct json *vm, void *user, struct err *err)
{
	struct arena *a = &v->arena;
	static const char *const numbers[] = {"cores", "sockets", "threads"};
	struct json *domain = domain_of(v, vm);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		int64_t n = 0;
		int r = virt_number(v, numbers[i], 1, 4096, &n, err);
		if (r < 0)
			return r;
		if (n)
			json_set_int(a, json_object_at(a, domain, "cpu"), numbers[i], n);
	}
	if (virt_value(v, "cpu-model"))
		json_set_str(
			a, json_object_at(a, domain, "cpu"), "model", virt_value(v, "cpu-model"));
	if (virt_value(v, "memory")) {
		json_set_str(
			a, json_object_at(a, domain, "memory"), "guest", virt_value(v, "memory"));
		json_remove(json_path(domain, "resources.requests"), "memory");
	}
	if (virt_value(v, "machine"))
		json_set_str(
			a, json_object_at(a, domain, "machine"), "type", virt_value(v, "machine"));
	const char *firmware = virt_value(v, "firmware");
	if (firmware) {
		struct json *loader = json_new_object(a);
		json_set(a, json_object_at(a, domain, "firmware"), "bootloader", loader);
		if (streq(firmware, "bios")) {
			json_object_at(a, loader, "bios");
		} else if (streq(firmware, "efi") || streq(firmware, "uefi")) {
			json_set_bool(a, json_object_at(a, loader, "efi"), "secureBoot",
				virt_has(v, "secure-boot"));
			if (virt_has(v, "secure-boot"))
				json_set_bool(a,
					json_object_at(
						a, json_object_at(a, domain, "features"), "smm"),
					"enabled", true);
		} else {
			return virt_misuse(v, err, "--firmware '%s': bios or efi", firmware);
		}
	}
	return virt_value(v, "boot-order") ? boot_order(v, vm, virt_value(v, "boot-order"), err)
					   : 0;
}

static int set(struct virt *v, struct err *err)
{
	if (v->given_count == 0)
		return virt_misuse(v, err, "nothing to set");
	int r = virt_check_amount(v, "memory", err);
	if (r < 0)
		return r;
	return change_vm(v, change_settings, NULL,
		"changed; what a running machine can't take is taken at its next start", err);
}

static int memory_dump(struct virt *v, struct err *err)
{
	struct arena *a = &v->arena;
	struct virt_target t;
	const char *verb = v->args[0], *claim = virt_value(v, "claim-name");
	bool get = streq(verb, "get");
	if (!get && !streq(verb, "remove"))
		return virt_misuse(v, err, "memory-dump: get or remove");
	int r = virt_target(v, v->args[1], &t, err);
	if (r < 0)
		return r;
	t.resource = "virtualmachines";
	struct json *body = json_new_object(a);
	if (get && claim)
		json_set_str(a, body, "claimName", claim);
	if (get && virt_has(v, "create-claim")) {
		r = virt_check_amount(v, "size", err);
		if (r < 0)
			return r;
		if (!claim || !virt_value(v, "size"))
			return virt_misuse(v, err, "--create-claim needs --claim-name and --size");
		struct json *pvc = json_new_object(a), *spec = json_object_at(a, pvc, "spec");
		json_set_str(a, pvc, "apiVersion", "v1");
		json_set_str(a, pvc, "kind", "PersistentVolumeClaim");
		json_path_set(a, pvc, "metadata.name", json_new_string(a, claim));
		json_push(a, json_array_at(a, spec, "accessModes"),
			json_new_string(a, virt_value_or(v, "access-mode", "ReadWriteOnce")));
		json_path_set(a, spec, "resources.requests.storage",
			json_new_string(a, virt_value(v, "size")));
		if (virt_value(v, "storage-class"))
			json_set_str(a, spec, "storageClassName", virt_value(v, "storage-class"));
		r = virt_send(v, "POST",
			virt_path(v, "v1", t.namespace, "persistentvolumeclaims", NULL, NULL), NULL,
			pvc, NULL, err);
		if (r < 0)
			return r;
	}
	r = virt_send(v, "PUT", virt_sub_path(v, &t, get ? "memorydump" : "removememorydump"), NULL,
		body, NULL, err);
	if (r < 0)
		return err_context(
			err, r, "memory dump of virtual machine '%s/%s'", t.namespace, t.name);
	virt_say(&t, get ? "memory dump requested" : "the memory dump is taken out");
	return 0;
}

static const struct virt_flag volume_flags[] = {
	{"volume-name", 0, "NAME", "the DataVolume or PersistentVolumeClaim"},
	{"persist", 0, NULL, "in the virtual machine too, not only in what runs now"},
	{"disk-type", 0, "TYPE", "disk (default), lun or cdrom"},
	{"bus", 0, "BUS", "default scsi"},
	{"serial", 0, "SERIAL", "default: the volume's name"},
	{"cache", 0, "MODE", "none, writethrough or writeback"},
	{"dry-run", 0, NULL, "only ask whether it would be done"},
	{0},
};
static const struct virt_flag interface_flags[] = {
	{"name", 0, "NAME", "of the interface; default: the network's"},
	{"binding", 0, "HOW", "bridge (default) or masquerade"},
	{"mac", 0, "ADDRESS", "default: one is chosen"},
	{"model", 0, "MODEL", "default virtio"},
	{0},
};
static const struct virt_flag cdrom_flags[] = {
	{"claim", 0, "NAME", "the PersistentVolumeClaim with the image"},
	{"data-volume", 0, "NAME", "the DataVolume with the image"},
	{0},
};
static const struct virt_flag set_flags[] = {
	{"cores", 0, "N", "processor cores of a socket"},
	{"sockets", 0, "N", "sockets"},
	{"threads", 0, "N", "threads of a core"},
	{"cpu-model", 0, "MODEL", "host-model, host-passthrough or a name"},
	{"memory", 0, "SIZE", "of the guest, 512Mi"},
	{"boot-order", 0, "NAME,NAME", "disks and interfaces by name, the first first"},
	{"machine", 0, "TYPE", "q35, pc"},
	{"firmware", 0, "KIND", "bios or efi"},
	{"secure-boot", 0, NULL, "with --firmware efi"},
	{0},
};
static const struct virt_flag dump_flags[] = {
	{"claim-name", 0, "NAME", "the PersistentVolumeClaim that takes it"},
	{"create-claim", 0, NULL, "make it first"},
	{"size", 0, "SIZE", "of the claim to make"},
	{"storage-class", 0, "NAME", "of the claim to make"},
	{"access-mode", 0, "MODE", "of the claim to make"},
	{0},
};

const struct virt_verb virt_device_verbs[] = {
	{"set", "NAME", 1, 1, "change processors, memory, boot order, firmware, machine", set,
		set_flags, false},
	{"addvolume", "NAME", 1, 1, "plug a disk in", addvolume, volume_flags, false},
	{"removevolume", "NAME", 1, 1, "unplug it", removevolume, volume_flags, false},
	{"cdrom", "insert|eject NAME DRIVE", 3, 3, "change what is in a CD-ROM drive", cdrom,
		cdrom_flags, false},
	{"attach-interface", "NAME NETWORK", 2, 2,
		"plug an interface in, on a NetworkAttachmentDefinition or \"pod\"",
		attach_interface, interface_flags, false},
	{"detach-interface", "NAME INTERFACE", 2, 2, "unplug it", detach_interface, NULL, false},
	{"link", "NAME INTERFACE up|down", 3, 3, "an interface's cable in or out", link_state, NULL,
		false},
	{"memory-dump", "get|remove NAME", 2, 2, "the guest's memory into a claim", memory_dump,
		dump_flags, false},
	{0},
};
