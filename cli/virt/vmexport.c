/* vmexport.c - vmexport, in virtctl's sequence: a VirtualMachineExport and a Secret with a token;
 * when it is Ready its links say where the volumes and the manifests are. */
#include <poll.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "cli/virt/transfer.h"
#include "cli/virt/virt.h"
#include "lib/base/clock.h"

#define EXPORT "export.kubevirt.io/v1"
#define EXPORTS(v, name) virt_path(v, EXPORT, (v)->namespace, "virtualmachineexports", name, NULL)
#define TOKEN_BYTES 10
#define AGAIN_FIRST_MS 500
#define AGAIN_MOST_MS 5000
#define RESUMES 5

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the objects ---- */

/* "key=value[,key=value]", each time it is given, into metadata. */
static int set_pairs(struct virt *v, struct json *export, const char *flag, struct err *err)
{
	struct arena *a = &v->arena;
	const char *const *all;
	size_t count = virt_values(v, flag, &all);

	for (size_t i = 0; i < count; i++) {
		struct str left = str_from(all[i]), pair;

		while (str_split(&left, ',', &pair)) {
			const char *text = arena_memdup(a, pair.p, pair.size);
			const char *is = strchr(text, '=');

			if (!is || is == text)
				return virt_misuse(
					v, err, "--%s: '%s' is no KEY=VALUE", flag, text);
			json_set_str(a, json_object_at(a, json_get(export, "metadata"), flag),
				arena_printf(a, "%.*s", (int)(is - text), text), is + 1);
		}
	}
	return 0;
}

static bool has_source(const struct virt *v)
{
	return virt_has(v, "vm") || virt_has(v, "snapshot") || virt_has(v, "pvc");
}

static int new_export(struct virt *v, const char *name, struct json **ret, struct err *err)
{
	static const struct {
		const char *flag, *group, *kind;
	} sources[] = {
		{"vm", "kubevirt.io", "VirtualMachine"},
		{"snapshot", "snapshot.kubevirt.io", "VirtualMachineSnapshot"},
		{"pvc", "", "PersistentVolumeClaim"},
	};
	struct arena *a = &v->arena;
	struct json *it = json_new_object(a), *spec, *source = NULL;
	int r;

	json_set_str(a, it, "apiVersion", EXPORT);
	json_set_str(a, it, "kind", "VirtualMachineExport");
	json_path_set(a, it, "metadata.name", json_new_string(a, name));
	spec = json_object_at(a, it, "spec");
	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		if (!virt_value(v, sources[i].flag))
			continue;
		if (source)
			return virt_misuse(v, err, "one of --vm, --snapshot and --pvc");
		source = json_object_at(a, spec, "source");
		json_set_str(a, source, "apiGroup", sources[i].group);
		json_set_str(a, source, "kind", sources[i].kind);
		json_set_str(a, source, "name", virt_value(v, sources[i].flag));
	}
	if (!source)
		return virt_misuse(v, err, "--vm, --snapshot or --pvc is needed");
	json_set_str(a, spec, "tokenSecretRef", arena_printf(a, "export-token-%s", name));
	if (virt_value(v, "ttl"))
		json_set_str(a, spec, "ttlDuration", virt_value(v, "ttl"));
	r = set_pairs(v, it, "labels", err);
	if (r == 0)
		r = set_pairs(v, it, "annotations", err);
	*ret = it;
	return r;
}

static int create_secret(struct virt *v, const struct json *export, struct err *err)
{
	struct arena *a = &v->arena;
	struct json *secret = json_new_object(a), *owner = json_new_object(a);
	unsigned char random[TOKEN_BYTES];

	if (getentropy(random, sizeof(random)) < 0)
		return err_errno(err, -errno, "random bytes");
	json_set_str(a, secret, "apiVersion", "v1");
	json_set_str(a, secret, "kind", "Secret");
	json_path_set(
		a, secret, "metadata.name", json_copy(a, json_path(export, "spec.tokenSecretRef")));
	json_set_str(a, owner, "apiVersion", EXPORT);
	json_set_str(a, owner, "kind", "VirtualMachineExport");
	json_set(a, owner, "name", json_copy(a, json_path(export, "metadata.name")));
	json_set(a, owner, "uid", json_copy(a, json_path(export, "metadata.uid")));
	json_set_bool(a, owner, "controller", true);
	json_push(a, json_array_at(a, json_get(secret, "metadata"), "ownerReferences"), owner);
	json_path_set(a, secret, "stringData.token",
		json_new_string(a, hex_encode(a, random, sizeof(random))));
	return virt_send(v, "POST", virt_path(v, "v1", v->namespace, "secrets", NULL, NULL), NULL,
		secret, NULL, err);
}

static int create_export(struct virt *v, const char *name, struct err *err)
{
	struct json *it = NULL, *made = NULL;
	int r = new_export(v, name, &it, err);

	if (r == 0)
		r = virt_send(v, "POST", EXPORTS(v, NULL), NULL, it, &made, err);
	return r == 0 ? create_secret(v, made, err) : r;
}

static int delete_export(struct virt *v, const char *name, struct err *err)
{
	return virt_send(v, "DELETE", EXPORTS(v, name), NULL, NULL, NULL, err);
}

/* ---- until it is ready ---- */

struct wait {
	char why[256]; /* what the last state of it said */
};

static int until_exported(void *user, const struct json *object, struct err *err)
{
	struct wait *w = user;
	const char *phase = json_str_or(json_path(object, "status.phase"), ""), *text;

	if (!object)
		return err_set(err, -ENOENT, "it was deleted");
	*w->why = '\0';
	JSON_FOR_EACH_ITEM(c, json_path(object, "status.conditions")) {
		text = json_str_or(json_get(c, "message"), "");
		if (*text && streq(json_str(json_get(c, "status")), "False"))
			snprintf(w->why, sizeof(w->why), "%s", text);
	}
	if (streq(phase, "Skipped"))
		return err_set(err, -ENOENT, "there is nothing to export: %s", w->why);
	if (streq(phase, "Terminated"))
		return err_set(err, -ETIMEDOUT, "it is terminated: its time is over");
	return streq(phase, "Ready");
}

static int wait_ready(struct virt *v, const char *name, int64_t until_ms, struct err *err)
{
	struct wait w = {0};
	int64_t left = MAX(until_ms - now_ms(), 1000);
	int r = api_session_wait(v->session, EXPORTS(v, NULL), name,
		(unsigned)((left + 999) / 1000), until_exported, &w, err);

	return r == -ETIMEDOUT && *w.why ? err_context(err, r, "%s", w.why) : r;
}

/* ---- downloads ---- */

struct download {
	const struct json *links;
	const char *token, *ca;
};

static int find_volume(
	struct virt *v, const struct download *d, const char **ret_url, struct err *err)
{
	const char *name = virt_value(v, "volume"), *format = virt_value_or(v, "format", "gzip");
	const struct json *volumes = json_get(d->links, "volumes");

	JSON_FOR_EACH_ITEM(it, volumes) {
		if (name ? !streq(name, json_str(json_get(it, "name"))) : json_count(volumes) != 1)
			continue;
		JSON_FOR_EACH_ITEM(f, json_get(it, "formats"))
			if (streq(json_str(json_get(f, "format")), format) &&
				json_str(json_get(f, "url"))) {
				*ret_url = json_str(json_get(f, "url"));
				return 0;
			}
	}
	return err_set(err, -ENOENT,
		"no volume%s%s in format '%s': `kubectl get vmexport -o yaml` lists them",
		name ? " " : " (several: --volume)", name ? name : "", format);
}

static int find_manifest(
	const struct download *d, const char *type, const char **ret_url, struct err *err)
{
	JSON_FOR_EACH_ITEM(it, json_get(d->links, "manifests"))
		if (streq(json_str(json_get(it, "type")), type) && json_str(json_get(it, "url"))) {
			*ret_url = json_str(json_get(it, "url"));
			return 0;
		}
	return err_set(
		err, -ENOENT, "it has no manifests: only those of machines and snapshots do");
}

/* HOST[:PORT] in the place of the link's own. */
static const char *at_service(struct virt *v, const char *url)
{
	const char *service = virt_value(v, "service-url"), *host = strstr(url, "://");
	const char *path = host ? strchr(host + 3, '/') : NULL;

	if (!service || !path)
		return url;
	return arena_printf(&v->arena, "%.*s://%s%s", (int)(host - url), url, service, path);
}

static int read_links(struct virt *v, const char *name, struct download *ret, struct err *err)
{
	struct arena *a = &v->arena;
	struct json *it, *secret;
	const char *encoded;
	char *token;
	size_t size;
	int r = virt_get(v, EXPORTS(v, name), &it, err);

	if (r == 0)
		r = virt_get(v,
			virt_path(v, "v1", v->namespace, "secrets",
				json_str_or(json_path(it, "status.tokenSecretRef"), "-"), NULL),
			&secret, err);
	if (r < 0)
		return r;
	encoded = json_path_str(secret, "data.token");
	if (!encoded || base64_decode(a, str_from(encoded), &token, &size) < 0)
		return err_set(err, -EPROTO, "its secret has no data.token");
	ret->links = json_path(it, "status.links.external");
	if (!ret->links || virt_has(v, "service-url"))
		ret->links = json_path(it, "status.links.internal");
	ret->token = arena_memdup(a, token, size);
	ret->ca = virt_has(v, "insecure") ? NULL : json_str_or(json_get(ret->links, "cert"), "");
	return ret->ca && !*ret->ca
		       ? err_set(err, -EPROTO,
				 "its links have no certificate to verify the server by "
				 "(--insecure)")
		       : 0;
}

static int fetch(struct virt *v, const struct download *d, const char *url, const char *file,
	const char *accept, bool fixed, int *ret_status, struct err *err)
{
	struct arena *a = &v->arena;
	struct transfer t = {
		.url = at_service(v, url),
		.headers = arena_printf(
			a, "x-kubevirt-export-token: %s\r\nAccept: %s\r\n", d->token, accept),
		.ca = d->ca,
		.title = streq(file, "-") ? NULL : "got",
		.resumes = fixed && !streq(file, "-") ? RESUMES : 0,
	};

	return transfer_download(&t, file, ret_status, err);
}

static int fetch_manifests(
	struct virt *v, const struct download *d, int *ret_status, struct err *err)
{
	static const char *const types[] = {"all", "auth-header-secret"};
	const char *form = virt_value_or(v, "manifest-output-format", "yaml");
	const char *accept =
		strcasecmp(form, "json") == 0 ? "application/json" : "application/yaml";
	const char *output = virt_value_or(v, "output", "-"), *url = NULL;
	bool both = virt_has(v, "include-secret");
	int r = 0;

	if (both && !streq(output, "-"))
		return virt_misuse(
			v, err, "--include-secret: to standard output only, without --output");
	for (size_t i = 0; r == 0 && i < (both ? 2 : 1); i++) {
		r = find_manifest(d, types[i], &url, err);
		if (r == 0)
			r = fetch(v, d, url, output, accept, false, ret_status, err);
	}
	return r;
}

static int fetch_volume(struct virt *v, const struct download *d, int *ret_status, struct err *err)
{
	const char *url = NULL;
	int r = find_volume(v, d, &url, err);

	if (r < 0)
		return r;
	return fetch(v, d, url, virt_value(v, "output"), "*/*",
		streq(virt_value(v, "format"), "raw"), ret_status, err);
}

static int fetch_once(
	struct virt *v, const char *name, int64_t until_ms, int *ret_status, struct err *err)
{
	struct download d;
	int r = wait_ready(v, name, until_ms, err);

	*ret_status = 0;
	if (r == 0)
		r = read_links(v, name, &d, err);
	if (r < 0)
		return r;
	return virt_has(v, "manifest") ? fetch_manifests(v, &d, ret_status, err)
				       : fetch_volume(v, &d, ret_status, err);
}

/* Somebody else has the disk for a moment (its layers are merged, a clone is made of it), or too
 * many read at a time. */
static bool is_busy(int status)
{
	return status == 409 || status == 429 || status == 503;
}

/* As long as the disk is busy, within the time; and as often as was said whatever fails. */
static int download(struct virt *v, const char *name, unsigned timeout_s, struct err *err)
{
	int64_t until_ms = now_ms() + (int64_t)timeout_s * 1000, tries = 0;
	int wait_ms = AGAIN_FIRST_MS, r = virt_number(v, "retry", 0, 1000, &tries, err), status;
	bool said = false;

	while (r == 0) {
		struct err problem = ERR_INIT;

		r = fetch_once(v, name, until_ms, &status, &problem);
		if (r == 0)
			return 0;
		bool busy = is_busy(status) && now_ms() + wait_ms < until_ms;
		if (v->misused || (!busy && tries == 0))
			return err_set(err, r, "%s", problem.msg);
		tries -= !busy;
		if (!said || !busy)
			fprintf(stderr, "%s: trying again\n", problem.msg);
		said = true;
		poll(NULL, 0, wait_ms);
		wait_ms = MIN(wait_ms * 2, AGAIN_MOST_MS);
		r = 0;
	}
	return r;
}

/* ---- the verb ---- */

static int check_flags(struct virt *v, const char *verb, struct err *err)
{
	static const char *const download_only[] = {"volume", "format", "output", "keep-vme",
		"delete-vme", "insecure", "service-url", "manifest", "manifest-output-format",
		"include-secret", "retry"};
	const char *form = virt_value_or(v, "manifest-output-format", "yaml");

	if (streq(verb, "delete") && has_source(v))
		return virt_misuse(v, err, "delete: --vm, --snapshot and --pvc are not for it");
	for (size_t i = 0; !streq(verb, "download") && i < ARRAY_LEN(download_only); i++)
		if (virt_has(v, download_only[i]))
			return virt_misuse(v, err, "--%s is for download", download_only[i]);
	if (!streq(verb, "download"))
		return 0;
	if (virt_has(v, "keep-vme") && virt_has(v, "delete-vme"))
		return virt_misuse(v, err, "either --keep-vme or --delete-vme");
	if (virt_has(v, "manifest") && virt_has(v, "pvc"))
		return virt_misuse(v, err, "--manifest: there are none of a claim");
	if (virt_has(v, "manifest") && (virt_has(v, "volume") || virt_has(v, "format")))
		return virt_misuse(v, err, "--manifest: --volume and --format are not for it");
	if (!virt_has(v, "manifest") && !virt_has(v, "output"))
		return virt_misuse(v, err, "--output is needed");
	if (strcasecmp(form, "yaml") != 0 && strcasecmp(form, "json") != 0)
		return virt_misuse(
			v, err, "--manifest-output-format: yaml or json, not '%s'", form);
	return 0;
}

/* "120" or "2m0s" */
static int read_timeout(struct virt *v, unsigned *ret, struct err *err)
{
	const char *text = virt_value(v, "readiness-timeout");
	int64_t seconds = 300, ns;
	int r = virt_number(v, "timeout", 1, 86400, &seconds, err);

	if (r == 0 && text) {
		if (duration_parse(text, &ns) < 0 || ns < NS_PER_S || ns > 86400 * NS_PER_S)
			return virt_misuse(v, err,
				"--readiness-timeout: '%s' is no duration from 1s to 24h", text);
		seconds = ns / NS_PER_S;
	}
	*ret = (unsigned)seconds;
	return r;
}

static int run_download(struct virt *v, const char *name, unsigned timeout_s, struct err *err)
{
	struct err ignored = ERR_INIT;
	bool made = false;
	int r = has_source(v) ? create_export(v, name, err) : 0;

	made = has_source(v) && r == 0;
	if (r == -EEXIST)
		r = 0; /* somebody's: it stays */
	if (r == 0)
		r = download(v, name, timeout_s, err);
	/* As virtctl: what a manifest points to stays. */
	if (!virt_has(v, "manifest") &&
		(virt_has(v, "delete-vme") || (made && !virt_has(v, "keep-vme")))) {
		int gone = delete_export(v, name, r == 0 ? err : &ignored);
		if (r == 0)
			r = gone;
	}
	return r;
}

static int export(struct virt *v, struct err *err)
{
	const char *verb = v->args[0], *name = v->args[1];
	unsigned timeout_s = 0;
	int r = read_timeout(v, &timeout_s, err);
	bool known = streq(verb, "create") || streq(verb, "download") || streq(verb, "delete");

	if (r == 0 && !known)
		r = virt_misuse(v, err, "export: create, download or delete");
	if (r == 0)
		r = check_flags(v, verb, err);
	if (r < 0)
		return r;
	if (streq(verb, "delete")) {
		r = delete_export(v, name, err);
	} else if (streq(verb, "download")) {
		r = run_download(v, name, timeout_s, err);
	} else {
		r = create_export(v, name, err);
		if (r == 0)
			r = wait_ready(v, name, now_ms() + (int64_t)timeout_s * 1000, err);
	}
	if (r < 0)
		return err_context(err, r, "export '%s/%s'", v->namespace, name);
	const char *output = virt_value_or(v, "output", "-");
	if (streq(verb, "download") && streq(output, "-"))
		return 0;
	printf("export %s/%s: %s\n", v->namespace, name,
		streq(verb, "download") ? output
		: streq(verb, "create") ? "ready"
					: "deleted");
	return 0;
}

static const struct virt_flag flags[] = {
	{"vm", 0, "NAME", "of a virtual machine"},
	{"snapshot", 0, "NAME", "of a snapshot"},
	{"pvc", 0, "NAME", "of a claim"},
	{"volume", 0, "NAME", "download: which, of several"},
	{"format", 0, "FORMAT", "download: gzip (default), raw"},
	{"output", 0, "FILE", "download: where to; - = standard output"},
	{"manifest", 0, NULL, "download: what makes the machine elsewhere, not a disk"},
	{"manifest-output-format", 0, "FORMAT", "yaml (default), json"},
	{"include-secret", 0, NULL, "with --manifest: the token that its imports send, too"},
	{"ttl", 0, "DURATION", "it is gone after that, 2h"},
	{"labels", 0, "KEY=VALUE", "of the export"},
	{"annotations", 0, "KEY=VALUE", "of the export"},
	{"keep-vme", 0, NULL, "download: the export stays"},
	{"delete-vme", 0, NULL, "download: it goes, also when it was there before"},
	{"service-url", 0, "HOST:PORT", "download: from there, not from the link's own address"},
	{"insecure", 0, NULL, "the server's certificate is not verified"},
	{"retry", 0, "COUNT", "download: when it fails"},
	{"readiness-timeout", 0, "DURATION", "as --timeout: 2m0s"},
	{"timeout", 0, "SECONDS", "until it is ready and not busy; default 300"},
	{0},
};

const struct virt_verb virt_export_verbs[] = {
	{"export|vmexport", "create|download|delete NAME", 2, 2, "disks of a machine into files",
		export, flags, false},
	{0},
};
