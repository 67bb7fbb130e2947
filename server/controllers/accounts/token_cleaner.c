/* Bootstrap tokens are deleted when they have expired. */
#include "lib/base/clock.h"
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"

#define TYPE "bootstrap.kubernetes.io/token"
#define WAIT_MAX_MS (INT64_C(3600) * 1000) /* clocks may jump */

struct cleaner {
	struct loop *loop;
	struct informer *secrets;
};

static void reconcile(struct sync *s)
{
	struct cleaner *c = s->self;
	const struct object *o = informer_get(c->secrets, s->ns, s->name);
	if (!o || o->deleting || !streq(object_field(o, "type"), TYPE))
		return;
	const struct json *data = json_get(object_doc(o, &s->arena), "data");
	const char *text = json_str(json_get(data, "expiration"));
	char *time;
	size_t size;
	int64_t at, now_ns = loop_wall_ns(s->loop);
	if (!text || base64_decode(&s->arena, str_from(text), &time, &size) < 0)
		return;
	/* A time that can't be read is past, as for authentication. */
	if (time_parse_rfc3339(time, &at) < 0 || at <= now_ns)
		sync_delete(s, o, -1, "Background", NULL, NULL);
	else
		sync_again(s, MIN((at - now_ns) / NS_PER_MS + 1, WAIT_MAX_MS));
}

static void on_secret(void *user, const struct object *old, const struct object *new)
{
	struct cleaner *c = user;
	if (new &&streq(object_field(new, "type"), TYPE) && streq(new->namespace, "kube-system"))
		loop_add_object(c->loop, new);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler handler = {.changed = on_secret};
	struct cleaner *c = xcalloc(1, sizeof(*c));
	c->loop = loop_create(sh->client, "token-cleaner", 1, reconcile, c);
	c->secrets = shared_informer(sh, "", "v1", "Secret");
	informer_add_handler(c->secrets, &handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct cleaner *)self)->loop);
}

static void destroy(void *self)
{
	struct cleaner *c = self;
	loop_destroy(c->loop);
	free(c);
}

const struct controller_class token_cleaner_controller = {"tokencleaner", create, start, destroy};
