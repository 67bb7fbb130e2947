/* object_graph.c - what a machine or an instance needs of other objects, as a tree: for backups
 * and for copying to another cluster. */
#include "server/api/machines/machines.h"

#define CORE ""

struct graph {
	struct arena *arena;
	const struct json *options;
	struct selector labels;
	const char *namespace;
};

/* Adds it unless the options leave it out; NULL then. */
static struct json *add(struct graph *g, struct json *to, const char *group, const char *kind,
	const char *namespace, const char *name, const char *type, bool optional)
{
	struct arena *a = g->arena;
	struct json *node = json_new_object(a), *reference = json_new_object(a),
		    *labels = json_new_object(a);
	if (!name || !*name)
		return NULL;
	json_set_str(a, labels, "kubevirt.io/dependency-type", type);
	if (to && ((optional && !json_path_bool(g->options, "includeOptionalNodes", true)) ||
			  !selector_matches_label_map(&g->labels, labels)))
		return NULL;
	json_set_str(a, reference, "apiGroup", group);
	json_set_str(a, reference, "kind", kind);
	json_set_str(a, reference, "name", name);
	json_set_str(a, reference, "namespace", namespace);
	json_set(a, node, "objectReference", reference);
	json_set(a, node, "labels", labels);
	if (optional)
		json_set_bool(a, node, "optional", true);
	if (to)
		json_push(a, json_array_at(a, to, "children"), node);
	return node;
}

static void add_local(struct graph *g, struct json *to, const char *kind, const char *name)
{
	add(g, to, CORE, kind, g->namespace, name,
		streq(kind, "PersistentVolumeClaim") ? "storage"
		: streq(kind, "ServiceAccount")	     ? "network"
						     : "config",
		false);
}

static void add_volumes(struct graph *g, struct json *to, const struct json *spec)
{
	static const char *const secrets[] = {"cloudInitNoCloud.secretRef.name",
		"cloudInitNoCloud.networkDataSecretRef.name", "cloudInitConfigDrive.secretRef.name",
		"cloudInitConfigDrive.networkDataSecretRef.name", "secret.secretName",
		"sysprep.secret.name"};
	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes")) {
		const char *dv = json_path_str(v, "dataVolume.name");
		if (dv) {
			struct json *node = add(g, to, "cdi.kubevirt.io", "DataVolume",
				g->namespace, dv, "storage", false);
			if (node)
				add_local(g, node, "PersistentVolumeClaim", dv);
		}
		add_local(g, to, "PersistentVolumeClaim",
			json_path_str(v, "persistentVolumeClaim.claimName"));
		add_local(g, to, "ConfigMap", json_path_str(v, "configMap.name"));
		add_local(g, to, "ConfigMap", json_path_str(v, "sysprep.configMap.name"));
		add_local(g, to, "ServiceAccount",
			json_path_str(v, "serviceAccount.serviceAccountName"));
		for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
			add_local(g, to, "Secret", json_path_str(v, secrets[i]));
	}
}

static void add_spec(struct graph *g, struct json *to, const struct json *spec)
{
	JSON_FOR_EACH_ITEM(c, json_get(spec, "accessCredentials")) {
		add_local(
			g, to, "Secret", json_path_str(c, "sshPublicKey.source.secret.secretName"));
		add_local(
			g, to, "Secret", json_path_str(c, "userPassword.source.secret.secretName"));
	}
	add_volumes(g, to, spec);
	JSON_FOR_EACH_ITEM(n, json_get(spec, "networks")) {
		const char *name = json_path_str(n, "multus.networkName");
		const char *slash = name ? strchr(name, '/') : NULL;
		const char *namespace =
			slash ? arena_memdup(g->arena, name, (size_t)(slash - name)) : g->namespace;
		add(g, to, "k8s.cni.cncf.io", "NetworkAttachmentDefinition", namespace,
			slash ? slash + 1 : name, "network", true);
	}
}

static void add_named_size(
	struct graph *g, struct json *to, const struct json *matcher, const struct json *status)
{
	const char *kind = json_str_or(json_get(matcher, "kind"), "");
	const char *revision = json_path_str(status, "controllerRevisionRef.name");
	if (!matcher)
		return;
	add(g, to, "instancetype.kubevirt.io", kind,
		str_has_prefix(kind, "VirtualMachineCluster") ? "" : g->namespace,
		json_str(json_get(matcher, "name")), "config", true);
	if (!revision && !status)
		revision = json_str(json_get(matcher, "revisionName"));
	add(g, to, "apps", "ControllerRevision", g->namespace, revision, "config", false);
}

void machines_object_graph(struct api_request *req)
{
	bool instance = streq(req->route.resource, "virtualmachineinstances");
	const struct object *o = instance ? machines_instance(req) : machines_machine(req);
	struct graph g = {.arena = req->arena, .namespace = req->route.namespace};
	struct json *options;
	int r = o ? machines_options(req, &options)
		  : machines_not_found(req, instance ? "virtualmachineinstance" : "virtualmachine",
			    req->route.name);
	if (r == 0 && selector_from_label_selector(
			      req->arena, json_get(options, "labelSelector"), &g.labels, NULL) < 0)
		r = status_bad_request(req->arena, &req->st, "labelSelector is no selector");
	if (r < 0) {
		api_fail(req);
		return;
	}
	if (!json_get(options, "labelSelector"))
		g.labels = (struct selector){0};
	g.options = options;
	const struct json *doc = object_doc(o, req->arena);
	struct json *root =
		add(&g, NULL, "kubevirt.io", instance ? "VirtualMachineInstance" : "VirtualMachine",
			o->namespace, o->name, "compute", false);
	if (instance) {
		add_spec(&g, root, json_get(doc, "spec"));
	} else {
		if (json_path_bool(doc, "status.created", false))
			add(&g, root, "kubevirt.io", "VirtualMachineInstance", o->namespace,
				o->name, "compute", false);
		add_named_size(&g, root, json_path(doc, "spec.instancetype"),
			json_path(doc, "status.instancetypeRef"));
		add_named_size(&g, root, json_path(doc, "spec.preference"),
			json_path(doc, "status.preferenceRef"));
		add_spec(&g, root, json_path(doc, "spec.template.spec"));
	}
	api_respond_doc(req, 200, root);
}
