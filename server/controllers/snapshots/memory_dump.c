/* memory_dump.c - status.memoryDumpRequest of a VirtualMachine: the memory of its guest in a file
 * of a claim.
 *
 *   Associating --the instance is told--> InProgress --its agent has done it--> Completed | Failed
 *   Dissociating (or remove: true) --> no request
 *
 * The instance's annotation hanok.io/memory-dump ("CLAIM/FILE") asks its node's agent; the answer
 * is hanok.io/memory-dump-result ({"file", "error"}). (KubeVirt user guide: "VM memory dump".) */
#include <stdio.h>
#include <time.h>

#include "server/controllers/snapshots/parts.h"

#define ASKED "hanok.io/memory-dump"
#define RESULT "hanok.io/memory-dump-result"

struct dumps {
	struct loop *loop;
	struct client *client;
	struct informer *machines, *instances, *claims;
};

struct pass {
	struct dumps *c;
	struct object *vm, *instance; /* instance NULL = none that runs */
	struct json *doc, *instance_doc;
	const struct json *request;
	const char *claim, *phase;
};

/* The request with these members; phase NULL = it is over and gone. */
static void set_request(struct sync *s, const char *phase, const char *file, const char *message)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *patch = json_new_object(a), *request = json_copy(a, p->request);
	struct json *now = meta_time(a, loop_wall_ns(s->loop));

	if (phase) {
		json_set_str(a, request, "phase", phase);
		if (file) {
			json_set_str(a, request, "fileName", file);
			json_set(a, request, "startTimestamp", now);
		} else {
			json_set(a, request, "endTimestamp", now);
		}
		if (message)
			json_set_str(a, request, "message", message);
	}
	json_path_set(a, patch, "status.memoryDumpRequest", phase ? request : json_new_null(a));
	sync_patch(s, p->vm, "status", patch, NULL, NULL);
}

static void annotate(struct sync *s, struct object *o, const char *name, const char *value)
{
	struct json *patch = json_new_object(&s->arena);

	annotation_patch(&s->arena, patch, name, value);
	sync_patch(s, o, NULL, patch, NULL, NULL);
}

/* What was asked of the instance before is done with. */
static void clean(struct sync *s)
{
	struct pass *p = s->state;
	struct json *patch = json_new_object(&s->arena);

	if (!p->instance || !annotation_of(p->instance_doc, ASKED))
		return;
	annotation_patch(&s->arena, patch, ASKED, NULL);
	annotation_patch(&s->arena, patch, RESULT, NULL);
	sync_patch(s, p->instance, NULL, patch, NULL, NULL);
}

static const char *file_name(struct sync *s)
{
	struct pass *p = s->state;
	time_t now = (time_t)(loop_wall_ns(s->loop) / NS_PER_S);
	char text[32];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%Y%m%d-%H%M%S", &tm);
	return arena_printf(&s->arena, "%s-%s-%s.memory.dump", p->vm->name, p->claim, text);
}

static void associate(struct sync *s)
{
	struct pass *p = s->state;
	const char *asked = annotation_of(p->instance_doc, ASKED);
	struct object *claim = informer_get(p->c->claims, s->ns, p->claim);
	struct json *doc = claim ? object_doc(claim, &s->arena) : NULL;
	size_t size = strlen(p->claim);

	if (!p->instance) {
		set_request(s, "Failed", NULL, "the VirtualMachineInstance is not running");
		return;
	}
	if (!claim) {
		set_request(s, "Failed", NULL,
			arena_printf(&s->arena, "pvc %s/%s not found", s->ns, p->claim));
		return;
	}
	/* A claim that nobody has used yet comes to the guest's node. */
	if (!streq(json_path_str(doc, "status.phase"), "Bound") &&
		!annotation_of(doc, SELECTED_NODE_ANNOTATION)) {
		annotate(s, claim, SELECTED_NODE_ANNOTATION,
			json_str_or(json_path(p->instance_doc, "status.nodeName"), ""));
		sync_again(s, 1000);
		return;
	}
	if (asked && strncmp(asked, p->claim, size) == 0 && asked[size] == '/' &&
		!annotation_of(p->instance_doc, RESULT))
		set_request(s, "InProgress", asked + size + 1, NULL);
	else if (asked)
		clean(s);
	else
		annotate(s, p->instance, ASKED,
			arena_printf(&s->arena, "%s/%s", p->claim, file_name(s)));
}

static void follow(struct sync *s)
{
	struct pass *p = s->state;
	const char *text = annotation_of(p->instance_doc, RESULT), *error;
	const char *file = json_str_or(json_get(p->request, "fileName"), "");
	struct json *result;

	/* One that was started since then was never asked. */
	if (!p->instance || !streq(annotation_of(p->instance_doc, ASKED),
				    arena_printf(&s->arena, "%s/%s", p->claim, file))) {
		set_request(s, "Failed", NULL, "the guest stopped before its memory was written");
		return;
	}
	if (!text || json_parse(&s->arena, text, strlen(text), NULL, &result, NULL) < 0 ||
		!streq(json_str(json_get(result, "file")), file))
		return;
	error = json_str(json_get(result, "error"));
	struct object *claim = informer_get(p->c->claims, s->ns, p->claim);
	if (!error && claim)
		annotate(s, claim, MEMORY_DUMP_ANNOTATION,
			json_str_or(json_get(result, "file"), ""));
	set_request(s, error ? "Failed" : "Completed", NULL, error);
}

static void reconcile(struct sync *s)
{
	struct dumps *c = s->self;
	struct object *vm = informer_get(c->machines, s->ns, s->name);
	struct object *instance = informer_get(c->instances, s->ns, s->name);
	struct pass *p = ARENA_NEW(&s->arena, struct pass);

	if (!vm || vm->deleting)
		return;
	s->state = p;
	*p = (struct pass){.c = c, .vm = sync_hold(s, vm)};
	p->doc = object_doc(vm, &s->arena);
	p->request = json_path(p->doc, "status.memoryDumpRequest");
	p->claim = json_str_or(json_get(p->request, "claimName"), "");
	p->phase = json_str_or(json_get(p->request, "phase"), "");
	if (instance && !instance->deleting) {
		struct json *doc = object_doc(instance, &s->arena);

		if (streq(json_path_str(doc, "status.phase"), "Running")) {
			p->instance = sync_hold(s, instance);
			p->instance_doc = doc;
		}
	}
	if (!json_count(p->request))
		clean(s);
	else if (json_bool_or(json_get(p->request, "remove"), false) ||
		 streq(p->phase, "Dissociating"))
		set_request(s, NULL, NULL, NULL);
	else if (streq(p->phase, "Associating"))
		associate(s);
	else if (streq(p->phase, "InProgress"))
		follow(s);
	else
		clean(s);
}

static bool says(const struct object *o, const char *word)
{
	return o && memmem(o->bytes->data, o->bytes->size, word, strlen(word));
}

/* Few machines have anything of this: the others are not parsed. */
static void on_machine(void *user, const struct object *old, const struct object *new)
{
	if (says(new, "\"memoryDumpRequest\"") || says(old, "\"memoryDumpRequest\""))
		loop_add_object(((struct dumps *)user)->loop, new ? new : old);
}

static void on_instance(void *user, const struct object *old, const struct object *new)
{
	if (says(new, "\"" ASKED "\"") || says(old, "\"" ASKED "\""))
		loop_add_object(((struct dumps *)user)->loop, new ? new : old);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler machines = {.changed = on_machine},
					     instances = {.changed = on_instance};
	struct dumps *c = xcalloc(1, sizeof(*c));

	c->client = sh->client;
	c->loop = loop_create(sh->client, "memorydump-controller", 1, reconcile, c);
	c->machines = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachine");
	c->instances = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachineInstance");
	c->claims = shared_informer(sh, "", "v1", "PersistentVolumeClaim");
	informer_add_handler(c->machines, &machines, c);
	informer_add_handler(c->instances, &instances, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct dumps *)self)->loop);
}

static void destroy(void *self)
{
	struct dumps *c = self;

	loop_destroy(c->loop);
	free(c);
}

const struct controller_class memory_dump_controller = {
	"virtualmachinememorydump", create, start, destroy};
