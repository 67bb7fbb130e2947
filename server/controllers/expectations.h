/* expectations.h - what a loop wrote for a key and its cache has not shown yet. Until it has (or
 * five minutes have passed), counting the cache would lead to creating or deleting too much.
 *
 * A creation is seen when the informer has reached the revision of the answer; a deletion when the
 * object is gone or being deleted there; another change of an object when it is gone or newer than
 * the one that was changed. */
#pragma once

#include "lib/client/informer.h"

struct expectations;
struct expectations *expectations_create(struct informer *children, struct clock *clock);
void expectations_destroy(struct expectations *e);
void expectations_created(struct expectations *e, const char *key, uint64_t revision);
/* The same from the answer to a creation. Returns the document that was created, NULL when it can't
 * be read: then nothing is expected. */
struct json *expectations_created_by(struct expectations *e, const char *key, struct arena *a,
	const struct client_result *answer);
void expectations_deleted(struct expectations *e, const char *key, const struct object *child);
void expectations_changed(struct expectations *e, const char *key, const struct object *was);
bool expectations_met(struct expectations *e, const char *key);
void expectations_forget(struct expectations *e, const char *key);
