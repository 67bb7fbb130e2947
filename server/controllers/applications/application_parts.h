/* application_parts.h - the objects that an Application is made of, as they should be. Pure: from
 * the Application's document. */
#pragma once

#include "lib/placement/placement_defaults.h"
#include "server/controllers/applications/application_plan.h"
#include "server/controllers/controller.h"

#define LABEL_APPLICATION "hanok.io/application"
#define LABEL_ISOLATION "hanok.io/isolation"
/* On each part: the hash of the document that it was last made from. */
#define ANNOTATION_MADE_FROM "hanok.io/made-from"

/* A document without what the server sets, owned by the application. */
struct json *application_deployment(
	struct arena *a, const struct object *app, const struct json *doc);
/* NULL when the application has no range. */
struct json *application_autoscaler(
	struct arena *a, const struct object *app, const struct json *doc);
/* NULL when any of its pods may go at any time. */
struct json *application_budget(struct arena *a, const struct object *app, const struct json *doc);
/* NULL without ports. */
struct json *application_service(struct arena *a, const struct object *app, const struct json *doc,
	enum application_selects selects);
struct json *application_machine(
	struct arena *a, const struct object *app, const struct json *doc, int64_t number);
const char *application_machine_name(struct arena *a, const struct object *app, int64_t number);
/* The number of the application's machine of this name; < 0 = it is none. */
int64_t application_machine_number(const struct object *app, const char *name);

/* How many replicas the side has at least. */
int64_t application_replicas(const struct json *doc);
bool application_has_range(const struct json *doc);
enum application_selects application_service_selects(const struct json *service);

/* The base that all parts have: kind, name, labels, owner, and the hash of `spec`. */
struct json *application_part(struct arena *a, const struct object *app, const struct json *doc,
	const char *api_version, const char *kind, const char *name, struct json *spec);
struct json *application_selector(
	struct arena *a, const struct object *app, enum application_selects selects);
struct json *application_template_labels(struct arena *a, const struct object *app,
	const struct json *doc, enum placement_isolation side);

/* Whether `live` is as `wanted` says: members that only live has (defaults) do not count, items of
 * lists must be as many. */
bool part_is_as_wanted(const struct json *live, const struct json *wanted);
/* The live document with the wanted spec, labels and hash in it. What the server has allotted
 * (addresses, node ports), and sizes that an autoscaler governs, stay. */
struct json *part_renewed(struct arena *a, const struct json *live, const struct json *wanted);
