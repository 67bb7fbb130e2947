/* Certificate requests that nobody needs any more go. Each is looked at once an hour. */
#include "server/controllers/certificates/request.h"
#include "server/controllers/controller.h"

#define LOOK_MS 3600000

struct cleaner {
	struct loop *loop;
	struct informer *requests;
};

static void reconcile(struct sync *s)
{
	struct cleaner *c = s->self;
	struct object *o = informer_get(c->requests, "", s->name);
	if (!o || o->deleting)
		return;
	if (csr_is_stale(object_doc(o, &s->arena), loop_wall_ns(s->loop)))
		sync_delete(s, o, -1, NULL, NULL, NULL);
	else
		sync_again(s, LOOK_MS);
}

static void on_request(void *user, const struct object *old, const struct object *new)
{
	struct cleaner *c = user;
	if (new)
		loop_add_object(c->loop, new);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler handler = {.changed = on_request};
	struct cleaner *c = xcalloc(1, sizeof(*c));
	c->loop = loop_create(sh->client, "certificate-controller", 1, reconcile, c);
	c->requests = shared_informer(sh, "certificates.k8s.io", "v1", "CertificateSigningRequest");
	informer_add_handler(c->requests, &handler, c);
	return c;
}

static void start(void *user)
{
	loop_start(((struct cleaner *)user)->loop);
}

static void destroy(void *user)
{
	struct cleaner *c = user;
	loop_destroy(c->loop);
	free(c);
}

const struct controller_class certificate_cleaner_controller = {
	"csrcleaner", create, start, destroy};
