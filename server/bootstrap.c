#include "server/bootstrap.h"

#include <stdio.h>

#include "server/api/auth/default_roles.h"

struct bootstrap {
	struct bootstrap_options options;
	struct client *client;
	struct arena arena;
	unsigned pending; /* writes under way, and one for the turn that starts them */
	bool begins;	  /* the cluster is new */
	bool rest_begun;  /* it comes after the namespaces */
	int result;
	struct err err;
};

static void ensure_service(struct bootstrap *b);
static void ensure_roles(struct bootstrap *b);
static void make_platform(struct bootstrap *b);

static void step_done(struct bootstrap *b)
{
	if (--b->pending)
		return;
	if (!b->rest_begun && b->result == 0) {
		b->rest_begun = true;
		b->pending = 1;
		make_platform(b);
		ensure_service(b);
		ensure_roles(b);
		step_done(b);
		return;
	}
	client_destroy(b->client);
	b->options.done(b->options.user, b->result, &b->err);
	arena_finish(&b->arena);
	free(b);
}

static void written(void *user, const struct client_result *r)
{
	struct bootstrap *b = user;
	/* Another writer was first: as good. */
	if (!client_ok(r) && r->code != 409 && b->result == 0)
		b->result = err_set(&b->err, -EIO, "first objects: %s", r->message);
	step_done(b);
}

static const struct kind *kind_of(struct bootstrap *b, const char *group, const char *plural)
{
	return kind_by_resource(b->options.kinds, group, "v1", plural);
}

static struct json *parse(struct bootstrap *b, const char *text)
{
	struct json *doc;
	if (json_parse(&b->arena, text, strlen(text), NULL, &doc, NULL) < 0)
		abort(); /* our own text */
	return doc;
}

/* Creates the object, or replaces it when `part` of it is not as wanted (NULL: anything goes). */
static void ensure(struct bootstrap *b, const struct kind *k, const char *ns, const char *name,
	const char *part, const char *text)
{
	const struct object *have = cache_get(b->options.cache, k, ns, name);
	struct json *wanted = parse(b, text);
	if (have && (!part || json_equal(json_get(object_doc(have, &b->arena), part),
				      json_get(wanted, part))))
		return;
	b->pending++;
	if (!have) {
		client_create(b->client, k, ns, wanted, written, b);
		return;
	}
	struct json *doc = object_doc(have, &b->arena);
	json_set(&b->arena, doc, part, json_get(wanted, part));
	client_update(b->client, k, ns, name, NULL, doc, written, b);
}

static const char *const namespaces[] = {
	"default", "kube-system", "kube-public", "kube-node-lease"};

/* Not set right again when they differ: the server refuses other values of the system's itself, and
 * hanok's may be tuned. */
static void ensure_priority_classes(struct bootstrap *b)
{
	static const struct {
		const char *name, *text;
	} classes[] = {
		{"system-node-critical",
			"{\"metadata\":{\"name\":\"system-node-critical\"},\"value\":2000001000,"
			"\"description\":\"For pods that a node can't do without: they must not be "
			"moved.\"}"},
		{"system-cluster-critical",
			"{\"metadata\":{\"name\":\"system-cluster-critical\"},\"value\":2000000000,"
			"\"description\":\"For pods that the cluster can't do without: they may be "
			"moved.\"}"},
		{"hanok-mission-critical",
			"{\"metadata\":{\"name\":\"hanok-mission-critical\"},\"value\":1000000,"
			"\"description\":\"For what is annotated hanok.io/criticality: "
			"mission-critical.\"}"},
		{"hanok-best-effort",
			"{\"metadata\":{\"name\":\"hanok-best-effort\"},\"value\":-1000,"
			"\"preemptionPolicy\":\"Never\",\"description\":\"For what is annotated "
			"hanok.io/criticality: best-effort: it gives way to all others.\"}"},
	};
	const struct kind *k = kind_of(b, "scheduling.k8s.io", "priorityclasses");
	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		ensure(b, k, "", classes[i].name, NULL, classes[i].text);
}

/* Once, when the cluster begins: who deletes it or chooses another default means it. */
static void make_storage_class(struct bootstrap *b)
{
	const struct kind *k = kind_of(b, "storage.k8s.io", "storageclasses");
	if (!b->begins)
		return;
	ensure(b, k, "", "hanok-local", NULL,
		"{\"metadata\":{\"name\":\"hanok-local\",\"annotations\":{"
		"\"storageclass.kubernetes.io/is-default-class\":\"true\"}},"
		"\"provisioner\":\"hanok.io/local\",\"reclaimPolicy\":\"Delete\","
		"\"volumeBindingMode\":\"WaitForFirstConsumer\",\"allowVolumeExpansion\":true}");
}

/* Likewise: the settings of virtual machines, and what installers look for. */
static void make_platform(struct bootstrap *b)
{
	const struct kind *cdis =
		kind_by_resource(b->options.kinds, "cdi.kubevirt.io", "v1beta1", "cdis");
	if (!b->begins)
		return;
	ensure(b, kind_by_resource(b->options.kinds, "kubevirt.io", "v1", "kubevirts"), "kubevirt",
		"kubevirt", NULL,
		"{\"metadata\":{\"name\":\"kubevirt\"},\"spec\":{\"configuration\":{}}}");
	ensure(b, cdis, "", "cdi", NULL, "{\"metadata\":{\"name\":\"cdi\"},\"spec\":{}}");
}

/* Where clients (virtctl image-upload) find the upload endpoint, and what a file system takes of a
 * claim (virtctl memory-dump --create-claim): nothing, a claim's size is its disk's. The rest of it
 * is a loop's (controllers/machines/cdi_settings.c). */
static void ensure_upload_url(struct bootstrap *b)
{
	const struct kind *k =
		kind_by_resource(b->options.kinds, "cdi.kubevirt.io", "v1beta1", "cdiconfigs");
	const struct object *have = k ? cache_get(b->options.cache, k, "", "config") : NULL;
	const char *url = b->options.upload_url, *override;
	struct arena *a = &b->arena;
	struct json *doc, *notes, *status;

	if (!k || !url)
		return;
	doc = have ? object_doc(have, a)
		   : parse(b, "{\"metadata\":{\"name\":\"config\"},\"spec\":{}}");
	notes = json_object_at(a, json_object_at(a, doc, "metadata"), "annotations");
	status = json_object_at(a, doc, "status");
	override = json_path_str(doc, "spec.uploadProxyURLOverride");
	if (!override || !*override)
		override = url;
	if (have && streq(json_str(json_get(notes, "hanok.io/upload-url")), url) &&
		streq(json_str(json_get(status, "uploadProxyURL")), override) &&
		json_path(status, "filesystemOverhead.global"))
		return;
	json_set_str(a, notes, "hanok.io/upload-url", url);
	json_set_str(a, status, "uploadProxyURL", override);
	json_path_set(a, status, "filesystemOverhead.global", json_new_string(a, "0"));
	b->pending++;
	if (have)
		client_update(b->client, k, "", "config", NULL, doc, written, b);
	else
		client_create(b->client, k, "", doc, written, b);
}

static void ensure_service_range(struct bootstrap *b)
{
	ensure(b, kind_of(b, "networking.k8s.io", "servicecidrs"), "", "kubernetes", NULL,
		arena_printf(&b->arena,
			"{\"metadata\":{\"name\":\"kubernetes\"},\"spec\":{\"cidrs\":[\"%s\"%s%s%s]"
			"}}",
			b->options.service_cidr, b->options.service_cidr6 ? ",\"" : "",
			b->options.service_cidr6 ? b->options.service_cidr6 : "",
			b->options.service_cidr6 ? "\"" : ""));
}

static void ensure_service(struct bootstrap *b)
{
	const struct bootstrap_options *o = &b->options;
	struct arena *a = &b->arena;
	/* The control loops would make them, too; without those the first pods need them. */
	for (size_t i = 0; i < ARRAY_LEN(namespaces); i++)
		ensure(b, kind_of(b, "", "serviceaccounts"), namespaces[i], "default", NULL,
			"{\"metadata\":{\"name\":\"default\"}}");
	ensure(b, kind_of(b, "", "services"), "default", "kubernetes", NULL,
		arena_printf(a,
			"{\"metadata\":{\"name\":\"kubernetes\",\"labels\":{\"component\":"
			"\"apiserver\","
			"\"provider\":\"kubernetes\"}},\"spec\":{\"clusterIP\":\"%s\",\"type\":"
			"\"ClusterIP\","
			"\"ports\":[{\"name\":\"https\",\"port\":443,\"protocol\":\"TCP\","
			"\"targetPort\":%d}]}}",
			o->service_ip, o->endpoint_port ? o->endpoint_port : 6443));
	if (!o->endpoint_ip)
		return;
	ensure(b, kind_of(b, "", "endpoints"), "default", "kubernetes", "subsets",
		arena_printf(a,
			"{\"metadata\":{\"name\":\"kubernetes\",\"labels\":{"
			"\"endpointslice.kubernetes.io/"
			"skip-mirror\":\"true\"}},\"subsets\":[{\"addresses\":["
			"{\"ip\":\"%s\"}],\"ports\":[{\"name\":\"https\",\"port\":%d,\"protocol\":"
			"\"TCP\"}]}]}",
			o->endpoint_ip, o->endpoint_port));
	const struct kind *slices = kind_of(b, "discovery.k8s.io", "endpointslices");
	const char *text = arena_printf(a,
		"{\"metadata\":{\"name\":\"kubernetes\",\"labels\":{"
		"\"kubernetes.io/service-name\":\"kubernetes\"}},\"addressType\":\"IPv4\","
		"\"endpoints\":[{\"addresses\":[\"%s\"],\"conditions\":{\"ready\":true}}],"
		"\"ports\":[{\"name\":\"https\",\"port\":%d,\"protocol\":\"TCP\"}]}",
		o->endpoint_ip, o->endpoint_port);
	ensure(b, slices, "default", "kubernetes", "endpoints", text);
}

static void ensure_role(struct bootstrap *b, const struct default_role *role)
{
	struct arena *a = &b->arena;
	const struct kind *k =
		kind_of(b, "rbac.authorization.k8s.io", role->namespace ? "roles" : "clusterroles");
	const char *ns = role->namespace ? role->namespace : "";
	const struct object *have = cache_get(b->options.cache, k, ns, role->name);
	struct json *doc = default_role_doc(a, role);
	if (have)
		doc = default_role_mend(a, object_doc(have, a), doc);
	if (!doc)
		return;
	b->pending++;
	if (have)
		client_update(b->client, k, ns, role->name, NULL, doc, written, b);
	else
		client_create(b->client, k, ns, doc, written, b);
}

/* A binding whose role is another one must make room first. */
struct replacement {
	struct bootstrap *b;
	const struct kind *kind;
	const char *namespace;
	struct json *doc;
};

static void made_room(void *user, const struct client_result *r)
{
	struct replacement *p = user;
	if (!client_ok(r) && r->code != 404)
		written(p->b, r);
	else
		client_create(p->b->client, p->kind, p->namespace, p->doc, written, p->b);
}

static void ensure_binding(struct bootstrap *b, const struct default_binding *binding)
{
	struct arena *a = &b->arena;
	const struct kind *k = kind_of(b, "rbac.authorization.k8s.io",
		binding->namespace ? "rolebindings" : "clusterrolebindings");
	const char *ns = binding->namespace ? binding->namespace : "";
	const struct object *have = cache_get(b->options.cache, k, ns, binding->name);
	struct json *wanted = default_binding_doc(a, binding), *doc = wanted;
	bool replace = false;
	if (have)
		doc = default_binding_mend(a, object_doc(have, a), wanted, &replace);
	if (!doc && !replace)
		return;
	b->pending++;
	if (replace) {
		struct replacement *p = ARENA_NEW(a, struct replacement);
		*p = (struct replacement){b, k, ns, wanted};
		client_delete(
			b->client, k, ns, binding->name, NULL, -1, "Background", made_room, p);
	} else if (have) {
		client_update(b->client, k, ns, binding->name, NULL, doc, written, b);
	} else {
		client_create(b->client, k, ns, doc, written, b);
	}
}

static void ensure_roles(struct bootstrap *b)
{
	for (size_t i = 0; i < default_role_count; i++)
		ensure_role(b, &default_roles[i]);
	for (size_t i = 0; i < default_binding_count; i++)
		ensure_binding(b, &default_bindings[i]);
}

void bootstrap_run(const struct bootstrap_options *options)
{
	struct bootstrap *b = xcalloc(1, sizeof(*b));
	b->options = *options;
	b->client = local_client_create(options->api, "hanok-server");
	b->pending = 1;
	/* The service is made last of all. */
	b->begins = !cache_get(options->cache, kind_of(b, "", "services"), "default", "kubernetes");
	for (size_t i = 0; i < ARRAY_LEN(namespaces); i++)
		ensure(b, kind_of(b, "", "namespaces"), "", namespaces[i], NULL,
			arena_printf(&b->arena, "{\"metadata\":{\"name\":\"%s\"}}", namespaces[i]));
	if (b->begins)
		ensure(b, kind_of(b, "", "namespaces"), "", "kubevirt", NULL,
			"{\"metadata\":{\"name\":\"kubevirt\"}}");
	ensure_priority_classes(b);
	make_storage_class(b);
	ensure_upload_url(b);
	ensure_service_range(b);
	step_done(b);
}
