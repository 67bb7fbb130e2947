#include "node/net/service/service_health.h"

#include <stdio.h>

#include "lib/base/log.h"
#include "lib/base/table.h"
#include "lib/http/http.h"

struct entry {
	struct service_healths *all;
	char *key;
	struct service_health health;
	struct http_server *server; /* NULL: its port was not to be had */
	bool told;		    /* that it was not */
};

struct service_healths {
	uv_loop_t *loop;
	struct table entries; /* by key */
	bool healthy;
};

struct service_healths *service_healths_create(uv_loop_t *loop)
{
	struct service_healths *h = xcalloc(1, sizeof(*h));

	h->loop = loop;
	return h;
}

static void entry_free(struct entry *e)
{
	if (e->server)
		http_server_destroy(e->server);
	free(e->key);
	free(e);
}

void service_healths_destroy(struct service_healths *h)
{
	if (!h)
		return;
	for (struct table_iter i = table_iterate(&h->entries); table_next(&i);)
		entry_free(i.value);
	table_finish(&h->entries);
	free(h);
}

void service_healths_proxy(struct service_healths *h, bool healthy)
{
	h->healthy = healthy;
}

static void answer(struct http_request *req, void *user)
{
	const struct entry *e = user;
	const char *slash = strchr(e->key, '/');
	bool good = e->health.local_endpoints && e->all->healthy;
	char body[1024], extra[128];

	snprintf(extra, sizeof(extra),
		"X-Content-Type-Options: nosniff\r\nX-Load-Balancing-Endpoint-Weight: %zu\r\n",
		e->health.local_endpoints);
	snprintf(body, sizeof(body),
		"{\n\t\"service\": {\n\t\t\"namespace\": \"%.*s\",\n\t\t\"name\": \"%s\"\n\t},\n"
		"\t\"localEndpoints\": %zu,\n\t\"serviceProxyHealthy\": %s\n}",
		(int)(slash - e->key), e->key, slash + 1, e->health.local_endpoints,
		e->all->healthy ? "true" : "false");
	http_respond(req, good ? 200 : 503, "application/json", extra, body, strlen(body));
}

static void open_port(struct entry *e)
{
	static const char *const any[] = {"0.0.0.0", "[::]"};
	struct err err = ERR_INIT;
	bool open = false;

	e->server = http_server_create(&(struct http_server_options){
		.loop = e->all->loop,
		.handler = answer,
		.user = e,
		.max_connections = 100,
	});
	/* A host without IPv6 has only the first. */
	for (size_t i = 0; i < ARRAY_LEN(any); i++) {
		struct err *first = i ? NULL : &err;
		char address[32];

		snprintf(address, sizeof(address), "%s:%u", any[i], e->health.port);
		open |= http_server_listen(e->server, address, NULL, first) == 0;
	}
	if (open)
		return;
	http_server_destroy(TAKE_PTR(e->server));
	if (e->told)
		return;
	e->told = true;
	log_warn("nobody can ask for the health of a service: its healthCheckNodePort is not free",
		"service", e->key, "error", err.msg, NULL);
}

void service_health_set(
	struct service_healths *h, const char *key, const struct service_health *health)
{
	struct entry *e = table_get(&h->entries, key);

	if (e && health->port == e->health.port) {
		e->health = *health;
		if (!e->server)
			open_port(e); /* another service may have let go of it */
		return;
	}
	if (e) {
		table_remove(&h->entries, key);
		entry_free(e);
	}
	if (!health->port)
		return;
	e = xcalloc(1, sizeof(*e));
	e->all = h;
	e->key = xstrdup(key);
	e->health = *health;
	table_set(&h->entries, key, e);
	open_port(e);
}
