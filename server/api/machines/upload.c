#include "server/api/machines/upload.h"

#include <stdio.h>

#include "lib/http/http_client.h"
#include "server/api/api_internal.h"
#include "server/api/auth/auth.h"
#include "server/api/auth/tokens.h"
#include "server/api/nodes/node_proxy.h"

#define TOKEN_LIFETIME_S 300 /* CDI's */
#define TOKEN_ISSUER "hanok.io/upload"
#define SELECTED_NODE "volume.kubernetes.io/selected-node"
#define POPULATED_ON "hanok.io/populated-on" /* node/disk/populate/populate.c */
#define NODE_TIMEOUT_MS 30000
#define ANSWER_MAX_BYTES (64u << 10)

bool upload_is_path(const char *path)
{
	static const char *const versions[] = {"/v1beta1/upload", "/v1alpha1/upload"};

	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		size_t size = strlen(versions[i]);

		if (strncmp(path, versions[i], size) == 0 &&
			(!path[size] || streq(path + size, "-async")))
			return true;
	}
	return false;
}

bool upload_takes_body(const struct http_request *http)
{
	return upload_is_path(http->path) &&
	       (streq(http->method, "POST") || streq(http->method, "PUT"));
}

/* ---- tokens ---- */

static const struct object *claim_of(struct api *api, const char *ns, const char *name)
{
	const struct kind *k = kind_by_resource(api->kinds, "", "v1", "persistentvolumeclaims");

	return cache_get(api->cache, k, ns, name);
}

int upload_token(struct api_request *req, struct json *doc, struct field_errors *errors)
{
	struct arena *a = req->arena;
	const char *name = json_str_or(json_path(doc, "spec.pvcName"), "");
	const struct kind *k =
		kind_by_resource(req->api->kinds, "", "v1", "persistentvolumeclaims");
	const struct object *claim = claim_of(req->api, req->route.namespace, name);
	int64_t now_s = req->api->clock->wall_ns(req->api->clock) / NS_PER_S;
	struct tokens *tokens = auth_tokens(req->api->auth);
	struct json *claims = json_new_object(a);
	struct err err = ERR_INIT;
	char *token;

	if (!claim)
		return status_not_found(a, &req->st, k, name);
	if (!tokens)
		return status_set(a, &req->st, 503, "ServiceUnavailable",
			"this server issues no tokens: it has no key for them");
	json_set_str(a, claims, "iss", TOKEN_ISSUER);
	json_set_int(a, claims, "iat", now_s);
	json_set_int(a, claims, "exp", now_s + TOKEN_LIFETIME_S);
	json_set_str(a, claims, "namespace", claim->namespace);
	json_set_str(a, claims, "claim", claim->name);
	json_set_str(a, claims, "uid", claim->uid);
	if (tokens_sign(tokens, a, claims, &token, &err) < 0)
		return status_set(a, &req->st, 500, "InternalError", "%s", err.msg);
	json_path_set(a, doc, "status.token", json_new_string(a, token));
	return 0;
}

/* The claim that the bearer of the token may fill; NULL = none. */
static const struct object *claim_of_token(struct api *api, struct http_request *http)
{
	struct arena *a = &http->arena;
	const char *header = http_header_get(http, "Authorization");
	struct tokens *tokens = auth_tokens(api->auth);
	const struct json *claims;
	const struct object *claim;

	if (!header || strncasecmp(header, "Bearer ", 7) != 0 || !tokens ||
		tokens_verify(tokens, a, header + 7, &claims, NULL) < 0 ||
		!streq(json_str(json_get(claims, "iss")), TOKEN_ISSUER) ||
		json_int_or(json_get(claims, "exp"), 0) <
			api->clock->wall_ns(api->clock) / NS_PER_S)
		return NULL;
	claim = claim_of(api, json_str_or(json_get(claims, "namespace"), ""),
		json_str_or(json_get(claims, "claim"), ""));
	return claim && streq(claim->uid, json_str(json_get(claims, "uid"))) ? claim : NULL;
}

/* ---- the way to the node ---- */

/* By HTTP/1.1 both connections are joined once the agent is there. By HTTP/2 the body is carried
 * over piece by piece, and the agent's answer back. */
struct upload {
	struct http_request *http; /* NULL once answered, taken over or gone */
	struct http_endpoint *endpoint;
	struct http_call *call; /* NULL once over */
	uv_idle_t end;		/* frees us outside of the endpoint's callbacks */
	/* HTTP/2 only. */
	struct stream *node;
	struct buf early;   /* of the body, before the agent is there */
	int64_t left;	    /* of Content-Length */
	char last;	    /* byte of the body, kept until its end is told: more may follow */
	size_t owed;	    /* bytes of the client's window that are not given back yet */
	struct buf answer;  /* of the agent */
	bool carries, over; /* carries: it is HTTP/2 */
};

static void upload_closed(uv_handle_t *h)
{
	struct upload *u = CONTAINER_OF((uv_idle_t *)h, struct upload, end);

	buf_finish(&u->early);
	buf_finish(&u->answer);
	free(u);
}

static void on_end(uv_idle_t *idle)
{
	struct upload *u = CONTAINER_OF(idle, struct upload, end);

	uv_idle_stop(idle);
	http_endpoint_destroy(u->endpoint);
	uv_close((uv_handle_t *)idle, upload_closed);
}

static void respond(struct http_request *http, int status, const char *text)
{
	_cleanup_(free_p) char *body = xasprintf("%s\n", text);

	http_respond(http, status, "text/plain; charset=utf-8", NULL, body, strlen(body));
}

static struct http_request *take_request(struct upload *u)
{
	struct http_request *http = TAKE_PTR(u->http);

	http->user = NULL;
	http->cancelled = NULL;
	return http;
}

static void end(struct upload *u)
{
	if (u->node)
		stream_close(TAKE_PTR(u->node));
	if (!u->over)
		uv_idle_start(&u->end, on_end);
	u->over = true;
}

static void on_client_gone(struct http_request *http)
{
	struct upload *u = http->user;

	(void)take_request(u);
	if (u->call)
		http_call_cancel(u->call);
	u->call = NULL;
	http_abort(http);
	end(u);
}

/* ---- HTTP/2 ---- */

static void give(struct upload *u, const char *p, size_t size)
{
	if (!u->node) {
		buf_add(&u->early, p, size);
		return;
	}
	stream_write(u->node, p, size);
	if (stream_queued(u->node) < STREAM_LOW_BYTES) {
		http_body_taken(u->http, u->owed);
		u->owed = 0;
	} else {
		stream_tell_drained(u->node);
	}
}

/* No more than Content-Length; nghttp2 sees to it, and that `end` is told of no less. */
static void on_body(struct http_request *http, const char *p, size_t size)
{
	struct upload *u = http->user;

	if (!u || !size) /* answered already */
		return;
	u->owed += size;
	u->left -= (int64_t)size;
	if (u->left <= 0)
		u->last = p[--size];
	give(u, p, size);
}

static void on_body_end(struct http_request *http)
{
	struct upload *u = http->user;

	if (u)
		give(u, &u->last, 1);
}

static void on_node_drained(void *user)
{
	struct upload *u = user;

	if (u->http)
		http_body_taken(u->http, u->owed);
	u->owed = 0;
}

static void on_node_answer(void *user, const char *p, size_t size)
{
	struct upload *u = user;

	buf_add(&u->answer, p, MIN(size, ANSWER_MAX_BYTES - u->answer.size));
}

/* It is a whole answer of HTTP/1.1, as clients get it that are joined with the agent. */
static void on_node_end(void *user)
{
	struct upload *u = user;
	const char *text, *body;
	int status;

	buf_add_char(&u->answer, '\0');
	text = u->answer.data;
	body = strstr(text, "\r\n\r\n");
	if (u->http && body && sscanf(text, "HTTP/1.1 %3d ", &status) == 1 && status >= 200)
		http_respond(take_request(u), status, "text/plain; charset=utf-8", NULL, body + 4,
			strlen(body + 4));
	else if (u->http)
		respond(take_request(u), 502, "the node's agent went away");
	end(u);
}

static void on_node_error(void *user, int code, const char *text)
{
	on_node_end(user);
}

static void carry(struct upload *u, struct stream *node)
{
	static const struct stream_handler handler = {
		.read = on_node_answer,
		.eof = on_node_end,
		.error = on_node_error,
		.drained = on_node_drained,
	};

	u->node = node;
	stream_set_handler(node, &handler, u);
	stream_write(node, u->early.data, u->early.size);
	buf_finish(&u->early);
	http_body_taken(u->http, u->owed);
	u->owed = 0;
	stream_read_start(node);
}

/* ---- the agent ---- */

static void on_done(void *user, const struct http_response *r, const struct err *err)
{
	struct upload *u = user;

	u->call = NULL;
	if (u->http && r && r->status == 404) { /* it takes none now */
		_cleanup_(free_p) char *text = xasprintf(
			"the claim is not ready for an upload: its DataVolume must be in phase "
			"UploadReady (%.*s)",
			(int)strcspn(r->body, "\n"), r->body);

		respond(take_request(u), 503, text);
	} else if (u->http && r)
		respond(take_request(u), r->status, r->body);
	else if (u->http)
		respond(take_request(u), 502, err ? err->msg : "the node's agent went away");
	end(u);
}

static void on_upgraded(void *user, struct stream *node, const struct http_response *r)
{
	struct upload *u = user;
	struct http_request *http;
	bool wants_go = false;
	struct stream *client = NULL;

	u->call = NULL;
	if (u->http && u->carries) {
		carry(u, node);
		return;
	}
	http = u->http ? take_request(u) : NULL;
	if (http) {
		const char *expect = http_header_get(http, "Expect");

		wants_go = expect && strcasecmp(expect, "100-continue") == 0;
		client = http_take_over(http);
	}
	if (client) {
		static const char go[] = "HTTP/1.1 100 Continue\r\n\r\n";

		if (wants_go)
			stream_write(client, go, sizeof(go) - 1);
		stream_join(client, node, NULL, NULL);
	} else {
		stream_close(node);
	}
	end(u);
}

static void send_to_node(struct api *api, struct http_request *http, const struct object *claim,
	const struct node_endpoint *e, int64_t bytes)
{
	struct upload *u = xcalloc(1, sizeof(*u));
	const char *target = arena_printf(&http->arena, "/uploads/%s/%s?size=%lld&wait=%s",
		claim->namespace, claim->name, (long long)bytes,
		str_has_suffix(http->path, "-async") ? "false" : "true");

	u->http = http;
	uv_idle_init(api->loop, &u->end);
	u->endpoint = http_endpoint_create(&(struct http_endpoint_options){
		.loop = api->loop,
		.address = e->address,
		.tls = api->options.node_tls,
		.tls_name = e->tls_name,
		.max_idle = 1,
	});
	http->user = u;
	http->cancelled = on_client_gone;
	u->left = bytes;
	u->carries = http_body_follow(http, on_body, on_body_end);
	u->call = http_call(u->endpoint, &(struct http_call_options){
						 .method = "GET",
						 .target = target,
						 .headers = "Connection: Upgrade\r\n"
							    "Upgrade: hanok-upload\r\n",
						 .timeout_ms = NODE_TIMEOUT_MS,
						 .done = on_done,
						 .upgraded = on_upgraded,
						 .user = u,
					 });
}

static const char *annotation(struct arena *a, const struct object *o, const char *name)
{
	return o ? json_str(json_get(json_path(object_doc(o, a), "metadata.annotations"), name))
		 : NULL;
}

/* The node that takes it: of a volume that all nodes reach the one that fills it, else the one that
 * the claim's volume was made on. */
static const struct object *node_of(struct api *api, struct arena *a, const struct object *claim)
{
	const struct kind *k = kind_by_name(api->kinds, "cdi.kubevirt.io", "v1beta1", "DataVolume");
	const char *name = annotation(a,
		k ? cache_get(api->cache, k, claim->namespace, claim->name) : NULL, POPULATED_ON);

	if (!name)
		name = annotation(a, claim, SELECTED_NODE);
	return name ? cache_get(api->cache, api->nodes, "", name) : NULL;
}

void upload_serve(struct api *api, struct http_request *http)
{
	const struct object *claim = claim_of_token(api, http), *node;
	const char *size = http_header_get(http, "Content-Length");
	struct node_endpoint e;
	int64_t bytes;

	if (!claim) {
		respond(http, 401,
			"Unauthorized: the token is not one of an UploadTokenRequest, "
			"or is too old");
		return;
	}
	if (streq(http->method, "HEAD") || streq(http->method, "GET")) {
		http_respond(http, 200, "text/plain; charset=utf-8", NULL, "", 0);
		return;
	}
	if (!upload_takes_body(http)) {
		respond(http, 405, "Method Not Allowed: use POST");
		return;
	}
	if (!http->body_is_open || !size || parse_i64(str_from(size), &bytes) < 0 || bytes <= 0) {
		respond(http, 411, "Length Required: an upload must say its Content-Length");
		return;
	}
	node = node_of(api, &http->arena, claim);
	if (!node || !node_endpoint(&http->arena, node, &e) || !api->options.node_tls) {
		respond(http, 503, "the claim is on no node that could be reached");
		return;
	}
	send_to_node(api, http, claim, &e, bytes);
}
