/* resize.c - see resize.h. */
#include "node/pod/resize.h"

#include <stdio.h>

#include "lib/object/quantity.h"

void container_amounts_read(const struct json *resources, struct container_amounts *ret)
{
	const struct json *requests = json_get(resources, "requests");
	const struct json *limits = json_get(resources, "limits");

	*ret = (struct container_amounts){
		.cpu_request_milli = quantity_json_milli(json_get(requests, "cpu"), 0),
		.cpu_limit_milli = quantity_json_milli(json_get(limits, "cpu"), 0),
		.memory_request = quantity_json_value(json_get(requests, "memory"), 0),
		.memory_limit = quantity_json_value(json_get(limits, "memory"), 0),
	};
}

bool container_amounts_equal(const struct container_amounts *a, const struct container_amounts *b)
{
	return a->cpu_request_milli == b->cpu_request_milli &&
	       a->cpu_limit_milli == b->cpu_limit_milli && a->memory_request == b->memory_request &&
	       a->memory_limit == b->memory_limit;
}

bool container_resize_restarts(const struct json *container, const struct container_amounts *from,
	const struct container_amounts *to)
{
	bool cpu = from->cpu_request_milli != to->cpu_request_milli ||
		   from->cpu_limit_milli != to->cpu_limit_milli;
	bool memory = from->memory_request != to->memory_request ||
		      from->memory_limit != to->memory_limit;

	JSON_FOR_EACH_ITEM(p, json_get(container, "resizePolicy")) {
		const char *resource = json_str_or(json_get(p, "resourceName"), "");
		if (streq(json_str(json_get(p, "restartPolicy")), "RestartContainer") &&
			((cpu && streq(resource, "cpu")) || (memory && streq(resource, "memory"))))
			return true;
	}
	return false;
}

enum resize_verdict resize_check(const struct resize_room *room, int64_t cpu_milli, int64_t memory,
	char *why, size_t why_size)
{
	const struct {
		const char *name;
		int64_t wanted, used, room;
	} list[] = {
		{"cpu", cpu_milli, room->cpu_used_milli, room->cpu_milli},
		{"memory", memory, room->memory_used, room->memory},
	};

	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		if (list[i].wanted <= list[i].room)
			continue;
		snprintf(why, why_size,
			"Node didn't have enough capacity: %s, requested: %lld, capacity: %lld",
			list[i].name, (long long)list[i].wanted, (long long)list[i].room);
		return RESIZE_INFEASIBLE;
	}
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		if (list[i].wanted <= list[i].room - list[i].used)
			continue;
		snprintf(why, why_size,
			"Node didn't have enough resource: %s, requested: %lld, used: %lld, "
			"capacity: %lld",
			list[i].name, (long long)list[i].wanted, (long long)list[i].used,
			(long long)list[i].room);
		return RESIZE_DEFERRED;
	}
	return RESIZE_FITS;
}
