#include "server/api/machines/export.h"

#include <openssl/crypto.h>
#include <stdio.h>

#include "server/api/api_internal.h"
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
	const char *namespace, *name, *volume, *format; /* "raw" | "gzip" | "tar" */
};

/* VERSION/namespaces/NS/virtualmachineexports/NAME/volumes/VOLUME/FILE */
static bool read_path(struct arena *a, const char *path, struct download *ret)
{
	struct str left = str_from(arena_strdup(a, path + strlen(PREFIX))), part;
	const char *parts[8];
	size_t count = 0;

	while (count < ARRAY_LEN(parts) && str_split(&left, '/', &part))
		parts[count++] = arena_memdup(a, part.p, part.size);
	if (count != ARRAY_LEN(parts) || left.size ||
		(!streq(parts[0], "v1") && !streq(parts[0], "v1beta1")) ||
		!streq(parts[1], "namespaces") || !streq(parts[3], "virtualmachineexports") ||
		!streq(parts[5], "volumes"))
		return false;
	*ret = (struct download){parts[2], parts[4], parts[6], NULL};
	if (streq(parts[7], "disk.img"))
		ret->format = "raw";
	else if (streq(parts[7], "disk.img.gz"))
		ret->format = "gzip";
	else if (streq(parts[7], "disk.tar.gz"))
		ret->format = "tar";
	return ret->format != NULL;
}

static const struct json *find(struct api_request *req, const char *group, const char *version,
	const char *resource, const char *ns, const char *name)
{
	const struct kind *k = kind_by_resource(req->api->kinds, group, version, resource);
	const struct object *o = k && name ? cache_get(req->api->cache, k, ns, name) : NULL;

	return o ? object_doc(o, req->arena) : NULL;
}

static bool token_fits(struct api_request *req, const struct json *export, const char *ns)
{
	const char *given = http_header_get(req->http, TOKEN_HEADER);
	const struct json *secret =
		find(req, "", "v1", "secrets", ns, json_path_str(export, "status.tokenSecretRef"));
	const char *encoded = json_path_str(secret, "data.token");
	char *token;
	size_t size;

	if (!given)
		given = http_query_get(req->http, TOKEN_HEADER, 0);
	return given && encoded &&
	       base64_decode(req->arena, str_from(encoded), &token, &size) == 0 && size > 0 &&
	       size <= TOKEN_MAX_BYTES && size == strlen(given) &&
	       CRYPTO_memcmp(token, given, size) == 0;
}

/* Where the disk is: the node, and what its agent calls it. NULL = nowhere. */
static const char *target_of(struct api_request *req, const struct download *d,
	const struct json *export, const char **ret_node)
{
	const char *kind = json_str_or(json_path(export, "spec.source.kind"), "");
	const char *name = json_path_str(export, "spec.source.name");
	const struct json *snapshot, *content, *claim;

	if (streq(kind, "VirtualMachineSnapshot")) {
		snapshot = find(req, "snapshot.kubevirt.io", "v1beta1", "virtualmachinesnapshots",
			d->namespace, name);
		content = find(req, "snapshot.kubevirt.io", "v1beta1",
			"virtualmachinesnapshotcontents", d->namespace,
			json_path_str(snapshot, "status.virtualMachineSnapshotContentName"));
		*ret_node = json_str(json_get(json_path(content, "metadata.labels"), NODE_LABEL));
		return arena_printf(req->arena, "/exports/contents/%s/%s/%s?format=%s",
			d->namespace, json_str_or(json_path(content, "metadata.name"), "none"),
			d->volume, d->format);
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
	if (!offers(export, d->volume))
		return status_set(req->arena, &req->st, 404, "NotFound",
			"VirtualMachineExport \"%s\" has no volume \"%s\"", d->name, d->volume);
	return 0;
}

void export_serve(struct api_request *req)
{
	struct download d;
	const struct json *export;
	const char *node = NULL, *target;

	if (!read_path(req->arena, req->path, &d)) {
		status_set(req->arena, &req->st, 404, "NotFound",
			"there is no such download: .../volumes/VOLUME/disk.img, disk.img.gz and "
			"(of a memory dump) disk.tar.gz are");
		api_fail(req);
		return;
	}
	export =
		find(req, "export.kubevirt.io", "v1", "virtualmachineexports", d.namespace, d.name);
	if (refuse(req, &d, export) < 0) {
		api_fail(req);
		return;
	}
	if (streq(req->method, "HEAD")) {
		http_respond(req->http, 200, "application/octet-stream", NULL, "", 0);
		return;
	}
	target = target_of(req, &d, export, &node);
	node_proxy(req, node, target);
}
