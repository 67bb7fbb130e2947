/* source_registry.c - spec.source.registry: the disk in an image of an OCI registry, as
 * containerDisks have it (node/vm/image/container_disks.h). It is not copied where it can be
 * linked: the image's file is the frozen layer below the disk's own. */
#include <stdio.h>

#include "node/disk/adopt.h"
#include "node/disk/populate/source_refs.h"
#include "node/disk/populate/sources.h"
#include "node/vm/image/container_disks.h"
#include "node/volume/file_work.h"

#define SCHEME "docker://"

struct registry_fetch {
	struct populate_job *j;
	struct source_refs *refs;
	struct container_get *get;
	struct file_job *job;
	bool held; /* the directory, while the image's file gets into it */
};

struct adopting {
	struct registry_fetch *f;
	char *directory, *path, *format;
	int64_t size_bytes;
	int result;
	struct err err;
};

static void adopt(void *user)
{
	struct adopting *a = user;

	a->result = disk_adopt(a->directory, a->path, a->format, a->size_bytes, &a->err);
}

static void on_adopted(void *user, bool cancelled)
{
	struct adopting *a = user;

	if (!cancelled) {
		struct registry_fetch *f = a->f;

		f->job = NULL;
		f->held = false;
		disks_release(f->j->node->disks, a->directory);
		if (a->result == 0)
			populate_done(f->j);
		else if (a->result == -EXDEV || a->result == -EMLINK)
			populate_file(f->j, a->path, false);
		else if (a->result == -EINVAL || a->result == -EFBIG)
			populate_fail(f->j, &a->err);
		else
			populate_retry(f->j, &a->err);
	}
	free(a->directory);
	free(a->path);
	free(a->format);
	free(a);
}

static void on_image(void *user, const struct container_file *file, const struct err *failure)
{
	struct registry_fetch *f = user;
	struct adopting *a;

	f->get = NULL;
	if (failure) {
		if (streq(file->reason, "InvalidDisk"))
			populate_fail(f->j, failure);
		else
			populate_retry(f->j, failure);
		return;
	}
	/* Linked, it would be the pod's to write to: from here on none comes to it. */
	if (f->j->preallocate ||
		disks_check_pods(f->j->node, f->j->namespace, f->j->name, NULL) < 0) {
		populate_file(f->j, file->path, false);
		return;
	}
	f->held = true;
	disks_hold(f->j->node->disks, f->j->directory);
	a = xcalloc(1, sizeof(*a));
	a->f = f;
	a->directory = xstrdup(f->j->directory);
	a->path = xstrdup(file->path);
	a->format = xstrdup(file->format);
	a->size_bytes = f->j->size_bytes;
	f->job = file_work_queue(f->j->node->files, a->directory, adopt, on_adopted, a);
}

/* As a .dockerconfigjson; NULL = none. */
static const char *credentials(struct registry_fetch *f, const char *image)
{
	struct arena *a = &f->j->arena;
	const char *secret = json_str(json_get(f->j->spec, "secretRef"));
	const char *user, *key;
	struct json *doc = json_new_object(a), *one = json_new_object(a);
	char host[256];

	if (!secret || !*secret)
		return NULL;
	user = source_refs_value(f->refs, "Secret", secret, "accessKeyId");
	key = source_refs_value(f->refs, "Secret", secret, "secretKey");
	user = arena_printf(a, "%s:%s", user ? user : "", key ? key : "");
	image_registry(image, host, sizeof(host));
	json_set_str(a, one, "auth", base64_encode(a, user, strlen(user)));
	json_set(a, json_object_at(a, doc, "auths"), host, one);
	return json_text(a, doc);
}

static void on_refs(void *user, const struct err *err)
{
	struct registry_fetch *f = user;
	const char *name = json_str_or(json_get(f->j->spec, "url"), "") + strlen(SCHEME);
	struct vm_image image = {.image = name, .pull_policy = "Always"};

	if (err) {
		populate_retry(f->j, err);
		return;
	}
	f->get = container_disks_get(
		f->j->images, &image, NULL, true, credentials(f, name), on_image, f);
}

static int check(const struct json *spec, struct err *err)
{
	static const char *const others[] = {"imageStream", "certConfigMap"};
	const char *url = json_str_or(json_get(spec, "url"), "");

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (json_str(json_get(spec, others[i])) && *json_str(json_get(spec, others[i])))
			return err_set(err, -EOPNOTSUPP,
				"spec.source.registry.%s is not supported%s", others[i],
				i == 1 ? ": certificates of registries are in containerd's certs.d"
				       : "");
	if (!str_has_prefix(url, SCHEME) || !url[strlen(SCHEME)] || strpbrk(url, " \t\r\n") ||
		url[strlen(SCHEME)] == '-')
		return err_set(err, -EINVAL,
			"spec.source.registry.url: '%s' is not " SCHEME "HOST/NAME[:TAG]", url);
	return 0;
}

static void start(struct populate_job *j)
{
	struct registry_fetch *f = xcalloc(1, sizeof(*f));
	struct source_ref ref = {"Secret", json_str(json_get(j->spec, "secretRef"))};
	struct err err = ERR_INIT;

	j->user = f;
	f->j = j;
	if (check(j->spec, &err) < 0)
		populate_fail(j, &err);
	else
		f->refs = source_refs_fetch(j, &ref, 1, on_refs, f);
}

static void stop(struct populate_job *j)
{
	struct registry_fetch *f = j->user;

	if (!f)
		return;
	source_refs_destroy(f->refs);
	container_get_cancel(f->get);
	file_job_cancel(f->job);
	if (f->held)
		disks_release_after(j->node->disks, j->directory, j->directory);
	free(f);
}

const struct populate_source source_registry = {
	.field = "registry",
	.scheduled = "ImportScheduled",
	.running = "ImportInProgress",
	.word = "Import",
	.start = start,
	.stop = stop,
};
