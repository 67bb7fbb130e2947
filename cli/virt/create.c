/* create.c - manifests on standard output, as virtctl create writes them. */
#include <stdio.h>

#include "cli/virt/virt.h"
#include "lib/base/file.h"

/* "src:registry/image,name:root,bootorder:1" */
static const char *param(struct virt *v, const char *text, const char *key)
{
	struct str rest = str_from(text), part;
	while (str_split(&rest, ',', &part)) {
		struct str value = part, name;
		if (str_split(&value, ':', &name) && value.p && str_eq(name, key))
			return arena_printf(&v->arena, STR_FMT, STR_ARG(value));
	}
	return NULL;
}

static const char *random_name(struct virt *v, const char *stem)
{
	uint32_t n = 0;
	if (getentropy(&n, sizeof(n)) < 0)
		n = (uint32_t)getpid();
	return arena_printf(&v->arena, "%s-%05x", stem, n & 0xfffff);
}

static struct json *manifest(struct virt *v, const char *api, const char *kind, const char *stem)
{
	struct arena *a = &v->arena;
	struct json *it = json_new_object(a);
	json_set_str(a, it, "apiVersion", api);
	json_set_str(a, it, "kind", kind);
	json_path_set(a, it, "metadata.name",
		json_new_string(a, virt_value(v, "name") ?: random_name(v, stem)));
	if (virt_value(v, "namespace"))
		json_path_set(a, it, "metadata.namespace",
			json_new_string(a, virt_value(v, "namespace")));
	return it;
}

static int print(const struct json *it)
{
	struct buf text = BUF_INIT;
	yaml_write(&text, it);
	fputs(text.data ? text.data : "", stdout);
	buf_finish(&text);
	return 0;
}

struct disks {
	struct virt *v;
	struct json *vm, *list, *volumes;
	size_t count;
};

static int add_disk(
	struct disks *d, const char *params, const char *stem, struct json *volume, struct err *err)
{
	struct arena *a = &d->v->arena;
	const char *name = params ? param(d->v, params, "name") : NULL,
		   *order = params ? param(d->v, params, "bootorder") : NULL;
	int64_t n = 0;
	if (!name)
		name = d->count ? arena_printf(a, "%s-%zu", stem, d->count) : stem;
	if (order && (parse_i64(str_from(order), &n) < 0 || n < 1))
		return virt_misuse(d->v, err, "bootorder:%s: a number above 0", order);
	d->count++;
	json_set_str(a, volume, "name", name);
	json_push(a, d->volumes, volume);
	struct json *disk = json_new_object(a);
	json_set_str(a, disk, "name", name);
	json_set_str(a, json_object_at(a, disk, "disk"), "bus", "virtio");
	if (n)
		json_set_int(a, disk, "bootOrder", n);
	json_push(a, d->list, disk);
	return 0;
}

static int add_import(struct disks *d, const char *params, struct err *err)
{
	struct virt *v = d->v;
	struct arena *a = &v->arena;
	const char *type = param(v, params, "type"), *size = param(v, params, "size");
	static const char *const types[] = {"http", "registry", "blank", "pvc", "snapshot", "ds"};
	bool known = false;
	for (size_t i = 0; i < ARRAY_LEN(types) && type; i++)
		known = known || streq(type, types[i]);
	if (!known)
		return virt_misuse(v, err,
			"--volume-import %s: type must be http, registry, blank, pvc, snapshot or "
			"ds",
			params);
	struct json *dv = json_new_object(a), *spec = json_object_at(a, dv, "spec"), *source;
	const char *vm_name = json_path_str(d->vm, "metadata.name");
	const char *name =
		param(v, params, "name") ?: arena_printf(a, "%s-%s-%zu", vm_name, type, d->count);
	json_path_set(a, dv, "metadata.name", json_new_string(a, name));
	if (streq(type, "ds")) {
		const char *src = param(v, params, "src") ?: "";
		const char *slash = strchr(src, '/');
		source = json_object_at(a, spec, "sourceRef");
		json_set_str(a, source, "kind", "DataSource");
		if (slash)
			json_set_str(a, source, "namespace",
				arena_printf(a, "%.*s", (int)(slash - src), src));
		json_set_str(a, source, "name", slash ? slash + 1 : src);
	} else {
		source = json_object_at(a, json_object_at(a, spec, "source"), type);
		const char *url = param(v, params, "url"), *src = param(v, params, "src");
		if (streq(type, "http") || streq(type, "registry")) {
			if (!url)
				return virt_misuse(
					v, err, "--volume-import %s: url is missing", params);
			json_set_str(a, source, "url", url);
		} else if (!streq(type, "blank")) {
			const char *slash = src ? strchr(src, '/') : NULL;
			if (!slash)
				return virt_misuse(v, err,
					"--volume-import %s: src must be NAMESPACE/NAME", params);
			json_set_str(a, source, "namespace",
				arena_printf(a, "%.*s", (int)(slash - src), src));
			json_set_str(a, source, "name", slash + 1);
		}
	}
	struct json *storage = json_object_at(a, spec, "storage");
	if (size)
		json_path_set(a, storage, "resources.requests.storage", json_new_string(a, size));
	json_push(a, json_array_at(a, json_get(d->vm, "spec"), "dataVolumeTemplates"), dv);
	struct json *volume = json_new_object(a);
	json_set_str(a, json_object_at(a, volume, "dataVolume"), "name", name);
	const char *order = param(v, params, "bootorder");
	return add_disk(d,
		arena_printf(
			a, "name:%s%s%s", name, order ? ",bootorder:" : "", order ? order : ""),
		name, volume, err);
}

static int cloud_init(struct disks *d, struct err *err)
{
	struct virt *v = d->v;
	struct arena *a = &v->arena;
	const char *data = virt_value(v, "cloud-init-user-data"), *user = virt_value(v, "user"),
		   *password_file = virt_value(v, "password-file"),
		   *kind = virt_value_or(v, "cloud-init", "noCloud");
	const char *const *keys;
	size_t key_count = virt_values(v, "ssh-key", &keys);
	if (!data && !user && !password_file && !key_count)
		return 0;
	struct json *volume = json_new_object(a),
		    *seed = json_object_at(a, volume,
			    streq(kind, "configDrive") ? "cloudInitConfigDrive"
						       : "cloudInitNoCloud");
	if (data) {
		json_set_str(a, seed, "userDataBase64", data);
	} else {
		struct buf text = BUF_INIT;
		buf_add_str(&text, "#cloud-config\n");
		if (user)
			buf_printf(&text, "user: %s\n", user);
		if (password_file) {
			struct str password;
			int r = file_load(a, password_file, 4096, &password, err);
			if (r < 0) {
				buf_finish(&text);
				return r;
			}
			while (password.size && strchr("\r\n", password.p[password.size - 1]))
				password.size--;
			/* In quotes: whatever is in it, it is the user's password. */
			buf_printf(&text, "password: %s\nchpasswd: { expire: False }\n",
				json_text(a, json_new_string(a,
						     arena_memdup(a, password.p, password.size))));
		}
		if (key_count)
			buf_add_str(&text, "ssh_authorized_keys:\n");
		for (size_t i = 0; i < key_count; i++)
			buf_printf(&text, "  - %s\n", json_text(a, json_new_string(a, keys[i])));
		json_set_str(a, seed, "userData", text.data);
		buf_finish(&text);
	}
	return add_disk(d, "name:cloudinitdisk", "cloudinitdisk", volume, err);
}

static int create_vm(struct virt *v, struct err *err)
{
	struct arena *a = &v->arena;
	struct json *vm = manifest(v, "kubevirt.io/v1", "VirtualMachine", "vm"),
		    *spec = json_object_at(a, vm, "spec");
	static const char *const refs[] = {"instancetype", "preference"};
	int64_t grace = 180, cores = 0;
	int r = virt_number(v, "termination-grace-period", 0, 7 * 86400, &grace, err);
	if (r == 0)
		r = virt_check_amount(v, "memory", err);
	if (r == 0)
		r = virt_number(v, "cores", 1, 1024, &cores, err);
	if (r < 0)
		return r;
	json_set_str(a, spec, "runStrategy", virt_value_or(v, "run-strategy", "Always"));
	for (size_t i = 0; i < ARRAY_LEN(refs); i++) {
		const char *text = virt_value(v, refs[i]);
		const char *slash = text ? strchr(text, '/') : NULL;
		if (!text)
			continue;
		struct json *ref = json_object_at(a, spec, refs[i]);
		json_set_str(a, ref, "name", slash ? slash + 1 : text);
		if (slash)
			json_set_str(
				a, ref, "kind", arena_printf(a, "%.*s", (int)(slash - text), text));
	}
	struct json *inner = json_object_at(a, json_object_at(a, spec, "template"), "spec"),
		    *domain = json_object_at(a, inner, "domain"),
		    *devices = json_object_at(a, domain, "devices");
	if (cores)
		json_set_int(a, json_object_at(a, domain, "cpu"), "cores", cores);
	if (!virt_value(v, "instancetype") || virt_value(v, "memory"))
		json_set_str(a, json_object_at(a, domain, "memory"), "guest",
			virt_value_or(v, "memory", "512Mi"));
	json_set_int(a, inner, "terminationGracePeriodSeconds", grace);
	struct disks d = {.v = v,
		.vm = vm,
		.list = json_array_at(a, devices, "disks"),
		.volumes = json_array_at(a, inner, "volumes")};
	const char *const *values;
	size_t count = virt_values(v, "volume-containerdisk", &values);
	for (size_t i = 0; i < count && r == 0; i++) {
		const char *image = param(v, values[i], "src");
		struct json *volume = json_new_object(a);
		if (!image)
			return virt_misuse(
				v, err, "--volume-containerdisk %s: src is missing", values[i]);
		json_set_str(a, json_object_at(a, volume, "containerDisk"), "image", image);
		r = add_disk(&d, values[i], "containerdisk", volume, err);
	}
	count = r == 0 ? virt_values(v, "volume-pvc", &values) : 0;
	for (size_t i = 0; i < count && r == 0; i++) {
		const char *claim = param(v, values[i], "src");
		struct json *volume = json_new_object(a);
		if (!claim)
			return virt_misuse(v, err, "--volume-pvc %s: src is missing", values[i]);
		json_set_str(
			a, json_object_at(a, volume, "persistentVolumeClaim"), "claimName", claim);
		r = add_disk(&d, values[i], claim, volume, err);
	}
	count = r == 0 ? virt_values(v, "volume-import", &values) : 0;
	for (size_t i = 0; i < count && r == 0; i++)
		r = add_import(&d, values[i], err);
	if (r == 0)
		r = cloud_init(&d, err);
	return r < 0 ? r : print(vm);
}

static int create_instancetype(struct virt *v, struct err *err)
{
	struct arena *a = &v->arena;
	int64_t cpu = 0;
	int r = virt_number(v, "cpu", 1, 1024, &cpu, err);
	if (r == 0 && (!cpu || !virt_value(v, "memory")))
		r = virt_misuse(v, err, "--cpu and --memory are needed");
	if (r == 0)
		r = virt_check_amount(v, "memory", err);
	if (r < 0)
		return r;
	struct json *it = manifest(v, "instancetype.kubevirt.io/v1beta1",
		virt_has(v, "namespaced") ? "VirtualMachineInstancetype"
					  : "VirtualMachineClusterInstancetype",
		"instancetype");
	struct json *spec = json_object_at(a, it, "spec");
	json_set_int(a, json_object_at(a, spec, "cpu"), "guest", cpu);
	json_set_str(a, json_object_at(a, spec, "memory"), "guest", virt_value(v, "memory"));
	if (virt_value(v, "iothreadspolicy"))
		json_set_str(a, spec, "ioThreadsPolicy", virt_value(v, "iothreadspolicy"));
	return print(it);
}

static int create_preference(struct virt *v, struct err *err)
{
	struct arena *a = &v->arena;
	struct json *it = manifest(v, "instancetype.kubevirt.io/v1beta1",
		virt_has(v, "namespaced") ? "VirtualMachinePreference"
					  : "VirtualMachineClusterPreference",
		"preference");
	struct json *spec = json_object_at(a, it, "spec");
	if (virt_value(v, "cpu-topology"))
		json_set_str(a, json_object_at(a, spec, "cpu"), "preferredCPUTopology",
			virt_value(v, "cpu-topology"));
	if (virt_value(v, "machine-type"))
		json_set_str(a, json_object_at(a, spec, "machine"), "preferredMachineType",
			virt_value(v, "machine-type"));
	if (virt_value(v, "volume-storage-class"))
		json_set_str(a, json_object_at(a, spec, "volumes"), "preferredStorageClassName",
			virt_value(v, "volume-storage-class"));
	if (virt_value(v, "disk-bus"))
		json_set_str(a, json_object_at(a, spec, "devices"), "preferredDiskBus",
			virt_value(v, "disk-bus"));
	return print(it);
}

static int create_clone(struct virt *v, struct err *err)
{
	struct arena *a = &v->arena;
	const char *source = virt_value(v, "source-name"),
		   *type = virt_value_or(v, "source-type", "vm");
	bool snapshot = streq(type, "snapshot") || streq(type, "VirtualMachineSnapshot");
	if (!source)
		return virt_misuse(v, err, "--source-name is needed");
	if (!snapshot && !streq(type, "vm") && !streq(type, "VirtualMachine"))
		return virt_misuse(v, err, "--source-type '%s': vm or snapshot", type);
	struct json *it = manifest(v, "clone.kubevirt.io/v1beta1", "VirtualMachineClone", "clone"),
		    *spec = json_object_at(a, it, "spec"),
		    *from = json_object_at(a, spec, "source");
	json_set_str(a, from, "apiGroup", snapshot ? "snapshot.kubevirt.io" : "kubevirt.io");
	json_set_str(a, from, "kind", snapshot ? "VirtualMachineSnapshot" : "VirtualMachine");
	json_set_str(a, from, "name", source);
	struct json *to = json_object_at(a, spec, "target");
	json_set_str(a, to, "apiGroup", "kubevirt.io");
	json_set_str(a, to, "kind", "VirtualMachine");
	json_set_str(a, to, "name", virt_value(v, "target-name") ?: random_name(v, source));
	if (virt_value(v, "new-smbios-serial"))
		json_set_str(a, spec, "newSMBiosSerial", virt_value(v, "new-smbios-serial"));
	const char *const *values;
	size_t count = virt_values(v, "new-mac-address", &values);
	for (size_t i = 0; i < count; i++) {
		const char *colon = strchr(values[i], ':');
		if (!colon)
			return virt_misuse(
				v, err, "--new-mac-address %s: INTERFACE:ADDRESS", values[i]);
		json_set_str(a, json_object_at(a, spec, "newMacAddresses"),
			arena_printf(a, "%.*s", (int)(colon - values[i]), values[i]), colon + 1);
	}
	static const char *const filters[][2] = {
		{"label-filter", "labelFilters"}, {"annotation-filter", "annotationFilters"}};
	for (size_t f = 0; f < ARRAY_LEN(filters); f++) {
		count = virt_values(v, filters[f][0], &values);
		for (size_t i = 0; i < count; i++)
			json_push(a, json_array_at(a, spec, filters[f][1]),
				json_new_string(a, values[i]));
	}
	return print(it);
}

static int create(struct virt *v, struct err *err)
{
	if (streq(v->args[0], "vm"))
		return create_vm(v, err);
	if (streq(v->args[0], "instancetype"))
		return create_instancetype(v, err);
	if (streq(v->args[0], "preference"))
		return create_preference(v, err);
	if (streq(v->args[0], "clone"))
		return create_clone(v, err);
	return virt_misuse(v, err, "create: vm, instancetype, preference or clone");
}

/* expand --vm NAME, or --file: what instancetype and preference make of a machine. */
static int expand(struct virt *v, struct err *err)
{
	const char *name = virt_value(v, "vm"), *file = virt_value(v, "file");
	struct json *it = NULL;
	if (!name == !file)
		return virt_misuse(v, err, "expand: --vm NAME or --file FILE");
	int r;
	if (name) {
		struct virt_target t;
		r = virt_target(v, name, &t, err);
		if (r == 0)
			r = virt_get(v, virt_sub_path(v, &t, "expand-spec"), &it, err);
	} else {
		struct str text;
		struct json *vm;
		r = file_load(&v->arena, file, 3 << 20, &text, err);
		if (r == 0)
			r = yaml_parse(&v->arena, text.p, text.size, NULL, &vm, err);
		if (r == 0)
			r = virt_send(v, "PUT",
				virt_path(v, "subresources.kubevirt.io/v1", v->namespace,
					"expand-vm-spec", NULL, NULL),
				NULL, vm, &it, err);
	}
	if (r < 0)
		return err_context(err, r, "expand '%s'", name ? name : file);
	if (!streq(virt_value_or(v, "output", "yaml"), "json"))
		return print(it);
	struct buf text = BUF_INIT;
	json_write_pretty(&text, it);
	printf("%s\n", text.data);
	buf_finish(&text);
	return 0;
}

static const struct virt_flag create_flags[] = {
	{"name", 0, "NAME", "default: one is made up"},
	{"run-strategy", 0, "STRATEGY", "vm: default Always"},
	{"termination-grace-period", 0, "SECONDS", "vm: default 180"},
	{"instancetype", 0, "[KIND/]NAME", "vm"},
	{"preference", 0, "[KIND/]NAME", "vm"},
	{"memory", 0, "SIZE", "vm (default 512Mi), instancetype"},
	{"cores", 0, "N", "vm"},
	{"volume-containerdisk", 0, "PARAMS", "vm: src:IMAGE[,name:N][,bootorder:N]; several"},
	{"volume-pvc", 0, "PARAMS", "vm: src:CLAIM[,name:N][,bootorder:N]; several"},
	{"volume-import", 0, "PARAMS",
		"vm: type:http|registry|blank|pvc|snapshot|ds[,url:U|src:NS/N][,size:S]; several"},
	{"cloud-init", 0, "KIND", "vm: noCloud (default) or configDrive"},
	{"cloud-init-user-data", 0, "BASE64", "vm"},
	{"user", 0, "USER", "vm: in the guest"},
	{"password-file", 0, "FILE", "vm: the user's password"},
	{"ssh-key", 0, "KEY", "vm: the user's key; several"},
	{"cpu", 0, "N", "instancetype"},
	{"iothreadspolicy", 0, "POLICY", "instancetype"},
	{"namespaced", 0, NULL, "instancetype, preference: not of the cluster"},
	{"cpu-topology", 0, "HOW", "preference: sockets, cores, threads, spread"},
	{"machine-type", 0, "TYPE", "preference"},
	{"volume-storage-class", 0, "NAME", "preference"},
	{"disk-bus", 0, "BUS", "preference"},
	{"source-name", 0, "NAME", "clone"},
	{"source-type", 0, "TYPE", "clone: vm (default) or snapshot"},
	{"target-name", 0, "NAME", "clone"},
	{"new-mac-address", 0, "INTERFACE:ADDRESS", "clone; several"},
	{"new-smbios-serial", 0, "SERIAL", "clone"},
	{"label-filter", 0, "FILTER", "clone; several"},
	{"annotation-filter", 0, "FILTER", "clone; several"},
	{0},
};
static const struct virt_flag expand_flags[] = {
	{"vm", 0, "NAME", "one that there is"},
	{"file", 'f', "FILE", "a manifest"},
	{"output", 'o', "FORM", "yaml (default) or json"},
	{0},
};

const struct virt_verb virt_create_verbs[] = {
	{"create", "vm|instancetype|preference|clone", 1, 1,
		"print a manifest, for kubectl apply -f -", create, create_flags, true},
	{"expand", "", 0, 0, "a machine with its instancetype and preference written out", expand,
		expand_flags, false},
	{0},
};
