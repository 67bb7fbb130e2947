/* populate_status.h - what a DataVolume's status says of the work on it. Pure. */
#pragma once

#include "lib/json/json.h"

struct populate_state {
	const char *phase;
	double part; /* 0 ... 1; < 0 = not known */
	unsigned restarts;
	bool running;
	const char *reason; /* of Running */
	char message[512];
};

/* A merge patch of metadata.resourceVersion and status; NULL when all is as wanted. */
struct json *populate_status_patch(
	struct arena *a, const struct json *doc, const struct populate_state *s, int64_t wall_ns);
