/* cri_many_bench.c - the runtime's part of many pods alone, all asked for at once: RunPodSandbox,
 * CreateContainer, StartContainer of each as soon as the one before is answered, with the
 * configurations that hanok node would send for the same pods.
 *
 *     cri-many-bench ADDRESS FILE COUNT
 *
 * FILE: a pod in JSON, one container, its image present. To be run where the runtime's paths are
 * valid. Prints milliseconds until all had started ("peer N"); everything is removed when standard
 * input says something or ends. What a node adds is left out: control groups of pods, volumes,
 * files bound into the container, questions for the state of what was started. */
#include <stdio.h>
#include <sys/stat.h>

#include "bench/common.h"
#include "lib/base/random.h"
#include "node/pod/pod_config.h"

#define GIVE_UP_S 300

struct bench;

struct pod {
	struct bench *b;
	struct json *doc;
	Cri__PodSandboxConfig *sandbox;
	Cri__ContainerConfig *container;
	char *sandbox_id, *container_id;
};

struct bench {
	uv_loop_t loop;
	struct cri *cri;
	struct arena arena;
	struct pod *pods;
	size_t count, left;
	char *image;
	bool done;
};

static void must(const struct grpc_result *r, const char *what)
{
	if (!grpc_ok(r))
		bench_die("%s: %s: %s", what, grpc_status_name(r->status), r->message);
}

static void one_done(struct bench *b)
{
	b->done = --b->left == 0;
}

static void await(struct bench *b, const char *what)
{
	b->done = false;
	bench_wait(&b->loop, &b->done, GIVE_UP_S, what);
}

/* ---- up ---- */

static void on_started(void *user, const struct grpc_result *r)
{
	must(r, "StartContainer");
	one_done(((struct pod *)user)->b);
}

static void on_container(void *user, const struct grpc_result *r)
{
	struct pod *p = user;

	must(r, "CreateContainer");
	p->container_id = arena_strdup(
		&p->b->arena, ((const Cri__CreateContainerResponse *)r->response)->container_id);
	cri_start_container(p->b->cri, p->container_id, on_started, p);
}

static void on_sandbox(void *user, const struct grpc_result *r)
{
	struct pod *p = user;

	must(r, "RunPodSandbox");
	p->sandbox_id = arena_strdup(
		&p->b->arena, ((const Cri__RunPodSandboxResponse *)r->response)->pod_sandbox_id);
	cri_create_container(p->b->cri, p->sandbox_id, p->container, p->sandbox, on_container, p);
}

/* ---- down ---- */

static void on_removed(void *user, const struct grpc_result *r)
{
	must(r, "RemovePodSandbox");
	one_done(((struct pod *)user)->b);
}

static void on_stopped(void *user, const struct grpc_result *r)
{
	struct pod *p = user;

	must(r, "StopPodSandbox");
	cri_remove_sandbox(p->b->cri, p->sandbox_id, on_removed, p);
}

/* ---- preparation ---- */

static void on_image(void *user, const struct grpc_result *r)
{
	struct bench *b = user;
	const Cri__ImageStatusResponse *s = r->response;

	must(r, "ImageStatus");
	if (!s->image)
		bench_die("the image is not present");
	b->image = arena_strdup(&b->arena, s->image->id);
	b->done = true;
}

/* As the agent has them without settings. */
static const struct security_rules security;
static const struct qos_rules qos = {
	.quota_period_us = CPU_PERIOD_US, .node_memory = INT64_C(1) << 34};

static void prepare(struct bench *b, struct pod *p, const char *text, size_t size, size_t n)
{
	struct arena *a = &b->arena;
	struct random random = RANDOM_SYSTEM;
	struct env_context none = {0};
	struct env_vars *env = ARENA_NEW(a, struct env_vars);
	struct err err = ERR_INIT;
	char uid[37];

	p->b = b;
	bench_must(json_parse(a, text, size, NULL, &p->doc, &err), &err, "pod");
	random_uuid(&random, uid);
	json_path_set(a, p->doc, "metadata.name", json_new_printf(a, "peer-%zu", n));
	json_path_set(a, p->doc, "metadata.uid", json_new_string(a, uid));
	const struct json *container = json_at(json_path(p->doc, "spec.containers"), 0);
	char *dir = pod_log_dir(a, p->doc);
	mkdir(POD_LOG_ROOT, 0755);
	mkdir(dir, 0755);
	mkdir(arena_printf(a, "%s/%s", dir, json_str_or(json_get(container, "name"), "")), 0755);
	bench_must(env_make(a, p->doc, container, &none, env, &err), &err, "environment");
	struct container_config_input in = {.pod = p->doc,
		.container = container,
		.env = env,
		.image = b->image,
		.image_user = {.uid = -1},
		.security = &security,
		.qos = &qos};
	p->sandbox = pod_sandbox_config(a, &(struct sandbox_config_input){.pod = p->doc,
						   .hostname = arena_printf(a, "peer-%zu", n),
						   .cgroup_parent = "",
						   .security = &security,
						   .qos = &qos});
	/* Without the mark of a node agent, which would take them down as nobody's. */
	p->sandbox->n_annotations = 0;
	p->container = pod_container_config(a, &in);
}

int main(int argc, char **argv)
{
	struct bench b = {0};
	struct err err = ERR_INIT;
	int64_t count;
	size_t size;

	if (argc != 4 || parse_i64(str_from(argv[3]), &count) < 0 || count < 1 || count > 10000)
		bench_die("usage: cri-many-bench ADDRESS FILE COUNT");
	uv_loop_init(&b.loop);
	b.cri = cri_create(&b.loop, argv[1]);
	_cleanup_(free_p) char *text = bench_read_file(argv[2], &size);
	struct json *doc;
	bench_must(json_parse(&b.arena, text, size, NULL, &doc, &err), &err, argv[2]);
	cri_image_status(b.cri,
		json_str_or(json_get(json_at(json_path(doc, "spec.containers"), 0), "image"), ""),
		on_image, &b);
	await(&b, "ImageStatus");
	b.count = (size_t)count;
	b.pods = xcalloc(b.count, sizeof(*b.pods));
	for (size_t i = 0; i < b.count; i++)
		prepare(&b, &b.pods[i], text, size, i);

	int64_t start = bench_now_ns();
	b.left = b.count;
	for (size_t i = 0; i < b.count; i++)
		cri_run_sandbox(b.cri, b.pods[i].sandbox, NULL, on_sandbox, &b.pods[i]);
	await(&b, "start of all");
	printf("peer %.1f\n", (double)(bench_now_ns() - start) / 1e6);
	fflush(stdout);
	(void)!getchar();

	b.left = b.count;
	for (size_t i = 0; i < b.count; i++)
		cri_stop_sandbox(b.cri, b.pods[i].sandbox_id, on_stopped, &b.pods[i]);
	await(&b, "removal of all");
	free(b.pods);
	return 0;
}
