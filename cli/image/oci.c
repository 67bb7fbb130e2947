/* oci.c - an OCI image (image-spec v1) of one layer, as a directory in the image layout's form. */
#include <stdio.h>
#include <sys/stat.h>

#include "cli/image/build.h"
#include "cli/image/tool.h"

#define MEDIA "application/vnd.oci.image."

struct layout {
	struct arena *a;
	const char *path;
};

static struct json *descriptor(struct arena *a, const char *type, const char *digest, uint64_t size)
{
	struct json *d = json_new_object(a);
	json_set_str(a, d, "mediaType", arena_printf(a, MEDIA "%s", type));
	json_set_str(a, d, "digest", digest);
	json_set_int(a, d, "size", (int64_t)size);
	return d;
}

/* Moves a file in; its descriptor. */
static int add_file(const struct layout *l, const char *path, const char *type, struct json **ret,
	struct err *err)
{
	char *digest;
	uint64_t size;
	int r = tool_digest(l->a, path, &digest, &size, err);
	if (r < 0)
		return r;
	const char *blob =
		arena_printf(l->a, "%s/blobs/sha256/%s", l->path, digest + strlen("sha256:"));
	if (rename(path, blob) < 0)
		return err_errno(err, -errno, "rename '%s'", path);
	*ret = descriptor(l->a, type, digest, size);
	return 0;
}

static int add_json(const struct layout *l, const struct json *doc, const char *type,
	struct json **ret, struct err *err)
{
	const char *path = arena_printf(l->a, "%s/part", l->path), *text = json_text(l->a, doc);
	int r = tool_write(path, 0644, text, strlen(text), err);
	return r == 0 ? add_file(l, path, type, ret, err) : r;
}

static int write_layout(
	const struct recipe *r, const struct layout *l, const char *tar, struct err *err)
{
	struct arena *a = l->a;
	char *diff_id;
	uint64_t size;
	struct json *layer, *config, *manifest;
	const char *packed = arena_printf(a, "%s/layer", l->path);
	int e = tool_digest(a, tar, &diff_id, &size, err);
	if (e < 0)
		return e;
	const char *const gzip[] = {"gzip", "-n", "-6", "-c", tar, NULL};
	struct tool t = {.out_path = packed};
	e = tool_run(&t, gzip, err);
	if (e == 0)
		e = add_file(l, packed, "layer.v1.tar+gzip", &layer, err);
	if (e < 0)
		return e;
	struct json *image = json_new_object(a), *rootfs = json_object_at(a, image, "rootfs");
	json_set_str(a, image, "architecture", "amd64");
	json_set_str(a, image, "os", "linux");
	json_set(a, image, "config", json_copy(a, r->config));
	json_set_str(a, rootfs, "type", "layers");
	json_push(a, json_array_at(a, rootfs, "diff_ids"), json_new_string(a, diff_id));
	e = add_json(l, image, "config.v1+json", &config, err);
	if (e < 0)
		return e;
	struct json *m = json_new_object(a);
	json_set_int(a, m, "schemaVersion", 2);
	json_set_str(a, m, "mediaType", MEDIA "manifest.v1+json");
	json_set(a, m, "config", config);
	json_push(a, json_array_at(a, m, "layers"), layer);
	e = add_json(l, m, "manifest.v1+json", &manifest, err);
	if (e < 0)
		return e;
	struct json *index = json_new_object(a);
	json_set_int(a, index, "schemaVersion", 2);
	json_set_str(a, json_object_at(a, manifest, "annotations"),
		"org.opencontainers.image.ref.name", "latest");
	json_push(a, json_array_at(a, index, "manifests"), manifest);
	const char *text = json_text(a, index);
	e = tool_write(arena_printf(a, "%s/index.json", l->path), 0644, text, strlen(text), err);
	static const char version[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	return e == 0 ? tool_write(arena_printf(a, "%s/oci-layout", l->path), 0644, version,
				sizeof(version) - 1, err)
		      : e;
}

int build_oci(const struct recipe *r, const char *tar, const char *path, struct err *err)
{
	struct arena a = ARENA_INIT;
	struct layout l = {&a, path};
	static const char *const parts[] = {"", "/blobs", "/blobs/sha256"};
	int e = 0;
	for (size_t i = 0; i < ARRAY_LEN(parts) && e == 0; i++)
		if (mkdir(arena_printf(&a, "%s%s", path, parts[i]), 0755) < 0)
			e = err_errno(err, -errno, "make directory '%s%s'", path, parts[i]);
	if (e == 0)
		e = write_layout(r, &l, tar, err);
	arena_finish(&a);
	return e;
}
