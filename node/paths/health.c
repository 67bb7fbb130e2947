/* health.c - /healthz: whoever is answered knows that the agent's only thread goes round. */
#include "lib/base/log.h"
#include "node/paths/paths.h"

static const char *const checks[] = {"ping", "log", "syncloop"};

static void respond(struct http_request *req, int status, const char *text)
{
	http_respond(req, status, "text/plain; charset=utf-8",
		"X-Content-Type-Options: nosniff\r\n", text, strlen(text));
}

void health_serve(struct http_request *req, const char *name)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	for (size_t i = 0; name && i < ARRAY_LEN(checks); i++) {
		if (streq(name, checks[i])) {
			respond(req, 200, "ok");
			return;
		}
	}
	if (name) {
		respond(req, 404, "404 page not found");
	} else if (http_query_get(req, "verbose", 0)) {
		for (size_t i = 0; i < ARRAY_LEN(checks); i++)
			buf_printf(&b, "[+]%s ok\n", checks[i]);
		buf_add_str(&b, "healthz check passed\n");
		respond(req, 200, b.data);
	} else {
		respond(req, 200, "ok");
	}
}

static void handle(struct http_request *req, void *user)
{
	if (streq(req->path, "/healthz"))
		health_serve(req, NULL);
	else if (str_has_prefix(req->path, "/healthz/"))
		health_serve(req, req->path + strlen("/healthz/"));
	else
		respond(req, 404, "404 page not found");
}

struct http_server *health_listen(struct node *n)
{
	const struct node_config *c = n->config;
	bool v6 = strchr(c->healthz_bind_address, ':') != NULL;
	char address[96];
	struct err err = ERR_INIT;

	if (!c->healthz_port)
		return NULL;
	struct http_server *s = http_server_create(&(struct http_server_options){
		.loop = n->loop,
		.handler = handle,
		.max_connections = 16,
	});
	snprintf(address, sizeof(address), "%s%s%s:%lld", v6 ? "[" : "", c->healthz_bind_address,
		v6 ? "]" : "", (long long)c->healthz_port);
	if (http_server_listen(s, address, NULL, &err) >= 0)
		return s;
	log_warn("no health check without TLS on this node", "address", address, "reason", err.msg,
		NULL);
	http_server_destroy(s);
	return NULL;
}
