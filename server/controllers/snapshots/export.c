/* export.c - VirtualMachineExport: says where the disks of a claim, a stopped machine or a snapshot
 * can be downloaded, until its time is over.
 *
 *   Pending <--> Ready: the source is there, whole, and nobody writes it (Ready's reason tells)
 *   Skipped: it has no volumes
 *
 * When ttlDuration is over the export is deleted.
 *
 * The downloads themselves are the API server's (server/api/machines/export.h). */
#include "lib/base/random.h"
#include "server/controllers/snapshots/export_source.h"

#define COMPONENT "export-controller"
#define TTL_DEFAULT_NS (2 * 3600 * NS_PER_S)
#define RETRY_MS 5000
#define TOKEN_CHARACTERS 20

struct exports {
	struct loop *loop;
	struct client *client;
	const char *ca; /* PEM; NULL = there is none */
	struct informer *exports, *secrets, *configs;
	struct export_caches caches;
};

struct pass {
	struct exports *c;
	struct object *o;
	struct json *doc;
	struct export_source source;
};

/* ---- links ---- */

/* The API's own address, as uploads are told it. */
static const char *base_url(struct sync *s)
{
	struct pass *p = s->state;
	struct object *o = informer_get(p->c->configs, "", "config");

	return o ? json_path_str(object_doc(o, &s->arena), "status.uploadProxyURL") : NULL;
}

static struct json *typed_url(
	struct arena *a, const char *by, const char *type, const char *base, const char *path)
{
	struct json *one = json_new_object(a);

	json_set_str(a, one, by, type);
	json_set_str(a, one, "url", arena_printf(a, "%s/%s", base, path));
	return one;
}

static struct json *manifests(struct pass *p, struct arena *a, const char *base, const char *side)
{
	struct json *list = json_new_array(a);

	if (p->source.machine)
		json_push(a, list,
			typed_url(
				a, "type", "all", base, arena_printf(a, "%s/manifests/all", side)));
	json_push(a, list,
		typed_url(a, "type", "auth-header-secret", base,
			arena_printf(a, "%s/manifests/secret", side)));
	return list;
}

/* What the claim of a volume has is no disk but a file. */
static bool is_dump(struct pass *p, struct arena *a, const char *volume)
{
	struct object *o = streq(p->source.kind, "VirtualMachineSnapshot")
				   ? NULL
				   : informer_get(p->c->caches.claims, p->o->namespace, volume);

	return o && annotation_of(object_doc(o, a), MEMORY_DUMP_ANNOTATION);
}

/* Inside and outside there is one server, with one address: two sides for clients that look for
 * them. */
static struct json *link_of(struct pass *p, struct arena *a, const char *base, const char *side)
{
	static const struct {
		const char *name, *file;
		bool dump;
	} formats[] = {{"raw", "disk.img", false}, {"gzip", "disk.img.gz", false},
		{"tar.gz", "disk.tar.gz", true}};
	struct json *link = json_new_object(a), *volumes = json_new_array(a);

	json_set_str(a, link, "cert", p->c->ca ? p->c->ca : "");
	JSON_FOR_EACH_ITEM(name, p->source.volumes) {
		struct json *volume = json_new_object(a), *list = json_new_array(a);
		bool dump = is_dump(p, a, json_str_or(name, ""));

		for (size_t i = 0; i < ARRAY_LEN(formats); i++)
			if (formats[i].dump == dump)
				json_push(a, list,
					typed_url(a, "format", formats[i].name, base,
						arena_printf(a, "volumes/%s/%s",
							json_str_or(name, ""), formats[i].file)));
		json_set(a, volume, "name", json_copy(a, name));
		json_set(a, volume, "formats", list);
		json_push(a, volumes, volume);
	}
	json_set(a, link, "volumes", volumes);
	json_set(a, link, "manifests", manifests(p, a, base, side));
	return link;
}

static struct json *links(struct sync *s, const char *server)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *all = json_new_object(a);
	const char *base = arena_printf(a,
		"%s/api/export.kubevirt.io/v1/namespaces/%s/virtualmachineexports/%s", server,
		s->ns, p->o->name);

	json_set(a, all, "external", link_of(p, a, base, "external"));
	json_set(a, all, "internal", link_of(p, a, base, "internal"));
	return all;
}

/* ---- the token ---- */

static const char *token_secret(struct sync *s)
{
	struct pass *p = s->state;
	const char *name = json_path_str(p->doc, "spec.tokenSecretRef");

	if (!name || !*name)
		name = json_path_str(p->doc, "status.tokenSecretRef");
	return name && *name ? name : arena_printf(&s->arena, "export-token-%s", p->o->name);
}

static void on_secret(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;

	if (client_ok(r))
		client_event_as(p->c->client, COMPONENT, p->o, NULL, "Normal", "SecretCreated",
			"Created default secret %s/%s", s->ns, token_secret(s));
	else if (r->code != 409)
		sync_check(s, r);
}

/* Who gave no name of a Secret gets one with a token in it. */
static void make_secret(struct sync *s, const char *name)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *doc = json_new_object(a), *meta = json_object_at(a, doc, "metadata");
	struct random *random = client_random(p->c->client);
	char token[TOKEN_CHARACTERS + 1];

	if (*json_str_or(json_path(p->doc, "spec.tokenSecretRef"), "") ||
		informer_get(p->c->secrets, s->ns, name))
		return;
	random_name_suffix(random, token, TOKEN_CHARACTERS);
	json_set_str(a, doc, "apiVersion", "v1");
	json_set_str(a, doc, "kind", "Secret");
	json_set_str(a, meta, "name", name);
	json_set_str(a, meta, "namespace", s->ns);
	json_push(a, json_array_at(a, meta, "ownerReferences"), owner_reference(a, p->o));
	json_set_str(a, doc, "type", "Opaque");
	json_set_str(a, json_object_at(a, doc, "stringData"), "token", token);
	sync_create(s, informer_kind(p->c->secrets), s->ns, doc, on_secret, NULL);
}

/* ---- a pass ---- */

static int64_t end_ns(const struct pass *p)
{
	const char *text = json_path_str(p->doc, "spec.ttlDuration");
	int64_t ttl = TTL_DEFAULT_NS;

	if (text && (duration_parse(text, &ttl) < 0 || ttl <= 0))
		ttl = TTL_DEFAULT_NS;
	return time_after(json_path(p->doc, "metadata.creationTimestamp"), ttl);
}

static void not_ready(struct pass *p, const char *reason, const char *message)
{
	if (!p->source.reason) {
		p->source.reason = reason;
		p->source.message = message;
	}
}

static const char *phase_of(const struct pass *p)
{
	return p->source.skipped ? "Skipped" : p->source.reason ? "Pending" : "Ready";
}

static struct json *conditions_of(struct sync *s, const char *phase)
{
	struct pass *p = s->state;
	struct condition ready = {"Ready", streq(phase, "Ready") ? "True" : "False",
		p->source.reason ? p->source.reason : "PodReady", p->source.message, false};
	int64_t now = loop_wall_ns(s->loop);
	struct json *all =
		condition_set(&s->arena, json_path(p->doc, "status.conditions"), &ready, now);

	if (p->source.parts.type)
		all = condition_set(&s->arena, all, &p->source.parts, now);
	return all;
}

static void write_status(struct sync *s, const char *secret)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *status = json_new_object(a);
	const char *base = base_url(s), *phase;

	if (!base)
		not_ready(p, "Initializing", "the server's own address is not known yet");
	if (!informer_get(p->c->secrets, s->ns, secret))
		not_ready(p, "TokenSecretNotFound",
			arena_printf(a, "secret %s/%s not found", s->ns, secret));
	phase = phase_of(p);
	if (!streq(phase, "Ready") && streq(json_path_str(p->doc, "status.phase"), "Ready"))
		client_event_as(p->c->client, COMPONENT, p->o, NULL, "Warning", "ExportPaused",
			"%s", p->source.message);
	json_set_str(a, status, "phase", phase);
	json_set_str(a, status, "tokenSecretRef", secret);
	json_set(a, status, "ttlExpirationTime", meta_time(a, end_ns(p)));
	if (p->source.machine)
		json_set_str(a, status, "virtualMachineName", p->source.machine);
	json_set(a, status, "links", streq(phase, "Ready") ? links(s, base) : json_new_null(a));
	json_set(a, status, "conditions", conditions_of(s, phase));
	sync_status(s, p->o, p->doc, status, NULL, NULL);
	if (streq(phase, "Pending"))
		sync_again(s, RETRY_MS);
}

static void reconcile(struct sync *s)
{
	struct exports *c = s->self;
	struct object *o = informer_get(c->exports, s->ns, s->name);
	struct pass *p = ARENA_NEW(&s->arena, struct pass);
	int64_t left;

	if (!o || o->deleting)
		return;
	s->state = p;
	*p = (struct pass){.c = c, .o = sync_hold(s, o)};
	p->doc = object_doc(o, &s->arena);
	left = end_ns(p) - loop_wall_ns(s->loop);
	if (left <= 0) {
		client_event_as(c->client, COMPONENT, o, NULL, "Normal", "TTLExpired",
			"The export's time to live is over");
		sync_delete(s, o, -1, NULL, NULL, NULL);
		return;
	}
	const char *secret = token_secret(s);
	export_source_look(&s->arena, &c->caches, s->ns, p->doc, &p->source);
	make_secret(s, secret); /* its event brings the next pass */
	write_status(s, secret);
	sync_again(s, left / NS_PER_MS + 1);
}

/* ---- events ---- */

static void on_export(void *user, const struct object *old, const struct object *new)
{
	loop_add_object(((struct exports *)user)->loop, new ? new : old);
}

/* Exports are few: all of the namespace are looked at. */
static void on_part(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct exports *c = user;
	const struct object *o = new ? new : old;
	struct object **all;
	size_t count = informer_list(c->exports, o->namespace, &a, &all);

	for (size_t i = 0; i < count; i++)
		loop_add_object(c->loop, all[i]);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler exports = {.changed = on_export},
					     parts = {.changed = on_part};
	struct exports *c = xcalloc(1, sizeof(*c));
	struct export_caches *k = &c->caches;

	c->client = sh->client;
	c->ca = sh->ca.certificate;
	c->loop = loop_create(sh->client, COMPONENT, 1, reconcile, c);
	c->exports = shared_informer(sh, "export.kubevirt.io", "v1", "VirtualMachineExport");
	k->machines = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachine");
	k->instances = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachineInstance");
	k->snapshots =
		shared_informer(sh, "snapshot.kubevirt.io", "v1beta1", "VirtualMachineSnapshot");
	k->contents = shared_informer(
		sh, "snapshot.kubevirt.io", "v1beta1", "VirtualMachineSnapshotContent");
	k->claims = shared_informer(sh, "", "v1", "PersistentVolumeClaim");
	k->data_volumes = shared_informer(sh, "cdi.kubevirt.io", "v1beta1", "DataVolume");
	k->pods = shared_informer(sh, "", "v1", "Pod");
	c->secrets = shared_informer(sh, "", "v1", "Secret");
	c->configs = shared_informer(sh, "cdi.kubevirt.io", "v1beta1", "CDIConfig");
	informer_add_handler(c->exports, &exports, c);
	informer_add_handler(c->secrets, &parts, c);
	informer_add_handler(k->machines, &parts, c);
	informer_add_handler(k->instances, &parts, c);
	informer_add_handler(k->snapshots, &parts, c);
	informer_add_handler(k->claims, &parts, c);
	informer_add_handler(k->data_volumes, &parts, c);
	informer_add_handler(k->pods, &parts, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct exports *)self)->loop);
}

static void destroy(void *self)
{
	struct exports *c = self;

	loop_destroy(c->loop);
	free(c);
}

const struct controller_class virtual_machine_export_controller = {
	"virtualmachineexport", create, start, destroy};
