#include "server/bootstrap.h"

#include <stdio.h>

struct bootstrap {
	struct bootstrap_options options;
	struct client *client;
	struct arena arena;
	unsigned pending;    /* writes under way, and one for the turn that starts them */
	bool services_begun; /* they come after the namespace they live in */
	int result;
	struct err err;
};

static void ensure_service(struct bootstrap *b);

static void step_done(struct bootstrap *b)
{
	if (--b->pending)
		return;
	if (!b->services_begun && b->result == 0) {
		b->services_begun = true;
		b->pending = 1;
		ensure_service(b);
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

/* Not set right again when they differ: the server refuses other values itself. */
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
	};
	const struct kind *k = kind_of(b, "scheduling.k8s.io", "priorityclasses");
	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		ensure(b, k, "", classes[i].name, NULL, classes[i].text);
}

static void ensure_service_range(struct bootstrap *b)
{
	ensure(b, kind_of(b, "networking.k8s.io", "servicecidrs"), "", "kubernetes", NULL,
		arena_printf(&b->arena,
			"{\"metadata\":{\"name\":\"kubernetes\"},\"spec\":{\"cidrs\":[\"%s\"]}}",
			b->options.service_cidr));
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

void bootstrap_run(const struct bootstrap_options *options)
{
	struct bootstrap *b = xcalloc(1, sizeof(*b));
	b->options = *options;
	b->client = local_client_create(options->api, "hanok-server");
	b->pending = 1;
	for (size_t i = 0; i < ARRAY_LEN(namespaces); i++)
		ensure(b, kind_of(b, "", "namespaces"), "", namespaces[i], NULL,
			arena_printf(&b->arena, "{\"metadata\":{\"name\":\"%s\"}}", namespaces[i]));
	ensure_priority_classes(b);
	ensure_service_range(b);
	step_done(b);
}
