#include <inttypes.h>

#include "lib/base/log.h"
#include "lib/base/table.h"
#include "lib/client/client.h"
#include "lib/client/event_memory.h"

#define SAME_EVENT_NS (600 * NS_PER_S) /* the same text within this time is the same Event */
#define REMEMBERED_MAX 4096
#define MESSAGE_MAX 1024 /* API conventions: longer event messages are refused */

struct remembered {
	char *namespace, *name; /* of the Event object */
	int64_t count;
	int64_t last_ns; /* wall */
};

struct event_memory {
	int64_t last_name_ns;
	struct table events; /* uid, component, type, reason, field path, message -> remembered */
};

static void remembered_free(struct remembered *r)
{
	if (!r)
		return;
	free(r->namespace);
	free(r->name);
	free(r);
}

void event_memory_destroy(struct event_memory *m)
{
	if (!m)
		return;
	struct table_iter it = table_iterate(&m->events);
	while (table_next(&it))
		remembered_free(it.value);
	table_finish(&m->events);
	free(m);
}

/* Forgets what is older than a repeat could be; everything when that is not enough. */
static void make_room(struct event_memory *m, int64_t now_ns)
{
	if (m->events.count < REMEMBERED_MAX)
		return;
	for (int64_t keep_ns = SAME_EVENT_NS;; keep_ns = 0) {
		struct table_iter it = table_iterate(&m->events);
		while (table_next(&it)) {
			struct remembered *r = it.value;
			if (now_ns - r->last_ns >= keep_ns) {
				table_remove(&m->events, it.key);
				remembered_free(r);
			}
		}
		if (m->events.count < REMEMBERED_MAX || keep_ns == 0)
			return;
	}
}

static void on_written(void *user, const struct client_result *r)
{
	/* A repeat whose Event was meanwhile deleted or whose namespace is going away is no loss.
	 */
	if (!client_ok(r) && r->code != 404 && r->code != 403)
		log_debug("event not recorded", "message", r->message, NULL);
}

static void repeat(struct client *c, struct arena *a, const struct kind *k, struct remembered *r,
	const char *now)
{
	struct json *patch = json_new_object(a);
	json_set_int(a, patch, "count", r->count);
	json_set_str(a, patch, "lastTimestamp", now);
	client_patch(c, k, r->namespace, r->name, NULL, "application/merge-patch+json", patch,
		on_written, NULL);
}

static struct json *reference(struct arena *a, const struct object *about, const char *field_path)
{
	struct json *ref = json_new_object(a);
	json_set_str(a, ref, "kind", about->kind->kind);
	if (about->namespace[0])
		json_set_str(a, ref, "namespace", about->namespace);
	json_set_str(a, ref, "name", about->name);
	json_set_str(a, ref, "uid", about->uid);
	json_set_str(a, ref, "apiVersion", about->kind->gv);
	if (about->revision)
		json_set(
			a, ref, "resourceVersion", json_new_printf(a, "%" PRIu64, about->revision));
	if (field_path)
		json_set_str(a, ref, "fieldPath", field_path);
	return ref;
}

/* Events are listed by name, and their times are whole seconds: the name keeps the order in which
 * they came. The random part keeps two clients apart that speak of one object at the same time. */
static int64_t name_ns(struct client *c, int64_t now_ns)
{
	int64_t ns = now_ns + (int64_t)random_below(client_random(c), 1000);

	c->events->last_name_ns = MAX(ns, c->events->last_name_ns + 1);
	return c->events->last_name_ns;
}

static void record(struct client *c, const char *component, const struct object *about,
	const char *field_path, const char *type, const char *reason, const char *message)
{
	const struct kind *k = kind_by_name(c->kinds, "", "v1", "Event");
	if (!k)
		return;
	if (!c->events)
		c->events = xcalloc(1, sizeof(*c->events));
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	int64_t now_ns = c->clock->wall_ns(c->clock);
	char now[TIME_RFC3339_ROOM];
	time_format_rfc3339(now_ns, now);

	char *key = arena_printf(&a, "%s\n%s\n%s\n%s\n%s\n%s", about->uid, component, type, reason,
		field_path ? field_path : "", message);
	struct remembered *r = table_get(&c->events->events, key);
	if (r && now_ns - r->last_ns < SAME_EVENT_NS) {
		r->count++;
		r->last_ns = now_ns;
		repeat(c, &a, k, r, now);
		return;
	}
	if (!r) {
		make_room(c->events, now_ns);
		r = xcalloc(1, sizeof(*r));
		r->namespace = xstrdup(about->namespace[0] ? about->namespace : "default");
		table_set(&c->events->events, key, r);
	}
	free(r->name);
	r->name = xasprintf("%s.%016" PRIx64, about->name, (uint64_t)name_ns(c, now_ns));
	r->count = 1;
	r->last_ns = now_ns;

	struct json *doc = json_new_object(&a), *meta = json_object_at(&a, doc, "metadata");
	json_set_str(&a, doc, "apiVersion", "v1");
	json_set_str(&a, doc, "kind", "Event");
	json_set_str(&a, meta, "name", r->name);
	json_set_str(&a, meta, "namespace", r->namespace);
	json_set(&a, doc, "involvedObject", reference(&a, about, field_path));
	json_set_str(&a, doc, "type", type);
	json_set_str(&a, doc, "reason", reason);
	json_set_str(&a, doc, "message", message);
	json_path_set(&a, doc, "source.component", json_new_string(&a, component));
	json_set_str(&a, doc, "firstTimestamp", now);
	json_set_str(&a, doc, "lastTimestamp", now);
	json_set_int(&a, doc, "count", 1);
	json_set_str(&a, doc, "reportingComponent", component);
	json_set_str(&a, doc, "reportingInstance", "");
	client_create(c, k, r->namespace, doc, on_written, NULL);
}

static void record_v(struct client *c, const char *component, const struct object *about,
	const char *field_path, const char *type, const char *reason, const char *fmt, va_list ap)
	_printf_(7, 0);
static void record_v(struct client *c, const char *component, const struct object *about,
	const char *field_path, const char *type, const char *reason, const char *fmt, va_list ap)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	buf_vprintf(&text, fmt, ap);
	if (text.size > MESSAGE_MAX) {
		size_t cut = MESSAGE_MAX;
		while (cut > 0 && ((unsigned char)text.data[cut] & 0xc0) == 0x80)
			cut--; /* not inside a character */
		text.data[cut] = '\0';
	}
	record(c, component, about, field_path, type, reason, text.data ? text.data : "");
}

void client_event(struct client *c, const struct object *about, const char *field_path,
	const char *type, const char *reason, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	record_v(c, c->user_agent, about, field_path, type, reason, fmt, ap);
	va_end(ap);
}

void client_event_as(struct client *c, const char *component, const struct object *about,
	const char *field_path, const char *type, const char *reason, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	record_v(c, component, about, field_path, type, reason, fmt, ap);
	va_end(ap);
}
