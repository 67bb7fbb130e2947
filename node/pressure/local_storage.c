/* local_storage.c - see local_storage.h. */
#include "node/pressure/local_storage.h"

#include "lib/object/quantity.h"
#include "node/pod/pod_resources.h"

#define STORAGE "ephemeral-storage"

static const struct json *limit_of(const struct json *container)
{
	return json_get(json_path(container, "resources.limits"), STORAGE);
}

bool local_storage_needs_layers(const struct json *pod)
{
	JSON_FOR_EACH_ITEM(c, json_path(pod, "spec.containers")) {
		if (limit_of(c))
			return true;
	}
	return false;
}

bool local_storage_limited(const struct json *pod)
{
	JSON_FOR_EACH_ITEM(v, json_path(pod, "spec.volumes")) {
		if (json_path(v, "emptyDir.sizeLimit"))
			return true;
	}
	return local_storage_needs_layers(pod);
}

static const char *text_of(struct arena *a, const struct json *limit)
{
	const char *s = json_str(limit) ? json_str(limit) : json_text(a, limit);
	const char *canonical = quantity_canonical(a, s);

	return canonical ? canonical : s;
}

static const char *empty_dir_excess(
	struct arena *a, const struct json *pod, const struct pod_disk *d)
{
	JSON_FOR_EACH_ITEM(v, json_path(pod, "spec.volumes")) {
		const struct json *limit = json_path(v, "emptyDir.sizeLimit");
		int64_t most = quantity_json_value(limit, 0);
		const char *name = json_str_or(json_get(v, "name"), "");
		for (size_t i = 0; most > 0 && i < d->volume_count; i++) {
			if (streq(d->volumes[i].name, name) &&
				d->volumes[i].used_bytes > (uint64_t)most)
				return arena_printf(a,
					"Usage of EmptyDir volume \"%s\" exceeds the limit "
					"\"%s\". ",
					name, text_of(a, limit));
		}
	}
	return NULL;
}

static uint64_t used_by(const struct pod_disk *d, const struct layer_disk *layers, size_t count,
	const char *container)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < d->log_count; i++)
		sum += streq(d->logs[i].container, container) ? d->logs[i].used_bytes : 0;
	for (size_t i = 0; i < count; i++)
		sum += streq(layers[i].container, container) ? layers[i].used_bytes : 0;
	return sum;
}

const char *local_storage_excess(struct arena *a, const struct json *pod, const struct pod_disk *d,
	const struct layer_disk *layers, size_t count)
{
	const char *why = empty_dir_excess(a, pod, d);
	int64_t total = pod_limit(pod, STORAGE);
	uint64_t used = pod_disk_bytes(d);

	for (size_t i = 0; i < count; i++)
		used += layers[i].used_bytes;
	if (!why && total > 0 && used > (uint64_t)total)
		why = arena_printf(a,
			"Pod ephemeral local storage usage exceeds the total limit of containers "
			"%s. ",
			quantity_text(a, (struct quantity){(__int128)total * 1000000000}, true));
	for (size_t i = 0; !why && i < pod_container_count(pod); i++) {
		const struct json *c = pod_container_doc(pod, i), *limit = limit_of(c);
		const char *name = json_str_or(json_get(c, "name"), "");
		int64_t most = quantity_json_value(limit, 0);
		if (limit && used_by(d, layers, count, name) > (uint64_t)MAX(most, 0))
			why = arena_printf(a,
				"Container %s exceeded its local ephemeral storage limit \"%s\". ",
				name, text_of(a, limit));
	}
	return why;
}
