/* client.h - API requests from controllers, scheduler, node agent and command line.
 *
 * A client stands on a transport: HTTPS to a server (kubeconfig), or, inside `hanok server`, calls
 * straight into the request handling of the same process. Users can't tell them apart: same paths,
 * same documents, same Status errors, same order of watch events. */
#pragma once

#include <uv.h>

#include "lib/base/clock.h"
#include "lib/base/random.h"
#include "lib/object/object.h"
#include "lib/object/selector.h"

struct client;

struct client_request {
	const char *method;	  /* GET POST PUT PATCH DELETE */
	const char *path;	  /* "/api/v1/namespaces/default/pods" */
	const char *query;	  /* "labelSelector=a%3Db" or NULL */
	const char *content_type; /* NULL = application/json */
	const char *accept;	  /* NULL = application/json */
	const void *body;	  /* copied */
	size_t body_size;
	unsigned timeout_ms; /* 0 = 30 s */
};

struct client_result {
	int code;	  /* HTTP status; 0 when the server could not be reached */
	const char *body; /* NUL-terminated; valid during the callback */
	size_t body_size;
	const char *reason;  /* Status.reason for failures ("NotFound"), "" else */
	const char *message; /* Status.message or the transport's error */
};
static inline bool client_ok(const struct client_result *r)
{
	return r->code >= 200 && r->code < 300;
}
typedef void client_done(void *user, const struct client_result *r);
struct client_call;

/* What a transport provides. */
struct client_event {
	enum { CLIENT_ADDED, CLIENT_MODIFIED, CLIENT_DELETED, CLIENT_BOOKMARK, CLIENT_ERROR } type;
	struct object *object; /* NULL for bookmark and error */
	uint64_t revision;     /* of the event; bookmarks too */
	int code;	       /* error: 410 when expired */
	const char *message;   /* error */
};
struct client_watch_options {
	const struct kind *kind;
	const char *namespace;			     /* NULL = all */
	const char *label_selector, *field_selector; /* NULL = none */
	uint64_t since;
};
struct client_watch_handler {
	void (*event)(void *user, const struct client_event *e);
	void (*ended)(
		void *user); /* stream is over (time-out, connection, after an error event); gone */
};
struct client_watch;
struct client_list_result {
	int code; /* 200 or a failure's; 0 unreachable */
	const char *message;
	struct object **items; /* borrowed during the callback (object_ref to keep) */
	size_t count;
	uint64_t revision;
};
struct client_list_options {
	const struct kind *kind;
	const char *namespace;
	const char *label_selector, *field_selector;
};
typedef void client_list_done(void *user, const struct client_list_result *r);

struct client_ops {
	struct client_call *(*request)(
		struct client *c, const struct client_request *req, client_done *done, void *user);
	void (*cancel)(struct client *c, struct client_call *call); /* no callback after */
	struct client_call *(*list)(struct client *c, const struct client_list_options *o,
		client_list_done *done, void *user);
	struct client_watch *(*watch)(struct client *c, const struct client_watch_options *o,
		const struct client_watch_handler *h, void *user);
	void (*watch_close)(struct client *c, struct client_watch *w);
	void (*destroy)(struct client *c);
};

struct client {
	const struct client_ops *ops;
	uv_loop_t *loop;
	const struct kind_registry *kinds;
	struct clock *clock;
	const char *user_agent;	     /* also the component in events */
	struct random *random;	     /* for jitter and names; NULL = the system's */
	struct event_memory *events; /* what client_event said lately; made at first use */
	/* Told of each answer to a request, a page of a list, or a watch, for who counts them; code
	 * 0 = none came. host is the server's, "10.0.0.1:6443". NULL = nobody. */
	void (*answered)(const char *host, const char *method, int code);
};

/* HTTPS transport. */
int client_https_create(uv_loop_t *loop, const struct kind_registry *kinds,
	const char *kubeconfig_path, const char *user_agent, struct client **ret,
	struct err *err) _must_check_;
/* Where an HTTPS client sends its requests, and its authentication ("Authorization: ...\r\n", NULL
 * = none): for streams that need the connection itself (exec, console). NULL for other transports.
 */
struct http_endpoint *client_https_endpoint(struct client *c, const char **ret_headers);
void client_destroy(struct client *c); /* NULL allowed; open calls and watches end silently */

/* Callbacks of the calls below never run inside the call itself. */
struct client_call *client_request(struct client *c, const struct client_request *req,
	client_done *done, void *user); /* done may be NULL: failures are then logged */
void client_cancel(struct client *c, struct client_call *call);

/* Paths: /api/v1/namespaces/NS/RESOURCE/NAME[/SUB]; ns and name and sub may be NULL. In the arena.
 */
char *client_path(
	struct arena *a, const struct kind *k, const char *ns, const char *name, const char *sub);
struct client_call *client_create(struct client *c, const struct kind *k, const char *ns,
	const struct json *doc, client_done *done, void *user);
struct client_call *client_update(struct client *c, const struct kind *k, const char *ns,
	const char *name, const char *sub, const struct json *doc, client_done *done, void *user);
/* content_type "application/merge-patch+json" etc. */
struct client_call *client_patch(struct client *c, const struct kind *k, const char *ns,
	const char *name, const char *sub, const char *content_type, const struct json *patch,
	client_done *done, void *user);
/* uid NULL = no precondition; grace_s < 0 = default; policy NULL | "Background" ... */
struct client_call *client_delete(struct client *c, const struct kind *k, const char *ns,
	const char *name, const char *uid, int grace_s, const char *policy, client_done *done,
	void *user);
/* Records an Event about an object (API conventions; same reason and message within 10 minutes
 * raise the count instead). type "Normal" | "Warning". Best effort. field_path may be NULL. */
void client_event(struct client *c, const struct object *about, const char *field_path,
	const char *type, const char *reason, const char *fmt, ...) _printf_(6, 7);
/* The same in another component's name ("deployment-controller"). */
void client_event_as(struct client *c, const char *component, const struct object *about,
	const char *field_path, const char *type, const char *reason, const char *fmt, ...)
	_printf_(7, 8);

/* The client's random source. */
struct random *client_random(struct client *c);
