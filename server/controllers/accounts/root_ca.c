/* Every namespace has a ConfigMap 'kube-root-ca.crt' with the certificate authority by which pods
 * know the API server. */
#include "server/controllers/controller.h"

#define NAME "kube-root-ca.crt"

struct root_ca {
	struct loop *loop;
	struct informer *namespaces, *config_maps;
	char *certificate; /* NULL = none is published */
};

static void on_created(struct sync *s, const struct client_result *r, void *user)
{
	/* It may be there already, unseen; the namespace may be gone. */
	if (r->code != 409 && r->code != 404)
		sync_check(s, r);
}

static struct json *wanted_data(const struct root_ca *c, struct arena *a)
{
	struct json *data = json_new_object(a);
	json_set_str(a, data, "ca.crt", c->certificate);
	return data;
}

static void reconcile(struct sync *s)
{
	struct root_ca *c = s->self;
	struct arena *a = &s->arena;
	struct object *ns = informer_get(c->namespaces, "", s->name);
	struct object *have = informer_get(c->config_maps, s->name, NAME);
	if (!ns || ns->deleting)
		return;
	if (!have) {
		struct json *doc = json_new_object(a);
		json_set_str(a, doc, "apiVersion", "v1");
		json_set_str(a, doc, "kind", "ConfigMap");
		json_path_set(a, doc, "metadata.name", json_new_string(a, NAME));
		json_path_set(a, doc, "metadata.namespace", json_new_string(a, s->name));
		json_set(a, doc, "data", wanted_data(c, a));
		sync_create(s, informer_kind(c->config_maps), s->name, doc, on_created, NULL);
		return;
	}
	struct json *doc = object_doc(have, a);
	if (have->deleting || json_equal(json_get(doc, "data"), wanted_data(c, a)))
		return;
	json_set(a, doc, "data", wanted_data(c, a));
	sync_update(s, informer_kind(c->config_maps), s->name, NAME, NULL, doc, NULL, NULL);
}

static void on_namespace(void *user, const struct object *old, const struct object *new)
{
	struct root_ca *c = user;
	if (new && !old && c->certificate)
		loop_add_object(c->loop, new);
}

static void on_config_map(void *user, const struct object *old, const struct object *new)
{
	struct root_ca *c = user;
	const struct object *o = new ? new : old;
	if (c->certificate && streq(o->name, NAME))
		loop_add(c->loop, "", o->namespace);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler namespace_handler = {.changed = on_namespace},
					     config_map_handler = {.changed = on_config_map};
	struct root_ca *c = xcalloc(1, sizeof(*c));
	c->certificate = sh->ca.certificate ? xstrdup(sh->ca.certificate) : NULL;
	c->loop = loop_create(sh->client, "root-ca-cert-publisher", 1, reconcile, c);
	c->namespaces = shared_informer(sh, "", "v1", "Namespace");
	c->config_maps = shared_informer(sh, "", "v1", "ConfigMap");
	informer_add_handler(c->namespaces, &namespace_handler, c);
	informer_add_handler(c->config_maps, &config_map_handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct root_ca *)self)->loop);
}

static void destroy(void *self)
{
	struct root_ca *c = self;
	loop_destroy(c->loop);
	free(c->certificate);
	free(c);
}

const struct controller_class root_ca_controller = {
	"root-ca-cert-publisher", create, start, destroy};
