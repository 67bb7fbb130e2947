/* upload.c - image-upload, in virtctl's sequence: a DataVolume with source "upload"; when it is
 * UploadReady, an UploadTokenRequest gives a token; the file goes to CDIConfig's uploadProxyURL
 * with it; the DataVolume tells the rest. */
#include <stdio.h>
#include <sys/stat.h>

#include "cli/image/probe.h"
#include "cli/virt/transfer.h"
#include "cli/virt/virt.h"

#define CDI "cdi.kubevirt.io/v1beta1"

struct progress {
	bool until_upload;
	char shown[64];
};

static int until_data_volume(void *user, const struct json *object, struct err *err)
{
	struct progress *p = user;
	const char *phase = json_str_or(json_path(object, "status.phase"), ""),
		   *progress = json_str_or(json_path(object, "status.progress"), "");
	if (!object)
		return err_set(err, -ENOENT, "the DataVolume was deleted");
	if (isatty(STDERR_FILENO) && (*phase || *progress)) {
		char text[64];
		snprintf(
			text, sizeof(text), "%s %s", phase, streq(progress, "N/A") ? "" : progress);
		if (!streq(text, p->shown))
			fprintf(stderr, "\r%-40s", text);
		memcpy(p->shown, text, sizeof(text));
	}
	if (streq(phase, "Failed") || streq(phase, "Unknown")) {
		const char *why = phase;
		JSON_FOR_EACH_ITEM(c, json_path(object, "status.conditions")) {
			if (streq(json_str_or(json_get(c, "type"), ""), "Running"))
				why = json_str_or(json_get(c, "message"), why);
		}
		return err_set(err, -EIO, "it failed: %s", why);
	}
	return streq(phase, "Succeeded") || (p->until_upload && streq(phase, "UploadReady"));
}

static int wait_data_volume(
	struct virt *v, const char *name, bool until_upload, unsigned timeout_s, struct err *err)
{
	struct progress p = {.until_upload = until_upload};
	int r = api_session_wait(v->session,
		virt_path(v, CDI, v->namespace, "datavolumes", NULL, NULL), name, timeout_s,
		until_data_volume, &p, err);
	if (p.shown[0])
		fprintf(stderr, "\n");
	return r < 0 ? err_context(err, r, "DataVolume '%s/%s'", v->namespace, name) : 0;
}

int image_import_wait(struct virt *v, const char *name, unsigned timeout_s, struct err *err)
{
	return wait_data_volume(v, name, false, timeout_s, err);
}

static int create_upload(struct virt *v, const struct image_upload *u, struct err *err)
{
	struct arena *a = &v->arena;
	struct probe probe;
	const char *size = u->size;
	if (!size) {
		int r = probe_image(u->file, &probe, err);
		if (r < 0)
			return err_context(err, r, "--size is needed");
		if (probe.virtual_bytes == 0)
			return err_set(err, -EINVAL,
				"--size is needed: '%s' (%s) does not say how large the disk in it "
				"is",
				u->file, probe.format);
		size = arena_printf(a, "%llu", (unsigned long long)probe.virtual_bytes);
	}
	struct json *dv = json_new_object(a), *spec = json_object_at(a, dv, "spec"),
		    *storage = json_object_at(a, spec, "storage");
	json_set_str(a, dv, "apiVersion", CDI);
	json_set_str(a, dv, "kind", "DataVolume");
	json_path_set(a, dv, "metadata.name", json_new_string(a, u->name));
	json_set_str(a, json_object_at(a, json_get(dv, "metadata"), "annotations"),
		"cdi.kubevirt.io/storage.bind.immediate.requested", "true");
	json_object_at(a, json_object_at(a, spec, "source"), "upload");
	json_path_set(a, storage, "resources.requests.storage", json_new_string(a, size));
	json_push(a, json_array_at(a, storage, "accessModes"),
		json_new_string(a, u->access_mode ? u->access_mode : "ReadWriteOnce"));
	if (u->storage_class)
		json_set_str(a, storage, "storageClassName", u->storage_class);
	if (u->block)
		json_set_str(a, storage, "volumeMode", "Block");
	return virt_send(v, "POST", virt_path(v, CDI, v->namespace, "datavolumes", NULL, NULL),
		NULL, dv, NULL, err);
}

static int upload_token(struct virt *v, const char *name, const char **ret, struct err *err)
{
	struct arena *a = &v->arena;
	struct json *it = json_new_object(a), *made;
	json_set_str(a, it, "apiVersion", "upload.cdi.kubevirt.io/v1beta1");
	json_set_str(a, it, "kind", "UploadTokenRequest");
	json_path_set(a, it, "metadata.name", json_new_string(a, "token-for-virtctl"));
	json_path_set(a, it, "spec.pvcName", json_new_string(a, name));
	int r = virt_send(v, "POST",
		virt_path(v, "upload.cdi.kubevirt.io/v1beta1", v->namespace, "uploadtokenrequests",
			NULL, NULL),
		NULL, it, &made, err);
	*ret = r == 0 ? json_path_str(made, "status.token") : NULL;
	if (r == 0 && !*ret)
		return err_set(err, -EPROTO, "the server's answer has no status.token");
	return r;
}

static int proxy_url(
	struct virt *v, const struct image_upload *u, const char **ret, struct err *err)
{
	struct json *config;
	*ret = u->proxy_url;
	if (*ret) {
		if (!strstr(*ret, "://"))
			*ret = arena_printf(&v->arena, "https://%s", *ret);
		return 0;
	}
	int r = virt_get(v, virt_path(v, CDI, NULL, "cdiconfigs", "config", NULL), &config, err);
	if (r < 0)
		return err_context(err, r, "where to upload to (--uploadproxy-url)");
	*ret = json_path_str(config, "status.uploadProxyURL")
		       ?: json_path_str(config, "spec.uploadProxyURLOverride");
	if (!*ret)
		return err_set(err, -ENOENT,
			"CDIConfig 'config' has no status.uploadProxyURL: give --uploadproxy-url");
	if (!strstr(*ret, "://"))
		*ret = arena_printf(&v->arena, "https://%s", *ret);
	return 0;
}

int image_upload(struct virt *v, const struct image_upload *u, struct err *err)
{
	const char *token, *url;
	struct arena *a = &v->arena;
	struct stat st;
	if (stat(u->file, &st) < 0)
		return err_errno(err, -errno, "read '%s'", u->file);
	int r = proxy_url(v, u, &url, err);
	if (r == 0 && !u->no_create)
		r = create_upload(v, u, err);
	if (r == 0)
		r = wait_data_volume(v, u->name, true, u->timeout_s, err);
	if (r == 0)
		r = upload_token(v, u->name, &token, err);
	if (r < 0)
		return r;
	const struct kubeconfig *k = api_session_config(v->session);
	struct transfer t = {
		.url = arena_printf(a, "%s/v1beta1/upload-async", url),
		.headers = arena_printf(a,
			"Authorization: Bearer %s\r\nContent-Type: application/octet-stream\r\n",
			token),
		.ca = virt_has(v, "insecure") || !k->ca.p
			      ? NULL
			      : arena_printf(a, STR_FMT, STR_ARG(k->ca)),
		.title = "sent",
	};
	r = transfer_upload(&t, u->file, err);
	return r == 0 ? wait_data_volume(v, u->name, false, u->timeout_s, err) : r;
}

/* image-upload dv NAME --image-path F; also pvc NAME (virtctl's words), and NAME alone. */
static int upload(struct virt *v, struct err *err)
{
	int64_t seconds = 3600;
	int r = virt_number(v, "wait-secs", 1, 86400, &seconds, err);
	const char *kind = v->arg_count > 1 ? v->args[0] : "dv";
	if (r == 0 && !streq(kind, "dv"))
		r = virt_misuse(v, err, "'%s': only DataVolumes (dv) take uploads", kind);
	if (r == 0 && !virt_value(v, "image-path"))
		r = virt_misuse(v, err, "--image-path is needed");
	if (r == 0)
		r = virt_check_amount(v, "size", err);
	if (r < 0)
		return r;
	struct image_upload u = {
		.name = v->args[v->arg_count - 1],
		.file = virt_value(v, "image-path"),
		.size = virt_value(v, "size"),
		.storage_class = virt_value(v, "storage-class"),
		.access_mode = virt_value(v, "access-mode"),
		.proxy_url = virt_value(v, "uploadproxy-url"),
		.block = virt_has(v, "block-volume"),
		.no_create = virt_has(v, "no-create"),
		.timeout_s = (unsigned)seconds,
	};
	r = image_upload(v, &u, err);
	if (r == 0)
		printf("data volume %s/%s: %s is in it\n", v->namespace, u.name, u.file);
	return r;
}

static const struct virt_flag upload_flags[] = {
	{"image-path", 0, "FILE", "the image"},
	{"size", 0, "SIZE", "of the disk; default: what the image says"},
	{"storage-class", 0, "NAME", "default: the default"},
	{"access-mode", 0, "MODE", "default ReadWriteOnce"},
	{"block-volume", 0, NULL, "a block device"},
	{"no-create", 0, NULL, "into a DataVolume that is there and waits for it"},
	{"uploadproxy-url", 0, "URL", "default: what CDIConfig says"},
	{"insecure", 0, NULL, "the server's certificate is not verified"},
	{"force-bind", 0, NULL, "as virtctl has it: it is always bound at once"},
	{"wait-secs", 0, "SECONDS", "default 3600"},
	{0},
};
const struct virt_verb virt_upload_verbs[] = {
	{"image-upload", "[dv] NAME", 1, 2, "a local image into a DataVolume", upload, upload_flags,
		false},
	{0},
};
