#include "server/api/machines/export.h"

#include <openssl/crypto.h>
#include <stdio.h>

#include "server/api/api_internal.h"
#include "server/api/machines/export_manifests.h"
#include "server/api/machines/machines.h"
#include "server/api/nodes/node_proxy.h"

#define PREFIX "/api/export.kubevirt.io/"
#define TOKEN_HEADER "x-kubevirt-export-token"
#define SELECTED_NODE "volume.kubernetes.io/selected-node"
#define NODE_LABEL "hanok.io/node"
#define TOKEN_MAX_BYTES 4096

bool export_is_path(const char *path)
{
	return str_has_prefix(path, PREFIX);
}

struct download {
	const char *namespace, *name;
	const char *volume, *format; /* "raw" | "gzip" | "tar"; NULL = a manifest */
	const char *side, *manifest; /* "external" | "internal", "all" | "secret" */
};

static const char *one_of(const char *text, const char *first, const char *second)
{
	return streq(text, first) ? first : streq(text, second) ? second : NULL;
}

/* VERSION/namespaces/NS/virtualmachineexports/NAME/volumes/VOLUME/FILE, or .../SIDE/manifests/WHICH
 */
static bool read_path(struct arena *a, const char *path, struct download *ret)
{
	struct str left = str_from(arena_strdup(a, path + strlen(PREFIX))), part;
	const char *parts[8];
	size_t count = 0;

	while (count < ARRAY_LEN(parts) && str_split(&left, '/', &part))
		parts[count++] = arena_memdup(a, part.p, part.size);
	if (count != ARRAY_LEN(parts) || left.size ||
		(!streq(parts[0], "v1") && !one_of(parts[0], "v1beta1", "v1alpha1")) ||
		!streq(parts[1], "namespaces") || !streq(parts[3], "virtualmachineexports"))
		return false;
	*ret = (struct download){.namespace = parts[2], .name = parts[4]};
	if (streq(parts[5], "volumes")) {
		ret->volume = parts[6];
		ret->format = streq(parts[7], "disk.img")      ? "raw"
			      : streq(parts[7], "disk.img.gz") ? "gzip"
			      : streq(parts[7], "disk.tar.gz") ? "tar"
							       : NULL;
		return ret->format != NULL;
	}
	ret->side = one_of(parts[5], "external", "internal");
	ret->manifest = one_of(parts[7], "all", "secret");
	return ret->side && streq(parts[6], "manifests") && ret->manifest;
}

static const struct json *find(struct api_request *req, const char *group, const char *version,
	const char *resource, const char *ns, const char *name)
{
	const struct kind *k = kind_by_resource(req->api->kinds, group, version, resource);
	const struct object *o = k && name ? cache_get(req->api->cache, k, ns, name) : NULL;

	return o ? object_doc(o, req->arena) : NULL;
}

/* NULL = there is none that can be used. */
static const char *token_of(struct api_request *req, const struct json *export, const char *ns)
{
	const struct json *secret =
		find(req, "", "v1", "secrets", ns, json_path_str(export, "status.tokenSecretRef"));
	const char *encoded = json_path_str(secret, "data.token");
	char *token;
	size_t size;

	if (!encoded || base64_decode(req->arena, str_from(encoded), &token, &size) < 0 ||
		size == 0 || size > TOKEN_MAX_BYTES || memchr(token, 0, size))
		return NULL;
	return arena_memdup(req->arena, token, size);
}

static bool token_fits(struct api_request *req, const struct json *export, const char *ns)
{
	const char *given = http_header_get(req->http, TOKEN_HEADER);
	const char *token = token_of(req, export, ns);

	if (!given)
		given = http_query_get(req->http, TOKEN_HEADER, 0);
	return given && token && strlen(token) == strlen(given) &&
	       CRYPTO_memcmp(token, given, strlen(token)) == 0;
}

static const struct json *content_of(
	struct api_request *req, const struct json *export, const char *ns)
{
	const struct json *snapshot = find(req, "snapshot.kubevirt.io", "v1beta1",
		"virtualmachinesnapshots", ns, json_path_str(export, "spec.source.name"));

	return find(req, "snapshot.kubevirt.io", "v1beta1", "virtualmachinesnapshotcontents", ns,
		json_path_str(snapshot, "status.virtualMachineSnapshotContentName"));
}

/* What a snapshot has of a claim; NULL = nothing. */
static const struct json *backup_of(const struct json *content, const char *claim)
{
	JSON_FOR_EACH_ITEM(b, json_path(content, "spec.volumeBackups"))
		if (streq(json_path_str(b, "persistentVolumeClaim.metadata.name"), claim))
			return b;
	return NULL;
}

static bool is_of_snapshot(const struct json *export)
{
	return streq(json_path_str(export, "spec.source.kind"), "VirtualMachineSnapshot");
}

/* Where the disk is: the node, and what its agent calls it. NULL = nowhere. */
static const char *target_of(struct api_request *req, const struct download *d,
	const struct json *export, const char **ret_node)
{
	const struct json *content, *claim;

	if (is_of_snapshot(export)) {
		content = content_of(req, export, d->namespace);
		*ret_node = json_str(json_get(json_path(content, "metadata.labels"), NODE_LABEL));
		return arena_printf(req->arena, "/exports/contents/%s/%s/%s?format=%s",
			d->namespace, json_str_or(json_path(content, "metadata.name"), "none"),
			percent_encode(req->arena,
				str_from(json_str_or(
					json_get(backup_of(content, d->volume), "volumeName"),
					"none"))),
			d->format);
	}
	claim = find(req, "", "v1", "persistentvolumeclaims", d->namespace, d->volume);
	*ret_node = json_str(json_get(json_path(claim, "metadata.annotations"), SELECTED_NODE));
	return arena_printf(
		req->arena, "/exports/claims/%s/%s?format=%s", d->namespace, d->volume, d->format);
}

static bool offers(const struct json *export, const char *volume)
{
	JSON_FOR_EACH_ITEM(v, json_path(export, "status.links.external.volumes"))
		if (streq(json_str(json_get(v, "name")), volume))
			return true;
	return false;
}

static int refuse(struct api_request *req, const struct download *d, const struct json *export)
{
	if (!streq(req->method, "GET") && !streq(req->method, "HEAD"))
		return status_set(req->arena, &req->st, 405, "MethodNotAllowed",
			"an export can only be read: use GET");
	/* Who has no token learns nothing of what there is. */
	if (!export || !token_fits(req, export, d->namespace))
		return status_set(req->arena, &req->st, 401, "Unauthorized",
			"the header " TOKEN_HEADER " must have the token of a Secret that the "
			"VirtualMachineExport names in status.tokenSecretRef");
	if (!streq(json_path_str(export, "status.phase"), "Ready"))
		return status_set(req->arena, &req->st, 503, "ServiceUnavailable",
			"VirtualMachineExport \"%s\" is not ready", d->name);
	if (d->volume && !offers(export, d->volume))
		return status_set(req->arena, &req->st, 404, "NotFound",
			"VirtualMachineExport \"%s\" has no volume \"%s\"", d->name, d->volume);
	return 0;
}

/* ---- manifests ---- */

struct claims {
	struct api_request *req;
	const char *namespace;
	const struct json *content; /* of a snapshot; NULL = as they are now */
};

static const struct json *find_claim(void *user, const char *name)
{
	struct claims *c = user;

	return c->content ? json_get(backup_of(c->content, name), "persistentVolumeClaim")
			  : find(c->req, "", "v1", "persistentvolumeclaims", c->namespace, name);
}

/* Sets req->st. */
static int all_manifests(struct api_request *req, const struct download *d,
	const struct json *export, struct json **ret)
{
	struct claims claims = {req, d->namespace, NULL};
	const char *name = json_path_str(export, "spec.source.name");
	const struct json *found = NULL;

	if (is_of_snapshot(export)) {
		claims.content = content_of(req, export, d->namespace);
		found = json_path(claims.content, "spec.source.virtualMachine");
	} else if (streq(json_path_str(export, "spec.source.kind"), "VirtualMachine")) {
		found = find(req, "kubevirt.io", "v1", "virtualmachines", d->namespace, name);
	}
	/* What a snapshot has is written by whom its namespace lets. */
	if (!json_is(json_path(found, "spec.template"), JSON_OBJECT))
		return status_set(req->arena, &req->st, 404, "NotFound",
			"VirtualMachineExport \"%s\" is of no virtual machine: there are no "
			"manifests "
			"of it",
			d->name);
	struct json *machine = json_copy(req->arena, found);
	if (machines_expand_stored(req, d->namespace, machine) < 0)
		return -1;
	struct json *links = json_path(export, "status.links");
	*ret = export_manifests_all(req->arena, &(struct export_of){.name = d->name,
							.link = json_get(links, d->side),
							.machine = machine,
							.claim = find_claim,
							.user = &claims});
	return 0;
}

static void serve_manifests(
	struct api_request *req, const struct download *d, const struct json *export)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	const char *accept = http_header_get(req->http, "Accept");
	bool yaml = accept && strstr(accept, "application/yaml");
	struct json *all = NULL;

	if (streq(d->manifest, "secret")) {
		all = export_manifests_secret(
			req->arena, d->name, token_of(req, export, d->namespace));
	} else if (all_manifests(req, d, export, &all) < 0) {
		api_fail(req);
		return;
	}
	export_manifests_write(&out, req->arena, all, yaml);
	http_respond(req->http, 200, yaml ? "application/yaml" : "application/json",
		api_http_headers(req, NULL), out.data, out.size);
}

void export_serve(struct api_request *req)
{
	struct download d;
	const struct json *export;
	const char *node = NULL, *target;

	if (!read_path(req->arena, req->path, &d)) {
		status_set(req->arena, &req->st, 404, "NotFound",
			"there is no such download: .../volumes/VOLUME/disk.img, disk.img.gz and "
			"(of a memory dump) disk.tar.gz, .../external/manifests/all and secret "
			"are");
		api_fail(req);
		return;
	}
	export =
		find(req, "export.kubevirt.io", "v1", "virtualmachineexports", d.namespace, d.name);
	if (refuse(req, &d, export) < 0) {
		api_fail(req);
		return;
	}
	if (d.manifest) {
		serve_manifests(req, &d, export);
		return;
	}
	target = target_of(req, &d, export, &node);
	node_proxy(req, node, target);
}
