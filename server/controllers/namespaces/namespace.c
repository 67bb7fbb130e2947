/* Namespace deletion: removes what is in it, says what remains, and lets it go when nothing does.
 * What is there is asked of the server each time, never of a cache: what is overlooked here is lost
 * forever. */
#include <inttypes.h>

#include "server/controllers/controller.h"
#include "server/controllers/meta.h"

#define PAGE 500
#define NEXT_PAGE_MS 10
#define LOOK_AGAIN_MS 1000
#define LOOK_AGAIN_MAX_MS 16000
#define HOLDERS_MAX 16	      /* finalizers that are named in the status */
#define FAILURE_SIZE_MAX 4096 /* of the texts of failures */

struct namespaces {
	struct loop *loop;
	struct client *client;
	struct informer *namespaces;
};

struct remaining {
	const struct kind *kind;
	int64_t count;
};

struct holder {
	const char *finalizer;
	int64_t count; /* objects that have it */
};

struct pass {
	struct namespaces *c;
	struct object *object;
	struct json *doc;
	const struct kind **kinds; /* what can be in a namespace; pods first */
	size_t kind_count;
	size_t at; /* kinds before this one have been looked at */
	bool second_part;
	struct remaining *remaining;
	size_t remaining_count;
	struct holder holders[HOLDERS_MAX];
	size_t holder_count;
	bool more;	     /* beyond a page of which something was deleted just now */
	int64_t grace_s;     /* the longest of what is being deleted */
	const char *failure; /* NULL = none; of several, those that there is room for */
	int64_t failure_count;
};

static bool runs(const struct kind *k)
{
	return streq(k->kind, "Pod") || streq(k->kind, "VirtualMachineInstance");
}

/* For each pass anew: custom kinds come and go. */
static void collect_kinds(struct pass *p, struct arena *a)
{
	const struct kind_registry *r = p->c->client->kinds;
	p->kinds = arena_alloc(a, (kind_count(r) + 1) * sizeof(*p->kinds));
	for (int part = 0; part < 2; part++)
		for (size_t n = 0; n < kind_count(r); n++) {
			const struct kind *k = kind_at((struct kind_registry *)r, n);
			/* What is there is the storage's; a custom one need not be served itself.
			 */
			bool deletable = (k->served || k->custom) && k->namespaced &&
					 kind_is_storage(k) && kind_has_verb(k, "list") &&
					 kind_has_verb(k, "delete");
			if (deletable && runs(k) == (part == 0))
				p->kinds[p->kind_count++] = k;
		}
}

/* Status. */

static struct json *set(struct arena *a, struct json *conditions, const char *type, bool on,
	const char *reason, const char *message, int64_t now_ns)
{
	struct condition c = {type, on ? "True" : "False", reason, message, false};
	return condition_set(a, conditions, &c, now_ns);
}

/* "pods. has 2 resource instances": a resource and its group, which is empty for pods. */
static const char *remaining_text(struct arena *a, const struct pass *p)
{
	const char *text = NULL;
	for (size_t n = 0; n < p->remaining_count; n++) {
		const struct remaining *r = &p->remaining[n];
		text = arena_printf(a, "%s %s.%s has %" PRId64 " resource instances",
			text ? arena_printf(a, "%s,", text) : "Some resources are remaining:",
			r->kind->plural, r->kind->group, r->count);
	}
	return text;
}

static const char *holders_text(struct arena *a, const struct pass *p)
{
	const char *text = NULL;
	for (size_t n = 0; n < p->holder_count; n++)
		text = arena_printf(a, "%s %s in %" PRId64 " resource instances",
			text ? arena_printf(a, "%s,", text)
			     : "Some content in the namespace has finalizers remaining:",
			p->holders[n].finalizer, p->holders[n].count);
	return text;
}

static void write_status(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	int64_t now_ns = loop_wall_ns(s->loop);
	const char *left = remaining_text(a, p), *held = holders_text(a, p), *failure = NULL;
	bool any_left = left != NULL, any_held = held != NULL;
	if (p->failure)
		failure = arena_printf(a,
			"Failed to delete all resource types, %" PRId64 " remaining: %s",
			p->failure_count, p->failure);
	struct json *c = json_path(p->doc, "status.conditions");
	c = set(a, c, "NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered",
		"All resources successfully discovered", now_ns);
	c = set(a, c, "NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions",
		"All legacy kube types successfully parsed", now_ns);
	c = set(a, c, "NamespaceDeletionContentFailure", p->failure != NULL,
		p->failure ? "ContentDeletionFailed" : "ContentDeleted",
		p->failure ? failure
			   : "All content successfully deleted, may be waiting on finalization",
		now_ns);
	c = set(a, c, "NamespaceContentRemaining", any_left,
		any_left ? "SomeResourcesRemain" : "ContentRemoved",
		any_left ? left : "All content successfully removed", now_ns);
	c = set(a, c, "NamespaceFinalizersRemaining", any_held,
		any_held ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
		any_held ? held : "All content-preserving finalizers finished", now_ns);
	struct json *status = json_new_object(a);
	json_set_str(a, status, "phase", "Terminating");
	json_set(a, status, "conditions", c);
	sync_status(s, p->object, p->doc, status, NULL, NULL);
}

static void finalize(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *doc = json_copy(a, p->doc), *rest = json_new_array(a);
	JSON_FOR_EACH_ITEM(f, json_path(doc, "spec.finalizers"))
		if (!streq(json_str(f), "kubernetes"))
			json_push(a, rest, f);
	json_set(a, json_object_at(a, doc, "spec"), "finalizers", rest);
	sync_update(s, p->object->kind, NULL, p->object->name, "finalize", doc, NULL, NULL);
}

/* The walk over the kinds. */

static void walk(struct sync *s);

static void fail(struct sync *s, const struct client_result *r)
{
	struct pass *p = s->state;
	s->failed = true;
	p->failure_count++;
	if (!p->failure)
		p->failure = arena_strdup(&s->arena, r->message);
	else if (strlen(p->failure) + strlen(r->message) < FAILURE_SIZE_MAX)
		p->failure = arena_printf(&s->arena, "%s, %s", p->failure, r->message);
}

static void on_deleted(struct sync *s, const struct client_result *r, void *user)
{
	/* 405: a kind that only goes with its owner. */
	if (!client_ok(r) && r->code != 404 && r->code != 409 && r->code != 405)
		fail(s, r);
}

static void delete_item(struct sync *s, const struct kind *k, const struct json *item)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *options = json_new_object(a);
	json_set_str(a, options, "kind", "DeleteOptions");
	json_set_str(a, options, "apiVersion", "v1");
	json_set_str(a, options, "propagationPolicy", "Background");
	json_path_set(a, options, "preconditions.uid",
		json_new_string(a, json_str_or(json_path(item, "metadata.uid"), "")));
	char *body = json_text(a, options);
	struct client_request req = {
		.method = "DELETE",
		.path = client_path(
			a, k, p->object->name, json_path_str(item, "metadata.name"), NULL),
		.body = body,
		.body_size = strlen(body),
	};
	sync_request(s, &req, on_deleted, NULL);
}

static void count_holder(struct pass *p, const char *finalizer)
{
	size_t n = 0;
	while (n < p->holder_count && !streq(p->holders[n].finalizer, finalizer))
		n++;
	if (n == HOLDERS_MAX)
		return;
	if (n == p->holder_count)
		p->holders[p->holder_count++].finalizer = finalizer;
	p->holders[n].count++;
}

static void on_page(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	const struct kind *k = user;
	struct json *list;
	if (!client_ok(r) || json_parse(a, r->body, r->body_size,
				     &(struct json_limits){.depth = 256, .size_bytes = 256u << 20},
				     &list, NULL) < 0) {
		fail(s, r);
		return;
	}
	struct remaining left = {.kind = k};
	bool deleted = false;
	JSON_FOR_EACH_ITEM(item, json_get(list, "items")) {
		left.count++;
		JSON_FOR_EACH_ITEM(f, json_path(item, "metadata.finalizers"))
			count_holder(p, json_str_or(f, ""));
		p->grace_s = MAX(
			p->grace_s, json_path_int(item, "metadata.deletionGracePeriodSeconds", 0));
		if (!json_path(item, "metadata.deletionTimestamp")) {
			delete_item(s, k, item);
			deleted = true;
		}
	}
	if (deleted && *json_str_or(json_path(list, "metadata.continue"), ""))
		p->more = true;
	if (left.count)
		p->remaining[p->remaining_count++] = left;
}

static void conclude(struct sync *s)
{
	struct pass *p = s->state;
	if (!p->remaining_count && !p->failure) {
		finalize(s);
		return;
	}
	write_status(s);
	if (p->more && !p->failure) {
		sync_again(s, NEXT_PAGE_MS);
		return;
	}
	sync_again(s, p->grace_s ? MIN(p->grace_s * 500 + 1000, LOOK_AGAIN_MAX_MS) : LOOK_AGAIN_MS);
}

/* What runs goes first and is waited for: it may need its configuration until the end. */
static void walk(struct sync *s)
{
	struct pass *p = s->state;
	if (p->remaining_count || p->failure) {
		conclude(s);
		return;
	}
	for (; p->at < p->kind_count; p->at++) {
		const struct kind *k = p->kinds[p->at];
		if (!p->second_part && !runs(k))
			break;
		struct client_request req = {
			.method = "GET",
			.path = client_path(&s->arena, k, p->object->name, NULL, NULL),
			.query = arena_printf(&s->arena, "limit=%d", PAGE),
			/* A page of whole objects may be larger than what can be taken in. */
			.accept = "application/json;as=PartialObjectMetadataList;"
				  "g=meta.k8s.io;v=v1",
		};
		sync_request(s, &req, on_page, (void *)k);
	}
	p->second_part = true;
	s->next = p->at < p->kind_count ? walk : conclude;
}

static void reconcile(struct sync *s)
{
	struct namespaces *c = s->self;
	struct object *o = informer_get(c->namespaces, "", s->name);
	if (!o || !o->deleting)
		return;
	struct pass *p = ARENA_NEW(&s->arena, struct pass);
	s->state = p;
	p->c = c;
	p->object = sync_hold(s, o);
	p->doc = object_doc(o, &s->arena);
	collect_kinds(p, &s->arena);
	p->remaining = arena_zalloc(&s->arena, (p->kind_count + 1) * sizeof(*p->remaining));
	bool ours = false;
	JSON_FOR_EACH_ITEM(f, json_path(p->doc, "spec.finalizers"))
		ours |= streq(json_str(f), "kubernetes");
	if (ours)
		walk(s);
}

static void on_namespace(void *user, const struct object *old, const struct object *new)
{
	struct namespaces *c = user;
	if (new &&new->deleting)
		loop_add_object(c->loop, new);
}

/* The last pod or machine of a namespace that is going away may have gone. */
static void on_runner(void *user, const struct object *old, const struct object *new)
{
	struct namespaces *c = user;
	if (new)
		return;
	struct object *ns = informer_get(c->namespaces, "", old->namespace);
	if (ns && ns->deleting)
		loop_add_object(c->loop, ns);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler handler = {.changed = on_namespace},
					     runner_handler = {.changed = on_runner};
	struct namespaces *c = xcalloc(1, sizeof(*c));
	c->client = sh->client;
	c->loop = loop_create(sh->client, "namespace-controller", 5, reconcile, c);
	c->namespaces = shared_informer(sh, "", "v1", "Namespace");
	informer_add_handler(c->namespaces, &handler, c);
	informer_add_handler(shared_informer(sh, "", "v1", "Pod"), &runner_handler, c);
	informer_add_handler(shared_informer(sh, "kubevirt.io", "v1", "VirtualMachineInstance"),
		&runner_handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct namespaces *)self)->loop);
}

static void destroy(void *self)
{
	struct namespaces *c = self;
	loop_destroy(c->loop);
	free(c);
}

const struct controller_class namespace_controller = {"namespace", create, start, destroy};
