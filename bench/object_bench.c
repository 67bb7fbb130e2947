/* object_bench.c - CPU time of what a write does with a Pod: decode, check with defaults, note
 * whose fields they are, encode. Then of a status update: compare two documents and their managers.
 *
 *     object-bench [FILE]     FILE: a Pod as JSON; bench/pod.json is one */
#include "lib/object/managed_fields.h"
#include "lib/object/object.h"

#include <stdio.h>
#include <time.h>

#define BATCH 50 /* few enough to stay in the cache, as the document of a request does */
#define BATCHES 1000

static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int read_file(const char *path, struct buf *ret)
{
	char room[65536];
	size_t n;
	FILE *f = fopen(path, "re");

	if (!f)
		return -errno;
	while ((n = fread(room, 1, sizeof(room), f)) > 0)
		buf_add(ret, room, n);
	fclose(f);
	return 0;
}

enum stage { DECODE, CHECK, FIELDS, ENCODE, STAGES };

static const char now_text[] = "2026-01-01T00:00:00Z";

/* One batch, a stage after the other over all of it, so that the clock is read seldom. */
static int run(const struct kind_registry *registry, const struct kind *k, const struct buf *text,
	int64_t ret_ns[STAGES], size_t *ret_size)
{
	static struct arena arenas[BATCH];
	static struct json *docs[BATCH];
	static struct object *objects[BATCH];
	struct decode_options bare = {.skip_defaults = true, .skip_validation = true}, full = {0};
	struct status st = {0};
	int64_t at = cpu_ns(), now;

	for (size_t i = 0; i < BATCH; i++) {
		arena_reset(&arenas[i]);
		if (object_decode(registry, k, &arenas[i], "application/json", text->data,
			    text->size, &bare, &docs[i], &st) < 0)
			return -EINVAL;
	}
	now = cpu_ns();
	ret_ns[DECODE] = now - at;
	at = now;
	for (size_t i = 0; i < BATCH; i++) {
		struct field_errors errors = {.arena = &arenas[i]};

		if (object_check(k, &arenas[i], docs[i], &full, &errors, &st) < 0 ||
			field_error_count(&errors) > 0)
			return -EINVAL;
	}
	now = cpu_ns();
	ret_ns[CHECK] = now - at;
	at = now;
	for (size_t i = 0; i < BATCH; i++) {
		struct field_writer w = {
			.manager = "bench", .subresource = "", .now = now_text, .kind = k};

		managed_fields_update(&arenas[i], &w, NULL, docs[i]);
	}
	now = cpu_ns();
	ret_ns[FIELDS] = now - at;
	at = now;
	for (size_t i = 0; i < BATCH; i++)
		objects[i] = object_new(k, &arenas[i], docs[i], 5);
	ret_ns[ENCODE] = cpu_ns() - at;
	*ret_size = objects[0]->bytes->size;
	for (size_t i = 0; i < BATCH; i++)
		object_unref(objects[i]);
	return 0;
}

/* The node's agent tells the pod's state: two managers, a condition that changes. */
static int64_t run_update(
	const struct kind_registry *registry, const struct kind *k, const struct buf *text)
{
	static struct arena arenas[BATCH];
	static struct json *olds[BATCH], *docs[BATCH];
	static const char status[] =
		"{\"phase\":\"Running\",\"podIP\":\"10.0.0.1\",\"conditions\":["
		"{\"type\":\"Ready\",\"status\":\"True\"},"
		"{\"type\":\"Initialized\",\"status\":\"True\"}]}";
	struct field_writer create = {
		.manager = "bench", .subresource = "", .now = now_text, .kind = k};
	struct field_writer update = {
		.manager = "kubelet", .subresource = "status", .now = now_text, .kind = k};
	struct decode_options bare = {.skip_defaults = true, .skip_validation = true};
	struct status st = {0};
	int64_t at;

	for (size_t i = 0; i < BATCH; i++) {
		struct arena *a = &arenas[i];
		struct json *v, *first;

		arena_reset(a);
		if (object_decode(registry, k, a, "application/json", text->data, text->size, &bare,
			    &first, &st) < 0 ||
			json_parse(a, status, strlen(status), NULL, &v, NULL) < 0)
			return INT64_MAX;
		managed_fields_update(a, &create, NULL, first);
		olds[i] = json_copy(a, first);
		json_set(a, olds[i], "status", v);
		managed_fields_update(a, &update, first, olds[i]);
		docs[i] = json_copy(a, olds[i]);
		json_path_set(a, json_at(json_path(docs[i], "status.conditions"), 0), "status",
			json_new_string(a, "False"));
	}
	at = cpu_ns();
	for (size_t i = 0; i < BATCH; i++)
		managed_fields_update(&arenas[i], &update, olds[i], docs[i]);
	return cpu_ns() - at;
}

int main(int argc, char **argv)
{
	static const char *const names[] = {"decode", "check", "fields", "encode"};
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	int64_t at = cpu_ns(), ns[STAGES], best[STAGES], best_update = INT64_MAX, in_all = 0;
	struct kind_registry *registry = kind_registry_create();
	struct err err = ERR_INIT;
	const struct kind *k;
	size_t size = 0;

	if (kind_registry_load_builtin(registry, &err) < 0) {
		fprintf(stderr, "object-bench: %s\n", err.msg);
		return 1;
	}
	printf("load %zu kinds: %.2f ms\n", kind_count(registry), (double)(cpu_ns() - at) / 1e6);
	if (read_file(argc > 1 ? argv[1] : "bench/pod.json", &text) < 0) {
		fprintf(stderr, "object-bench: can't read the Pod: name its file\n");
		return 2;
	}
	k = kind_by_name(registry, "", "v1", "Pod");
	for (int s = 0; s < STAGES; s++)
		best[s] = INT64_MAX;
	for (int i = 0; i < BATCHES; i++) {
		if (run(registry, k, &text, ns, &size) < 0) {
			fprintf(stderr, "object-bench: the Pod is refused\n");
			return 1;
		}
		for (int s = 0; s < STAGES; s++)
			best[s] = MIN(best[s], ns[s]);
	}
	printf("pod of %zu bytes, %zu with defaults and managers:", text.size, size);
	for (int s = 0; s < STAGES; s++) {
		printf(" %s %.2f us", names[s], (double)best[s] / BATCH / 1e3);
		in_all += best[s];
	}
	printf(", in all %.2f us\n", (double)in_all / BATCH / 1e3);
	for (int i = 0; i < BATCHES; i++)
		best_update = MIN(best_update, run_update(registry, k, &text));
	printf("status update of it: fields %.2f us\n", (double)best_update / BATCH / 1e3);
	kind_registry_destroy(registry);
	return 0;
}
