/* meta.h - what control loops read and write in documents: times, conditions, owners. */
#pragma once

#include "server/controllers/loop.h"

/* Wall time of an RFC 3339 string; 0 when absent or bad. */
int64_t meta_time_ns(const struct json *time);
struct json *meta_time(struct arena *a, int64_t wall_ns);

/* Conditions: [{type, status, reason, message, lastTransitionTime, lastUpdateTime?}]. */
struct json *condition_find(const struct json *conditions, const char *type);
bool condition_is(const struct json *conditions, const char *type, const char *status);
struct condition {
	const char *type, *status, *reason, *message;
	bool with_update_time; /* Deployment's conditions have lastUpdateTime */
};
/* A new array with the condition set. lastTransitionTime moves only when status changes; the array
 * that was given is returned when nothing but times would change. conditions may be NULL. */
struct json *condition_set(
	struct arena *a, const struct json *conditions, const struct condition *c, int64_t now_ns);
struct json *condition_drop(struct arena *a, const struct json *conditions, const char *type);
/* False when two versions of an object differ in nothing but messages and times of conditions (and
 * what follows from any write): a loop that reports failures there would be woken by its own
 * reports, however long its back-off is. old or new may be NULL: that is news. */
bool meta_is_news(const struct object *old, const struct object *new);

/* An ownerReference that makes `owner` the managing controller. */
struct json *owner_reference(struct arena *a, const struct object *owner);
bool meta_has_finalizer(const struct json *doc, const char *finalizer);
/* JSON integer, or null for 0: how status counts are written. */
struct json *count_or_null(struct arena *a, int64_t n);

/* An IntOrString: a number, or a percentage ("25%") of `whole`; 0 when it is neither. */
int64_t count_or_part(const struct json *v, int64_t whole, bool round_up);
int64_t percent_of(int64_t percent, int64_t whole, bool round_up);
