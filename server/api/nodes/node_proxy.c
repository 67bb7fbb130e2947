/* node_proxy.c - passes a client's request on to a node and its answer back.
 *
 *	asked ---> relaying ---> ended      an ordinary answer (logs): header, then pieces
 *	   \                       ^
 *	    `----> joined ---------'        101: both connections become one stream
 *
 * Node and client may each go away at any time; whoever is left is told. */
#include "server/api/nodes/node_proxy.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "lib/base/log.h"
#include "lib/base/sm.h"
#include "lib/http/http_client.h"
#include "lib/http/http_range.h"
#include "server/api/api_internal.h"
#include "server/api/requests/deadline.h"

enum proxy_state { PROXY_ASKED, PROXY_RELAYING, PROXY_ENDED };

static const struct sm_state proxy_states[] = {
	[PROXY_ASKED] = {"asked", SM_ALLOW(PROXY_RELAYING) | SM_ALLOW(PROXY_ENDED), false},
	[PROXY_RELAYING] = {"relaying", SM_ALLOW(PROXY_ENDED), false},
	[PROXY_ENDED] = {"ended", 0, true},
};
static const struct sm_class proxy_class = {
	"node proxy", proxy_states, ARRAY_LEN(proxy_states), NULL};

struct proxy {
	struct sm sm;
	struct api *api;
	struct api_request *req; /* NULL once the client was answered or went away */
	struct http_endpoint *endpoint;
	struct http_call *call; /* NULL once over */
	const char *address;	/* of the agent, in req->arena: "192.0.2.1:10250" */
	uv_idle_t end;		/* frees us outside of the endpoint's callbacks */
};

static int64_t mono_ns(const struct proxy *p)
{
	return p->api->clock->mono_ns(p->api->clock);
}

static void proxy_closed(uv_handle_t *h)
{
	free(CONTAINER_OF((uv_idle_t *)h, struct proxy, end));
}

static void on_end(uv_idle_t *idle)
{
	struct proxy *p = CONTAINER_OF(idle, struct proxy, end);
	uv_idle_stop(idle);
	http_endpoint_destroy(p->endpoint);
	uv_close((uv_handle_t *)idle, proxy_closed);
}

static void proxy_end(struct proxy *p)
{
	sm_move(&p->sm, PROXY_ENDED, mono_ns(p));
	uv_idle_start(&p->end, on_end);
}

static void on_client_gone(struct http_request *http)
{
	struct proxy *p = http->user;
	if (!p || !p->req)
		return;
	http->user = NULL;
	deadline_stop(p->req);
	p->req = NULL;
	if (p->call)
		http_call_cancel(p->call);
	p->call = NULL;
	http_abort(http);
	proxy_end(p);
}

static void on_client_drained(struct http_request *http)
{
	struct proxy *p = http->user;
	if (p && p->call)
		http_call_resume(p->call);
}

static struct api_request *take_request(struct proxy *p)
{
	struct api_request *req = TAKE_PTR(p->req);
	deadline_stop(req);
	req->http->user = NULL;
	req->http->cancelled = NULL;
	return req;
}

/* What belongs to the bytes of a file, of which a client may want a part. */
static const char *file_headers(struct arena *a, const struct http_response *r)
{
	static const char *const names[] = {"Accept-Ranges", "Content-Range", "ETag"};
	_cleanup_(buf_finish) struct buf out = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (http_response_header(r, names[i]))
			buf_printf(&out, "%s: %s\r\n", names[i], http_response_header(r, names[i]));
	return out.size ? arena_memdup(a, out.data, out.size) : NULL;
}

static void begin_answer(struct api_request *req, const struct http_response *r)
{
	const char *type = http_response_header(r, "Content-Type");
	const char *length = http_response_header(r, "Content-Length");
	const char *extra = file_headers(req->arena, r);
	uint64_t size;

	if (!type)
		type = "text/plain";
	if (extra && length && parse_u64(str_from(length), &size) == 0)
		http_stream_begin_sized(req->http, r->status, type, extra, size);
	else
		http_stream_begin(req->http, r->status, type, extra);
}

static void on_begin(void *user, const struct http_response *r)
{
	struct proxy *p = user;
	if (!p->req)
		return;
	deadline_stop(p->req);
	sm_move(&p->sm, PROXY_RELAYING, mono_ns(p));
	begin_answer(p->req, r);
	http_stream_on_drained(p->req->http, on_client_drained);
}

static void on_data(void *user, const char *data, size_t size)
{
	struct proxy *p = user;
	if (!p->req)
		return;
	http_stream_write(p->req->http, data, size);
	if (http_stream_queued(p->req->http) > STREAM_HIGH_BYTES)
		http_call_pause(p->call);
}

/* Why the agent was not reached, as people know it. */
static const char *dial_words(const struct proxy *p, const struct err *err)
{
	const char *why = !err			       ? NULL
			  : err->code == -ECONNREFUSED ? "connection refused"
			  : err->code == -EHOSTUNREACH ? "no route to host"
			  : err->code == -ENETUNREACH  ? "network is unreachable"
						       : NULL;

	if (!why)
		return err ? err->msg : "connection closed";
	return arena_printf(p->req->arena, "dial tcp %s: connect: %s", p->address, why);
}

static void on_done(void *user, const struct http_response *r, const struct err *err)
{
	struct proxy *p = user;
	p->call = NULL;
	if (!p->req) {
		proxy_end(p);
		return;
	}
	bool begun = p->sm.state == PROXY_RELAYING;
	const char *why = r ? NULL : dial_words(p, err);
	struct api_request *req = take_request(p);
	if (begun && r) {
		http_stream_end(req->http);
	} else if (begun) {
		http_abort(req->http); /* cut short: the client must not take it for the whole */
	} else if (r) {
		http_stream_begin(req->http, r->status, "text/plain", NULL);
		http_stream_end(req->http);
	} else {
		/* No reason: clients print the words alone. */
		status_set(req->arena, &req->st, 500, "", "error dialing backend: %s", why);
		api_fail(req);
	}
	proxy_end(p);
}

/* Headers of the node's 101 that belong to the protocol spoken behind it. */
static const char *upgrade_headers(struct arena *a, const struct http_response *r)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	for (size_t i = 0; i < r->header_count; i++) {
		const struct http_header *h = &r->headers[i];
		if (strncasecmp(h->name, "Sec-WebSocket-", 14) == 0 ||
			strcasecmp(h->name, "X-Stream-Protocol-Version") == 0)
			buf_printf(&out, "%s: %s\r\n", h->name, h->value);
	}
	return arena_memdup(a, out.data ? out.data : "", out.size);
}

static void on_upgraded(void *user, struct stream *node, const struct http_response *r)
{
	struct proxy *p = user;
	p->call = NULL;
	if (!p->req) {
		stream_close(node);
		proxy_end(p);
		return;
	}
	struct api_request *req = take_request(p);
	const char *protocol = http_response_header(r, "Upgrade");
	metrics_count(&p->api->metrics, "CONNECT", req->kind->plural, req->route.subresource, 101,
		mono_ns(p) - req->started_ns);
	struct stream *client = http_upgrade(
		req->http, protocol ? protocol : "websocket", upgrade_headers(req->arena, r));
	if (client)
		stream_join(client, node, NULL, NULL);
	else
		stream_close(node);
	proxy_end(p);
}

/* The client's headers that the streaming protocols need; everything else stays here. */
static const char *request_headers(struct api_request *req, bool upgrade)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	for (size_t i = 0; i < req->http->header_count; i++) {
		const struct http_header *h = &req->http->headers[i];
		if (strcasecmp(h->name, "Upgrade") == 0 || strcasecmp(h->name, "Connection") == 0 ||
			strncasecmp(h->name, "Sec-WebSocket-", 14) == 0 ||
			strcasecmp(h->name, "X-Stream-Protocol-Version") == 0) {
			if (upgrade)
				buf_printf(&out, "%s: %s\r\n", h->name, h->value);
		} else if (strcasecmp(h->name, "Content-Type") == 0 ||
			   strcasecmp(h->name, "Range") == 0 ||
			   strcasecmp(h->name, "If-Range") == 0) {
			buf_printf(&out, "%s: %s\r\n", h->name, h->value);
		}
	}
	return arena_memdup(req->arena, out.data ? out.data : "", out.size);
}

bool node_endpoint(struct arena *a, const struct object *node, struct node_endpoint *ret)
{
	struct json *doc = object_doc(node, a);
	int64_t port = json_path_int(doc, "status.daemonEndpoints.kubeletEndpoint.Port", 0);
	if (port <= 0 || port > 65535)
		return false;
	JSON_FOR_EACH_ITEM(i, json_path(doc, "status.addresses")) {
		const char *address = json_str(json_get(i, "address"));
		if (!streq(json_str(json_get(i, "type")), "InternalIP") || !address)
			continue;
		ret->address = arena_printf(a,
			strchr(address, ':') ? "tcp://[%s]:%" PRId64 : "tcp://%s:%" PRId64, address,
			port);
		ret->ip = arena_strdup(a, address);
		ret->port = (uint16_t)port;
		/* Who else answers at that address is refused: its certificate is another's. */
		ret->tls_name = arena_strdup(a, node->name);
		return true;
	}
	return false;
}

void node_proxy(struct api_request *req, const char *node, const char *target)
{
	node_proxy_within(req, node, target, 30000);
}

void node_proxy_within(
	struct api_request *req, const char *node, const char *target, unsigned timeout_ms)
{
	const struct object *o =
		node && *node ? cache_get(req->api->cache, req->api->nodes, "", node) : NULL;
	struct node_endpoint e;
	bool reachable = o && node_endpoint(req->arena, o, &e);
	const char *protocol;
	if (!req->http || !reachable || !req->api->options.node_tls) {
		if (!o)
			status_not_found(req->arena, &req->st, req->api->nodes, node ? node : "");
		else
			status_set(req->arena, &req->st, 502, "BadGateway",
				"node \"%s\" has no address to reach its agent", node);
		api_fail(req);
		return;
	}
	bool upgrade = http_wants_upgrade(req->http, &protocol);
	struct proxy *p = xcalloc(1, sizeof(*p));
	p->api = req->api;
	p->req = req;
	p->address = e.address + strlen("tcp://");
	sm_init(&p->sm, &proxy_class, p, target, PROXY_ASKED, mono_ns(p));
	uv_idle_init(req->api->loop, &p->end);
	p->endpoint = http_endpoint_create(&(struct http_endpoint_options){
		.loop = req->api->loop,
		.address = e.address,
		.tls = req->api->options.node_tls,
		.tls_name = e.tls_name,
		.max_idle = 1,
	});
	req->http->user = p;
	req->http->cancelled = on_client_gone;
	p->call = http_call(p->endpoint, &(struct http_call_options){
						 .method = req->method,
						 .target = target,
						 .headers = request_headers(req, upgrade),
						 .body = req->body,
						 .body_size = req->body_size,
						 .timeout_ms = timeout_ms,
						 .begin = on_begin,
						 .data = on_data,
						 .done = on_done,
						 .upgraded = upgrade ? on_upgraded : NULL,
						 .user = p,
					 });
}
