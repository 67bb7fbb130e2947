/* job.h - what the files about jobs share. */
#pragma once

#include "server/api/hooks/workload.h"

/* The spec of a job or of a cron job's template; selectors are checked elsewhere. */
void job_spec_validate(struct hook *h, const struct json *spec, const char *at);
/* A job that ends gets the condition that comes before the last one, when a controller older than
 * these (Kubernetes 1.31) does not write it. */
void job_status_prepare(struct hook *h, struct json *doc, const struct json *old);
/* A job's status against its spec and against the status before. */
void job_status_validate(struct hook *h, const struct json *doc, const struct json *old);
/* "0,2-4": how many indexes these are; all below `completions`, rising. */
int job_indexes_parse(
	const char *text, int64_t completions, int64_t *ret_count, struct err *err) _must_check_;
