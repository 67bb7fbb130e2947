/* pod_model.c - see pod_model.h. */
#include "node/pod/pod_model.h"

#include <stdio.h>

void instance_finish(struct instance *i)
{
	free(i->id);
	free(i->sandbox_id);
	free(i->reason);
	free(i->message);
	free(i->image);
	free(i->image_ref);
	*i = (struct instance){0};
}

void pod_container_finish(struct pod_container *c)
{
	free(c->name);
	free(c->wait_reason);
	free(c->wait_message);
	free(c->held_id);
	free(c->image_user);
	for (size_t i = 0; i < PROBE_KINDS; i++)
		free(c->probe_times[i]);
	instance_finish(&c->cur);
	instance_finish(&c->last);
	*c = (struct pod_container){0};
}

void pod_container_wait(struct pod_container *c, const char *reason, const char *fmt, ...)
{
	char text[1024] = "";
	va_list ap;

	if (reason && fmt) {
		va_start(ap, fmt);
		vsnprintf(text, sizeof(text), fmt, ap);
		va_end(ap);
	}
	free(c->wait_reason);
	free(c->wait_message);
	c->wait_show_ns = 0;
	c->wait_reason = reason ? xstrdup(reason) : NULL;
	c->wait_message = reason ? xstrdup(text) : NULL;
}

uint64_t container_hash(const struct json *container)
{
	const char *image = json_str_or(json_get(container, "image"), "");

	return fnv1a_64(image, strlen(image));
}

int64_t pod_seconds(const struct json *o, const char *path, int64_t fallback)
{
	const int64_t most = INT64_C(10) * 365 * 86400;
	const struct json *v = json_path(o, path);

	return json_is(v, JSON_INT) ? MIN(MAX(v->i, 0), most) : fallback;
}

size_t pod_container_count(const struct json *pod)
{
	return MIN(json_count(json_path(pod, "spec.initContainers")) +
			   json_count(json_path(pod, "spec.containers")),
		(size_t)POD_CONTAINER_MAX);
}

size_t pod_container_total(const struct json *pod)
{
	return MIN(
		pod_container_count(pod) + json_count(json_path(pod, "spec.ephemeralContainers")),
		(size_t)POD_CONTAINER_MAX);
}

const struct json *pod_container_status(const struct json *pod, const char *name)
{
	static const char *const lists[] = {"status.initContainerStatuses",
		"status.containerStatuses", "status.ephemeralContainerStatuses"};

	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		JSON_FOR_EACH_ITEM(s, json_path(pod, lists[l])) {
			if (streq(json_str(json_get(s, "name")), name))
				return s;
		}
	}
	return NULL;
}

const struct json *pod_container_doc(const struct json *pod, size_t i)
{
	static const char *const lists[] = {
		"spec.initContainers", "spec.containers", "spec.ephemeralContainers"};

	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		const struct json *list = json_path(pod, lists[l]);
		size_t n = json_count(list);
		if (i < n)
			return json_at(list, i);
		i -= n;
	}
	return NULL;
}

const struct json *pod_container_doc_named(const struct json *pod, const char *name)
{
	const struct json *c;

	for (size_t i = 0; (c = pod_container_doc(pod, i)); i++) {
		if (streq(json_str(json_get(c, "name")), name))
			return c;
	}
	return NULL;
}
