#include "lib/client/client.h"

#include "lib/base/log.h"
#include "lib/client/event_memory.h"

void client_destroy(struct client *c)
{
	if (!c)
		return;
	event_memory_destroy(c->events);
	c->events = NULL;
	c->ops->destroy(c);
}

struct random *client_random(struct client *c)
{
	static struct random of_system = RANDOM_SYSTEM;
	return c->random ? c->random : &of_system;
}

static void log_failure(void *user, const struct client_result *r)
{
	if (client_ok(r))
		return;
	char code[24];
	log_warn("API request failed", "code", log_i64(code, r->code), "reason", r->reason,
		"message", r->message, NULL);
}

struct client_call *client_request(
	struct client *c, const struct client_request *req, client_done *done, void *user)
{
	return c->ops->request(c, req, done ? done : log_failure, user);
}

void client_cancel(struct client *c, struct client_call *call)
{
	if (call)
		c->ops->cancel(c, call);
}

char *client_path(
	struct arena *a, const struct kind *k, const char *ns, const char *name, const char *sub)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	if (k->group[0])
		buf_printf(&b, "/apis/%s/%s", k->group, k->version);
	else
		buf_printf(&b, "/api/%s", k->version);
	if (k->namespaced && ns && ns[0])
		buf_printf(&b, "/namespaces/%s", percent_encode(a, str_from(ns)));
	buf_printf(&b, "/%s", k->plural);
	if (name)
		buf_printf(&b, "/%s", percent_encode(a, str_from(name)));
	if (sub)
		buf_printf(&b, "/%s", sub);
	return arena_strdup(a, b.data);
}

static struct client_call *send_doc(struct client *c, const char *method, const struct kind *k,
	const char *ns, const char *name, const char *sub, const char *content_type,
	const struct json *doc, client_done *done, void *user)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf body = BUF_INIT;
	json_write(&body, doc);
	struct client_request req = {
		.method = method,
		.path = client_path(&a, k, ns, name, sub),
		.content_type = content_type,
		.body = body.data,
		.body_size = body.size,
	};
	return client_request(c, &req, done, user);
}

struct client_call *client_create(struct client *c, const struct kind *k, const char *ns,
	const struct json *doc, client_done *done, void *user)
{
	return send_doc(c, "POST", k, ns, NULL, NULL, NULL, doc, done, user);
}

struct client_call *client_update(struct client *c, const struct kind *k, const char *ns,
	const char *name, const char *sub, const struct json *doc, client_done *done, void *user)
{
	return send_doc(c, "PUT", k, ns, name, sub, NULL, doc, done, user);
}

struct client_call *client_patch(struct client *c, const struct kind *k, const char *ns,
	const char *name, const char *sub, const char *content_type, const struct json *patch,
	client_done *done, void *user)
{
	return send_doc(c, "PATCH", k, ns, name, sub, content_type, patch, done, user);
}

struct client_call *client_delete(struct client *c, const struct kind *k, const char *ns,
	const char *name, const char *uid, int grace_s, const char *policy, client_done *done,
	void *user)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *options = json_new_object(&a);
	json_set_str(&a, options, "kind", "DeleteOptions");
	json_set_str(&a, options, "apiVersion", "v1");
	if (grace_s >= 0)
		json_set_int(&a, options, "gracePeriodSeconds", grace_s);
	if (uid)
		json_path_set(&a, options, "preconditions.uid", json_new_string(&a, uid));
	if (policy)
		json_set_str(&a, options, "propagationPolicy", policy);
	return send_doc(c, "DELETE", k, ns, name, NULL, NULL, options, done, user);
}
