/* export.c - VirtualMachineExport: says where the disks of a claim, a stopped machine or a snapshot
 * can be downloaded, until its time is over.
 *
 *   Pending <--> Ready: the source is there, whole, and nobody writes it
 *      Terminated: ttlDuration is over; the export is deleted
 *
 * The downloads themselves are the API server's (server/api/machines/export.h). */
#include "lib/base/random.h"
#include "server/controllers/snapshots/parts.h"

#define COMPONENT "export-controller"
#define TTL_DEFAULT_NS (2 * 3600 * NS_PER_S)
#define RETRY_MS 5000
#define TOKEN_CHARACTERS 20

struct exports {
	struct loop *loop;
	struct client *client;
	const char *ca; /* PEM; NULL = there is none */
	struct informer *exports, *machines, *instances, *snapshots, *contents, *claims, *secrets,
		*configs;
};

struct pass {
	struct exports *c;
	struct object *o;
	struct json *doc;
	const char *kind, *source;
	const char *not_ready, *message; /* reason; NULL = it is ready */
	struct json *names;		 /* of volumes */
};

static void not_ready(struct pass *p, const char *reason, const char *message)
{
	if (!p->not_ready) {
		p->not_ready = reason;
		p->message = message;
	}
}

/* ---- the source ---- */

static void look_at_claim(struct sync *s, const char *name)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct object *o = informer_get(p->c->claims, s->ns, name);
	struct json *doc = o ? object_doc(o, a) : NULL;

	if (!o)
		not_ready(p, "PVCNotFound", arena_printf(a, "pvc %s/%s not found", s->ns, name));
	else if (!streq(json_path_str(doc, "status.phase"), "Bound"))
		not_ready(p, "PVCPending", arena_printf(a, "pvc %s/%s is not bound", s->ns, name));
	else if (!annotation_of(doc, SELECTED_NODE_ANNOTATION))
		not_ready(p, "NotSupported",
			arena_printf(a, "pvc %s/%s is none of hanok-local", s->ns, name));
	json_push(a, p->names, json_new_string(a, name));
}

/* Whoever runs with the claim writes to it. */
static void look_for_users(struct sync *s, const char *claim)
{
	struct pass *p = s->state;
	struct object **all;
	size_t count = informer_list(p->c->instances, s->ns, &s->arena, &all);

	for (size_t i = 0; i < count; i++) {
		struct json *doc = object_doc(all[i], &s->arena);

		JSON_FOR_EACH_ITEM(v, json_path(doc, "spec.volumes"))
			if (streq(volume_claim(v), claim))
				not_ready(p, "InUse",
					arena_printf(&s->arena,
						"pvc %s/%s is in use by VirtualMachineInstance %s: "
						"stop "
						"it, or export a snapshot",
						s->ns, claim, all[i]->name));
	}
}

static void look_at_machine(struct sync *s)
{
	struct pass *p = s->state;
	struct object *o = informer_get(p->c->machines, s->ns, p->source);
	struct json *doc = o ? object_doc(o, &s->arena) : NULL;

	if (!o)
		not_ready(p, "VMNotFound",
			arena_printf(
				&s->arena, "VirtualMachine %s/%s not found", s->ns, p->source));
	JSON_FOR_EACH_ITEM(v, vm_volumes(doc)) {
		const char *claim = volume_claim(v);

		if (!claim)
			continue;
		look_at_claim(s, claim);
		look_for_users(s, claim);
	}
}

static void look_at_snapshot(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct object *o = informer_get(p->c->snapshots, s->ns, p->source), *content = NULL;
	struct json *doc = o ? object_doc(o, a) : NULL;

	if (o)
		content = informer_get(p->c->contents, s->ns, snapshot_content_name(a, o, doc));
	if (!o)
		not_ready(p, "VMSnapshotNotFound",
			arena_printf(
				a, "VirtualMachineSnapshot %s/%s not found", s->ns, p->source));
	else if (!snapshot_ready(doc) || !content)
		not_ready(p, "VMSnapshotNotReady",
			arena_printf(
				a, "VirtualMachineSnapshot %s/%s is not ready", s->ns, p->source));
	if (!content)
		return;
	JSON_FOR_EACH_ITEM(b, json_path(object_doc(content, a), "spec.volumeBackups"))
		json_push(a, p->names, json_copy(a, json_get(b, "volumeName")));
}

static void look_at_source(struct sync *s)
{
	struct pass *p = s->state;

	if (streq(p->kind, "PersistentVolumeClaim")) {
		look_at_claim(s, p->source);
		look_for_users(s, p->source);
	} else if (streq(p->kind, "VirtualMachine")) {
		look_at_machine(s);
	} else if (streq(p->kind, "VirtualMachineSnapshot")) {
		look_at_snapshot(s);
	} else {
		not_ready(p, "NotSupported",
			arena_printf(&s->arena, "a source of kind %s can't be exported", p->kind));
	}
	if (!p->not_ready && !json_count(p->names))
		not_ready(p, "NoVolumes", "the source has no volumes that can be exported");
}

/* ---- links ---- */

/* The API's own address, as uploads are told it. */
static const char *base_url(struct sync *s)
{
	struct pass *p = s->state;
	struct object *o = informer_get(p->c->configs, "", "config");

	return o ? json_path_str(object_doc(o, &s->arena), "status.uploadProxyURL") : NULL;
}

/* What the claim of a volume has is no disk but a file. */
static bool is_dump(struct sync *s, const char *volume)
{
	struct pass *p = s->state;
	struct object *o = streq(p->kind, "VirtualMachineSnapshot")
				   ? NULL
				   : informer_get(p->c->claims, s->ns, volume);

	return o && annotation_of(object_doc(o, &s->arena), MEMORY_DUMP_ANNOTATION);
}

static struct json *links(struct sync *s, const char *base)
{
	static const struct {
		const char *name, *file;
		bool dump;
	} formats[] = {{"raw", "disk.img", false}, {"gzip", "disk.img.gz", false},
		{"tar.gz", "disk.tar.gz", true}};
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *link = json_new_object(a), *volumes = json_new_array(a);
	struct json *all = json_new_object(a);

	json_set_str(a, link, "cert", p->c->ca ? p->c->ca : "");
	JSON_FOR_EACH_ITEM(name, p->names) {
		struct json *volume = json_new_object(a), *list = json_new_array(a);
		bool dump = is_dump(s, json_str_or(name, ""));

		for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
			struct json *one = json_new_object(a);

			if (formats[i].dump != dump)
				continue;
			json_set_str(a, one, "format", formats[i].name);
			json_set_str(a, one, "url",
				arena_printf(a,
					"%s/api/export.kubevirt.io/v1/namespaces/%s/"
					"virtualmachineexports/%s/volumes/%s/%s",
					base, s->ns, p->o->name, json_str_or(name, ""),
					formats[i].file));
			json_push(a, list, one);
		}
		json_set(a, volume, "name", json_copy(a, name));
		json_set(a, volume, "formats", list);
		json_push(a, volumes, volume);
	}
	json_set(a, link, "volumes", volumes);
	json_set(a, all, "external", link);
	json_set(a, all, "internal", json_copy(a, link));
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

/* Who gave no name of a Secret gets one with a token in it. */
static bool make_secret(struct sync *s, const char *name)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *doc = json_new_object(a), *meta = json_object_at(a, doc, "metadata");
	struct random *random = client_random(p->c->client);
	char token[TOKEN_CHARACTERS + 1];

	if (json_path_str(p->doc, "spec.tokenSecretRef") ||
		informer_get(p->c->secrets, s->ns, name))
		return false;
	random_name_suffix(random, token, TOKEN_CHARACTERS);
	json_set_str(a, doc, "apiVersion", "v1");
	json_set_str(a, doc, "kind", "Secret");
	json_set_str(a, meta, "name", name);
	json_set_str(a, meta, "namespace", s->ns);
	json_push(a, json_array_at(a, meta, "ownerReferences"), owner_reference(a, p->o));
	json_set_str(a, doc, "type", "Opaque");
	json_set_str(a, json_object_at(a, doc, "stringData"), "token", token);
	sync_create(s, informer_kind(p->c->secrets), s->ns, doc, NULL, NULL);
	return true;
}

/* ---- a pass ---- */

static int64_t end_ns(const struct pass *p)
{
	const char *text = json_path_str(p->doc, "spec.ttlDuration");
	int64_t ttl = TTL_DEFAULT_NS;

	if (text && (duration_parse(text, &ttl) < 0 || ttl <= 0))
		ttl = TTL_DEFAULT_NS;
	return meta_time_ns(json_path(p->doc, "metadata.creationTimestamp")) + ttl;
}

static void write_status(struct sync *s, const char *secret)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *status = json_new_object(a);
	const char *base = base_url(s);
	int64_t now = loop_wall_ns(s->loop);

	if (!p->not_ready && !base)
		not_ready(p, "Initializing", "the server's own address is not known yet");
	if (!p->not_ready && !informer_get(p->c->secrets, s->ns, secret))
		not_ready(p, "TokenSecretNotFound",
			arena_printf(a, "secret %s/%s not found", s->ns, secret));
	struct condition ready = {"Ready", p->not_ready ? "False" : "True",
		p->not_ready ? p->not_ready : "PodReady", p->message, false};
	json_set_str(a, status, "phase", p->not_ready ? "Pending" : "Ready");
	json_set_str(a, status, "tokenSecretRef", secret);
	json_set(a, status, "ttlExpirationTime", meta_time(a, end_ns(p)));
	if (streq(p->kind, "VirtualMachine"))
		json_set_str(a, status, "virtualMachineName", p->source);
	json_set(a, status, "links", p->not_ready ? json_new_null(a) : links(s, base));
	json_set(a, status, "conditions",
		condition_set(a, json_path(p->doc, "status.conditions"), &ready, now));
	sync_status(s, p->o, p->doc, status, NULL, NULL);
	if (p->not_ready)
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
	p->kind = json_str_or(json_path(p->doc, "spec.source.kind"), "");
	p->source = json_str_or(json_path(p->doc, "spec.source.name"), "");
	p->names = json_new_array(&s->arena);
	left = end_ns(p) - loop_wall_ns(s->loop);
	if (left <= 0) {
		client_event_as(c->client, COMPONENT, o, NULL, "Normal", "TTLExpired",
			"The export's time to live is over");
		sync_delete(s, o, -1, NULL, NULL, NULL);
		return;
	}
	const char *secret = token_secret(s);
	look_at_source(s);
	if (make_secret(s, secret))
		sync_again(s, 0);
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

	c->client = sh->client;
	c->ca = sh->ca.certificate;
	c->loop = loop_create(sh->client, COMPONENT, 1, reconcile, c);
	c->exports = shared_informer(sh, "export.kubevirt.io", "v1", "VirtualMachineExport");
	c->machines = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachine");
	c->instances = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachineInstance");
	c->snapshots =
		shared_informer(sh, "snapshot.kubevirt.io", "v1beta1", "VirtualMachineSnapshot");
	c->contents = shared_informer(
		sh, "snapshot.kubevirt.io", "v1beta1", "VirtualMachineSnapshotContent");
	c->claims = shared_informer(sh, "", "v1", "PersistentVolumeClaim");
	c->secrets = shared_informer(sh, "", "v1", "Secret");
	c->configs = shared_informer(sh, "cdi.kubevirt.io", "v1beta1", "CDIConfig");
	informer_add_handler(c->exports, &exports, c);
	informer_add_handler(c->instances, &parts, c);
	informer_add_handler(c->snapshots, &parts, c);
	informer_add_handler(c->claims, &parts, c);
	informer_add_handler(c->secrets, &parts, c);
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
