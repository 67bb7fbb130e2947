/* pod_image.c - makes the image of a container present, by its pull policy:
 *
 *   Always        pull (a pull of what is there costs a question to the registry)
 *   IfNotPresent  look, pull when it is not there
 *   Never         look
 *
 * Failures are retried after 10 s doubling to 300 s, with Kubernetes' reasons. */
#include "node/pod/pod_internal.h"

#include <stdio.h>

#include "lib/base/log.h"
#include "node/pod/image_ref.h"

enum { INVALID_RETRY_S = 60, FIRST_SHOW_MS = 1500 };

static const struct json *container_doc(struct pod_op *op, struct arena *a)
{
	return pod_container_doc(pod_worker_doc(op->w, a), op->container);
}

static void image_ready(struct pod_op *op)
{
	struct pod_worker *w = op->w;
	struct pod_container *c = &w->containers[op->container];

	w->view.containers[op->container].image = IMAGE_READY;
	w->view.containers[op->container].retry_ns = 0;
	w->pulls[op->container] = (struct backoff){0};
	c->image_uid = op->image_uid;
	pod_container_wait(c, NULL, NULL);
	pod_op_end(op);
}

static void image_failed(
	struct pod_op *op, const char *reason, const char *message, int64_t retry_ns)
{
	struct pod_worker *w = op->w;
	struct container_view *v = &w->view.containers[op->container];

	v->image = IMAGE_FAILED;
	v->retry_ns = wall(w->n) + retry_ns;
	pod_container_wait(&w->containers[op->container], reason, "%s", message);
	pod_worker_event(w, (long)op->container, "Warning", "Failed", "Error: %s", reason);
	pod_op_end(op);
}

static void on_pulled_status(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;
	const Cri__ImageStatusResponse *s = r->response;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *image = json_str_or(json_get(container_doc(op, &a), "image"), "");
	double took = (double)(mono(w->n) - op->started_ns) / 1e9;
	unsigned long long size = 0;

	op->grpc = NULL;
	if (grpc_ok(r) && s->image) {
		size = s->image->size;
		if (s->image->uid)
			op->image_uid = s->image->uid->value;
		else if (!*s->image->username)
			op->image_uid = 0;
	}
	pod_worker_event(w, (long)op->container, "Normal", "Pulled",
		"Successfully pulled image \"%s\" in %.3fs (%.3fs including waiting). Image size: "
		"%llu bytes.",
		image, took, took, size);
	image_ready(op);
}

static void on_pulled(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *image = json_str_or(json_get(container_doc(op, &a), "image"), "");

	op->grpc = NULL;
	if (grpc_ok(r)) {
		op->grpc = cri_image_status(w->m->cri, image, on_pulled_status, op);
		return;
	}
	pod_worker_event(w, (long)op->container, "Warning", "Failed",
		"Failed to pull image \"%s\": %s", image, r->message);
	backoff_raise(&w->pulls[op->container], wall(w->n));
	/* Shown for a moment; then the next look finds the back-off running. */
	image_failed(op, "ErrImagePull", r->message, FIRST_SHOW_MS * NS_PER_MS);
}

static void pull(struct pod_op *op)
{
	struct pod_worker *w = op->w;
	struct backoff *b = &w->pulls[op->container];
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pod = pod_worker_doc(w, &a);
	const char *image = json_str_or(json_get(container_doc(op, &a), "image"), "");

	int64_t until = backoff_until(b, b->updated_ns, wall(w->n));
	if (until) {
		struct pod_container *c = &w->containers[op->container];
		struct container_view *v = &w->view.containers[op->container];
		_cleanup_(free_p) char *why =
			streq(c->wait_reason, "ErrImagePull") ? xstrdup(c->wait_message) : NULL;
		pod_worker_event(w, (long)op->container, "Normal", "BackOff",
			"Back-off pulling image \"%s\"", image);
		if (!streq(c->wait_reason, "ImagePullBackOff"))
			pod_container_wait(c, "ImagePullBackOff",
				"Back-off pulling image \"%s\"%s%s", image,
				why ? ": ErrImagePull: " : "", why ? why : "");
		pod_worker_event(
			w, (long)op->container, "Warning", "Failed", "Error: ImagePullBackOff");
		v->image = IMAGE_FAILED;
		v->retry_ns = until;
		pod_op_end(op);
		return;
	}

	Cri__AuthConfig auth = CRI__AUTH_CONFIG__INIT;
	struct registry_auth found;
	bool have = false;
	JSON_FOR_EACH_ITEM(ref, json_path(pod, "spec.imagePullSecrets")) {
		const struct json *secret =
			pod_refs_secret(op->refs, json_str_or(json_get(ref, "name"), ""));
		if (have || !secret || !registry_auth_find(&a, secret, image, &found))
			continue;
		have = true;
		auth.username = (char *)(uintptr_t)(found.username ? found.username : "");
		auth.password = (char *)(uintptr_t)(found.password ? found.password : "");
		auth.auth = (char *)(uintptr_t)(found.auth ? found.auth : "");
		auth.identity_token =
			(char *)(uintptr_t)(found.identity_token ? found.identity_token : "");
	}
	pod_worker_event(
		w, (long)op->container, "Normal", "Pulling", "Pulling image \"%s\"", image);
	op->started_ns = mono(w->n);
	op->grpc = cri_pull_image(w->m->cri, image, have ? &auth : NULL,
		pod_sandbox_config(&a, pod, w->view.sandbox_attempt), on_pulled, op);
}

static void on_refs(void *user, struct pod_refs *r, const struct err *err)
{
	struct pod_op *op = user;

	op->fetch = NULL;
	op->refs = r;
	/* Without its secrets a pull may still work, and says what is wrong if not. */
	pull(op);
}

static void pull_with_secrets(struct pod_op *op)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pod = pod_worker_doc(op->w, &a);

	if (json_count(json_path(pod, "spec.imagePullSecrets")) > 0)
		op->fetch =
			pod_refs_fetch(op->w->n, pod, POD_REFS_PULL, op->w->tokens, on_refs, op);
	else
		pull(op);
}

static void on_status(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;
	const Cri__ImageStatusResponse *s = r->response;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *doc = container_doc(op, &a);
	const char *image = json_str_or(json_get(doc, "image"), "");

	op->grpc = NULL;
	if (!grpc_ok(r)) {
		pod_worker_event(w, (long)op->container, "Warning", "InspectFailed",
			"Failed to inspect image \"%s\": %s", image, r->message);
		image_failed(op, "ImageInspectError", r->message, 10 * NS_PER_S);
		return;
	}
	if (s->image) {
		if (s->image->uid)
			op->image_uid = s->image->uid->value;
		else if (!*s->image->username)
			op->image_uid = 0;
		pod_worker_event(w, (long)op->container, "Normal", "Pulled",
			"Container image \"%s\" already present on machine", image);
		image_ready(op);
	} else if (streq(json_str(json_get(doc, "imagePullPolicy")), "Never")) {
		_cleanup_(free_p) char *text = xasprintf(
			"Container image \"%s\" is not present with pull policy of Never", image);
		pod_worker_event(
			w, (long)op->container, "Warning", "ErrImageNeverPull", "%s", text);
		image_failed(op, "ErrImageNeverPull", text, 10 * NS_PER_S);
	} else {
		pull_with_secrets(op);
	}
}

void pod_op_image(struct pod_worker *w, size_t i)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_op *op = pod_op_new(w, i, "image");
	const struct json *doc = container_doc(op, &a);
	const char *image = json_str_or(json_get(doc, "image"), "");
	const char *policy = json_str_or(json_get(doc, "imagePullPolicy"),
		image_ref_is_latest(image) ? "Always" : "IfNotPresent");
	struct err err = ERR_INIT;

	w->view.containers[i].image = IMAGE_WORKING;
	if (image_ref_check(image, &err) < 0) {
		pod_worker_event(w, (long)i, "Warning", "InspectFailed",
			"Failed to apply default image tag \"%s\": %s", image, err.msg);
		image_failed(op, "InvalidImageName", err.msg, INVALID_RETRY_S * NS_PER_S);
	} else if (streq(policy, "Always")) {
		pull_with_secrets(op);
	} else {
		op->grpc = cri_image_status(w->m->cri, image, on_status, op);
	}
}
