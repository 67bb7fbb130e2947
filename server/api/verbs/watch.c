/* watch.c - watches over HTTP: one line of JSON an event.
 *
 *	initial ---> streaming <---> full        `full`: the client reads too slowly; events stay in
 *	   \             |            /          the cache's ring until its queue has drained
 *	    `--------> ended <-------'           (timeout, client gone, fell off the ring)
 *
 * The initial state (watch without a revision, or watch-list) is sent as ADDED events, no faster
 * than the client reads them; what happens meanwhile waits in the ring as in `full`. */
#include "server/api/verbs/watch.h"

#include <inttypes.h>

#include <stdio.h>

#include "lib/base/sm.h"
#include "server/api/api_internal.h"
#include "server/api/tables/table.h"

#define BOOKMARK_EVERY_MS 60000
#define TIMEOUT_MIN_S 1800 /* of watches that name none: 30 to 60 minutes, spread by chance */

enum watch_state { WATCH_INITIAL, WATCH_STREAMING, WATCH_FULL, WATCH_ENDED };

static const struct sm_state watch_states[] = {
	[WATCH_INITIAL] = {"initial", SM_ALLOW(WATCH_STREAMING) | SM_ALLOW(WATCH_ENDED), false},
	[WATCH_STREAMING] = {"streaming", SM_ALLOW(WATCH_FULL) | SM_ALLOW(WATCH_ENDED), false},
	[WATCH_FULL] = {"full", SM_ALLOW(WATCH_STREAMING) | SM_ALLOW(WATCH_ENDED), false},
	[WATCH_ENDED] = {"ended", 0, true},
};
static const struct sm_class watch_class = {"watch", watch_states, ARRAY_LEN(watch_states), NULL};

struct watch {
	struct list all; /* api->watches */
	struct sm sm;
	struct api *api;
	struct api_request *req; /* lives until the answer ends */
	struct cache_watcher *watcher;
	uv_timer_t timer;
	int64_t ends_ns, bookmark_ns; /* monotonic; bookmark_ns INT64_MAX = none wanted */
	bool table_columns_sent;
	struct arena arena;	/* of `page`: the request's lives as long as the watch */
	struct cache_page page; /* the initial state, with references from `sent` on */
	size_t sent;
	bool tells_initial_end;
};

static int64_t mono_ns(const struct watch *w)
{
	return w->api->clock->mono_ns(w->api->clock);
}

static void write_table_event(struct watch *w, const char *type, const struct object *o)
{
	struct buf out = BUF_INIT;
	struct arena scratch = ARENA_INIT;
	const char *include = query_get(&w->req->query, "includeObject");
	buf_printf(&out, "{\"type\":\"%s\",\"object\":", type);
	struct table_writer t = {
		.kind = w->req->kind,
		.version = w->req->wanted.version,
		.include = streq(include, "Object") ? INCLUDE_OBJECT
			   : streq(include, "None") ? INCLUDE_NONE
						    : INCLUDE_METADATA,
		.now_ns = api_now_ns(w->req),
		.out = &out,
	};
	uint64_t revision = o ? o->revision : cache_watch_revision(w->watcher);
	table_begin(&t, arena_printf(&scratch, "\"resourceVersion\":\"%" PRIu64 "\"", revision),
		!w->table_columns_sent);
	w->table_columns_sent = true;
	if (o)
		table_add(&t, &scratch, object_doc_as(o, w->req->kind, &scratch));
	table_end(&t);
	out.size--; /* the table's newline: the event goes on */
	buf_add_str(&out, "}\n");
	http_stream_write(w->req->http, out.data, out.size);
	arena_finish(&scratch);
	buf_finish(&out);
}

static void write_partial_event(struct watch *w, const char *type, const struct object *o)
{
	struct buf out = BUF_INIT;
	struct arena scratch = ARENA_INIT;
	buf_printf(&out, "{\"type\":\"%s\",\"object\":", type);
	json_write(&out, partial_metadata(&scratch, object_doc_as(o, w->req->kind, &scratch),
				 w->req->wanted.version));
	buf_add_str(&out, "}\n");
	http_stream_write(w->req->http, out.data, out.size);
	arena_finish(&scratch);
	buf_finish(&out);
}

/* For a kind that is stored as another one. */
static void write_converted_event(struct watch *w, const char *type, const struct object *o)
{
	struct buf out = BUF_INIT;
	struct arena scratch = ARENA_INIT;
	buf_printf(&out, "{\"type\":\"%s\",\"object\":", type);
	json_write(&out, object_doc_as(o, w->req->kind, &scratch));
	buf_add_str(&out, "}\n");
	http_stream_write(w->req->http, out.data, out.size);
	arena_finish(&scratch);
	buf_finish(&out);
}

#define EVENT_PARTS 3

/* The event around the object's bytes. `head` is where its beginning is put. */
static void event_parts(const char *type, const struct object *o, char *head, size_t room,
	struct http_part ret[EVENT_PARTS])
{
	int n = snprintf(head, room, "{\"type\":\"%s\",\"object\":", type);
	ret[0] = (struct http_part){.text = head, .text_size = (size_t)n};
	ret[1] = (struct http_part){.blob = o->bytes};
	ret[2] = (struct http_part){.text = "}\n", .text_size = 2};
}

/* Of an event from the cache other watchers have most likely written the same already, or will. */
static void write_object_event(struct watch *w, const char *type, const struct cache_event *e)
{
	char head[48];
	struct http_part parts[EVENT_PARTS];
	struct blob *piece = blob_ref(e->line);
	if (!piece) {
		event_parts(type, e->object, head, sizeof(head), parts);
		piece = http_piece_new(parts, EVENT_PARTS);
		cache_watch_share(w->watcher, blob_ref(piece));
	}
	http_stream_write_piece(w->req->http, piece);
	blob_unref(piece);
}

/* e NULL: an object of the initial state. */
static void write_event(
	struct watch *w, const char *type, const struct object *o, const struct cache_event *e)
{
	if (w->req->wanted.form == ACCEPT_TABLE) {
		write_table_event(w, type, o);
	} else if (w->req->wanted.form != ACCEPT_OBJECT) {
		write_partial_event(w, type, o);
	} else if (o->kind != w->req->kind) {
		write_converted_event(w, type, o);
	} else if (e) {
		write_object_event(w, type, e);
	} else {
		char head[48];
		struct http_part parts[EVENT_PARTS];
		event_parts(type, o, head, sizeof(head), parts);
		http_stream_write_parts(w->req->http, parts, EVENT_PARTS);
	}
}

static void write_bookmark(struct watch *w, bool initial_end)
{
	if (w->req->wanted.form == ACCEPT_TABLE) {
		write_table_event(w, "BOOKMARK", NULL);
		return;
	}
	const struct kind *k = w->req->kind;
	bool partial = w->req->wanted.form != ACCEPT_OBJECT;
	char line[640];
	int n = snprintf(line, sizeof(line),
		"{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"%s\",\"apiVersion\":\"%s%s\","
		"\"metadata\":"
		"{\"resourceVersion\":\"%" PRIu64 "\",\"creationTimestamp\":null%s}}}\n",
		partial ? "PartialObjectMetadata" : k->kind, partial ? "meta.k8s.io/" : k->gv,
		partial ? w->req->wanted.version : "", cache_watch_revision(w->watcher),
		initial_end ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
	http_stream_write(w->req->http, line, (size_t)n);
}

static void write_error(struct watch *w)
{
	struct buf out = BUF_INIT;
	buf_add_str(&out, "{\"type\":\"ERROR\",\"object\":");
	json_write(&out, w->req->st.doc);
	buf_add_str(&out, "}\n");
	http_stream_write(w->req->http, out.data, out.size);
	buf_finish(&out);
}

static void timer_closed(uv_handle_t *h)
{
	free(CONTAINER_OF((uv_timer_t *)h, struct watch, timer));
}

static void watch_end(struct watch *w)
{
	struct http_request *http = w->req->http;
	sm_move(&w->sm, WATCH_ENDED, mono_ns(w));
	for (; w->sent < w->page.count; w->sent++)
		object_unref(w->page.items[w->sent]);
	arena_finish(&w->arena);
	list_remove(&w->all);
	w->api->metrics.watches--;
	cache_watch_close(w->watcher);
	uv_timer_stop(&w->timer);
	uv_close((uv_handle_t *)&w->timer, timer_closed);
	w->req = NULL;
	http_stream_end(http);
}

static void on_cancelled(struct http_request *http)
{
	watch_end(http->user);
}

static void watch_expired(struct watch *w)
{
	status_set(w->req->arena, &w->req->st, 410, "Expired",
		"too old resource version: %" PRIu64 " (%" PRIu64 ")",
		cache_watch_revision(w->watcher), cache_revision(w->api->cache));
	write_error(w);
	watch_end(w);
}

/* Moves what is there from the cache to the client, as far as the client's queue takes it. */
static void watch_pump(struct watch *w)
{
	if (w->sm.state != WATCH_STREAMING)
		return;
	static const char *const types[] = {[CACHE_ADDED] = "ADDED",
		[CACHE_MODIFIED] = "MODIFIED",
		[CACHE_DELETED] = "DELETED"};
	for (;;) {
		if (http_stream_queued(w->req->http) > STREAM_HIGH_BYTES) {
			sm_move(&w->sm, WATCH_FULL, mono_ns(w));
			return;
		}
		struct cache_event e;
		int r = cache_watch_next(w->watcher, &e);
		if (r < 0) {
			watch_expired(w);
			return;
		}
		if (r == 0)
			return;
		write_event(w, types[e.type], e.object, &e);
	}
}

static void on_notify(void *user)
{
	watch_pump(user);
}

/* The same for the initial state. */
static void watch_pump_initial(struct watch *w)
{
	for (; w->sent < w->page.count; w->sent++) {
		if (http_stream_queued(w->req->http) > STREAM_LOW_BYTES) {
			http_stream_tell_drained(w->req->http);
			return;
		}
		struct object *o = w->page.items[w->sent];
		write_event(w, "ADDED", o, NULL);
		object_unref(o);
	}
	w->page = (struct cache_page){0};
	w->sent = 0;
	arena_finish(&w->arena);
	if (w->tells_initial_end)
		write_bookmark(w, true);
	sm_move(&w->sm, WATCH_STREAMING, mono_ns(w));
	watch_pump(w);
}

static void on_drained(struct http_request *http)
{
	struct watch *w = http->user;
	if (w->sm.state == WATCH_INITIAL)
		watch_pump_initial(w);
	if (w->sm.state != WATCH_FULL)
		return;
	sm_move(&w->sm, WATCH_STREAMING, mono_ns(w));
	watch_pump(w);
}

static void timer_set(struct watch *w);

static void on_timer(uv_timer_t *timer)
{
	struct watch *w = CONTAINER_OF(timer, struct watch, timer);
	int64_t now = mono_ns(w);
	bool bookmarks = w->bookmark_ns != INT64_MAX && w->sm.state == WATCH_STREAMING;
	if (now >= w->ends_ns) {
		if (bookmarks)
			write_bookmark(w, false);
		watch_end(w);
		return;
	}
	if (now >= w->bookmark_ns) {
		if (bookmarks)
			write_bookmark(w, false);
		w->bookmark_ns = now + BOOKMARK_EVERY_MS * NS_PER_MS;
	}
	timer_set(w);
}

static void timer_set(struct watch *w)
{
	int64_t next = MIN(w->ends_ns, w->bookmark_ns) - mono_ns(w);
	uv_timer_start(&w->timer, on_timer, next > 0 ? (uint64_t)(next / NS_PER_MS) + 1 : 0, 0);
}

static void take_initial(struct watch *w, const struct list_options *o)
{
	cache_list(w->api->cache,
		&(struct cache_query){
			.kind = w->req->kind,
			.namespace = w->req->route.namespace,
			.labels = o->labels.count ? &o->labels : NULL,
			.fields = o->fields.count ? &o->fields : NULL,
		},
		&w->arena, &w->page);
	for (size_t i = 0; i < w->page.count; i++)
		object_ref(w->page.items[i]);
}

static void add_name_selector(struct api_request *req, struct list_options *o)
{
	/* GET .../NAME?watch=true: the same as a field selector for the name. */
	struct requirement *items = arena_alloc(req->arena, (o->fields.count + 1) * sizeof(*items));
	if (o->fields.count)
		memcpy(items, o->fields.items, o->fields.count * sizeof(*items));
	const char **value = arena_alloc(req->arena, sizeof(*value));
	*value = req->route.name;
	items[o->fields.count] = (struct requirement){
		.key = "metadata.name", .op = SEL_EQ, .values = value, .value_count = 1};
	o->fields.items = items;
	o->fields.count++;
}

void api_watch(struct api_request *req)
{
	struct api *api = req->api;
	struct list_options o;
	int r = list_options_parse(req, &o);
	if (r == 0 && (!req->http || api->stopping))
		r = status_set(req->arena, &req->st, 503, "ServiceUnavailable",
			req->http ? "the server is stopping"
				  : "watches are not served on this path");
	uint64_t current = cache_revision(api->cache);
	if (r == 0 && o.revision > current && o.send_initial)
		r = status_too_new(req, o.revision);
	if (r < 0) {
		api_fail(req);
		return;
	}
	if (req->route.name)
		add_name_selector(req, &o);
	/* From "any" or "now": the present state first, then what follows it. A revision of the
	 * future waits for its events, which is what following from now does. */
	bool initial =
		o.send_initial || (!query_get(&req->query, "sendInitialEvents") && o.revision == 0);
	uint64_t since = o.revision && !initial ? MIN(o.revision, current) : current;
	struct watch *w = xcalloc(1, sizeof(*w));
	w->api = api;
	w->req = req;
	r = cache_watch(api->cache,
		&(struct cache_watch_options){
			.kind = req->kind,
			.namespace = req->route.namespace,
			.labels = o.labels.count ? &o.labels : NULL,
			.fields = o.fields.count ? &o.fields : NULL,
			.since = since,
		},
		on_notify, w, &w->watcher);
	if (r < 0) {
		/* Upstream answers 200 and one ERROR event; reflectors know both forms. */
		status_set(req->arena, &req->st, 410, "Expired",
			"too old resource version: %" PRIu64 " (%" PRIu64 ")", since, current);
		http_stream_begin(req->http, 200, "application/json", api_http_headers(req, NULL));
		write_error(w);
		http_stream_end(req->http);
		free(w);
		return;
	}
	metrics_count(&api->metrics, "WATCH", req->kind->plural, "", 200, 0);
	api->metrics.watches++;
	list_append(&api->watches, &w->all);
	sm_init(&w->sm, &watch_class, w, req->kind->plural, WATCH_INITIAL, mono_ns(w));
	uv_timer_init(api->loop, &w->timer);
	int64_t timeout_s = o.timeout_s;
	if (timeout_s == 0)
		timeout_s = TIMEOUT_MIN_S + (int64_t)random_below(&api->random, TIMEOUT_MIN_S);
	timeout_s = MIN(timeout_s, INT64_C(86400) * 365);
	w->ends_ns = mono_ns(w) + timeout_s * NS_PER_S;
	w->bookmark_ns = o.allow_bookmarks
				 ? mono_ns(w) + BOOKMARK_EVERY_MS * NS_PER_MS -
					   (int64_t)random_below(&api->random, 5000) * NS_PER_MS
				 : INT64_MAX;
	timer_set(w);
	req->http->user = w;
	req->http->cancelled = on_cancelled;
	http_stream_begin(req->http, 200, "application/json",
		api_http_headers(req, api_warning_headers(req)));
	http_stream_on_drained(req->http, on_drained);
	if (initial)
		take_initial(w, &o);
	w->tells_initial_end = o.send_initial;
	watch_pump_initial(w);
}

void watches_end_kind(struct api *api, const struct kind *k)
{
	LIST_FOR_EACH(w, &api->watches, struct watch, all)
		if (w->req->kind->slot == k->slot)
			watch_end(w);
}

void watches_end(struct api *api)
{
	LIST_FOR_EACH(w, &api->watches, struct watch, all)
		watch_end(w);
}
