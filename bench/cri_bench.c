/* cri_bench.c - the runtime's part of a pod alone: RunPodSandbox, CreateContainer, StartContainer
 * with the configurations that hanok node would send for the same pod.
 *
 *     cri-bench ADDRESS FILE NAME DIR
 *
 * FILE: the pod in JSON, one container, its image present; NAME: the name of this one; DIR: made
 * when it is not there, for the files that are mounted. To be run where the runtime's paths are
 * valid. Prints milliseconds ("peer N", and on stderr its parts); everything is then removed. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "bench/common.h"
#include "lib/base/random.h"
#include "node/pod/pod_config.h"

#define GIVE_UP_S 120

struct bench {
	uv_loop_t loop;
	struct cri *cri;
	struct arena arena;
	struct json *pod;
	const struct json *container;
	char *sandbox_id, *container_id, *image;
	bool done;
};

static void finish(struct bench *b, const struct grpc_result *r, const char *what)
{
	if (!grpc_ok(r))
		bench_die("%s: %s: %s", what, grpc_status_name(r->status), r->message);
	b->done = true;
}

static void on_image(void *user, const struct grpc_result *r)
{
	struct bench *b = user;
	const Cri__ImageStatusResponse *s = r->response;
	finish(b, r, "ImageStatus");
	if (!s->image)
		bench_die("the image is not present");
	b->image = arena_strdup(&b->arena, s->image->id);
}

static void on_sandbox(void *user, const struct grpc_result *r)
{
	struct bench *b = user;
	finish(b, r, "RunPodSandbox");
	b->sandbox_id = arena_strdup(
		&b->arena, ((const Cri__RunPodSandboxResponse *)r->response)->pod_sandbox_id);
}

static void on_container(void *user, const struct grpc_result *r)
{
	struct bench *b = user;
	finish(b, r, "CreateContainer");
	b->container_id = arena_strdup(
		&b->arena, ((const Cri__CreateContainerResponse *)r->response)->container_id);
}

static void on_done(void *user, const struct grpc_result *r)
{
	finish(user, r, "call");
}

static void await(struct bench *b, const char *what)
{
	bench_wait(&b->loop, &b->done, GIVE_UP_S, what);
	b->done = false;
}

static void make_dirs(struct arena *a, const char *path)
{
	char *p = arena_strdup(a, path);
	for (char *slash = strchr(p + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(p, 0755);
		*slash = '/';
	}
	if (mkdir(p, 0755) < 0 && errno != EEXIST)
		bench_die("%s: %s", path, strerror(errno));
}

static char *make_file(struct arena *a, const char *dir, const char *name)
{
	char *path = arena_printf(a, "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		bench_die("%s: %s", path, strerror(errno));
	close(fd);
	return path;
}

/* As the agent has them without settings. */
static const struct security_rules security;
static const struct qos_rules qos = {
	.quota_period_us = CPU_PERIOD_US, .node_memory = INT64_C(1) << 34};

static Cri__ContainerConfig *container_config(struct bench *b, const char *dir)
{
	struct arena *a = &b->arena;
	struct env_context none = {0};
	struct env_vars env = {0};
	struct err err = ERR_INIT;
	bench_must(env_make(a, b->pod, b->container, &none, &env, &err), &err, "environment");
	struct config_mount mounts[] = {
		{.container_path = "/etc/hosts", .host_path = make_file(a, dir, "etc-hosts")},
		{.container_path = "/dev/termination-log",
			.host_path = make_file(a, dir, "message")},
	};
	struct container_config_input in = {.pod = b->pod,
		.container = b->container,
		.env = &env,
		.mounts = mounts,
		.mount_count = ARRAY_LEN(mounts),
		.image = b->image,
		.image_user = {.uid = -1},
		.security = &security,
		.qos = &qos};
	return pod_container_config(a, &in);
}

static void clean_up(struct bench *b)
{
	cri_stop_container(b->cri, b->container_id, 0, on_done, b);
	await(b, "StopContainer");
	cri_remove_container(b->cri, b->container_id, on_done, b);
	await(b, "RemoveContainer");
	cri_stop_sandbox(b->cri, b->sandbox_id, on_done, b);
	await(b, "StopPodSandbox");
	cri_remove_sandbox(b->cri, b->sandbox_id, on_done, b);
	await(b, "RemovePodSandbox");
}

int main(int argc, char **argv)
{
	if (argc != 5)
		bench_die("usage: cri-bench ADDRESS FILE NAME DIR");
	struct bench b = {0};
	struct err err = ERR_INIT;
	uv_loop_init(&b.loop);
	arena_init(&b.arena);
	b.cri = cri_create(&b.loop, argv[1]);

	size_t size;
	_cleanup_(free_p) char *text = bench_read_file(argv[2], &size);
	bench_must(json_parse(&b.arena, text, size, NULL, &b.pod, &err), &err, argv[2]);
	struct random random = RANDOM_SYSTEM;
	char uid[37];
	random_uuid(&random, uid);
	json_path_set(&b.arena, b.pod, "metadata.name", json_new_string(&b.arena, argv[3]));
	json_path_set(&b.arena, b.pod, "metadata.uid", json_new_string(&b.arena, uid));
	b.container = json_at(json_path(b.pod, "spec.containers"), 0);
	const char *log_dir = pod_log_dir(&b.arena, b.pod);
	make_dirs(&b.arena, arena_printf(&b.arena, "%s/%s", log_dir,
				    json_str_or(json_get(b.container, "name"), "")));
	make_dirs(&b.arena, argv[4]);
	cri_image_status(b.cri, json_str_or(json_get(b.container, "image"), ""), on_image, &b);
	await(&b, "ImageStatus");

	Cri__PodSandboxConfig *sandbox = pod_sandbox_config(&b.arena,
		&(struct sandbox_config_input){
			.pod = b.pod, .hostname = "bench", .security = &security, .qos = &qos});
	Cri__ContainerConfig *container = container_config(&b, argv[4]);
	int64_t start = bench_now_ns();
	cri_run_sandbox(b.cri, sandbox, NULL, on_sandbox, &b);
	await(&b, "RunPodSandbox");
	int64_t sandboxed = bench_now_ns();
	cri_create_container(b.cri, b.sandbox_id, container, sandbox, on_container, &b);
	await(&b, "CreateContainer");
	int64_t created = bench_now_ns();
	cri_start_container(b.cri, b.container_id, on_done, &b);
	await(&b, "StartContainer");
	int64_t started = bench_now_ns();
	printf("peer %.1f\n", (double)(started - start) / 1e6);
	fprintf(stderr, "sandbox %.1f ms, create %.1f ms, start %.1f ms\n",
		(double)(sandboxed - start) / 1e6, (double)(created - sandboxed) / 1e6,
		(double)(started - created) / 1e6);
	clean_up(&b);
	return 0;
}
