/* usage.c - see usage.h. Some nodes are asked at a time, so that a thousand of them are no burst.
 */
#include "server/api/nodes/usage.h"

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/client/wakeup.h"
#include "lib/http/http_client.h"
#include "server/api/api_internal.h"
#include "server/api/nodes/node_proxy.h"

#define PERIOD_MS 15000
#define FIRST_MS 1000 /* behind the start: the API comes first */
/* A rate takes two tellings: after a node's first the second comes sooner. */
#define SECOND_MS 6000
#define ANSWER_MS 10000
#define ANSWER_MAX_BYTES (4u << 20)
#define ASKED_AT_ONCE 32
#define FORGET_NS (60 * NS_PER_S)

/* A node that is asked. */
struct source {
	struct list link;
	struct api_usage *usage;
	char *node, *address;		/* address NULL = there is none to ask now */
	struct http_endpoint *endpoint; /* likewise */
	uint64_t revision;		/* of the node that was looked at */
	struct http_call *call;		/* NULL = none under way */
	bool wanted;			/* in this round: seen among the nodes */
	bool waiting;			/* for its turn */
	bool told;			/* at least once */
	bool failing;			/* said so already */
};

struct api_usage {
	struct api *api;
	struct usage_samples *samples;
	struct wakeup *timer;
	struct list sources;
	struct table by_node;
	unsigned asked;
	bool again_soon, stopped;
};

static void ask_next(struct api_usage *u);

static int64_t mono_ns(const struct api_usage *u)
{
	return u->api->clock->mono_ns(u->api->clock);
}

static void take(struct source *s, const struct http_response *r, struct err *err)
{
	struct api_usage *u = s->usage;
	struct figures f;
	if (r->status != 200) {
		err_set(err, -EPROTO, "answers %d to /metrics/resource", r->status);
		return;
	}
	int64_t now_ns = u->api->clock->wall_ns(u->api->clock);
	if (figures_parse(r->body, r->body_size, now_ns, &f, err) < 0)
		return;
	usage_samples_put(u->samples, s->node, &f, mono_ns(u));
	if (!s->told)
		u->again_soon = true;
	s->told = true;
}

static void on_done(void *user, const struct http_response *r, const struct err *failure)
{
	struct source *s = user;
	struct api_usage *u = s->usage;
	struct err err = ERR_INIT;
	s->call = NULL;
	u->asked--;
	if (r)
		take(s, r, &err);
	else
		err = *failure;
	if (err.code && !s->failing)
		log_warn("usage of a node can't be had", "node", s->node, "reason", err.msg, NULL);
	s->failing = err.code != 0;
	if (!u->stopped)
		ask_next(u);
}

static void ask_next(struct api_usage *u)
{
	LIST_FOR_EACH(s, &u->sources, struct source, link) {
		if (u->asked >= ASKED_AT_ONCE)
			return;
		if (!s->waiting)
			continue;
		s->waiting = false;
		u->asked++;
		s->call = http_call(s->endpoint, &(struct http_call_options){
							 .method = "GET",
							 .target = "/metrics/resource",
							 .timeout_ms = ANSWER_MS,
							 .body_max_bytes = ANSWER_MAX_BYTES,
							 .done = on_done,
							 .user = s,
						 });
	}
	if (u->asked == 0 && u->again_soon) {
		u->again_soon = false;
		wakeup_in(u->timer, SECOND_MS);
	}
}

static void source_free(struct source *s)
{
	if (s->call) {
		http_call_cancel(s->call);
		s->usage->asked--;
	}
	list_remove(&s->link);
	table_remove(&s->usage->by_node, s->node);
	if (s->endpoint)
		http_endpoint_destroy(s->endpoint);
	free(s->node);
	free(s->address);
	free(s);
}

static bool is_ready(const struct json *node)
{
	JSON_FOR_EACH_ITEM(c, json_path(node, "status.conditions"))
		if (streq(json_str(json_get(c, "type")), "Ready"))
			return streq(json_str(json_get(c, "status")), "True");
	return false;
}

static struct source *source_new(
	struct api_usage *u, const char *node, const struct node_endpoint *e /* NULL = none */)
{
	struct source *s = xcalloc(1, sizeof(*s));
	s->usage = u;
	s->node = xstrdup(node);
	if (e) {
		s->address = xstrdup(e->address);
		s->endpoint = http_endpoint_create(&(struct http_endpoint_options){
			.loop = u->api->loop,
			.address = e->address,
			.tls = u->api->options.node_tls,
			.tls_name = e->tls_name,
			.max_idle = 1,
		});
	}
	list_append(&u->sources, &s->link);
	table_set(&u->by_node, s->node, s);
	return s;
}

/* Nodes are large, and few of them have changed since the last round. */
static void look_at(struct api_usage *u, const struct object *node, struct arena *scratch)
{
	struct source *s = table_get(&u->by_node, node->name);
	if (!s || s->revision != node->revision) {
		struct node_endpoint e;
		bool there =
			is_ready(object_doc(node, scratch)) && node_endpoint(scratch, node, &e);
		if (s && !streq(s->address, there ? e.address : NULL)) {
			source_free(s);
			s = NULL;
		}
		if (!s)
			s = source_new(u, node->name, there ? &e : NULL);
		s->revision = node->revision;
	}
	s->wanted = true;
	s->waiting = s->endpoint && !s->call;
}

static void on_timer(void *user)
{
	struct api_usage *u = user;
	struct arena arena = ARENA_INIT, scratch = ARENA_INIT;
	struct cache_page page;
	cache_list(u->api->cache, &(struct cache_query){.kind = u->api->nodes}, &arena, &page);
	for (size_t i = 0; i < page.count; i++) {
		look_at(u, page.items[i], &scratch);
		arena_reset(&scratch);
	}
	arena_finish(&arena);
	arena_finish(&scratch);
	LIST_FOR_EACH(s, &u->sources, struct source, link) {
		if (!s->wanted)
			source_free(s);
		else
			s->wanted = false;
	}
	usage_samples_expire(u->samples, mono_ns(u) - FORGET_NS);
	wakeup_in(u->timer, PERIOD_MS);
	ask_next(u);
}

struct api_usage *api_usage_create(struct api *api)
{
	struct api_usage *u = xcalloc(1, sizeof(*u));
	u->api = api;
	u->samples = usage_samples_create();
	u->by_node = TABLE_INIT;
	list_init(&u->sources);
	/* Without credentials for nodes nobody is asked, and nothing is known. */
	if (api->options.node_tls) {
		u->timer = wakeup_create(api->loop, api->clock, on_timer, u);
		wakeup_in(u->timer, FIRST_MS);
	}
	return u;
}

void api_usage_stop(struct api_usage *u)
{
	if (!u || u->stopped)
		return;
	u->stopped = true;
	wakeup_destroy(TAKE_PTR(u->timer));
	LIST_FOR_EACH(s, &u->sources, struct source, link)
		source_free(s);
}

void api_usage_destroy(struct api_usage *u)
{
	if (!u)
		return;
	api_usage_stop(u);
	usage_samples_destroy(u->samples);
	table_finish(&u->by_node);
	free(u);
}

const struct usage_samples *api_usage_samples(const struct api *api)
{
	return api->usage->samples;
}
