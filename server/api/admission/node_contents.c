/* HanokNodeContents: a node says how far the snapshots are that are on it
 * (VirtualMachineSnapshotContents with its name as label hanok.io/node), and changes nothing else
 * of them, nor anything of another node's. */
#include "server/api/admission/admission_internal.h"
#include "server/api/auth/user.h"

#define NODES_GROUP "system:nodes"
#define USER_PREFIX "system:node:"
#define NODE_LABEL "hanok.io/node"

static int check_write(const struct admission_review *r)
{
	const char *node = r->req->user.name, *there;

	if (!r->old || !streq(r->kind->kind, "VirtualMachineSnapshotContent") ||
		!streq(r->kind->group, "snapshot.kubevirt.io") ||
		!user_in_group(&r->req->user, NODES_GROUP) ||
		user_in_group(&r->req->user, GROUP_MASTERS))
		return 0;
	node = str_has_prefix(node, USER_PREFIX) ? node + strlen(USER_PREFIX) : "";
	there = json_str(json_get(json_path(r->old, "metadata.labels"), NODE_LABEL));
	if (!*node || !streq(there, node))
		return admission_forbid(r,
			"node \"%s\" may write snapshots of its own only: label " NODE_LABEL
			" is \"%s\"",
			node, there ? there : "");
	if (!json_equal(json_get(r->old, "spec"), json_get(r->doc, "spec")) ||
		!json_equal(json_path(r->old, "metadata.labels"),
			json_path(r->doc, "metadata.labels")) ||
		!json_equal(json_path(r->old, "metadata.finalizers"),
			json_path(r->doc, "metadata.finalizers")))
		return admission_forbid(
			r, "node \"%s\" may write the status of snapshots only", node);
	return 0;
}

const struct admission_plugin admission_node_contents = {
	.name = "HanokNodeContents",
	.validate = check_write,
};
