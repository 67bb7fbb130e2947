/* HanokNodePods: a node writes down its static pods (upstream's NodeRestriction, and in its words),
 * and makes no other ones; nor does it say where a virtual machine instance runs, which is the
 * scheduler's to say. Else its credential would be as good as that of every account: it gets tokens
 * for what runs on it (server/api/auth/token_request.c). */
#include "server/api/admission/admission_internal.h"
#include "server/api/auth/user.h"

#define NODES_GROUP "system:nodes"
#define USER_PREFIX "system:node:"
#define MIRROR "kubernetes.io/config.mirror"

static int check_pod(const struct admission_review *r, const char *node)
{
	if (!json_get(json_path(r->doc, "metadata.annotations"), MIRROR))
		return admission_forbid(r,
			"pod does not have \"" MIRROR
			"\" annotation, node \"%s\" can only create mirror pods",
			node);
	if (!*node || !streq(json_path_str(r->doc, "spec.nodeName"), node))
		return admission_forbid(r,
			"node \"%s\" can only create pods with spec.nodeName set to itself", node);
	return 0;
}

static int check_write(const struct admission_review *r)
{
	const char *node = r->req->user.name;

	if (!user_in_group(&r->req->user, NODES_GROUP) ||
		user_in_group(&r->req->user, GROUP_MASTERS))
		return 0;
	node = str_has_prefix(node, USER_PREFIX) ? node + strlen(USER_PREFIX) : "";
	if (admission_is_pod(r) && !*r->part && !r->old)
		return check_pod(r, node);
	if (r->old && streq(r->kind->kind, "VirtualMachineInstance") &&
		streq(r->kind->group, "kubevirt.io") &&
		!json_equal(
			json_path(r->old, "status.nodeName"), json_path(r->doc, "status.nodeName")))
		return admission_forbid(r,
			"node \"%s\" may not say where a virtual machine instance runs "
			"(status.nodeName)",
			node);
	return 0;
}

const struct admission_plugin admission_node_pods = {
	.name = "HanokNodePods",
	.validate = check_write,
};
