/*   claim   --> ASKING for space --> MAKING the directory --> WRITING the volume --> over
 *   growing --> ASKING for space ---------------------------> WRITING the volume --> over
 *   volume  --> putting ASIDE --> DELETING the volume --> REMOVING files --> over
 *                                    | it has changed
 *                                    +--> putting BACK --> over
 *   class   --> LISTING what was left aside --> REMOVING or putting BACK, one after another
 *
 * What fails is looked at again by and by; each step may be repeated by the next agent. */
#include "node/storage/nfs_provisioner.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/table.h"
#include "lib/client/wakeup.h"
#include "lib/object/quantity.h"
#include "node/disk/disks.h"
#include "node/disk/fill.h"
#include "node/nfs/nfs.h"
#include "node/storage/local_pool.h"
#include "node/storage/provisioned.h"

#define COMPONENT "hanok-nfs-provisioner"
#define ASIDE ".removing-"
#define GATHER_MS 50
#define RETRY_MS 10000
#define SCAN_MS 600000

struct job {
	struct list link;
	struct nfs_provisioner *p;
	enum { FOR_CLAIM, FOR_GROWTH, FOR_REMOVAL, FOR_SCAN } what;
	struct object *about; /* claim, volume; NULL = a scan */
	struct arena arena;
	struct nfs_place share;
	const struct json *class; /* of a claim */
	const char *name;	  /* of the volume, and of its directory */
	const char *uid;	  /* what tells this job from others: of the claim or volume, or the
				     share's URL */
	const struct json *left;  /* FOR_SCAN: names that were found aside */
	size_t next;		  /* of them */
	struct nfs_call *nfs;
	struct client_call *call;
};

struct nfs_provisioner {
	struct node *n;
	const struct kind *volume_kind;
	struct informer *classes;
	struct table due; /* "claim/NS/NAME", "volume/NAME" */
	bool all_due;
	struct wakeup *look, *retry, *scan;
	struct list jobs;
};

static void look_soon(struct nfs_provisioner *p)
{
	if (!wakeup_armed(p->look))
		wakeup_in(p->look, GATHER_MS);
}

static void job_free(struct job *j)
{
	list_remove(&j->link);
	nfs_call_cancel(j->nfs);
	if (j->call)
		client_cancel(j->p->n->client, j->call);
	object_unref(j->about);
	arena_finish(&j->arena);
	free(j);
}

static void note(struct nfs_provisioner *p, const char *kind, const char *ns, const char *name)
{
	_cleanup_(free_p) char *key =
		ns ? xasprintf("%s/%s/%s", kind, ns, name) : xasprintf("%s/%s", kind, name);

	table_set(&p->due, key, p);
	look_soon(p);
}

/* What changed while it was worked on was passed over. */
static void note_if_changed(struct nfs_provisioner *p, const struct object *o)
{
	bool claim = *o->namespace;
	const struct object *now = claim ? informer_get(p->n->claims, o->namespace, o->name)
					 : informer_get(p->n->volumes, "", o->name);

	if (now && now->revision != o->revision)
		note(p, claim ? "claim" : "volume", claim ? o->namespace : NULL, o->name);
}

/* It is over; `again`: not well. */
static void end(struct job *j, bool again)
{
	struct nfs_provisioner *p = j->p;
	struct object *about = TAKE_PTR(j->about);

	job_free(j);
	if (about)
		note_if_changed(p, about);
	object_unref(about);
	if (again && !wakeup_armed(p->retry))
		wakeup_in(p->retry, RETRY_MS);
}

static _printf_(4, 5) void say(
	struct job *j, const char *type, const char *reason, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (j->about)
		client_event_as(
			j->p->n->client, COMPONENT, j->about, NULL, type, reason, "%s", text);
	else
		log_warn("volumes on a server", "problem", text, NULL);
}

static void failed(struct job *j, const struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (j->what == FOR_CLAIM)
		say(j, "Warning", "ProvisioningFailed",
			"failed to provision volume with StorageClass \"%s\": %s",
			json_str_or(
				json_path(object_doc(j->about, &a), "spec.storageClassName"), ""),
			err->msg);
	else if (j->what == FOR_GROWTH)
		say(j, "Warning", "VolumeResizeFailed", "%s", err->msg);
	else
		say(j, "Warning", "VolumeFailedDelete", "%s", err->msg);
	end(j, true);
}

static const struct json *doc_of(struct job *j)
{
	return object_doc(j->about, &j->arena);
}

static void call(struct job *j, const char *command, const char *first, const char *second,
	nfs_call_done *done)
{
	j->nfs = nfs_call(j->p->n->loop, &j->share, command, first, second, done, j);
}

/* ---- the share of a class ---- */

static int read_share(const struct json *class, struct nfs_place *ret, struct err *err)
{
	static const char *const known[] = {"server", "share", "uid", "gid", "overcommit"};
	const struct json *parameters = json_get(class, "parameters");
	const char *uid = json_str(json_get(parameters, "uid")),
		   *gid = json_str(json_get(parameters, "gid"));
	struct nfs_place p = {
		.server = json_str(json_get(parameters, "server")),
		.path = json_str(json_get(parameters, "share")),
		.uid = NFS_ID_DEFAULT,
		.gid = NFS_ID_DEFAULT,
	};

	JSON_FOR_EACH_MEMBER(m, parameters) {
		bool ours = false;
		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			ours |= streq(m->name, known[i]);
		if (!ours)
			return err_set(err, -EINVAL,
				"parameter %s is not known: there are server, share, uid, gid, "
				"overcommit",
				m->name);
	}
	if (!p.server || !p.path)
		return err_set(err, -EINVAL,
			"parameters server and share: which directory of which NFS server?");
	int r = nfs_place_check(p.server, p.path, err);
	if (r == 0 && p.path[1] && str_has_suffix(p.path, "/"))
		r = err_set(err, -EINVAL, "parameter share: '%s' ends with /", p.path);
	if (r == 0 && uid)
		r = nfs_id_read(uid, &p.uid, err);
	if (r == 0 && gid)
		r = nfs_id_read(gid, &p.gid, err);
	if (r == 0)
		*ret = p;
	return r;
}

static const char *path_in(struct arena *a, const struct nfs_place *share, const char *name)
{
	return arena_printf(a, "%s/%s", streq(share->path, "/") ? "" : share->path, name);
}

/* Of a volume that this provisioner made: the share that its directory is in. */
static bool share_of(struct arena *a, const struct json *pv, struct nfs_place *ret)
{
	const char *name = json_str_or(json_path(pv, "metadata.name"), "");
	size_t size, own = strlen(name);

	if (!streq(provisioned_annotation(pv, PROVISIONED_BY), NFS_PROVISIONER) ||
		!str_has_prefix(name, "pvc-") || nfs_place_read(a, pv, ret, NULL) < 0)
		return false;
	size = strlen(ret->path);
	if (size < own + 2 || !streq(ret->path + size - own, name) ||
		ret->path[size - own - 1] != '/')
		return false;
	ret->path =
		size == own + 1 ? "/" : arena_printf(a, "%.*s", (int)(size - own - 1), ret->path);
	return true;
}

/* ---- space ---- */

static int64_t promised(struct nfs_provisioner *p, const struct nfs_place *share)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *below = path_in(&a, share, "");
	struct object **list;
	size_t count = informer_list(p->n->volumes, NULL, &a, &list);
	int64_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		_cleanup_(arena_finish) struct arena scratch = ARENA_INIT;
		const struct json *doc = object_doc(list[i], &scratch);
		int64_t bytes = quantity_json_value(json_path(doc, "spec.capacity.storage"), 0);

		if (streq(json_path_str(doc, "spec.nfs.server"), share->server) && bytes > 0 &&
			str_has_prefix(json_str_or(json_path(doc, "spec.nfs.path"), ""), below))
			sum = sum > INT64_MAX - bytes ? INT64_MAX : sum + bytes;
	}
	return sum;
}

/* What the server answered to "space". */
static struct local_pool pool_of(struct job *j, const struct json *answer)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct local_pool pool = {
		.capacity_bytes = json_int_or(json_get(answer, "capacity"), 0),
		.available_bytes = json_int_or(json_get(answer, "available"), 0),
		.promised_bytes = promised(j->p, &j->share),
	};

	local_pool_tell(&pool, nfs_url(&a, &j->share, NULL));
	return pool;
}

static int admit(struct job *j, const struct json *answer, int64_t more_bytes, struct err *err)
{
	struct local_pool pool = pool_of(j, answer);
	int64_t wanted = provisioned_wanted_bytes(doc_of(j));

	if (wanted > pool.capacity_bytes)
		return err_set(err, -ENOSPC,
			"the claim wants %s, the whole file system of nfs://%s%s has %" PRId64
			"Mi: ask for less, or choose another storage class",
			json_str_or(json_path(doc_of(j), "spec.resources.requests.storage"), ""),
			j->share.server, j->share.path, pool.capacity_bytes >> 20);
	return local_pool_admit(&pool, json_get(j->class, "parameters"), more_bytes, err);
}

/* ---- making ---- */

static void on_written(void *user, const struct client_result *r)
{
	struct job *j = user;
	struct err err = ERR_INIT;

	j->call = NULL;
	if (client_ok(r) && j->what == FOR_CLAIM)
		say(j, "Normal", "ProvisioningSucceeded", "Successfully provisioned volume %s",
			j->name);
	/* Conflicts and the like come with an event of their own. */
	if (client_ok(r) || r->code == 409 || r->code == 404) {
		end(j, false);
		return;
	}
	err_set(&err, -EIO, "%s", r->message);
	failed(j, &err);
}

static void on_directory(void *user, const struct json *answer, const struct err *err)
{
	struct job *j = user;
	struct json *pv, *notes;

	j->nfs = NULL;
	if (err) {
		failed(j, err);
		return;
	}
	pv = provisioned_volume(&j->arena, j->about, doc_of(j), j->class, NFS_PROVISIONER, j->name);
	json_path_set(
		&j->arena, pv, "spec.nfs.server", json_new_string(&j->arena, j->share.server));
	json_path_set(&j->arena, pv, "spec.nfs.path",
		json_new_string(&j->arena, path_in(&j->arena, &j->share, j->name)));
	notes = json_object_at(&j->arena, json_object_at(&j->arena, pv, "metadata"), "annotations");
	json_set(&j->arena, notes, NFS_UID_ANNOTATION,
		json_new_printf(&j->arena, "%u", j->share.uid));
	json_set(&j->arena, notes, NFS_GID_ANNOTATION,
		json_new_printf(&j->arena, "%u", j->share.gid));
	j->call = client_create(j->p->n->client, j->p->volume_kind, NULL, pv, on_written, j);
}

static void on_space(void *user, const struct json *answer, const struct err *failure)
{
	struct job *j = user;
	struct err err = ERR_INIT;

	j->nfs = NULL;
	if (failure)
		err = *failure;
	else
		(void)!admit(j, answer, provisioned_wanted_bytes(doc_of(j)), &err);
	if (err.code)
		failed(j, &err);
	else
		call(j, "mkdir", j->name, NULL, on_directory);
}

/* ---- growing ---- */

static void on_space_to_grow(void *user, const struct json *answer, const struct err *failure)
{
	struct job *j = user;
	struct object *volume = informer_get(j->p->n->volumes, "", j->name);
	struct json *patch = json_new_object(&j->arena);
	struct err err = ERR_INIT;

	j->nfs = NULL;
	if (!volume) {
		end(j, false);
		return;
	}
	if (failure)
		err = *failure;
	else
		(void)!admit(j, answer,
			provisioned_wanted_bytes(doc_of(j)) -
				quantity_json_value(json_path(object_doc(volume, &j->arena),
							    "spec.capacity.storage"),
					0),
			&err);
	if (err.code) {
		failed(j, &err);
		return;
	}
	json_path_set(&j->arena, patch, "metadata.resourceVersion",
		json_new_printf(&j->arena, "%" PRIu64, volume->revision));
	json_path_set(&j->arena, patch, "spec.capacity.storage",
		json_copy(&j->arena, json_path(doc_of(j), "spec.resources.requests.storage")));
	j->call = client_patch(j->p->n->client, j->p->volume_kind, NULL, j->name, NULL,
		"application/merge-patch+json", patch, on_written, j);
}

/* ---- removing ---- */

static void on_removed(void *user, const struct json *answer, const struct err *err)
{
	struct job *j = user;

	j->nfs = NULL;
	if (err)
		failed(j, err);
	else
		end(j, false);
}

static void on_back(void *user, const struct json *answer, const struct err *err)
{
	on_removed(user, answer, err);
}

static const char *aside(struct job *j)
{
	return arena_printf(&j->arena, ASIDE "%s", j->name);
}

static void on_deleted(void *user, const struct client_result *r)
{
	struct job *j = user;
	struct err err = ERR_INIT;

	j->call = NULL;
	if (client_ok(r) || r->code == 404) {
		call(j, "remove", aside(j), NULL, on_removed);
	} else if (r->code == 409) {
		call(j, "rename", aside(j), j->name, on_back);
	} else {
		err_set(&err, -EIO, "%s", r->message);
		failed(j, &err);
	}
}

static void on_aside(void *user, const struct json *answer, const struct err *err)
{
	struct job *j = user;

	j->nfs = NULL;
	/* Somebody has removed it by hand. */
	if (err && err->code != -ENOENT)
		failed(j, err);
	else
		j->call = provisioned_delete(j->p->n->client, j->p->volume_kind, j->name,
			j->about->uid, j->about->revision, on_deleted, j);
}

/* ---- what an agent that was killed left ---- */

static bool is_under_way(struct nfs_provisioner *p, const char *uid)
{
	LIST_FOR_EACH(j, &p->jobs, struct job, link)
		if (streq(j->uid, uid))
			return true;
	return false;
}

static void next_left(struct job *j);

static void on_left(void *user, const struct json *answer, const struct err *err)
{
	struct job *j = user;

	j->nfs = NULL;
	if (err)
		say(j, "Warning", "VolumeFailedDelete", "%s", err->msg);
	next_left(j);
}

static void next_left(struct job *j)
{
	struct nfs_provisioner *p = j->p;

	while (j->next < json_count(j->left)) {
		const char *found = json_str_or(json_at(j->left, j->next++), "");
		struct object *volume;

		if (!str_has_prefix(found, ASIDE "pvc-"))
			continue;
		j->name = found + strlen(ASIDE);
		volume = informer_get(p->n->volumes, "", j->name);
		if (!volume)
			call(j, "remove", found, NULL, on_left);
		else if (!volume->deleting && !is_under_way(p, volume->uid))
			call(j, "rename", found, j->name, on_left);
		else
			continue;
		return;
	}
	end(j, false);
}

static void on_listed(void *user, const struct json *answer, const struct err *err)
{
	struct job *j = user;

	j->nfs = NULL;
	if (err) {
		log_info("volumes on a server", "problem", err->msg, NULL);
		end(j, false);
		return;
	}
	j->left = json_copy(&j->arena, json_get(answer, "names"));
	next_left(j);
}

static void on_scan_space(void *user, const struct json *answer, const struct err *err)
{
	struct job *j = user;

	j->nfs = NULL;
	if (err) {
		log_info("volumes on a server", "problem", err->msg, NULL);
		end(j, false);
		return;
	}
	(void)pool_of(j, answer);
	call(j, "list", ASIDE, NULL, on_listed);
}

/* ---- looking ---- */

static struct job *job_new(struct nfs_provisioner *p, int what, const struct object *about)
{
	struct job *j = xcalloc(1, sizeof(*j));

	j->p = p;
	j->what = what;
	j->about = about ? object_ref((struct object *)(uintptr_t)about) : NULL;
	j->uid = about ? j->about->uid : "";
	list_append(&p->jobs, &j->link);
	return j;
}

static const char *unfit(const struct json *claim)
{
	if (streq(json_path_str(claim, "spec.volumeMode"), "Block"))
		return "spec.volumeMode: provisioner " NFS_PROVISIONER
		       " makes directories, not block devices: use Filesystem";
	if (disk_fill_wanted(claim))
		return "provisioner " NFS_PROVISIONER
		       " makes empty volumes: clones and snapshots share layers by hard links, in "
		       "a class of hanok.io/local";
	return NULL;
}

static void provision(struct nfs_provisioner *p, const struct object *claim)
{
	struct job *j = job_new(p, FOR_CLAIM, claim);
	const struct json *doc = doc_of(j);
	struct err err = ERR_INIT;

	j->class = provisioned_class(p->classes, &j->arena, doc, NFS_PROVISIONER);
	j->name = arena_printf(&j->arena, "pvc-%s", claim->uid);
	if (unfit(doc))
		err_set(&err, -EOPNOTSUPP, "%s", unfit(doc));
	else
		(void)!read_share(j->class, &j->share, &err);
	if (err.code)
		failed(j, &err);
	else
		call(j, "space", NULL, NULL, on_space);
}

static void grow(struct nfs_provisioner *p, const struct object *claim, const struct json *class,
	const char *name)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object *volume = informer_get(p->n->volumes, "", name);
	const struct json *pv = volume ? object_doc(volume, &a) : NULL;
	struct nfs_place share;
	struct job *j;

	if (!pv || !json_bool_or(json_get(class, "allowVolumeExpansion"), false) ||
		!share_of(&a, pv, &share) ||
		!streq(json_path_str(pv, "spec.claimRef.uid"), claim->uid) ||
		provisioned_wanted_bytes(object_doc(claim, &a)) <=
			quantity_json_value(json_path(pv, "spec.capacity.storage"), 0))
		return;
	j = job_new(p, FOR_GROWTH, claim);
	j->class = provisioned_class(p->classes, &j->arena, doc_of(j), NFS_PROVISIONER);
	j->name = arena_strdup(&j->arena, name);
	if (share_of(&j->arena, object_doc(volume, &j->arena), &j->share))
		call(j, "space", NULL, NULL, on_space_to_grow);
	else
		end(j, false);
}

static void look_at_claim(struct nfs_provisioner *p, const struct object *claim)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *doc = object_doc(claim, &a);
	const struct json *class = provisioned_class(p->classes, &a, doc, NFS_PROVISIONER);
	const char *name = json_str_or(json_path(doc, "spec.volumeName"), "");
	const char *node = provisioned_annotation(doc, "volume.kubernetes.io/selected-node");
	bool delayed =
		streq(json_str(json_get(class, "volumeBindingMode")), "WaitForFirstConsumer");

	if (!class || claim->deleting || is_under_way(p, claim->uid))
		return;
	if (*name)
		grow(p, claim, class, name);
	/* The binder asks by the annotation, when nothing that is there will do. */
	else if (streq(provisioned_annotation(doc, "volume.kubernetes.io/storage-provisioner"),
			 NFS_PROVISIONER) &&
		 (node ? streq(node, p->n->name) : !delayed) &&
		 !informer_get(p->n->volumes, "", arena_printf(&a, "pvc-%s", claim->uid)))
		provision(p, claim);
}

/* Its claim has gone, but a guest of this node that was asked to let the disk go may not have. */
static bool guest_has(struct nfs_provisioner *p, const struct json *pv)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *ns = json_str_or(json_path(pv, "spec.claimRef.namespace"), "");
	struct nfs_place place;

	return p->n->disks && nfs_place_read(&a, pv, &place, NULL) == 0 &&
	       disks_directory_in_use(p->n->disks, ns, nfs_url(&a, &place, NULL));
}

static void look_at_volume(struct nfs_provisioner *p, const struct object *volume)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pv = object_doc(volume, &a);
	struct nfs_place share;
	struct job *j;

	if (volume->deleting || is_under_way(p, volume->uid) ||
		!streq(json_path_str(pv, "status.phase"), "Released") ||
		!streq(json_path_str(pv, "spec.persistentVolumeReclaimPolicy"), "Delete") ||
		!share_of(&a, pv, &share))
		return;
	if (guest_has(p, pv)) {
		if (!wakeup_armed(p->retry))
			wakeup_in(p->retry, RETRY_MS);
		return;
	}
	j = job_new(p, FOR_REMOVAL, volume);
	j->name = j->about->name;
	if (share_of(&j->arena, doc_of(j), &j->share))
		call(j, "rename", j->name, aside(j), on_aside);
	else
		end(j, false);
}

static void look_at_all(struct nfs_provisioner *p, struct informer *informer,
	void (*look)(struct nfs_provisioner *p, const struct object *o))
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **list;
	size_t count = informer_list(informer, NULL, &a, &list);

	for (size_t i = 0; i < count; i++)
		look(p, list[i]);
}

static void look_at_key(struct nfs_provisioner *p, const char *key)
{
	const char *ns = strchr(key, '/') + 1, *slash = strchr(ns, '/');
	_cleanup_(free_p) char *namespace = xstrndup(ns, slash ? (size_t)(slash - ns) : 0);
	struct object *o = slash ? informer_get(p->n->claims, namespace, slash + 1)
				 : informer_get(p->n->volumes, "", ns);

	if (o && slash)
		look_at_claim(p, o);
	else if (o)
		look_at_volume(p, o);
}

static void on_look(void *user)
{
	struct nfs_provisioner *p = user;
	struct table due = p->due;
	bool all = p->all_due;

	if (!informer_synced(p->n->claims) || !informer_synced(p->n->volumes) ||
		!informer_synced(p->classes))
		return;
	p->due = TABLE_INIT;
	p->all_due = false;
	for (struct table_iter i = table_iterate(&due); !all && table_next(&i);)
		look_at_key(p, i.key);
	table_finish(&due);
	if (all) {
		look_at_all(p, p->n->claims, look_at_claim);
		look_at_all(p, p->n->volumes, look_at_volume);
	}
	if (!wakeup_armed(p->scan))
		wakeup_in(p->scan, 0);
}

static void on_retry(void *user)
{
	struct nfs_provisioner *p = user;

	p->all_due = true;
	look_soon(p);
}

static void scan_class(struct nfs_provisioner *p, const struct object *class)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *doc = object_doc(class, &a);
	struct nfs_place share;
	struct job *j;

	if (!streq(json_str(json_get(doc, "provisioner")), NFS_PROVISIONER) ||
		read_share(doc, &share, NULL) < 0 || is_under_way(p, nfs_url(&a, &share, NULL)))
		return;
	j = job_new(p, FOR_SCAN, NULL);
	if (read_share(json_copy(&j->arena, doc), &j->share, NULL) < 0) {
		end(j, false);
		return;
	}
	j->uid = nfs_url(&j->arena, &j->share, NULL);
	call(j, "space", NULL, NULL, on_scan_space);
}

static void on_scan(void *user)
{
	struct nfs_provisioner *p = user;

	look_at_all(p, p->classes, scan_class);
	wakeup_in(p->scan, SCAN_MS);
}

/* ---- events ---- */

static void on_claim(void *user, const struct object *old, const struct object *new)
{
	if (new)
		note(user, "claim", new->namespace, new->name);
}

static void on_volume(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *ref = json_path(object_doc(new ? new : old, &a), "spec.claimRef");
	const char *ns = json_str(json_get(ref, "namespace"));
	const char *name = json_str(json_get(ref, "name"));

	if (ns && name)
		note(user, "claim", ns, name);
	if (new)
		note(user, "volume", NULL, new->name);
}

static void on_class(void *user, const struct object *old, const struct object *new)
{
	struct nfs_provisioner *p = user;

	p->all_due = true;
	look_soon(p);
	if (new &&informer_synced(p->classes) && wakeup_armed(p->scan))
		wakeup_in(p->scan, GATHER_MS);
}

static void on_synced(void *user)
{
	on_retry(user);
}

struct nfs_provisioner *nfs_provisioner_create(struct node *n, struct informer *classes)
{
	static const struct informer_handler on_claims = {.changed = on_claim, .synced = on_synced};
	static const struct informer_handler on_volumes = {
		.changed = on_volume, .synced = on_synced};
	static const struct informer_handler on_classes = {
		.changed = on_class, .synced = on_synced};
	struct nfs_provisioner *p = xcalloc(1, sizeof(*p));

	p->n = n;
	p->classes = classes;
	p->due = TABLE_INIT;
	p->volume_kind = kind_by_name(n->kinds, "", "v1", "PersistentVolume");
	list_init(&p->jobs);
	p->look = wakeup_create(n->loop, n->clock, on_look, p);
	p->retry = wakeup_create(n->loop, n->clock, on_retry, p);
	p->scan = wakeup_create(n->loop, n->clock, on_scan, p);
	informer_add_handler(n->claims, &on_claims, p);
	informer_add_handler(n->volumes, &on_volumes, p);
	informer_add_handler(classes, &on_classes, p);
	return p;
}

void nfs_provisioner_destroy(struct nfs_provisioner *p)
{
	if (!p)
		return;
	LIST_FOR_EACH(j, &p->jobs, struct job, link)
		job_free(j);
	wakeup_destroy(p->look);
	wakeup_destroy(p->retry);
	wakeup_destroy(p->scan);
	table_finish(&p->due);
	free(p);
}
