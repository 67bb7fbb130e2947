/* fill.c - see fill.h.
 *
 *   ASKING --content is ready--> LINKING --> done
 *                         (full) COPYING --> PUBLISHING --> done
 *
 * Whoever is cancelled, or fails, on the way LEAVES on a thread: behind what still works there, for
 * until then nobody may open the source. */
#include "node/disk/fill.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/object/quantity.h"
#include "node/child/child.h"
#include "node/disk/disks.h"
#include "node/disk/layers.h"
#include "node/disk/lend.h"
#include "node/volume/file_work.h"
#include "node/volume/volume.h"

#define CONTENT "hanok.io/disk-from-content"
#define VOLUME "hanok.io/disk-from-volume"
#define MODE "hanok.io/disk-clone-mode"
#define SOURCE_NAMESPACE "hanok.io/disk-source-namespace"
#define WITH_MEMORY "hanok.io/disk-with-memory"
#define COPY_TIMEOUT_MS (12u * 3600 * 1000)
#define QEMU_IMG_MEMORY_BYTES (UINT64_C(2) << 30)

/* What a thread works on; its own. */
struct fill_work {
	struct disk_fill *f; /* not looked at by the thread */
	char *from, *to, *parent;
	char *memory; /* file that goes with the disk; NULL = none */
	int64_t size_bytes;
	bool full;
	bool freeze; /* `from` is a disk whose top is written as a rule */
	/* Of a copy. */
	char *fresh; /* directory that is being filled */
	char layer[64], source[64];
	int64_t source_bytes;
	uid_t user; /* whom the programs run as */
	bool open;  /* everybody may read its layers, as those are that nobody writes */
	bool lent;  /* or the user has them meanwhile */
	struct err err;
};

struct disk_fill {
	struct disk_fill_options o;
	struct object *claim;
	char *directory;
	char *source_ns, *source_name; /* of a claim, or of what has the snapshot: its namespace */
	struct client_call *call;
	struct file_job *job;
	struct child *child;
	struct fill_work *work; /* between the steps of a copy */
	struct err found;	/* of looking for the source */
	char *held;		/* directory of a claim that nobody may open meanwhile */
};

static const char *annotation(const struct json *claim, const char *name)
{
	return json_str(json_get(json_path(claim, "metadata.annotations"), name));
}

/* Of the claim that this one is to be a copy of; NULL = it is none. */
static const char *source_claim(const struct json *claim)
{
	const struct json *source = json_path(claim, "spec.dataSource");

	return streq(json_str(json_get(source, "kind")), "PersistentVolumeClaim")
		       ? json_str(json_get(source, "name"))
		       : NULL;
}

bool disk_fill_wanted(const struct json *claim)
{
	const char *name = annotation(claim, CONTENT);

	return (name && *name) || source_claim(claim) || annotation(claim, SOURCE_NAMESPACE);
}

bool disk_fill_done(const char *directory)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct disk_chain chain;

	return disk_dir_read(&a, directory, &chain, NULL) == 0;
}

char *disk_snapshot_directory(
	struct arena *a, const struct node *n, const char *content_uid, const char *volume)
{
	return volume ? arena_printf(
				a, "%s/local/.snapshots/%s/%s", n->data_dir, content_uid, volume)
		      : arena_printf(a, "%s/local/.snapshots/%s", n->data_dir, content_uid);
}

static void work_free(struct fill_work *w)
{
	if (!w)
		return;
	free(w->from);
	free(w->to);
	free(w->parent);
	free(w->memory);
	free(w->fresh);
	free(w);
}

/* Where it is made until it is whole. */
static char *fresh_of(const char *directory)
{
	const char *slash = strrchr(directory, '/');

	return xasprintf(
		"%.*s/" DISK_NEW_PREFIX "%s", (int)(slash - directory), directory, slash + 1);
}

/* The last job of its key. */
struct leaving {
	struct node *n;
	char *held;  /* NULL = nothing */
	char *lent;  /* directory whose layers a program had; NULL = none */
	char *fresh; /* what there is of a copy */
};

static void leave_on_thread(void *user)
{
	struct leaving *l = user;
	struct err ignored = ERR_INIT;

	if (l->lent)
		disk_take_back_in(l->lent);
	(void)!volume_remove_tree(l->fresh, &ignored);
}

static void on_left(void *user, bool cancelled)
{
	struct leaving *l = user;

	if (cancelled && l->lent) /* it may not have been done */
		disk_take_back_in(l->lent);
	if (!cancelled && l->held && l->n->disks)
		disks_release(l->n->disks, l->held);
	free(l->held);
	free(l->lent);
	free(l->fresh);
	free(l);
}

static void leave(struct disk_fill *f)
{
	struct leaving *l = xcalloc(1, sizeof(*l));

	l->n = f->o.node;
	l->held = TAKE_PTR(f->held);
	l->lent = f->work && f->work->lent ? xstrdup(f->work->from) : NULL;
	l->fresh = fresh_of(f->directory);
	file_work_queue(f->o.node->files, f->directory, leave_on_thread, on_left, l);
}

void disk_fill_cancel(struct disk_fill *f)
{
	bool leaves;

	if (!f)
		return;
	leaves = f->job || f->work;
	if (f->call)
		client_cancel(f->o.node->client, f->call);
	file_job_cancel(f->job);
	child_cancel(f->child);
	if (leaves)
		leave(f);
	work_free(f->work);
	if (f->held)
		disks_release(f->o.node->disks, f->held);
	free(f->held);
	object_unref(f->claim);
	free(f->directory);
	free(f->source_ns);
	free(f->source_name);
	free(f);
}

static void end(struct disk_fill *f, const struct err *err)
{
	struct disk_fill_options o = f->o;

	disk_fill_cancel(f);
	o.done(o.user, err && err->code ? err : NULL);
}

/* ---- linked ---- */

/* The layers that are to be shared, or copied. */
static int read_source(struct arena *a, struct fill_work *w, struct disk_chain *ret)
{
	char frozen[64];
	int r = w->freeze ? layers_freeze(w->from, frozen, &w->err) : 0;

	if (r == 0)
		r = disk_dir_read_layer(a, w->from, w->freeze ? frozen : NULL, ret, &w->err);
	return r == -ENOENT && w->freeze
		       ? err_set(&w->err, r, "the source claim has no disk of a virtual machine")
		       : r;
}

static void link_on_thread(void *user)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct fill_work *w = user;
	struct disk_chain chain;
	int r = w->err.code ? w->err.code : volume_make_dirs(w->parent, 0711, &w->err);

	if (r == 0)
		r = read_source(&a, w, &chain);
	if (r == 0)
		r = layers_link_memory(w->from, chain.layers[0].name, w->to,
			MAX(chain.size_bytes, w->size_bytes / 512 * 512), w->memory, &w->err);
	/* Somebody was here before: the same, whole. */
	if (r < 0 && disk_fill_done(w->to))
		w->err = ERR_INIT;
}

static void on_linked(void *user, bool cancelled)
{
	struct fill_work *w = user;
	struct err err = w->err;

	if (!cancelled) {
		w->f->job = NULL;
		end(w->f, &err);
	}
	work_free(w);
}

/* ---- full ---- */

static void take_back(struct fill_work *w)
{
	if (w->lent)
		disk_take_back_in(w->from);
	w->lent = false;
}

static void on_published(void *user, bool cancelled)
{
	take_back(user); /* it may not have been begun */
	on_linked(user, cancelled);
}

static int publish(struct fill_work *w)
{
	_cleanup_(free_p) char *file = xasprintf("%s/%s", w->fresh, w->layer);
	_cleanup_(close_p) int parent = open(w->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = disk_dir_set_owner(file, 0, 0600, &w->err);

	if (r == 0)
		r = disk_dir_publish(
			w->fresh, w->layer, MAX(w->source_bytes, w->size_bytes), &w->err);
	if (r == 0 && (parent < 0 || rename(w->fresh, w->to) < 0 || fsync(parent) < 0))
		r = err_errno(&w->err, -errno, "make '%s'", w->to);
	return r;
}

static void publish_on_thread(void *user)
{
	struct fill_work *w = user;
	struct err ignored = ERR_INIT;

	take_back(w);
	if (publish(w) < 0)
		(void)!volume_remove_tree(w->fresh, &ignored);
}

static struct file_job *queue(
	struct disk_fill *f, struct fill_work *w, file_job_run *run, file_job_done *done)
{
	return file_work_queue(f->o.node->files, w->to, run, done, w);
}

static void on_resized(void *user, const struct child_result *r, const struct err *failure)
{
	struct disk_fill *f = user;

	f->child = NULL;
	if (failure)
		end(f, failure);
	else
		f->job = queue(f, TAKE_PTR(f->work), publish_on_thread, on_published);
}

static void on_copied(void *user, const struct child_result *r, const struct err *failure)
{
	struct disk_fill *f = user;
	struct fill_work *w = f->work;
	char size[32];
	const char *argv[] = {"qemu-img", "resize", "-q", "-f", "qcow2", w->layer, size, NULL};

	f->child = NULL;
	if (failure || w->size_bytes <= w->source_bytes) {
		on_resized(f, r, failure);
		return;
	}
	snprintf(size, sizeof(size), "%" PRId64, w->size_bytes / 512 * 512);
	f->child = child_run(&(struct child_options){
		.loop = f->o.node->loop,
		.argv = argv,
		.directory = w->fresh,
		.timeout_ms = 120000,
		.memory_bytes_max = QEMU_IMG_MEMORY_BYTES,
		.unprivileged = true,
		.run_as = w->user,
		.done = on_resized,
		.user = f,
	});
}

static bool is_open(const struct disk_chain *chain)
{
	struct stat st;

	for (size_t i = 0; i < chain->count; i++)
		if (lstat(chain->layers[i].path, &st) < 0 || !(st.st_mode & S_IROTH))
			return false;
	return true;
}

/* The file is there, and the program's, before one without rights writes to it. */
static int make_layer(struct fill_work *w)
{
	_cleanup_(free_p) char *path = xasprintf("%s/%s", w->fresh, w->layer);
	_cleanup_(close_p) int fd =
		open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || fchown(fd, w->user, w->user) < 0)
		return err_errno(&w->err, -errno, "make '%s'", path);
	return 0;
}

/* What others have, too, and is not for everybody to read, can't be lent: it is read with rights.
 */
static int lend(struct fill_work *w, const struct disk_chain *chain)
{
	struct err err = ERR_INIT;
	int r;

	if (w->open)
		return 0;
	w->lent = true;
	r = disk_lend(chain, w->user, false, &err);
	if (r == -EACCES)
		take_back(w);
	return r < 0 && r != -EACCES ? err_set(&w->err, r, "%s", err.msg) : 0;
}

static void prepare_on_thread(void *user)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct fill_work *w = user;
	struct disk_chain chain;
	char unused[64];
	struct err ignored = ERR_INIT;

	if (w->err.code || volume_make_dirs(w->parent, 0711, &w->err) < 0 ||
		read_source(&a, w, &chain) < 0)
		return;
	(void)!volume_remove_tree(w->fresh, &ignored); /* of an agent before us */
	if (mkdir(w->fresh, 0711) < 0) {
		err_errno(&w->err, -errno, "make '%s'", w->fresh);
		return;
	}
	disk_dir_new_name(unused, w->layer);
	snprintf(w->source, sizeof(w->source), "%s", chain.layers[0].name);
	w->source_bytes = chain.size_bytes;
	w->user = child_user_new();
	w->open = is_open(&chain);
	if (make_layer(w) == 0)
		(void)!lend(w, &chain);
}

static void on_prepared(void *user, bool cancelled)
{
	struct fill_work *w = user;
	struct disk_fill *f = w->f;
	struct err err = w->err;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (cancelled) {
		take_back(w);
		work_free(w);
		return;
	}
	f->job = NULL;
	f->work = w;
	if (err.code) {
		end(f, &err);
		return;
	}
	const char *argv[] = {"qemu-img", "convert", "-q", "-f", disk_layer_format(w->source), "-O",
		"qcow2", arena_printf(&a, "%s/%s", w->from, w->source), w->layer, NULL};
	f->child = child_run(&(struct child_options){
		.loop = f->o.node->loop,
		.argv = argv,
		.directory = w->fresh,
		.timeout_ms = COPY_TIMEOUT_MS,
		.memory_bytes_max = QEMU_IMG_MEMORY_BYTES,
		.unprivileged = w->open || w->lent,
		.run_as = w->open || w->lent ? w->user : 0,
		.mortal = true,
		.done = on_copied,
		.user = f,
	});
}

/* ---- the source ---- */

static bool is_name(const char *s)
{
	return *s && *s != '.' && !strchr(s, '/');
}

static int check_content(
	struct disk_fill *f, const struct json *content, const char *volume, struct err *err)
{
	const char *name = json_str_or(json_path(content, "metadata.name"), "");
	const char *uid = json_str_or(json_path(content, "metadata.uid"), "");
	bool has = false;

	JSON_FOR_EACH_ITEM(b, json_path(content, "spec.volumeBackups"))
		has = has || streq(json_str(json_get(b, "volumeName")), volume);
	if (!json_path_bool(content, "status.readyToUse", false))
		return err_set(err, -EAGAIN, "VirtualMachineSnapshotContent %s/%s is not ready",
			f->source_ns, name);
	if (!has || !is_name(volume) || !is_name(uid))
		return err_set(err, -ENOENT,
			"VirtualMachineSnapshotContent %s/%s has no volume \"%s\"", f->source_ns,
			name, volume);
	return 0;
}

static struct fill_work *work_new(struct disk_fill *f, const struct json *claim, const char *from)
{
	struct fill_work *w = xcalloc(1, sizeof(*w));
	const char *slash = strrchr(f->directory, '/');

	w->f = f;
	w->from = xstrdup(from);
	w->to = xstrdup(f->directory);
	w->parent = xstrndup(w->to, (size_t)(slash - f->directory));
	w->fresh = fresh_of(w->to);
	w->size_bytes = quantity_json_value(json_path(claim, "spec.resources.requests.storage"), 0);
	w->full = streq(annotation(claim, MODE), "full");
	return w;
}

static void begin(struct disk_fill *f, struct fill_work *w)
{
	f->job = w->full ? queue(f, w, prepare_on_thread, on_prepared)
			 : queue(f, w, link_on_thread, on_linked);
}

static void on_content(void *user, const struct client_result *r)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct disk_fill *f = user;
	const struct json *claim = object_doc(f->claim, &a);
	const char *volume =
		json_str_or(json_get(json_path(claim, "metadata.annotations"), VOLUME), "");
	struct err err = ERR_INIT;
	struct fill_work *w;
	struct json *content;
	const char *uid;

	f->call = NULL;
	if (!client_ok(r))
		err_set(&err, -EIO, "VirtualMachineSnapshotContent %s/%s: %s", f->source_ns,
			annotation(claim, CONTENT), r->message);
	else if (json_parse(&a, r->body, r->body_size, NULL, &content, &err) == 0)
		(void)!check_content(f, content, volume, &err);
	if (err.code) {
		end(f, &err);
		return;
	}
	uid = json_str_or(json_path(content, "metadata.uid"), "");
	w = work_new(f, claim, disk_snapshot_directory(&a, f->o.node, uid, volume));
	if (streq(annotation(claim, WITH_MEMORY), "true"))
		w->memory = xasprintf(
			"%s/" DISK_MEMORY_NAME, disk_snapshot_directory(&a, f->o.node, uid, NULL));
	begin(f, w);
}

/* Another claim's disk, as it is while nobody has it open. */
static int find_claim(struct disk_fill *f, struct arena *a, struct claim_place *ret)
{
	const char *name = f->source_name;
	struct disks *d = f->o.node->disks;
	const char *ns = f->source_ns, *reason;
	struct err *err = &f->found;
	int r = claim_place_find(d, a, ns, name, ret, &reason, err);

	if (r < 0)
		return r;
	if (ret->nfs)
		return err_set(err, -EOPNOTSUPP,
			"PVC %s/%s is on an NFS server: only disks in directories of this node are "
			"cloned, since clones share layers by hard links",
			ns, name);
	if (ret->device)
		return err_set(err, -EOPNOTSUPP,
			"PVC %s/%s is a block device: only disks in directories are cloned", ns,
			name);
	if (disks_in_use(d, ns, name))
		return err_set(err, -EBUSY,
			"PVC %s/%s is in use by a VirtualMachineInstance: stop it, or clone a "
			"snapshot of it",
			ns, name);
	r = disks_check_pods(f->o.node, ns, name, err);
	if (r < 0)
		return r;
	if (disks_held(d, ret->directory))
		return err_set(
			err, -EAGAIN, "the layers of PVC %s/%s are being worked on", ns, name);
	return 0;
}

static void start_with_claim(struct disk_fill *f, const struct json *claim)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct claim_place place = {.directory = ""};
	int r = find_claim(f, &a, &place);
	struct fill_work *w = work_new(f, claim, r == 0 ? place.directory : "");

	if (r < 0) {
		w->err = f->found; /* told by the job's end */
	} else {
		f->held = xstrdup(place.directory);
		disks_hold(f->o.node->disks, f->held);
		/* What others keep elsewhere is copied as it is. */
		w->freeze = place.own;
		w->full = w->full || !place.own;
	}
	begin(f, w);
}

/* What the annotations name is there, in the namespace that it may be in. */
static void start_known(struct disk_fill *f, const struct json *claim)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct kind *kind = kind_by_name(f->o.node->kinds, "snapshot.kubevirt.io", "v1beta1",
		"VirtualMachineSnapshotContent");
	char *path;

	if (f->source_name) {
		start_with_claim(f, claim);
		return;
	}
	path = client_path(&a, kind, f->source_ns, annotation(claim, CONTENT), NULL);
	f->call = client_request(f->o.node->client,
		&(struct client_request){.method = "GET", .path = path}, on_content, f);
}

/* ---- another namespace: only if the claim's DataVolume, whose maker was asked, says so ---- */

static bool is_maker(const struct disk_fill *f, const struct json *dv)
{
	const struct object_owner *owner = object_controller(f->claim);

	return owner && streq(owner->uid, json_path_str(dv, "metadata.uid"));
}

static int allow(
	struct disk_fill *f, const struct json *claim, const struct json *dv, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	static const char begin[] = "vmsnapshot-content-";
	const char *content =
		json_str_or(json_get(json_path(claim, "metadata.annotations"), CONTENT), "");
	const struct json *pvc = json_path(dv, "spec.source.pvc"),
			  *snapshot = json_path(dv, "spec.source.snapshot");
	const struct json *source = pvc ? pvc : snapshot;
	const char *name = json_str_or(json_get(source, "name"), "");
	bool right = is_maker(f, dv) && source &&
		     streq(json_str(json_get(source, "namespace")), f->source_ns);

	if (right && !pvc)
		right = str_has_prefix(content, begin) &&
			streq(name, arena_printf(&a, "vmsnapshot-%s-volume-%s",
					    content + sizeof(begin) - 1,
					    json_str_or(json_get(json_path(claim,
									 "metadata.annotations"),
								VOLUME),
						    "")));
	if (!right)
		return err_set(err, -EPERM,
			"the claim's disk is to come from namespace %s, but its DataVolume does "
			"not say so",
			f->source_ns);
	if (pvc)
		f->source_name = xstrdup(name);
	return 0;
}

static void on_data_volume(void *user, const struct client_result *r)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct disk_fill *f = user;
	const struct json *claim = object_doc(f->claim, &a);
	struct err err = ERR_INIT;
	struct json *dv = NULL;

	f->call = NULL;
	if (!client_ok(r))
		err_set(&err, -EIO, "DataVolume of PVC %s/%s: %s", f->claim->namespace,
			f->claim->name, r->message);
	else if (json_parse(&a, r->body, r->body_size, NULL, &dv, &err) == 0)
		(void)!allow(f, claim, dv, &err);
	if (err.code)
		end(f, &err);
	else
		start_known(f, claim);
}

struct disk_fill *disk_fill_start(const struct disk_fill_options *o)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct disk_fill *f = xcalloc(1, sizeof(*f));
	const struct kind *kind =
		kind_by_name(o->node->kinds, "cdi.kubevirt.io", "v1beta1", "DataVolume");
	const char *foreign;

	f->o = *o;
	f->claim = object_ref(o->claim);
	f->directory = xstrdup(o->directory);
	const struct json *claim = object_doc(f->claim, &a);
	foreign = annotation(claim, SOURCE_NAMESPACE);
	f->source_ns = xstrdup(foreign ? foreign : f->claim->namespace);
	if (!foreign) {
		if (!annotation(claim, CONTENT))
			f->source_name = xstrdup(source_claim(claim));
		start_known(f, claim);
		return f;
	}
	f->call = client_request(o->node->client,
		&(struct client_request){
			.method = "GET",
			.path = client_path(&a, kind, f->claim->namespace, f->claim->name, NULL),
		},
		on_data_volume, f);
	return f;
}
