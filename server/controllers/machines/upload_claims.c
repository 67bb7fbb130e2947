/* Claims that ask for an upload themselves (annotation cdi.kubevirt.io/storage.upload.target:
 * virtctl image-upload pvc): each gets a DataVolume of its name with the source upload, which
 * belongs to the claim and goes with it. The DataVolume's loop and its node do the rest, and note
 * on the claim what clients wait for there (storage.pod.ready, storage.pod.phase). */
#include "server/controllers/controller.h"
#include "server/controllers/machines/data_volume_plan.h"

struct upload_claims {
	struct loop *loop;
	struct informer *claims, *data_volumes;
};

static void on_created(struct sync *s, const struct client_result *r, void *user)
{
	if (client_ok(r) || r->code == 409)
		return;
	/* The reason that clients who wait for an upload look for. */
	client_event_as(loop_client(s->loop), loop_name(s->loop), user, NULL, "Warning",
		"ProvisioningFailed", "no upload into it is possible: %s", r->message);
	if (r->code != 422) /* it stays what it is */
		sync_check(s, r);
}

static void reconcile(struct sync *s)
{
	struct upload_claims *c = s->self;
	struct object *claim = informer_get(c->claims, s->ns, s->name);
	struct json *doc;

	if (!claim || claim->deleting || object_controller(claim) ||
		informer_get(c->data_volumes, s->ns, s->name))
		return;
	claim = sync_hold(s, claim);
	doc = data_volume_for_upload(&s->arena, claim, object_doc(claim, &s->arena));
	if (doc)
		sync_create(s, informer_kind(c->data_volumes), s->ns, doc, on_created, claim);
}

static void on_claim(void *user, const struct object *old, const struct object *new)
{
	struct upload_claims *c = user;

	if (new)
		loop_add_object(c->loop, new);
}

/* Whoever has removed it, or had one of that name for something else: the claim asks again. */
static void on_data_volume(void *user, const struct object *old, const struct object *new)
{
	struct upload_claims *c = user;

	if (!new &&informer_get(c->claims, old->namespace, old->name))
		loop_add_object(c->loop, old);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler handler = {.changed = on_claim},
					     other = {.changed = on_data_volume};
	struct upload_claims *c = xcalloc(1, sizeof(*c));

	c->loop = loop_create(sh->client, "upload-controller", 1, reconcile, c);
	c->claims = shared_informer(sh, "", "v1", "PersistentVolumeClaim");
	c->data_volumes = shared_informer(sh, "cdi.kubevirt.io", "v1beta1", "DataVolume");
	informer_add_handler(c->claims, &handler, c);
	informer_add_handler(c->data_volumes, &other, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct upload_claims *)self)->loop);
}

static void destroy(void *self)
{
	struct upload_claims *c = self;

	loop_destroy(c->loop);
	free(c);
}

const struct controller_class upload_claims_controller = {"uploadclaim", create, start, destroy};
