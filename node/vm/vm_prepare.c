#include "node/vm/vm_prepare.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "node/disk/disks.h"
#include "node/disk/overlay.h"
#include "node/vm/guest_dns.h"
#include "node/vm/image/image_files.h"
#include "node/vm/seed/seed.h"
#include "node/vm/vm_account.h"
#include "node/vm/vm_fields.h"
#include "node/vm/vm_networks.h"
#include "node/vm/vm_nfs.h"
#include "node/volume/file_work.h"

#define SECRETS_MAX 48
/* Where hostDisk volumes may be, unless DATA/host-disk-directories says otherwise. */
#define HOST_DISK_DIRECTORIES "/var/lib/hanok-disks"

/* One thing that is waited for. */
struct op {
	struct vm_prepare *p;
	struct vm_disk *disk; /* or one of the kernel's files: */
	enum { OP_DISK, OP_KERNEL, OP_INITRD } what;
	struct container_get *get;
	struct claim_disk *claim;
	struct file_job *job;
};

/* A Secret, ConfigMap or account's token that is needed. */
struct secret {
	struct vm_prepare *p;
	const char *name;
	enum { OF_SECRET, OF_CONFIG_MAP, OF_ACCOUNT } what;
	bool optional;
	struct client_call *call;
	struct json *data; /* in the arena of the preparation; of a token: the answer's status */
};

/*   SECRETS (while the address is asked for) --> DISKS --> done
 */
struct vm_prepare {
	struct vm_prepare_options o;
	struct object *vmi;
	struct arena arena;
	char *home; /* the VMI's directory */
	struct secret secrets[SECRETS_MAX];
	size_t secret_count;
	struct op ops[VM_DISKS_MAX + 2];
	size_t op_count;
	struct net_call *lease;
	unsigned waiting;
	bool disks_started, ended;
	char address[16];
	char reason[32]; /* of the first failure */
	struct err err;
	uv_timer_t timer; /* ends it from the loop */
};

static void start_disks(struct vm_prepare *p);

static void freed(uv_handle_t *h)
{
	struct vm_prepare *p = h->data;

	arena_finish(&p->arena);
	object_unref(p->vmi);
	free(p->home);
	free(p);
}

static void stop_all(struct vm_prepare *p)
{
	for (size_t i = 0; i < p->secret_count; i++)
		if (p->secrets[i].call)
			client_cancel(p->o.node->client, TAKE_PTR(p->secrets[i].call));
	for (size_t i = 0; i < p->op_count; i++) {
		container_get_cancel(TAKE_PTR(p->ops[i].get));
		file_job_cancel(TAKE_PTR(p->ops[i].job));
		claim_disk_cancel(TAKE_PTR(p->ops[i].claim));
	}
	if (p->lease)
		net_call_cancel(TAKE_PTR(p->lease));
}

void vm_prepare_cancel(struct vm_prepare *p)
{
	if (!p || p->ended)
		return;
	p->ended = true;
	stop_all(p);
	uv_close((uv_handle_t *)&p->timer, freed);
}

static void on_end(uv_timer_t *t)
{
	struct vm_prepare *p = t->data;

	/* QEMU's user must reach its disks: names may be passed through, not listed. */
	if (!p->err.code && chmod(p->home, 0711) < 0) {
		err_errno(&p->err, -errno, "open %s", p->home);
		snprintf(p->reason, sizeof(p->reason), "DiskNotReady");
	}
	bool failed = p->err.code != 0;
	void (*done)(void *, const char *, const char *, const struct err *) = p->o.done;
	void *user = p->o.user;
	struct err err = p->err;
	char reason[32], address[16];

	memcpy(reason, p->reason, sizeof(reason));
	memcpy(address, p->address, sizeof(address));
	vm_prepare_cancel(p);
	done(user, address, failed ? reason : "", failed ? &err : NULL);
}

/* One of the things ended. The first failure ends all. */
static void one_done(struct vm_prepare *p, const char *reason, const struct err *err)
{
	p->waiting--;
	if (err && !p->err.code) {
		p->err = *err;
		if (!p->err.code)
			p->err.code = -EIO;
		snprintf(p->reason, sizeof(p->reason), "%s", reason);
	}
	if (p->err.code) {
		uv_timer_start(&p->timer, on_end, 0, 0);
		return;
	}
	if (p->waiting)
		return;
	if (!p->disks_started)
		start_disks(p);
	else
		uv_timer_start(&p->timer, on_end, 0, 0);
}

static void fail_now(struct vm_prepare *p, const char *reason, const struct err *err)
{
	p->waiting++;
	one_done(p, reason, err);
}

static const char *place(struct vm_prepare *p, const char *name, const char *suffix)
{
	return arena_printf(p->o.arena, "%s/%s%s", p->home, name, suffix);
}

/* ---- files that are made: under another name until they are whole ---- */

/* What a thread works on. */
struct making {
	struct op *op; /* not looked at by the thread */
	char *fresh, *final;
	const char *format; /* "qcow2" or "raw" */
	char *backing, *backing_format;
	int64_t size_bytes; /* with a backing file: as that has it */
	bool keep;	    /* what has the name already: another guest's disk of the host */
	struct err err;
};

static int make_raw(const struct making *m, struct err *err)
{
	_cleanup_(close_p) int fd =
		open(m->fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd >= 0 && ftruncate(fd, (off_t)m->size_bytes) == 0 && fsync(fd) == 0)
		return 0;
	err_errno(err, -errno, "make '%s'", m->fresh);
	if (fd >= 0)
		(void)unlink(m->fresh);
	return err->code;
}

static int publish(const struct making *m)
{
	if (!m->keep)
		return rename(m->fresh, m->final);
	if (link(m->fresh, m->final) < 0 && errno != EEXIST)
		return -1;
	return unlink(m->fresh);
}

/* No program has a part in it: what lies below may be anybody's disk. */
static void make_on_thread(void *user)
{
	struct making *m = user;
	int64_t bytes = m->size_bytes;
	int r = 0;

	(void)unlink(m->fresh); /* of an earlier try */
	if (m->backing)
		r = overlay_backing_size(m->backing, m->backing_format, &bytes, &m->err);
	if (r == 0 && streq(m->format, "raw"))
		r = make_raw(m, &m->err);
	else if (r == 0)
		r = overlay_create(
			AT_FDCWD, m->fresh, bytes, m->backing, m->backing_format, &m->err);
	if (r == 0 && publish(m) < 0) {
		err_errno(&m->err, -errno, "rename '%s'", m->fresh);
		(void)unlink(m->fresh);
	}
}

static void made(void *user, bool cancelled)
{
	struct making *m = user;
	struct op *op = m->op;

	if (!cancelled) {
		op->job = NULL;
		if (m->err.code)
			err_context(&m->err, m->err.code, "volume '%s'", op->disk->name);
		one_done(op->p, m->err.code ? "DiskNotReady" : "", m->err.code ? &m->err : NULL);
	} else if (m->keep) {
		(void)unlink(m->fresh); /* what nobody waits for any more */
	}
	free(m->fresh);
	free(m->final);
	free(m->backing);
	free(m->backing_format);
	free(m);
}

/* Disks of the host stand among other people's files. */
static char *fresh_name(const struct op *op, const char *path)
{
	return xasprintf("%s.%s.new", path, op->p->o.spec->uid);
}

static void make(
	struct op *op, const char *path, const char *format, const struct vm_layer *backing)
{
	struct making *m = xcalloc(1, sizeof(*m));

	m->op = op;
	m->final = xstrdup(path);
	m->fresh = fresh_name(op, path);
	m->format = format;
	m->backing = backing ? xstrdup(backing->path) : NULL;
	m->backing_format = backing ? xstrdup(backing->format) : NULL;
	m->size_bytes = (op->disk->capacity_bytes + 511) / 512 * 512;
	m->keep = op->disk->volume == VM_VOLUME_HOST_DISK;
	op->job = file_work_queue(op->p->o.node->files, m->final, make_on_thread, made, m);
}

static void make_overlay(struct op *op)
{
	struct vm_disk *d = op->disk;

	d->path = place(op->p, d->name, ".qcow2");
	d->format = "qcow2";
	make(op, d->path, "qcow2", d->backing);
}

static void make_empty(struct op *op, const char *path, const char *format)
{
	make(op, path, format, NULL);
}

/* ---- images ---- */

static void image_here(void *user, const struct container_file *f, const struct err *failure)
{
	struct op *op = user;
	struct vm_prepare *p = op->p;
	const char *name = op->what == OP_KERNEL   ? "kernel"
			   : op->what == OP_INITRD ? "initrd"
						   : NULL;
	const char *to = name ? place(p, name, "") : place(p, op->disk->name, ".base");
	struct err err = ERR_INIT;

	op->get = NULL;
	if (failure) {
		one_done(p, f->reason, failure);
		return;
	}
	if (f->fetched)
		client_event(p->o.node->client, p->vmi, NULL, "Normal", "Pulled",
			"Fetched image \"%s\"",
			op->disk ? op->disk->image.image : p->o.spec->kernel_boot.image.image);
	unlink(to);
	if (link(f->path, to) < 0) {
		err_errno(&err, -errno, "link %s", to);
		one_done(p, "DiskNotReady", &err);
		return;
	}
	if (op->what == OP_KERNEL) {
		p->o.spec->kernel_boot.kernel_file = to;
		one_done(p, "", NULL);
	} else if (op->what == OP_INITRD) {
		p->o.spec->kernel_boot.initrd_file = to;
		one_done(p, "", NULL);
	} else {
		struct vm_layer *base = arena_zalloc(p->o.arena, sizeof(*base));

		base->path = to;
		base->format = arena_strdup(p->o.arena, f->format);
		op->disk->backing = base;
		op->disk->backing_count = 1;
		make_overlay(op);
	}
}

static struct secret *find_object(struct vm_prepare *p, int what, const char *name)
{
	for (size_t i = 0; i < p->secret_count; i++)
		if ((int)p->secrets[i].what == what && streq(p->secrets[i].name, name))
			return &p->secrets[i];
	return NULL;
}

static const struct json *secret_data(struct vm_prepare *p, const char *name)
{
	const struct secret *s = find_object(p, OF_SECRET, name);

	return s ? s->data : NULL;
}

/* A value of a Secret, decoded; NULL when it is not there or not base64. */
static char *secret_value(
	struct vm_prepare *p, const char *secret, const char *key, size_t *ret_size)
{
	const char *text = json_str(json_get(secret_data(p, secret), key));
	char *out;

	if (!text || base64_decode(&p->arena, str_from(text), &out, ret_size) < 0)
		return NULL;
	return out;
}

static void get_image(struct op *op, const struct vm_image *image, const char *path, bool is_disk)
{
	struct vm_prepare *p = op->p;
	char *auth = NULL;
	size_t size;

	if (image->pull_secret) {
		auth = secret_value(p, image->pull_secret, ".dockerconfigjson", &size);
		if (!auth) {
			struct err err = ERR_INIT;

			err_set(&err, -EINVAL, "image '%s': secret '%s' has no .dockerconfigjson",
				image->image, image->pull_secret);
			one_done(p, "ErrImagePull", &err);
			return;
		}
	}
	op->get = container_disks_get(p->o.images, image, path, is_disk, auth, image_here, op);
}

/* ---- seeds ---- */

static const struct json *seed_object(void *user, bool config_map, const char *name)
{
	const struct secret *s = find_object(user, config_map ? OF_CONFIG_MAP : OF_SECRET, name);

	return s ? s->data : NULL;
}

static int read_account(struct vm_prepare *p, struct vm_disk *d, struct err *err)
{
	const struct secret *token = find_object(p, OF_ACCOUNT, vm_account_of(d));

	return vm_account_read(p->o.arena, p->o.spec, token ? token->data : NULL,
		seed_object(p, true, VM_ACCOUNT_AUTHORITY), d, err);
}

/* KubeVirt's name of the value. A table says its own size at its fifth byte (ACPI 5.2.6). */
static int make_slic(struct vm_prepare *p, struct err *err)
{
	struct vm_firmware *f = &p->o.spec->firmware;
	const unsigned char *table;
	size_t size = 0;

	table = (const unsigned char *)secret_value(p, f->slic_secret, "slic.bin", &size);
	if (!table)
		return err_set(err, -ENOENT, "secret '%s' has no slic.bin", f->slic_secret);
	if (size < 36 || memcmp(table, "SLIC", 4) != 0 ||
		((size_t)table[4] | (size_t)table[5] << 8 | (size_t)table[6] << 16 |
			(size_t)table[7] << 24) != size)
		return err_set(err, -EINVAL,
			"secret '%s': slic.bin is no ACPI table with the signature SLIC and its "
			"own length",
			f->slic_secret);
	f->slic_file = place(p, f->slic_volume, ".acpi");
	return files_write(f->slic_file, table, size, 0600, err);
}

static void make_seed(struct op *op)
{
	struct vm_prepare *p = op->p;
	struct vm_disk *d = op->disk;
	struct clock *clock = p->o.node->clock;
	_cleanup_(buf_finish) struct buf image = BUF_INIT;
	struct err err = ERR_INIT;
	int r;

	d->path = place(p, d->name, ".iso");
	d->format = "raw";
	r = d->seed == VM_SEED_DOWNWARD_API	 ? vm_fields_read(p->o.arena, p->o.spec, d, &err)
	    : d->seed == VM_SEED_SERVICE_ACCOUNT ? read_account(p, d, &err)
						 : 0;
	if (r == 0)
		r = seed_build(&image, p->o.spec, d, seed_object, p, clock->wall_ns(clock), &err);
	if (r == 0)
		r = files_write(d->path, image.data, image.size, 0600, &err);
	if (r < 0)
		err_context(&err, err.code, "volume '%s'", d->name);
	one_done(p, r < 0 ? "DiskNotReady" : "", r < 0 ? &err : NULL);
}

/* ---- disks of the host ---- */

bool host_disk_allowed(const char *path, const char *directories)
{
	struct str rest = str_from(directories), line;

	while (str_split(&rest, '\n', &line)) {
		while (line.size > 1 && line.p[line.size - 1] == '/')
			line.size--;
		if (line.size && line.p[0] == '/' && !strncmp(path, line.p, line.size) &&
			(path[line.size] == '/' || line.size == 1))
			return true;
	}
	return false;
}

/* ret_path: without links in its directories, so that what was looked at is what is used. */
static int check_host_disk(struct vm_prepare *p, const struct vm_disk *d, const char **ret_path,
	bool *ret_missing, struct err *err)
{
	_cleanup_(free_p) char *list_path =
		xasprintf("%s/host-disk-directories", p->o.node->data_dir);
	_cleanup_(free_p) char *parent = xstrdup(d->host_path);
	char list[8192], real[PATH_MAX], whole[PATH_MAX + 256];
	char *slash = strrchr(parent, '/');
	struct stat st;

	if (files_read(list_path, list, sizeof(list)) <= 0)
		snprintf(list, sizeof(list), "%s", HOST_DISK_DIRECTORIES);
	*slash = '\0';
	if (!slash[1])
		return err_set(err, -EINVAL, "hostDisk '%s' is not a file", d->host_path);
	if (!realpath(*parent ? parent : "/", real))
		return err_errno(err, -errno, "hostDisk '%s'", d->host_path);
	snprintf(whole, sizeof(whole), "%s/%s", real, slash + 1);
	if (!host_disk_allowed(whole, list)) {
		list[strcspn(list, "\n")] = '\0';
		return err_set(err, -EACCES,
			"hostDisk '%s' is outside the directories that this node allows "
			"(%s ...; set in %s)",
			d->host_path, list, list_path);
	}
	*ret_path = arena_strdup(p->o.arena, whole);
	*ret_missing = lstat(whole, &st) < 0;
	if (*ret_missing)
		return d->host_create ? 0 : err_errno(err, -errno, "hostDisk '%s'", d->host_path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, -EINVAL, "hostDisk '%s' is not a regular file", d->host_path);
	return 0;
}

static void host_disk(struct op *op)
{
	struct vm_disk *d = op->disk;
	struct err err = ERR_INIT;
	bool missing;

	/* Always raw: what a guest writes into it must never be taken for another format. */
	d->format = "raw";
	if (check_host_disk(op->p, d, &d->path, &missing, &err) < 0) {
		err_context(&err, err.code, "volume '%s'", d->name);
		one_done(op->p, "DiskNotReady", &err);
	} else if (missing) {
		make_empty(op, d->path, "raw");
	} else {
		/* An agent that was killed when it had just made it has left the other name. */
		if (d->host_create) {
			_cleanup_(free_p) char *left = fresh_name(op, d->path);

			(void)unlink(left);
		}
		one_done(op->p, "", NULL);
	}
}

/* ---- claims ---- */

/* Layers [from, count) of a chain lie below. Those that are shared with other disks keep their
 * owner.
 */
static void put_below(struct vm_prepare *p, struct vm_disk *d, const struct disk_chain *chain,
	size_t from, bool relabel_top)
{
	struct vm_layer *layers = arena_zalloc(p->o.arena, sizeof(*layers) * chain->count);

	for (size_t i = from; i < chain->count; i++)
		layers[i - from] = (struct vm_layer){
			chain->layers[i].path, chain->layers[i].format, relabel_top && i == 0};
	d->backing = layers;
	d->backing_count = chain->count - from;
}

static void claim_here(void *user, const struct claim_place *place, const struct disk_chain *chain,
	const char *reason, const struct err *failure)
{
	struct op *op = user;
	struct vm_disk *d = op->disk;
	struct err err = ERR_INIT;

	op->claim = NULL;
	if (failure) {
		err = *failure;
		err_context(&err, err.code, "volume '%s'", d->name);
		one_done(op->p, reason, &err);
		return;
	}
	if (place->nfs) {
		int r = vm_nfs_take(op->p->o.node, op->p->o.spec, d, op->p->o.arena, place, &err);
		one_done(op->p, r == -EBUSY ? VM_NFS_IN_USE : "NotSupported", r < 0 ? &err : NULL);
		return;
	}
	d->path = place->device ? place->device : chain->layers[0].path;
	d->format = place->device ? "raw" : chain->layers[0].format;
	d->is_block = place->device != NULL;
	if (!d->ephemeral) {
		if (chain)
			put_below(op->p, d, chain, 1, false);
		one_done(op->p, "", NULL);
	} else if (d->is_block) {
		err_set(&err, -EOPNOTSUPP,
			"volume '%s': an ephemeral volume needs a claim with volumeMode Filesystem",
			d->name);
		one_done(op->p, "NotSupported", &err);
	} else {
		put_below(op->p, d, chain, 0, true);
		make_overlay(op);
	}
}

static void claim_waits(void *user, const char *reason, const struct err *err)
{
	struct op *op = user;

	if (op->p->o.waits)
		op->p->o.waits(op->p->o.user, reason, err);
}

static void open_claim(struct op *op)
{
	op->claim =
		claim_disk_open(op->p->o.node->disks, &(struct claim_disk_options){
							      .namespace = op->p->o.spec->namespace,
							      .claim = op->disk->claim,
							      .arena = op->p->o.arena,
							      .read_only = op->disk->ephemeral,
							      .waits = claim_waits,
							      .done = claim_here,
							      .user = op,
						      });
}

/* ---- the order of things ---- */

static struct op *new_op(struct vm_prepare *p, int what, struct vm_disk *d)
{
	struct op *op = &p->ops[p->op_count++];

	*op = (struct op){.p = p, .disk = d};
	op->what = what;
	p->waiting++;
	return op;
}

static void start_disks(struct vm_prepare *p)
{
	struct vm_spec *s = p->o.spec;
	struct err err = ERR_INIT;
	int r;

	p->disks_started = true;
	p->waiting++; /* nothing ends it before all have begun */
	for (size_t i = 0; i < s->disk_count; i++) {
		struct vm_disk *d = &s->disks[i];
		struct op *op = new_op(p, OP_DISK, d);

		switch (d->volume) {
		case VM_VOLUME_CONTAINER_DISK:
			get_image(op, &d->image, d->image_path, true);
			break;
		case VM_VOLUME_HOST_DISK:
			host_disk(op);
			break;
		case VM_VOLUME_EMPTY_DISK:
			d->path = place(p, d->name, ".qcow2");
			d->format = "qcow2";
			make_empty(op, d->path, "qcow2");
			break;
		case VM_VOLUME_CLOUD_INIT:
			make_seed(op);
			break;
		case VM_VOLUME_CLAIM:
			open_claim(op);
			break;
		case VM_VOLUME_NONE:
			one_done(p, "", NULL);
			break;
		}
	}
	if (s->kernel_boot.kernel_path)
		get_image(new_op(p, OP_KERNEL, NULL), &s->kernel_boot.image,
			s->kernel_boot.kernel_path, false);
	if (s->kernel_boot.initrd_path)
		get_image(new_op(p, OP_INITRD, NULL), &s->kernel_boot.image,
			s->kernel_boot.initrd_path, false);
	r = s->firmware.slic_secret ? make_slic(p, &err) : 0;
	if (r < 0)
		err_context(&err, r, "volume '%s'", s->firmware.slic_volume);
	one_done(p, r < 0 ? "DiskNotReady" : "", r < 0 ? &err : NULL);
}

static void secret_here(void *user, const struct client_result *r)
{
	static const char *const words[] = {"secret", "configmap", "serviceaccount"};
	struct secret *s = user;
	struct err err = ERR_INIT;
	struct json *doc;

	s->call = NULL;
	if (r->code == 404 && s->optional)
		;
	else if (!client_ok(r))
		err_set(&err, -EIO, "%s '%s': %s", words[s->what], s->name, r->message);
	else if (json_parse(&s->p->arena, r->body, r->body_size, NULL, &doc, &err) == 0)
		s->data = json_get(doc, s->what == OF_ACCOUNT ? "status" : "data");
	one_done(s->p, "SecretNotReady", err.code ? &err : NULL);
}

/* Place for one that was not asked for yet; NULL = nothing is to be done. */
static struct secret *new_object(struct vm_prepare *p, int what, const char *name, bool optional)
{
	struct secret *s = &p->secrets[p->secret_count];

	if (!name || !*name || find_object(p, what, name))
		return NULL;
	if (p->secret_count == SECRETS_MAX) {
		struct err err = ERR_INIT;

		err_set(&err, -E2BIG, "more than %d secrets and configmaps", SECRETS_MAX);
		fail_now(p, "SecretNotReady", &err);
		return NULL;
	}
	*s = (struct secret){.p = p, .name = arena_strdup(&p->arena, name), .optional = optional};
	s->what = what;
	p->secret_count++;
	p->waiting++;
	return s;
}

static void want_object(void *user, bool config_map, const char *name, bool optional)
{
	struct vm_prepare *p = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct secret *s = new_object(p, config_map ? OF_CONFIG_MAP : OF_SECRET, name, optional);

	if (!s)
		return;
	s->call = client_request(p->o.node->client,
		&(struct client_request){
			.method = "GET",
			.path = client_path(&a,
				kind_by_name(p->o.node->kinds, "", "v1",
					config_map ? "ConfigMap" : "Secret"),
				p->o.spec->namespace, name, NULL),
		},
		secret_here, s);
}

static void want_token(struct vm_prepare *p, const char *account)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct secret *s = new_object(p, OF_ACCOUNT, account, false);

	if (!s)
		return;
	const char *body = json_text(&a, vm_account_request(&a, p->o.spec));
	s->call = client_request(p->o.node->client,
		&(struct client_request){
			.method = "POST",
			.path = client_path(&a,
				kind_by_name(p->o.node->kinds, "", "v1", "ServiceAccount"),
				p->o.spec->namespace, account, "token"),
			.body = body,
			.body_size = strlen(body),
		},
		secret_here, s);
	want_object(p, true, VM_ACCOUNT_AUTHORITY, false);
}

static void lease_here(void *user, const struct net_lease *lease, const struct err *err)
{
	struct vm_prepare *p = user;

	p->lease = NULL;
	if (!err) {
		snprintf(p->address, sizeof(p->address), "%s", lease->address);
		vm_address_keep(p->o.directory, p->o.spec->domain_name, p->address);
	}
	one_done(p, "NetworkNotReady", err);
}

/* QEMU takes memory as the guest uses it; a node that can't give it all would let the kernel choose
 * whom to kill. */
static int check_memory(const struct vm_spec *s, struct err *err)
{
	char text[4096];
	const char *line;
	long long kib = 0;
	int64_t need;

	if (files_read("/proc/meminfo", text, sizeof(text)) < 0 ||
		!(line = strstr(text, "MemAvailable:")) ||
		sscanf(line, "MemAvailable: %lld kB", &kib) != 1)
		return 0;
	/* A guest that asks for less than it sees is overcommitted by will; huge pages are counted
	 * apart (vm_host.c). */
	need = s->memory.request_bytes && s->memory.request_bytes < s->memory_bytes
		       ? s->memory.request_bytes
		       : s->memory_bytes;
	if (!s->memory.page_bytes && need / 1024 > kib)
		return err_set(err, -ENOMEM,
			"the guest asks for %lld MiB of memory, but the node has only "
			"%lld MiB available",
			(long long)(need >> 20), kib >> 10);
	return 0;
}

static int make_home(struct vm_prepare *p, struct err *err)
{
	const struct vm_spec *s = p->o.spec;
	_cleanup_(free_p) char *path = xasprintf("%s/domain", p->home);
	_cleanup_(free_p) char *text = xasprintf("%s %s", s->uuid, s->domain_name);

	/* Closed until all is made: programs write with modes of their own, cloud-init secrets too.
	 */
	if ((mkdir(p->home, 0700) < 0 && errno != EEXIST) || chmod(p->home, 0700) < 0)
		return err_errno(err, -errno, "make %s", p->home);
	return files_write(path, text, strlen(text), 0600, err);
}

void vm_prepare_lease_id(const char *uid, char ret[80])
{
	snprintf(ret, 80, "%.70s-0", uid);
}

static char *address_path(const char *directory, const char *domain)
{
	return xasprintf("%s-addresses/%s", directory, domain);
}

void vm_address_recall(const char *directory, const char *domain, char ret[16])
{
	_cleanup_(free_p) char *path = address_path(directory, domain);

	if (files_read(path, ret, 16) < 0)
		ret[0] = '\0';
}

void vm_address_keep(const char *directory, const char *domain, const char *address)
{
	_cleanup_(free_p) char *path = address_path(directory, domain);
	_cleanup_(free_p) char *parent = xasprintf("%s-addresses", directory);
	char was[16];

	vm_address_recall(directory, domain, was);
	if (streq(was, address))
		return;
	mkdir(parent, 0700);
	if (files_write(path, address, strlen(address), 0600, NULL) < 0)
		log_warn("can't remember the address of a VM", "domain", domain, NULL);
}

void vm_address_forget(const char *directory, const char *domain)
{
	_cleanup_(free_p) char *path = address_path(directory, domain);

	(void)unlink(path);
}

void vm_address_list(const char *directory, struct lease_kept_list *ret)
{
	_cleanup_(free_p) char *parent = xasprintf("%s-addresses", directory);
	DIR *dir = opendir(parent);

	for (struct dirent *e; dir && (e = readdir(dir));) {
		bool known = *e->d_name == '.';

		for (size_t i = 0; i < ret->count; i++)
			known |= streq(ret->items[i], e->d_name);
		if (!known)
			VEC_PUSH(ret, xstrdup(e->d_name));
	}
	if (dir)
		closedir(dir);
}

struct vm_prepare *vm_prepare_start(const struct vm_prepare_options *o)
{
	struct vm_prepare *p = xcalloc(1, sizeof(*p));
	struct vm_spec *s = o->spec;
	struct err err = ERR_INIT;
	char id[80], last[16];

	p->o = *o;
	p->vmi = object_ref((struct object *)o->vmi);
	p->home = xasprintf("%s/%s", o->directory, s->uid);
	uv_timer_init(o->node->loop, &p->timer);
	p->timer.data = p;
	p->waiting = 1;
	if (check_memory(s, &err) < 0) {
		one_done(p, "InsufficientMemory", &err);
		return p;
	}
	if (make_home(p, &err) < 0) {
		one_done(p, "DiskNotReady", &err);
		return p;
	}
	if (vm_networks_attach(o->node->net, s, &err) < 0) {
		one_done(p, "NetworkNotReady", &err);
		return p;
	}
	if (vm_spec_pod_interface(s)) {
		vm_prepare_lease_id(s->uid, id);
		p->waiting++;
		vm_address_recall(o->directory, s->domain_name, last);
		struct dhcp_resolvers dns = guest_dns(&p->arena, s->object, o->node->config);
		p->lease = net_lease_add(o->node->net, id, s->domain_name, last,
			vm_spec_pod_interface(s)->mac, s->hostname, &dns, false, lease_here, p);
	}
	for (size_t i = 0; i < s->disk_count; i++) {
		want_object(p, false, s->disks[i].image.pull_secret, false);
		if (s->disks[i].volume == VM_VOLUME_CLOUD_INIT)
			seed_refs(s, &s->disks[i], want_object, p);
		want_token(p, vm_account_of(&s->disks[i]));
	}
	want_object(p, false, s->kernel_boot.image.pull_secret, false);
	want_object(p, false, s->firmware.slic_secret, false);
	/* Without secrets the disks need not wait for the address. */
	if (!p->secret_count)
		start_disks(p);
	one_done(p, "", NULL);
	return p;
}

void vm_prepare_remove(const char *directory, const char *uid)
{
	_cleanup_(free_p) char *home = xasprintf("%s/%s", directory, uid);

	files_remove_tree(home);
}

int vm_prepare_domain(const char *directory, const char *uid, char ret_uuid[37], char ret_name[384])
{
	_cleanup_(free_p) char *path = xasprintf("%s/%s/domain", directory, uid);
	char text[512];
	ssize_t n = files_read(path, text, sizeof(text));

	if (n < 38 || text[36] != ' ')
		return -ENOENT;
	memcpy(ret_uuid, text, 36);
	ret_uuid[36] = '\0';
	snprintf(ret_name, 384, "%.383s", text + 37);
	return 0;
}
