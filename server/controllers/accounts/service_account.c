/* Every namespace has a ServiceAccount 'default'. */
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"

struct accounts {
	struct loop *loop;
	struct informer *namespaces, *accounts;
};

static void on_created(struct sync *s, const struct client_result *r, void *user)
{
	/* It may be there already, unseen; the namespace may be gone. */
	if (r->code != 409 && r->code != 404)
		sync_check(s, r);
}

static void reconcile(struct sync *s)
{
	struct accounts *c = s->self;
	struct arena *a = &s->arena;
	struct object *ns = informer_get(c->namespaces, "", s->name);
	if (!ns || ns->deleting || informer_get(c->accounts, s->name, "default"))
		return;
	struct json *doc = json_new_object(a);
	json_set_str(a, doc, "apiVersion", "v1");
	json_set_str(a, doc, "kind", "ServiceAccount");
	json_path_set(a, doc, "metadata.name", json_new_string(a, "default"));
	json_path_set(a, doc, "metadata.namespace", json_new_string(a, s->name));
	sync_create(s, informer_kind(c->accounts), s->name, doc, on_created, NULL);
}

static void on_namespace(void *user, const struct object *old, const struct object *new)
{
	struct accounts *c = user;
	if (new)
		loop_add_object(c->loop, new);
}

static void on_account(void *user, const struct object *old, const struct object *new)
{
	struct accounts *c = user;
	if (!new &&streq(old->name, "default"))
		loop_add(c->loop, "", old->namespace);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler namespace_handler = {.changed = on_namespace},
					     account_handler = {.changed = on_account};
	struct accounts *c = xcalloc(1, sizeof(*c));
	c->loop = loop_create(sh->client, "serviceaccount-controller", 1, reconcile, c);
	c->namespaces = shared_informer(sh, "", "v1", "Namespace");
	c->accounts = shared_informer(sh, "", "v1", "ServiceAccount");
	informer_add_handler(c->namespaces, &namespace_handler, c);
	informer_add_handler(c->accounts, &account_handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct accounts *)self)->loop);
}

static void destroy(void *self)
{
	struct accounts *c = self;
	loop_destroy(c->loop);
	free(c);
}

const struct controller_class service_account_controller = {
	"serviceaccount", create, start, destroy};
