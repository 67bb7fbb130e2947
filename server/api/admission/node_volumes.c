/* HanokNodeVolumes: what nodes may do to PersistentVolumes. A node makes, grows and takes away
 * those of its own directories, and those of directories on NFS servers where a StorageClass says
 * so; whoever has its certificate has no other volume, and no path of another node. Upstream's
 * nodes only read volumes, so that NodeRestriction has nothing about them.
 */
#include "server/api/admission/admission_internal.h"
#include "server/api/auth/user.h"

#define NODES_GROUP "system:nodes"
#define USER_PREFIX "system:node:"
#define PROVISIONED_BY "pv.kubernetes.io/provisioned-by"
#define LOCAL_PROVISIONER "hanok.io/local"
#define NFS_PROVISIONER "hanok.io/nfs"
#define HOSTNAME_LABEL "kubernetes.io/hostname"

static bool is_nodes_volume_write(const struct admission_review *r)
{
	return r->kind->storage == admission_of(r)->kinds.volumes &&
	       user_in_group(&r->req->user, NODES_GROUP) &&
	       !user_in_group(&r->req->user, GROUP_MASTERS);
}

/* Of the term's rules all must hold: one that names this host alone is enough. */
static bool term_names(const struct json *term, const char *host)
{
	JSON_FOR_EACH_ITEM(rule, json_get(term, "matchExpressions")) {
		const struct json *values = json_get(rule, "values");
		if (streq(json_str(json_get(rule, "key")), HOSTNAME_LABEL) &&
			streq(json_str(json_get(rule, "operator")), "In") &&
			json_count(values) == 1 && streq(json_str(json_at(values, 0)), host))
			return true;
	}
	return false;
}

static bool is_tied_to(const struct json *volume, const char *host)
{
	const struct json *terms =
		json_path(volume, "spec.nodeAffinity.required.nodeSelectorTerms");
	JSON_FOR_EACH_ITEM(term, terms)
		if (!term_names(term, host))
			return false;
	return json_count(terms) > 0;
}

/* A directory of its own in the share of its class. What was made stays the node's to take away
 * when the class has gone. */
static bool is_of_class(
	const struct admission_review *r, const struct json *volume, struct arena *a)
{
	const char *class = json_str_or(json_path(volume, "spec.storageClassName"), "");
	const char *path = json_str_or(json_path(volume, "spec.nfs.path"), "");
	const char *slash = strrchr(path, '/');
	const struct object *o = *class ? cache_get(r->req->api->cache,
						  admission_of(r)->kinds.storage_classes, "", class)
					: NULL;
	const struct json *doc = o ? object_doc(o, a) : NULL;
	const char *share = json_path_str(doc, "parameters.share");

	if (!slash || !streq(slash + 1, r->name))
		return false;
	if (!doc)
		return r->old != NULL;
	return streq(json_str(json_get(doc, "provisioner")), NFS_PROVISIONER) && share &&
	       streq(json_path_str(doc, "parameters.server"),
		       json_path_str(volume, "spec.nfs.server")) &&
	       streq(path, arena_printf(a, "%s/%s", streq(share, "/") ? "" : share, r->name));
}

static int check_nfs(const struct admission_review *r, const struct json *volume, const char *node)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	return is_of_class(r, volume, &a)
		       ? 0
		       : admission_forbid(r,
				 "node \"%s\" may write volumes on NFS servers only where their "
				 "StorageClass says so: spec.nfs is not %s in its server and share",
				 node, r->name);
}

static int check_volume(const struct admission_review *r, const struct json *volume)
{
	const char *node = r->req->user.name;
	if (!str_has_prefix(node, USER_PREFIX) || !node[strlen(USER_PREFIX)])
		return admission_forbid(r,
			"user \"%s\" of group " NODES_GROUP " is called after no node "
			"(" USER_PREFIX "NAME)",
			node);
	node += strlen(USER_PREFIX);
	if (!str_has_prefix(r->name, "pvc-"))
		return admission_forbid(r,
			"node \"%s\" may write volumes of its own directories only: "
			"metadata.name does not begin with pvc-",
			node);
	const char *by =
		json_str(json_get(json_path(volume, "metadata.annotations"), PROVISIONED_BY));
	if (streq(by, NFS_PROVISIONER))
		return check_nfs(r, volume, node);
	if (!streq(by, LOCAL_PROVISIONER))
		return admission_forbid(r,
			"node \"%s\" may write volumes of its own directories only: annotation "
			"\"" PROVISIONED_BY "\" is not \"" LOCAL_PROVISIONER "\"",
			node);
	if (!json_path_str(volume, "spec.local.path"))
		return admission_forbid(r,
			"node \"%s\" may write volumes of its own directories only: "
			"spec.local is missing",
			node);
	const struct object *o = cache_get(r->req->api->cache, r->req->api->nodes, "", node);
	const char *host = o ? object_label(o, HOSTNAME_LABEL) : NULL;
	if (!is_tied_to(volume, host ? host : node))
		return admission_forbid(r,
			"node \"%s\" may write volumes of its own directories only: "
			"spec.nodeAffinity does not tie it to " HOSTNAME_LABEL " \"%s\"",
			node, host ? host : node);
	return 0;
}

static int check_write(const struct admission_review *r)
{
	if (!is_nodes_volume_write(r))
		return 0;
	int result = r->old ? check_volume(r, r->old) : 0;
	return result == 0 ? check_volume(r, r->doc) : result;
}

static int check_delete(const struct admission_review *r)
{
	return is_nodes_volume_write(r) ? check_volume(r, r->old) : 0;
}

const struct admission_plugin admission_node_volumes = {
	.name = "HanokNodeVolumes",
	.validate = check_write,
	.remove = check_delete,
};
