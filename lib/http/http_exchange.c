#include "lib/http/http_impl.h"

#define FREE_EXCHANGES_MAX 32
#define BODY_KEEP_BYTES (64u << 10)
#define ORGS_MAX 64
/* Streams of HTTP/2 share a connection by the hundred, and most of those wait (watches): what their
 * requests take decides what an idle one costs. */
#define H2_ARENA_BYTES 1536

struct http_exchange *http_exchange_new(struct http_conn *c)
{
	struct http_server *s = c->server;
	struct http_exchange *x = s->free_exchanges;
	if (x) {
		s->free_exchanges = x->next_free;
		s->free_exchange_count--;
	} else {
		x = xcalloc(1, sizeof(*x));
		arena_init(&x->req.arena);
	}
	x->next_free = NULL;
	x->conn = c;
	x->out.held = &s->waiting_bytes;
	list_init(&x->ready);
	list_init(&x->link);
	x->req.arena.first_size = c->h2 ? H2_ARENA_BYTES : 0;
	http_parser_init(&x->parser, false, &x->req.arena);
	return x;
}

void http_exchange_free(struct http_exchange *x)
{
	arena_finish(&x->req.arena);
	http_parser_finish(&x->parser);
	buf_finish(&x->body);
	free(x);
}

/* Counts what the request has come to. False when it is too much for the server at this time. */
bool http_exchange_count(struct http_exchange *x)
{
	struct http_server *s = x->conn->server;
	size_t size = x->req.arena.used_bytes + x->parser.head.size + x->body.size;
	size_t held = size > HTTP_HELD_FREE_BYTES ? size - HTTP_HELD_FREE_BYTES : 0;
	s->held_bytes += held - x->held_bytes;
	x->held_bytes = held;
	return held == 0 || s->held_bytes <= s->held_max_bytes;
}

void http_exchange_close(struct http_exchange *x)
{
	x->conn->server->held_bytes -= x->held_bytes;
	x->held_bytes = 0;
	http_large_finish(x->large);
	x->large = NULL;
	if (x->req.closed)
		x->req.closed(&x->req);
	x->req.closed = x->req.cancelled = NULL;
}

void http_exchange_release(struct http_exchange *x)
{
	struct http_server *s = x->conn->server;
	stream_queue_clear(&x->out);
	if (s->free_exchange_count >= FREE_EXCHANGES_MAX || s->stopping) {
		http_exchange_free(x);
		return;
	}
	arena_reset(&x->req.arena);
	buf_clear(&x->body);
	if (x->body.room > BODY_KEEP_BYTES)
		buf_finish(&x->body);
	struct http_exchange keep = {.body = x->body, .next_free = s->free_exchanges};
	keep.req.arena = x->req.arena;
	keep.parser.head = x->parser.head;
	*x = keep;
	s->free_exchanges = x;
	s->free_exchange_count++;
}

/* Cuts the target into path and query; false when it is malformed. */
bool http_exchange_parse_target(struct http_exchange *x)
{
	struct http_request *req = &x->req;
	const char *from = req->target;
	if (strcmp(from, "*") == 0) {
		req->path = "*";
		req->query = "";
		return strcmp(req->method, "OPTIONS") == 0;
	}
	if (*from != '/') { /* absolute form: RFC 9112 3.2.2 */
		const char *authority = strstr(from, "://");
		if (!authority || authority == from)
			return false;
		from = authority + 3 + strcspn(authority + 3, "/?");
	}
	size_t size = strcspn(from, "?");
	req->query = from[size] ? from + size + 1 : "";
	char *path;
	if (size == 0) {
		path = arena_strdup(&req->arena, "/");
	} else if (memchr(from, '%', size)) {
		for (const char *p = from; p + 2 < from + size; p++)
			if (p[0] == '%' && p[1] == '2' && (p[2] | 0x20) == 'f')
				return false;
		if (percent_decode(&req->arena, (struct str){from, size}, false, &path) < 0 ||
			!utf8_valid(path, strlen(path)))
			return false;
	} else {
		path = arena_memdup(&req->arena, from, size);
	}
	for (const char *p = path; (p = strchr(p, '/')); p++) {
		size_t n = strcspn(p + 1, "/");
		if ((n == 1 && p[1] == '.') || (n == 2 && p[1] == '.' && p[2] == '.'))
			return false;
	}
	req->path = path;
	return true;
}

/* Strings of our own: the request may outlive the stream. */
void http_exchange_identify(struct http_exchange *x)
{
	struct http_request *req = &x->req;
	const struct stream *s = x->conn->stream;
	const char *orgs[ORGS_MAX];
	req->peer_address = arena_strdup(&req->arena, stream_peer_address(s));
	req->peer_refused = stream_peer_refused(s);
	if (req->peer_refused) {
		req->peer_cn = "";
		return;
	}
	const char *cn = stream_peer_cn(s);
	req->peer_cn = *cn ? arena_strdup(&req->arena, cn) : "";
	req->peer_org_count = stream_peer_orgs(s, orgs, ORGS_MAX);
	if (req->peer_org_count == 0)
		return;
	req->peer_orgs = arena_alloc(&req->arena, req->peer_org_count * sizeof(*req->peer_orgs));
	for (size_t i = 0; i < req->peer_org_count; i++)
		req->peer_orgs[i] = arena_strdup(&req->arena, orgs[i]);
}
