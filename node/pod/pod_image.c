/* pod_image.c - makes the image of a container present, by its pull policy:
 *
 *   Always        pull (a pull of what is there costs a question to the registry)
 *   IfNotPresent  look, pull when it is not there, or is there for others only
 *   Never         look
 *
 * The pull itself is image_puller.h's, which shares it among pods. Failures are retried after 10 s
 * doubling to 300 s, with Kubernetes' reasons. */
#include "node/metrics/node_metrics.h"
#include "node/pod/pod_internal.h"

#include <stdio.h>

#include "lib/base/log.h"
#include "node/image/image_ref.h"

enum { INVALID_RETRY_S = 60, FIRST_SHOW_MS = 1500 };

static const struct json *container_doc(struct pod_op *op, struct arena *a)
{
	return pod_container_doc(pod_worker_doc(op->w, a), op->container);
}

static const char *image_of(struct pod_op *op, struct arena *a)
{
	return json_str_or(json_get(container_doc(op, a), "image"), "");
}

static const char *policy_of(const struct json *container)
{
	const char *image = json_str_or(json_get(container, "image"), "");

	return json_str_or(json_get(container, "imagePullPolicy"),
		image_ref_is_latest(image) ? "Always" : "IfNotPresent");
}

static void note_user(struct pod_op *op, const Cri__Image *image)
{
	const char *name = image->username ? image->username : "";

	free(op->image_user);
	op->image_user = *name ? xstrdup(name) : NULL;
	op->image_uid = image->uid ? image->uid->value : *name ? -1 : 0;
}

static void image_ready(struct pod_op *op)
{
	struct pod_worker *w = op->w;
	struct pod_container *c = &w->containers[op->container];

	w->view.containers[op->container].image = IMAGE_READY;
	w->view.containers[op->container].retry_ns = 0;
	w->pulls[op->container] = (struct backoff){0};
	c->image_uid = op->image_uid;
	free(c->image_user);
	c->image_user = TAKE_PTR(op->image_user);
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

/* ---- pulling ---- */

static void on_pulled_status(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;
	const Cri__ImageStatusResponse *s = r->response;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	int64_t took = (mono(w->n) - op->started_ns) / NS_PER_MS * NS_PER_MS;
	unsigned long long size = 0;

	op->grpc = NULL;
	if (grpc_ok(r) && s->image) {
		size = s->image->size;
		note_user(op, s->image);
	}
	node_metrics_pulled(size, op->pull_ns);
	pod_worker_event(w, (long)op->container, "Normal", "Pulled",
		"Successfully pulled image \"%s\" in %s (%s including waiting). Image size: %llu "
		"bytes.",
		image_of(op, &a), duration_text(&a, op->pull_ns / NS_PER_MS * NS_PER_MS),
		duration_text(&a, took), size);
	image_ready(op);
}

/* Runtimes that know more say so by how their message begins. */
static void pull_failed(struct pod_op *op, const char *image, const char *error)
{
	static const struct {
		const char *reason, *why;
	} known[] = {
		{"RegistryUnavailable", "the registry is unavailable"},
		{"SignatureValidationFailed", "the signature validation failed"},
	};
	struct pod_worker *w = op->w;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *reason = "ErrImagePull", *message = error;

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (!str_has_prefix(error, known[i].reason))
			continue;
		reason = known[i].reason;
		message = arena_printf(&a, "image pull failed for %s because %s%s", image,
			known[i].why, error + strlen(known[i].reason));
	}
	pod_worker_event(w, (long)op->container, "Warning", "Failed",
		"Failed to pull image \"%s\": %s", image, error);
	backoff_raise(&w->pulls[op->container], wall(w->n));
	/* Shown for a moment; then the next look finds the back-off running. */
	image_failed(op, reason, message, FIRST_SHOW_MS * NS_PER_MS);
}

static void on_pulled(void *user, const struct image_pulled *r)
{
	struct pod_op *op = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *image = image_of(op, &a);

	op->pull = NULL;
	pod_count_pull(op->w, false);
	/* A pull that several share may have begun before this one came. */
	op->pull_ns = MIN(r->pull_ns, mono(op->w->n) - op->started_ns);
	if (r->error)
		pull_failed(op, image, r->error);
	else
		op->grpc = cri_image_status(op->w->m->cri, image, on_pulled_status, op);
}

static void on_progress(void *user, const char *text)
{
	struct pod_op *op = user;

	pod_worker_event(op->w, (long)op->container, "Normal", "Pulling", "%s", text);
}

/* True when an earlier pull failed not long enough ago. */
static bool back_off(struct pod_op *op, const char *image)
{
	struct pod_worker *w = op->w;
	const struct backoff *b = &w->pulls[op->container];
	struct pod_container *c = &w->containers[op->container];
	struct container_view *v = &w->view.containers[op->container];
	int64_t until = backoff_until(b, b->updated_ns, wall(w->n));

	if (!until)
		return false;
	pod_worker_event(w, (long)op->container, "Normal", "BackOff",
		"Back-off pulling image \"%s\"", image);
	if (!streq(c->wait_reason, "ImagePullBackOff")) {
		_cleanup_(free_p) char *why =
			c->wait_reason ? xasprintf(": %s: %s", c->wait_reason, c->wait_message)
				       : xstrdup("");
		pod_container_wait(
			c, "ImagePullBackOff", "Back-off pulling image \"%s\"%s", image, why);
	}
	pod_worker_event(w, (long)op->container, "Warning", "Failed", "Error: ImagePullBackOff");
	v->image = IMAGE_FAILED;
	v->retry_ns = until;
	pod_op_end(op);
	return true;
}

/* ---- credentials ---- */

/* Those of the pod's Secrets that are for this image, and the node's own. */
static size_t find_auths(struct pod_op *op, struct arena *a, const struct json *pod,
	const char *image, struct image_auth *ret)
{
	struct image_keyring k;

	image_keyring_init(&k, a);
	JSON_FOR_EACH_ITEM(ref, json_path(pod, "spec.imagePullSecrets")) {
		const struct json *secret =
			pod_refs_secret(op->refs, json_str_or(json_get(ref, "name"), ""));
		if (secret)
			image_keyring_add_secret(&k, secret);
	}
	image_puller_add_node_auths(op->w->m->puller, &k);
	return image_keyring_find(&k, image, ret, IMAGE_AUTHS_MAX);
}

static void tell_missing(struct pod_op *op, struct arena *a, const struct json *pod)
{
	const char *names = "";

	JSON_FOR_EACH_ITEM(ref, json_path(pod, "spec.imagePullSecrets")) {
		const char *name = json_str_or(json_get(ref, "name"), "");
		if (*name && !pod_refs_secret(op->refs, name))
			names = arena_printf(a, "%s%s%s", names, *names ? ", " : "", name);
	}
	if (*names)
		pod_worker_event(op->w, -1, "Warning", "FailedToRetrieveImagePullSecret",
			"Unable to retrieve some image pull secrets (%s); attempting to pull the "
			"image may not succeed.",
			names);
}

/* It is there, and came with credentials: these must be the pod's, too. */
static bool may_use(
	struct pod_op *op, const char *image, const struct image_auth *auths, size_t count)
{
	return image_records_allow(
		image_puller_records(op->w->m->puller), op->id, image, auths, count);
}

static void with_secrets(struct pod_op *op)
{
	struct pod_worker *w = op->w;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pod = pod_worker_doc(w, &a), *doc = container_doc(op, &a);
	const char *image = image_of(op, &a);
	struct image_auth *auths = arena_alloc(&a, IMAGE_AUTHS_MAX * sizeof(*auths));
	size_t count = find_auths(op, &a, pod, image, auths);

	if (op->id && may_use(op, image, auths, count)) {
		pod_worker_event(w, (long)op->container, "Normal", "Pulled",
			"Container image \"%s\" already present on machine and can be accessed by "
			"the pod",
			image);
		image_ready(op);
		return;
	}
	if (streq(policy_of(doc), "Never")) {
		const char *text = arena_printf(&a,
			"Container image \"%s\" is present, but was pulled with credentials that "
			"this pod does not have, and is not pulled again with pull policy of Never",
			image);
		pod_worker_event(
			w, (long)op->container, "Warning", "ErrImageNeverPull", "%s", text);
		image_failed(op, "ErrImageNeverPull", text, 10 * NS_PER_S);
		return;
	}
	if (back_off(op, image))
		return;
	tell_missing(op, &a, pod);
	pod_worker_event(
		w, (long)op->container, "Normal", "Pulling", "Pulling image \"%s\"", image);
	op->started_ns = mono(w->n);
	pod_count_pull(w, true);
	op->pull =
		image_pull(w->m->puller, &(struct image_pull_request){
						 .image = image,
						 .auths = auths,
						 .auth_count = count,
						 .sandbox_config = pod_worker_sandbox_config(w, &a),
						 .progress = on_progress,
						 .done = on_pulled,
						 .user = op,
					 });
	pod_refs_destroy(TAKE_PTR(op->refs));
}

static void on_refs(void *user, struct pod_refs *r, const struct err *err)
{
	struct pod_op *op = user;

	op->fetch = NULL;
	op->refs = r;
	/* Without its secrets a pull may still work, and says what is wrong if not. */
	with_secrets(op);
}

static void fetch_secrets(struct pod_op *op)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pod = pod_worker_doc(op->w, &a);

	if (json_count(json_path(pod, "spec.imagePullSecrets")) > 0)
		op->fetch =
			pod_refs_fetch(op->w->n, pod, POD_REFS_PULL, op->w->tokens, on_refs, op);
	else
		with_secrets(op);
}

/* ---- looking ---- */

static void on_status(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;
	const Cri__ImageStatusResponse *s = r->response;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *image = image_of(op, &a);

	op->grpc = NULL;
	if (!grpc_ok(r)) {
		pod_worker_event(w, (long)op->container, "Warning", "InspectFailed",
			"Failed to inspect image \"%s\": %s", image, r->message);
		image_failed(op, "ImageInspectError",
			arena_printf(&a, "Failed to inspect image \"%s\": %s", image, r->message),
			10 * NS_PER_S);
		return;
	}
	if (s->image) {
		note_user(op, s->image);
		if (image_records_restricted(
			    image_puller_records(w->m->puller), s->image->id, image)) {
			op->id = xstrdup(s->image->id);
			fetch_secrets(op);
			return;
		}
		pod_worker_event(w, (long)op->container, "Normal", "Pulled",
			"Container image \"%s\" already present on machine", image);
		image_ready(op);
	} else if (streq(policy_of(container_doc(op, &a)), "Never")) {
		const char *text = arena_printf(&a,
			"Container image \"%s\" is not present with pull policy of Never", image);
		pod_worker_event(
			w, (long)op->container, "Warning", "ErrImageNeverPull", "%s", text);
		image_failed(op, "ErrImageNeverPull", text, 10 * NS_PER_S);
	} else {
		fetch_secrets(op);
	}
}

void pod_op_image(struct pod_worker *w, size_t i)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_op *op = pod_op_new(w, i, "image");
	const char *image = image_of(op, &a);
	struct err err = ERR_INIT;

	w->view.containers[i].image = IMAGE_WORKING;
	if (image_ref_check(image, &err) < 0) {
		const char *text = arena_printf(
			&a, "Failed to apply default image tag \"%s\": %s", image, err.msg);
		pod_worker_event(w, (long)i, "Warning", "InspectFailed", "%s", text);
		image_failed(op, "InvalidImageName", text, INVALID_RETRY_S * NS_PER_S);
	} else if (streq(policy_of(container_doc(op, &a)), "Always")) {
		if (!back_off(op, image))
			fetch_secrets(op);
	} else {
		op->grpc = cri_image_status(w->m->cri, image, on_status, op);
	}
}
