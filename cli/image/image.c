/* image.c - the verbs of `hanok image`. */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "cli/image/build.h"
#include "cli/image/image_main.h"
#include "cli/image/probe.h"
#include "cli/image/tool.h"
#include "cli/virt/transfer.h"
#include "cli/virt/virt.h"
#include "lib/base/file.h"

#define CDI "cdi.kubevirt.io/v1beta1"

static const char *cache_directory(struct virt *v)
{
	const char *given = virt_value(v, "cache"), *home = getenv("HOME"),
		   *cache = getenv("XDG_CACHE_HOME");
	if (given)
		return given[0] == '/'
			       ? given
			       : arena_printf(&v->arena, "%s/%s",
					 getcwd(arena_alloc(&v->arena, 4096), 4096) ?: "", given);
	if (cache && *cache == '/')
		return arena_printf(&v->arena, "%s/hanok/images", cache);
	return home && *home == '/' ? arena_printf(&v->arena, "%s/.cache/hanok/images", home)
				    : "/var/cache/hanok/images";
}

static int copy_out(struct virt *v, const char *from, const char *to, struct err *err)
{
	const char *part = arena_printf(&v->arena, "%s.part", to);
	const char *const argv[] = {"cp", "--sparse=always", "--reflink=auto", from, part, NULL};
	struct tool t = {.quiet = true};
	int r = tool_run(&t, argv, err);
	if (r == 0 && rename(part, to) < 0)
		r = err_errno(err, -errno, "rename '%s' to '%s'", part, to);
	return r < 0 ? err_context(err, r, "write '%s'", to) : 0;
}

static int copy_layout(struct virt *v, const char *from, const char *to, struct err *err)
{
	const char *source = arena_printf(&v->arena, "oci:%s:latest", from),
		   *target = strchr(to, ':') && !strchr(to, '/')
				     ? arena_printf(&v->arena, "oci:%s", to)
				     : arena_printf(&v->arena, "oci:%s:latest", to);
	const char *const argv[] = {
		"skopeo", "--insecure-policy", "copy", "-q", source, target, NULL};
	struct tool t = {.quiet = true};
	return tool_run(&t, argv, err);
}

static int push(struct virt *v, const char *layout, const char *reference, struct err *err)
{
	const char *argv[10];
	size_t n = 0;
	argv[n++] = "skopeo";
	argv[n++] = "--insecure-policy";
	argv[n++] = "copy";
	argv[n++] = "-q";
	if (virt_has(v, "plain-http"))
		argv[n++] = "--dest-tls-verify=false";
	argv[n++] = arena_printf(&v->arena, "oci:%s:latest", layout);
	argv[n++] = arena_printf(&v->arena, "docker://%s", reference);
	argv[n] = NULL;
	struct tool t = {.quiet = true};
	int r = tool_run(&t, argv, err);
	return r < 0 ? err_context(err, r, "push '%s'", reference) : 0;
}

/* KubeVirt's container disk: an image with nothing but the disk in it. */
static int push_disk(
	struct virt *v, const char *disk, const char *work, const char *reference, struct err *err)
{
	struct arena *a = &v->arena;
	struct recipe empty = {.config = json_new_object(a)};
	/* Another may push the same at this time. */
	const char *tar = arena_printf(a, "%s/container-disk.%d.tar", work, (int)getpid()),
		   *layout = arena_printf(a, "%s/container-disk.%d", work, (int)getpid()),
		   *name = strrchr(disk, '/') + 1,
		   *directory = arena_printf(a, "%.*s", (int)(name - disk - 1), disk);
	/* 107 is the user of KubeVirt's QEMU: its own images are so. */
	const char *const argv[] = {"tar", "-C", directory, "--owner=107", "--group=107",
		"--numeric-owner", "--mtime=@0", "--format=gnu",
		arena_printf(a, "--transform=s,^,disk/,"), "-cf", tar, name, NULL};
	struct tool t = {.quiet = true};
	const char *const clean[] = {"rm", "-rf", tar, layout, NULL};
	int r = tool_run(&t, clean, err);
	if (r == 0)
		r = tool_run(&t, argv, err);
	if (r == 0)
		r = build_oci(&empty, tar, layout, err);
	if (r == 0)
		r = push(v, layout, reference, err);
	struct err none;
	int cleaned = tool_run(&t, clean, &none);
	return r < 0 ? r : cleaned;
}

static int build(struct virt *v, struct err *err)
{
	struct recipe recipe;
	struct build_result b;
	bool oci = virt_has(v, "oci") || virt_has(v, "push"),
	     disk = virt_has(v, "disk") || virt_has(v, "push-disk");
	int r = recipe_load(v->args[0], &recipe, err);
	if (r < 0)
		return r;
	if (!oci && !disk) {
		oci = true;
		disk = recipe.kernel != NULL;
	}
	r = build_image(&recipe, cache_directory(v), oci, disk, &v->arena, &b, err);
	if (r == 0 && virt_value(v, "oci"))
		r = copy_layout(v, b.layout, virt_value(v, "oci"), err);
	if (r == 0 && virt_value(v, "disk"))
		r = copy_out(v, b.disk, virt_value(v, "disk"), err);
	if (r == 0 && virt_value(v, "push"))
		r = push(v, b.layout, virt_value(v, "push"), err);
	if (r == 0 && virt_value(v, "push-disk"))
		r = push_disk(v, b.disk, b.directory, virt_value(v, "push-disk"), err);
	if (r == 0) {
		if (oci)
			printf("image %s\n", b.layout);
		if (disk)
			printf("disk %s\n", b.disk);
		if (b.cached)
			fprintf(stderr, "nothing changed since it was built\n");
	}
	recipe_finish(&recipe);
	return r;
}

static void list_rows(
	struct virt_table *t, const char *kind, const struct json *items, const char *phase)
{
	JSON_FOR_EACH_ITEM(it, items) {
		const struct json *source = json_path(it, "spec.source");
		const char *from = json_count(source) ? json_members(source)[0].name : NULL;
		const char *url = from ? json_path_str(json_get(source, from), "url") : NULL;
		if (!url && from)
			url = json_path_str(json_get(source, from), "name");
		virt_table_cell(t, kind);
		virt_table_cell(t, json_path_str(it, "metadata.namespace"));
		virt_table_cell(t, json_path_str(it, "metadata.name"));
		virt_table_cell(t, phase ? json_path_str(it, phase) : "");
		virt_table_cell(t, json_path_str(it, "status.progress"));
		virt_table_cell(
			t, json_path_str(it, "spec.storage.resources.requests.storage")
				   ?: json_path_str(it, "spec.pvc.resources.requests.storage"));
		virt_table_cell(t, from ? arena_printf(&t->v->arena, "%s%s%s", from, url ? " " : "",
						  url ? url : "")
					: "");
	}
}

/* Container disks are what machines name: the cluster keeps no list of a registry. */
static int list_container_disks(
	struct virt *v, struct virt_table *t, const char *namespace, struct err *err)
{
	struct json *vms;
	struct json *seen = json_new_object(&v->arena);
	int r = virt_get(v,
		virt_path(v, "kubevirt.io/v1", namespace, "virtualmachines", NULL, NULL), &vms,
		err);
	if (r < 0)
		return r;
	JSON_FOR_EACH_ITEM(vm, json_get(vms, "items")) {
		JSON_FOR_EACH_ITEM(volume, json_path(vm, "spec.template.spec.volumes")) {
			const char *image = json_path_str(volume, "containerDisk.image");
			if (!image || json_get(seen, image))
				continue;
			json_set_bool(&v->arena, seen, image, true);
			virt_table_cell(t, "containerDisk");
			virt_table_cell(t, "");
			virt_table_cell(t, image);
			for (unsigned i = 3; i < t->columns; i++)
				virt_table_cell(t, "");
		}
	}
	return 0;
}

static int list(struct virt *v, struct err *err)
{
	static const char *const titles[] = {
		"KIND", "NAMESPACE", "NAME", "PHASE", "PROGRESS", "SIZE", "SOURCE"};
	const char *namespace = virt_has(v, "all-namespaces") ? NULL : v->namespace;
	struct virt_table t = virt_table(v, ARRAY_LEN(titles), titles);
	struct json *sources, *volumes;
	int r = virt_get(v, virt_path(v, CDI, namespace, "datasources", NULL, NULL), &sources, err);
	if (r == 0)
		r = virt_get(
			v, virt_path(v, CDI, namespace, "datavolumes", NULL, NULL), &volumes, err);
	if (r < 0)
		return r;
	list_rows(&t, "DataSource", json_get(sources, "items"), NULL);
	list_rows(&t, "DataVolume", json_get(volumes, "items"), "status.phase");
	r = list_container_disks(v, &t, namespace, err);
	if (r == 0)
		virt_table_print(&t);
	return r;
}

static int import_url(
	struct virt *v, const char *name, const char *url, unsigned seconds, struct err *err)
{
	struct arena *a = &v->arena;
	if (!virt_value(v, "size"))
		return virt_misuse(
			v, err, "--size is needed: of the disk that a URL's image fills");
	struct json *dv = json_new_object(a), *spec = json_object_at(a, dv, "spec"),
		    *storage = json_object_at(a, spec, "storage"),
		    *source = json_object_at(a, json_object_at(a, spec, "source"),
			    str_has_prefix(url, "docker://") ? "registry" : "http");
	json_set_str(a, dv, "apiVersion", CDI);
	json_set_str(a, dv, "kind", "DataVolume");
	json_path_set(a, dv, "metadata.name", json_new_string(a, name));
	json_set_str(a, json_object_at(a, json_get(dv, "metadata"), "annotations"),
		"cdi.kubevirt.io/storage.bind.immediate.requested", "true");
	json_set_str(a, source, "url", url);
	if (virt_value(v, "checksum"))
		json_set_str(a, source, "checksum", virt_value(v, "checksum"));
	json_path_set(a, storage, "resources.requests.storage",
		json_new_string(a, virt_value(v, "size")));
	json_push(a, json_array_at(a, storage, "accessModes"), json_new_string(a, "ReadWriteOnce"));
	if (virt_value(v, "storage-class"))
		json_set_str(a, storage, "storageClassName", virt_value(v, "storage-class"));
	int r = virt_send(v, "POST", virt_path(v, CDI, v->namespace, "datavolumes", NULL, NULL),
		NULL, dv, NULL, err);
	return r == 0 && !virt_has(v, "no-wait") ? image_import_wait(v, name, seconds, err) : r;
}

static int import(struct virt *v, struct err *err)
{
	const char *what = v->args[0], *name = v->args[1];
	int64_t seconds = 3600;
	int r = virt_number(v, "timeout", 1, 86400, &seconds, err);
	if (r == 0)
		r = virt_check_amount(v, "size", err);
	if (r < 0)
		return r;
	if (strstr(what, "://")) {
		r = import_url(v, name, what, (unsigned)seconds, err);
	} else {
		struct image_upload u = {.name = name,
			.file = what,
			.size = virt_value(v, "size"),
			.storage_class = virt_value(v, "storage-class"),
			.proxy_url = virt_value(v, "uploadproxy-url"),
			.timeout_s = (unsigned)seconds};
		r = image_upload(v, &u, err);
	}
	if (r < 0)
		return err_context(err, r, "import '%s'", what);
	printf("data volume %s/%s: %s %s\n", v->namespace, name, what,
		virt_has(v, "no-wait") ? "is being imported" : "is in it");
	return 0;
}

/* A digest is a file's name in a layout: it must be one. */
static bool is_digest(const char *s)
{
	return s && str_has_prefix(s, "sha256:") && strlen(s) == 71 &&
	       strspn(s + 7, "0123456789abcdef") == 64;
}

/* The files of a layer that are a container disk's: those right below /disk. */
static void print_disks(struct virt *v, const char *path, const char *digest)
{
	if (!is_digest(digest))
		return;
	int fd = memfd_create("names", 0);
	const char *const argv[] = {"sh", "-c",
		"tar -tzf \"$0\" 2>/dev/null | sed -n 's|^\\./||; \\|^disk/[^/]|p'",
		arena_printf(&v->arena, "%s/blobs/sha256/%s", path, digest + 7), NULL};
	struct tool t = {.out_path = arena_printf(&v->arena, "/dev/fd/%d", fd), .quiet = true};
	struct err none;
	struct str text, line;
	if (fd >= 0 && tool_run(&t, argv, &none) == 0 &&
		file_load(&v->arena, t.out_path, 1 << 20, &text, &none) == 0)
		while (str_split(&text, '\n', &line))
			if (line.size)
				printf("%-14s " STR_FMT "\n", "Disk", STR_ARG(line));
	if (fd >= 0)
		close(fd);
}

static int inspect_layout(struct virt *v, const char *path, struct err *err)
{
	struct arena *a = &v->arena;
	struct str text;
	struct json *index, *manifest, *config;
	int r = file_load(a, arena_printf(a, "%s/index.json", path), 4 << 20, &text, err);
	if (r == 0)
		r = json_parse(a, text.p, text.size, NULL, &index, err);
	const char *digest = r == 0 ? json_path_str(index, "manifests[0].digest") : NULL;
	for (int step = 0; step < 2 && r == 0; step++) {
		if (!is_digest(digest))
			return err_set(err, -EINVAL, "'%s': its manifest is not named well", path);
		r = file_load(a, arena_printf(a, "%s/blobs/sha256/%s", path, digest + 7), 4 << 20,
			&text, err);
		if (r == 0)
			r = json_parse(a, text.p, text.size, NULL, step ? &config : &manifest, err);
		if (step == 0) {
			printf("%-14s OCI image\n%-14s %s\n", "Format", "Digest", digest);
			digest = r == 0 ? json_path_str(manifest, "config.digest") : NULL;
		}
	}
	if (r < 0)
		return err_context(err, r, "'%s'", path);
	printf("%-14s %s/%s\n", "Platform", json_path_str(config, "os") ?: "?",
		json_path_str(config, "architecture") ?: "?");
	JSON_FOR_EACH_ITEM(layer, json_get(manifest, "layers")) {
		printf("%-14s %s, %s\n", "Layer", json_str_or(json_get(layer, "digest"), "?"),
			virt_bytes(v, json_int_or(json_get(layer, "size"), 0)));
		print_disks(v, path, json_str_or(json_get(layer, "digest"), ""));
	}
	JSON_FOR_EACH_MEMBER(m, json_path(config, "config.Labels")) {
		printf("%-14s %s=%s\n", "Label", m->name, json_str_or(m->value, ""));
	}
	static const char *const lists[] = {"Entrypoint", "Cmd", "Env"};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (json_get(json_get(config, "config"), lists[i]))
			printf("%-14s %s\n", lists[i],
				json_text(a, json_get(json_get(config, "config"), lists[i])));
	return 0;
}

static int inspect(struct virt *v, struct err *err)
{
	struct stat st;
	struct probe p;
	if (stat(v->args[0], &st) == 0 && S_ISDIR(st.st_mode))
		return inspect_layout(v, v->args[0], err);
	int r = probe_image(v->args[0], &p, err);
	if (r < 0)
		return r;
	printf("%-14s %s", "Format", p.format);
	if (p.version)
		printf(" version %u", p.version);
	printf("\n%-14s %s (%llu bytes)\n", "File", virt_bytes(v, (int64_t)p.file_bytes),
		(unsigned long long)p.file_bytes);
	if (p.virtual_bytes)
		printf("%-14s %s (%llu bytes)\n", "Virtual size",
			virt_bytes(v, (int64_t)p.virtual_bytes),
			(unsigned long long)p.virtual_bytes);
	printf("%-14s %s\n", "Backing file", p.backing[0] ? p.backing : "none");
	if (p.backing[0] || p.data_file)
		printf("%-14s refused by a node: it refers to another file\n", "Import");
	if (p.data_file)
		printf("%-14s yes\n", "Data file");
	if (p.encrypted)
		printf("%-14s yes\n", "Encrypted");
	if (p.table)
		printf("%-14s %s\n", "Partitions", p.table);
	for (unsigned i = 0; i < p.partition_count; i++) {
		const struct probe_partition *part = &p.partitions[i];
		printf("%14u %s at %s, %s%s%s%s\n", i + 1, part->type,
			virt_bytes(v, (int64_t)part->start_bytes),
			virt_bytes(v, (int64_t)part->size_bytes), part->bootable ? ", boots" : "",
			part->name[0] ? ", " : "", part->name);
	}
	return 0;
}

static const struct virt_flag build_flags[] = {
	{"oci", 0, "DIRECTORY", "write the OCI image there, as a layout"},
	{"disk", 0, "FILE.qcow2", "write the disk there"},
	{"push", 0, "REGISTRY/NAME:TAG", "push the OCI image"},
	{"push-disk", 0, "REGISTRY/NAME:TAG", "push the disk as a KubeVirt container disk"},
	{"plain-http", 0, NULL, "the registry has no TLS"},
	{"cache", 0, "DIRECTORY", "default: ~/.cache/hanok/images"},
	{0},
};
static const struct virt_flag list_flags[] = {
	{"all-namespaces", 'A', NULL, "of every namespace"}, {0}};
static const struct virt_flag import_flags[] = {
	{"size", 0, "SIZE", "of the disk; a local image says it itself"},
	{"checksum", 0, "KIND:HEX", "of what a URL gives: sha256:..."},
	{"storage-class", 0, "NAME", "default: the default"},
	{"uploadproxy-url", 0, "URL", "of a local file; default: what CDIConfig says"},
	{"insecure", 0, NULL, "the server's certificate is not verified"},
	{"no-wait", 0, NULL, "of a URL: return when it is asked for"},
	{"timeout", 0, "SECONDS", "default 3600"},
	{0},
};

static const struct virt_verb image_verbs[] = {
	{"build", "RECIPE.yaml", 1, 1,
		"a Debian suite, packages and files: an OCI image and a disk", build, build_flags,
		true},
	{"list", "", 0, 0, "what the cluster has", list, list_flags, false},
	{"import", "FILE|URL NAME", 2, 2, "into a DataVolume", import, import_flags, false},
	{"inspect", "FILE|DIRECTORY", 1, 1, "what a disk image or an OCI layout is", inspect, NULL,
		true},
	{0},
};

int image_main(int argc, char **argv)
{
	static const struct virt_subject subjects[] = {{"Images", image_verbs}, {0}};
	static const struct virt_program program = {"hanok image", subjects};
	return virt_program_main(&program, argc, argv);
}
