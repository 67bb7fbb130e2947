/* create_bench.c - from posting an object to its status.phase Running, or PHASE, as a watch tells
 * it.
 *
 *     create-bench KUBECONFIG FILE NAME [PHASE]
 *
 * FILE is the object in JSON, NAME the name that this one gets. Prints milliseconds ("hanok N");
 * the object is then deleted and the program ends when it is gone. Connections are made before the
 * clock starts. */
#include <stdio.h>

#include "bench/common.h"
#include "lib/client/client.h"

#define GIVE_UP_S 120

struct bench {
	uv_loop_t loop;
	struct client *client;
	const struct kind *kind;
	struct arena arena;
	const char *namespace, *name, *phase;
	uint64_t revision;
	int64_t running_ns;
	bool listed, answered, running, gone;
};

static void on_list(void *user, const struct client_list_result *r)
{
	struct bench *b = user;
	if (r->code != 200)
		bench_die("list: %s", r->message);
	b->revision = r->revision;
	b->listed = true;
}

static void on_event(void *user, const struct client_event *e)
{
	struct bench *b = user;
	if (e->type == CLIENT_ERROR)
		bench_die("watch: %s", e->message);
	if (e->type == CLIENT_BOOKMARK)
		return;
	b->gone = e->type == CLIENT_DELETED;
	const struct json *doc = object_doc(e->object, &b->arena);
	const char *phase = json_path_str(doc, "status.phase");
	if (!b->running && streq(phase, b->phase)) {
		b->running_ns = bench_now_ns();
		b->running = true;
	}
	if (streq(phase, "Failed"))
		bench_die("%s failed: %s", b->name, json_text(&b->arena, json_get(doc, "status")));
}

static void on_watch_ended(void *user)
{
	bench_die("the watch ended");
}

static void on_answer(void *user, const struct client_result *r)
{
	struct bench *b = user;
	if (!client_ok(r))
		bench_die("%s: %d %s", b->name, r->code, r->message);
	b->answered = true;
}

int main(int argc, char **argv)
{
	if (argc != 4 && argc != 5)
		bench_die("usage: create-bench KUBECONFIG FILE NAME [PHASE]");
	struct bench b = {.name = argv[3], .phase = argc == 5 ? argv[4] : "Running"};
	struct err err = ERR_INIT;
	uv_loop_init(&b.loop);
	arena_init(&b.arena);
	struct kind_registry *kinds = kind_registry_create();
	bench_must(kind_registry_load_builtin(kinds, &err), &err, "kinds");
	bench_must(client_https_create(&b.loop, kinds, argv[1], "create-bench", &b.client, &err),
		&err, argv[1]);

	size_t size;
	_cleanup_(free_p) char *text = bench_read_file(argv[2], &size);
	struct json *doc;
	bench_must(json_parse(&b.arena, text, size, NULL, &doc, &err), &err, argv[2]);
	json_path_set(&b.arena, doc, "metadata.name", json_new_string(&b.arena, b.name));
	b.namespace = json_str_or(json_path(doc, "metadata.namespace"), "default");
	char group[128], version[64];
	gv_split(json_str_or(json_get(doc, "apiVersion"), ""), group, version);
	b.kind = kind_by_name(kinds, group, version, json_str_or(json_get(doc, "kind"), ""));
	if (!b.kind)
		bench_die("%s: unknown kind", argv[2]);

	_cleanup_(free_p) char *selector = xasprintf("metadata.name=%s", b.name);
	struct client_list_options list = {
		.kind = b.kind, .namespace = b.namespace, .field_selector = selector};
	b.client->ops->list(b.client, &list, on_list, &b);
	bench_wait(&b.loop, &b.listed, GIVE_UP_S, "the list");
	struct client_watch_options watch = {.kind = b.kind,
		.namespace = b.namespace,
		.field_selector = selector,
		.since = b.revision};
	struct client_watch_handler handler = {.event = on_event, .ended = on_watch_ended};
	b.client->ops->watch(b.client, &watch, &handler, &b);

	int64_t start = bench_now_ns();
	client_create(b.client, b.kind, b.namespace, doc, on_answer, &b);
	bench_wait(&b.loop, &b.running, GIVE_UP_S, b.phase);
	printf("hanok %.1f\n", (double)(b.running_ns - start) / 1e6);

	b.answered = false;
	client_delete(b.client, b.kind, b.namespace, b.name, NULL, -1, NULL, on_answer, &b);
	bench_wait(&b.loop, &b.answered, GIVE_UP_S, "the answer to the deletion");
	bench_wait(&b.loop, &b.gone, GIVE_UP_S, "the end of what was deleted");
	return 0;
}
