/* pod_model.c - see pod_model.h. */
#include "node/pod/pod_model.h"

#include <stdio.h>

#include "lib/object/quantity.h"

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

static int64_t amount(const struct json *container, const char *list, const char *name)
{
	return quantity_json_milli(json_get(json_path(container, list), name), 0);
}

enum pod_qos pod_qos(const struct json *pod)
{
	static const char *const names[] = {"cpu", "memory"};
	bool any = false, guaranteed = true;
	size_t n = pod_container_count(pod);

	for (size_t i = 0; i < n; i++) {
		const struct json *c = pod_container_doc(pod, i);
		for (size_t k = 0; k < ARRAY_LEN(names); k++) {
			int64_t limit = amount(c, "resources.limits", names[k]);
			int64_t request = amount(c, "resources.requests", names[k]);
			any = any || limit > 0 || request > 0;
			if (limit <= 0 || (request > 0 && request != limit))
				guaranteed = false;
		}
	}
	if (!any)
		return QOS_BEST_EFFORT;
	return guaranteed ? QOS_GUARANTEED : QOS_BURSTABLE;
}

const char *pod_qos_name(enum pod_qos q)
{
	switch (q) {
	case QOS_GUARANTEED:
		return "Guaranteed";
	case QOS_BURSTABLE:
		return "Burstable";
	case QOS_BEST_EFFORT:
		break;
	}
	return "BestEffort";
}

int container_oom_score_adj(
	const struct json *pod, const struct json *container, int64_t node_memory)
{
	switch (pod_qos(pod)) {
	case QOS_GUARANTEED:
		return -997;
	case QOS_BEST_EFFORT:
		return 1000;
	case QOS_BURSTABLE:
		break;
	}
	int64_t request = quantity_json_value(json_path(container, "resources.requests.memory"), 0);
	if (node_memory <= 0)
		return 999;
	int64_t adj = 1000 - (int64_t)((__int128)1000 * request / node_memory);
	/* Between guaranteed and best effort, whatever was asked for. */
	return (int)MIN(MAX(adj, 3), 999);
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
