/* Requests of any form, one after the other, against an API server on a store in memory: each is
 * answered exactly once, with JSON where it says so, and whatever was stored can be read again.
 *
 * Input: requests separated by a zero byte, each "METHOD PATH?QUERY\nCONTENT-TYPE\nBODY". */
#include "server/api/api_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUESTS_MAX 8

/* The store: forgets everything, says yes. What counts is in the cache. */
struct memory_store {
	struct store store;
	uint64_t revision;
};

static int memory_load(
	struct store *s, store_row *row, void *user, uint64_t *ret_revision, struct err *err)
{
	*ret_revision = CONTAINER_OF(s, struct memory_store, store)->revision;
	return 0;
}

static void memory_txn(
	struct store *s, const struct store_change *change, store_done *done, void *user)
{
	struct memory_store *m = CONTAINER_OF(s, struct memory_store, store);

	done(user, 0, ++m->revision, NULL);
}

static void memory_compact(struct store *s, uint64_t revision)
{
}

static void memory_close(struct store *s, void (*done)(void *user), void *user)
{
	done(user);
}

static const struct store_ops memory_ops = {
	.name = "memory",
	.load = memory_load,
	.txn = memory_txn,
	.compact = memory_compact,
	.close = memory_close,
};

static void on_answer(struct api_request *req, int code, const char *content_type,
	const char *extra, const struct http_part *parts, size_t count)
{
	unsigned *answers = req->caller;
	struct buf body = BUF_INIT;
	struct arena a = ARENA_INIT;
	struct json_limits limits = {.depth = 1000, .size_bytes = SIZE_MAX};
	struct json *doc;

	if (++*answers > 1 || code < 200 || code > 599)
		abort();
	for (size_t i = 0; i < count; i++) {
		if (parts[i].blob)
			buf_add(&body, parts[i].blob->data, parts[i].blob->size);
		else
			buf_add(&body, parts[i].text, parts[i].text_size);
	}
	if (content_type && str_has_prefix(content_type, "application/json") && body.size > 0 &&
		json_parse(&a, body.data, body.size, &limits, &doc, NULL) < 0)
		abort();
	arena_finish(&a);
	buf_finish(&body);
}

static int64_t fixed_ns(struct clock *c)
{
	return INT64_C(1700000000) * NS_PER_S;
}

static void send_request(struct api *api, uv_loop_t *loop, struct str text)
{
	static const char *const masters[] = {"system:masters"};
	struct arena a = ARENA_INIT;
	struct str line = {0}, type = {0}, method, target, path;
	unsigned answers = 0;
	char *decoded;

	if (!str_split(&text, '\n', &line) || !str_split(&text, '\n', &type))
		goto out;
	target = line;
	if (!str_split(&target, ' ', &method) || !target.p)
		goto out;
	if (!str_split(&target, '?', &path) || percent_decode(&a, path, false, &decoded) < 0 ||
		!utf8_valid(decoded, strlen(decoded)))
		goto out;
	struct api_request *req = ARENA_NEW(&a, struct api_request);
	*req = (struct api_request){
		.api = api,
		.arena = &a,
		.method = arena_memdup(&a, method.p, method.size),
		.path = decoded,
		.query = query_parse(&a, target.p ? arena_memdup(&a, target.p, target.size) : NULL),
		/* A type that begins with "accept:" is what is wanted back instead. */
		.accept = type.size > 7 && memcmp(type.p, "accept:", 7) == 0
				  ? arena_memdup(&a, type.p + 7, type.size - 7)
				  : NULL,
		.content_type = arena_memdup(&a, type.p, type.size),
		.user_agent = "fuzz",
		.body = text.p ? arena_memdup(&a, text.p, text.size) : "",
		.body_size = text.p ? text.size : 0,
		.user = {.name = "fuzz", .groups = (const char **)masters, .group_count = 1},
		.started_ns = fixed_ns(NULL),
		.respond = on_answer,
		.caller = &answers,
	};
	api_handle(req);
	uv_run(loop, UV_RUN_NOWAIT);
	if (answers != 1)
		abort();
out:
	arena_finish(&a);
}

static void on_closed(void *user)
{
	*(bool *)user = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct kind_registry *kinds;
	static struct clock clock = {fixed_ns, fixed_ns};
	struct memory_store store = {.store = {&memory_ops}, .revision = 1};
	struct str rest = {(const char *)data, size}, text;
	uv_loop_t loop;
	struct api *api;
	bool closed = false;

	if (size == 0)
		return 0;
	if (!kinds) {
		kinds = kind_registry_create();
		if (kind_registry_load_builtin(kinds, NULL) < 0)
			abort();
	}
	uv_loop_init(&loop);
	struct cache *cache = cache_create(&loop, kinds, &store.store, &clock);
	if (cache_load(cache, NULL) < 0 ||
		api_create(&(struct api_options){.loop = &loop,
				   .kinds = kinds,
				   .cache = cache,
				   .clock = &clock,
				   .random = random_seeded(1),
				   .disable_admission =
					   "ServiceAccount", /* it waits, for an account to come */
				   .service_cidr = "10.96.0.0/24",
				   .pod_cidr = "10.244.0.0/20"},
			&api, NULL) < 0)
		abort();
	send_request(api, &loop,
		STR("POST /api/v1/namespaces\napplication/json\n{\"metadata\":{\"name\":\"n\"}}"));
	for (unsigned i = 0; i < REQUESTS_MAX && str_split(&rest, '\0', &text); i++)
		send_request(api, &loop, text);
	send_request(api, &loop,
		STR("GET /api/v1/pods\naccept:application/json;as=Table;v=v1;g=meta.k8s.io\n"));
	api_shutdown(api);
	cache_close(cache, on_closed, &closed);
	while (!closed)
		uv_run(&loop, UV_RUN_NOWAIT);
	api_destroy(api);
	uv_run(&loop, UV_RUN_NOWAIT);
	if (uv_loop_close(&loop) < 0)
		abort();
	return 0;
}
