/* Token secrets end with their service account: those whose account is gone, or is another one of
 * the same name, are deleted. */
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"

#define TYPE "kubernetes.io/service-account-token"
#define ANNOTATION "kubernetes.io/service-account."

struct secrets {
	struct loop *loop;
	struct informer *secrets, *accounts;
};

static void reconcile(struct sync *s)
{
	struct secrets *c = s->self;
	const struct object *o = informer_get(c->secrets, s->ns, s->name);
	if (!o || o->deleting || !streq(object_field(o, "type"), TYPE))
		return;
	const struct json *annotations =
		json_path(object_doc(o, &s->arena), "metadata.annotations");
	const char *name = json_str_or(json_get(annotations, ANNOTATION "name"), "");
	const char *uid = json_str_or(json_get(annotations, ANNOTATION "uid"), "");
	const struct object *account = informer_get(c->accounts, s->ns, name);
	if (!account || (*uid && !streq(uid, account->uid)))
		sync_delete(s, o, -1, "Background", NULL, NULL);
}

static void on_secret(void *user, const struct object *old, const struct object *new)
{
	struct secrets *c = user;
	if (new &&streq(object_field(new, "type"), TYPE))
		loop_add_object(c->loop, new);
}

static void on_account(void *user, const struct object *old, const struct object *new)
{
	struct secrets *c = user;
	if (new &&old && streq(old->uid, new->uid))
		return;
	const struct object *o = new ? new : old;
	struct arena a = ARENA_INIT;
	struct object **list;
	size_t count = informer_by_index(c->secrets, "type", TYPE, &a, &list);
	for (size_t i = 0; i < count; i++)
		if (streq(list[i]->namespace, o->namespace))
			loop_add_object(c->loop, list[i]);
	arena_finish(&a);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler secret_handler = {.changed = on_secret},
					     account_handler = {.changed = on_account};
	struct secrets *c = xcalloc(1, sizeof(*c));
	c->loop = loop_create(sh->client, "tokens-controller", 1, reconcile, c);
	c->secrets = shared_informer(sh, "", "v1", "Secret");
	c->accounts = shared_informer(sh, "", "v1", "ServiceAccount");
	informer_add_index(c->secrets, "type");
	informer_add_handler(c->secrets, &secret_handler, c);
	informer_add_handler(c->accounts, &account_handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct secrets *)self)->loop);
}

static void destroy(void *self)
{
	struct secrets *c = self;
	loop_destroy(c->loop);
	free(c);
}

const struct controller_class service_account_token_controller = {
	"serviceaccount-token", create, start, destroy};
