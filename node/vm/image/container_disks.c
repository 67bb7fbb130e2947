#include "node/vm/image/container_disks.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/table.h"
#include "node/child/child.h"
#include "node/disk/qcow2_header.h"
#include "node/vm/image/disk_refs.h"
#include "node/vm/image/image_files.h"

#define PULL_TIMEOUT_MS (30 * 60 * 1000)
#define TOOL_TIMEOUT_MS (10 * 60 * 1000)
#define LAYERS_MAX 256
#define LAYER_SPARE_BYTES (INT64_C(16) << 20) /* of manifests and configurations */
#define IMAGE_MAX_BYTES (INT64_C(1) << 46)
#define SWEEP_EVERY_MS (60 * 60 * 1000)
#define UNUSED_KEPT_S (24 * 60 * 60)
#define SHORT_KEPT_S (2 * 60) /* a young one may be about to be linked */

/*  CHECKING --+--> (cached) -------------------------------------------+
 *     |       +--> INSPECTING -> COPYING -> LISTING <-> (next layer)    +--> done
 *     |                 |  (known digest) ------ | -> EXTRACTING -> PROBING -> SYNCING
 */
enum fetch_state { CHECKING, INSPECTING, COPYING, LISTING, EXTRACTING, PROBING, SYNCING };

struct fetch {
	struct container_disks *owner;
	char *key;
	struct list waiters; /* struct container_get */
	enum fetch_state state;
	uv_timer_t timer;
	struct child *child;
	char *image, *path, *auth, *policy;
	bool is_disk, insecure, fetched;
	char digest[80];    /* "sha256-HEX" */
	char auth_hash[65]; /* SHA-256 of `auth`, hexadecimal; "" = none */
	char *work;	    /* temporary directory; NULL before COPYING */
	uint64_t file_max;  /* of what is copied; 0 = not known */
	char *layers[LAYERS_MAX];
	unsigned layer_count, layer; /* the one being read; they go from the top down */
	const char *format;
	bool ending;
};

struct container_get {
	struct list link;
	struct fetch *fetch;
	container_get_done *done;
	void *user;
};

struct container_disks {
	uv_loop_t *loop;
	char *directory;
	struct table fetches; /* key -> struct fetch */
	unsigned serial;      /* of temporary directories */
	uv_timer_t sweeper;
};

static void hash_name(const char *text, char ret[17])
{
	snprintf(ret, 17, "%016llx", (unsigned long long)fnv1a_64(text, strlen(text)));
}

/* Files that no VMI has linked, and none asked for in a time, go. */
static void remove_unused(struct container_disks *c, time_t kept_s)
{
	DIR *dir = opendir(c->directory);
	time_t now = time(NULL);

	for (struct dirent *e; dir && (e = readdir(dir));) {
		_cleanup_(free_p) char *path = xasprintf("%s/%s", c->directory, e->d_name);
		DIR *files = str_has_prefix(e->d_name, "sha256-") ? opendir(path) : NULL;

		for (struct dirent *f; files && (f = readdir(files));) {
			struct stat st;

			if (fstatat(dirfd(files), f->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
				S_ISREG(st.st_mode) && st.st_nlink == 1 &&
				st.st_mtime + kept_s < now)
				unlinkat(dirfd(files), f->d_name, 0);
		}
		if (files) {
			closedir(files);
			rmdir(path); /* when it is empty now */
		}
	}
	if (dir)
		closedir(dir);
}

static void sweep(uv_timer_t *t)
{
	remove_unused(t->data, UNUSED_KEPT_S);
}

void container_disks_free_unused(struct container_disks *c)
{
	remove_unused(c, SHORT_KEPT_S);
}

int container_disks_create(
	uv_loop_t *loop, const char *directory, struct container_disks **ret, struct err *err)
{
	_cleanup_(free_p) char *refs = xasprintf("%s/refs", directory);
	_cleanup_(free_p) char *work = xasprintf("%s/work", directory);
	struct container_disks *c;

	files_remove_tree(work);
	/* Whoever runs a guest must reach the files below: names may be passed through, not listed.
	 */
	if ((mkdir(directory, 0711) < 0 && errno != EEXIST) ||
		(mkdir(refs, 0700) < 0 && errno != EEXIST) ||
		(mkdir(work, 0711) < 0 && errno != EEXIST) || chmod(work, 0711) < 0)
		return err_errno(err, -errno, "make %s", directory);
	c = xcalloc(1, sizeof(*c));
	c->loop = loop;
	c->directory = xstrdup(directory);
	uv_timer_init(loop, &c->sweeper);
	c->sweeper.data = c;
	uv_timer_start(&c->sweeper, sweep, 60 * 1000, SWEEP_EVERY_MS);
	*ret = c;
	return 0;
}

static void fetch_freed(uv_handle_t *h)
{
	struct fetch *f = h->data;

	for (unsigned i = 0; i < f->layer_count; i++)
		free(f->layers[i]);
	free(f->key);
	free(f->image);
	free(f->path);
	free(f->auth);
	free(f->policy);
	free(f->work);
	free(f);
}

static void fetch_end(struct fetch *f)
{
	f->ending = true;
	if (f->owner)
		table_remove(&f->owner->fetches, f->key);
	child_cancel(TAKE_PTR(f->child));
	if (f->work)
		files_remove_tree(f->work);
	if (f->auth)
		unlink(f->auth);
	uv_close((uv_handle_t *)&f->timer, fetch_freed);
}

static void disks_freed(uv_handle_t *h)
{
	struct container_disks *c = h->data;

	free(c->directory);
	free(c);
}

void container_disks_destroy(struct container_disks *c)
{
	if (!c)
		return;
	for (struct table_iter i = table_iterate(&c->fetches); table_next(&i);) {
		struct fetch *f = i.value;

		LIST_FOR_EACH(g, &f->waiters, struct container_get, link) {
			list_remove(&g->link);
			free(g);
		}
		f->owner = NULL;
		fetch_end(f);
	}
	table_finish(&c->fetches);
	uv_close((uv_handle_t *)&c->sweeper, disks_freed);
}

static void tell(struct fetch *f, const struct container_file *file, const struct err *err)
{
	f->ending = true;
	/* A waiter may cancel another one from its callback, so always the first. */
	while (!list_empty(&f->waiters)) {
		struct container_get *g = CONTAINER_OF(f->waiters.next, struct container_get, link);
		container_get_done *done = g->done;
		void *user = g->user;

		list_remove(&g->link);
		free(g);
		done(user, file, err);
	}
	fetch_end(f);
}

/* skopeo logs its errors as `time="..." level=fatal msg="TEXT"`: people want the text. */
static void plain_message(struct err *err)
{
	char *from = strstr(err->msg, "msg=\""), *to = err->msg;

	if (!str_has_prefix(err->msg, "skopeo: ") || !from)
		return;
	for (from += 5; *from && *from != '"'; from++) {
		if (*from == '\\' && from[1])
			from++;
		*to++ = *from;
	}
	*to = '\0';
}

static void fail(struct fetch *f, const char *reason, const struct err *why, const char *doing)
{
	struct err err = *why;

	plain_message(&err);
	err_context(&err, err.code ? err.code : -EIO, "%s '%s'", doing, f->image);
	tell(f, &(struct container_file){.path = "", .format = "", .reason = reason}, &err);
}

/* Where the wanted file of a digest is or would be, without the format. */
static char *file_base(const struct fetch *f)
{
	char name[17];

	hash_name(f->path ? f->path : "", name);
	return xasprintf(
		"%s/%s/%s%s", f->owner->directory, f->digest, name, f->is_disk ? "" : "-file");
}

/* Tells the waiters when the file is there. */
static bool serve_cached(struct fetch *f)
{
	static const char *const formats[] = {"qcow2", "raw", "file"};
	_cleanup_(free_p) char *base = file_base(f);

	for (size_t i = f->is_disk ? 0 : 2; i < (f->is_disk ? 2u : 3u); i++) {
		_cleanup_(free_p) char *path = xasprintf("%s.%s", base, formats[i]);

		if (utimensat(AT_FDCWD, path, NULL, 0) < 0) /* there, and used now */
			continue;
		tell(f,
			&(struct container_file){.path = path,
				.format = formats[i],
				.fetched = f->fetched,
				.reason = ""},
			NULL);
		return true;
	}
	return false;
}

static char *ref_path(const struct fetch *f)
{
	char name[17];

	hash_name(f->image, name);
	return xasprintf("%s/refs/%s", f->owner->directory, name);
}

/* True when the image is known under its name and these credentials may have it unasked. */
static bool read_ref(struct fetch *f)
{
	_cleanup_(free_p) char *path = ref_path(f);
	char text[DISK_REF_BYTES_MAX], digest[72];
	bool allowed;

	if (files_read(path, text, sizeof(text)) < 0 ||
		!disk_ref_read(text, f->image, f->auth_hash, digest, &allowed) || !allowed)
		return false;
	memcpy(f->digest, digest, sizeof(digest));
	return true;
}

/* The registry has just answered to our credentials. */
static void write_ref(struct fetch *f)
{
	_cleanup_(free_p) char *path = ref_path(f);
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	char old[DISK_REF_BYTES_MAX];
	bool had = files_read(path, old, sizeof(old)) >= 0;

	disk_ref_write(&text, had ? old : NULL, f->digest, f->image, f->auth_hash);
	if (files_write(path, text.data, text.size, 0600, NULL) < 0)
		log_warn("can't remember an image", "image", f->image, NULL);
}

static struct child *run(struct fetch *f, const char *const *argv, const char *out_path,
	unsigned timeout_ms, uint64_t file_max,
	void (*done)(void *user, const struct child_result *r, const struct err *err))
{
	/* Layers are whatever somebody pushed. */
	bool unpacks = streq(argv[0], "tar");

	return child_run(&(struct child_options){
		.loop = f->owner->loop,
		.argv = argv,
		.out_path = out_path,
		.timeout_ms = timeout_ms,
		.output_max = 4u << 20,
		.file_bytes_max = file_max,
		.unprivileged = unpacks,
		.reads_all = unpacks,
		.done = done,
		.user = f,
	});
}

static void list_layer(struct fetch *f);
static void start_copy(struct fetch *f);

static void finish_file(struct fetch *f)
{
	_cleanup_(free_p) char *from = xasprintf("%s/out", f->work);
	_cleanup_(free_p) char *base = file_base(f);
	_cleanup_(free_p) char *to = xasprintf("%s.%s", base, f->format);
	_cleanup_(free_p) char *directory = xasprintf("%s/%s", f->owner->directory, f->digest);
	struct err err = ERR_INIT;

	if ((mkdir(directory, 0711) < 0 && errno != EEXIST) || chown(from, 0, 0) < 0 ||
		chmod(from, 0444) < 0 || rename(from, to) < 0) {
		err_errno(&err, -errno, "keep %s", to);
		fail(f, "ErrImagePull", &err, "image");
		return;
	}
	write_ref(f);
	f->fetched = true;
	if (!serve_cached(f)) {
		err_set(&err, -EIO, "%s is gone at once", to);
		fail(f, "ErrImagePull", &err, "image");
	}
}

static void synced(void *user, const struct child_result *r, const struct err *failure)
{
	struct fetch *f = user;

	f->child = NULL;
	if (failure)
		fail(f, "ErrImagePull", failure, "keep image");
	else
		finish_file(f);
}

/* What has its name is all there, also after a power failure: nobody looks at it again. */
static void sync_file(struct fetch *f)
{
	_cleanup_(free_p) char *path = xasprintf("%s/out", f->work);
	const char *argv[] = {"sync", path, NULL};

	f->state = SYNCING;
	f->child = run(f, argv, NULL, TOOL_TIMEOUT_MS, 0, synced);
}

static void probed(void *user, const struct child_result *r, const struct err *failure)
{
	struct fetch *f = user;
	struct err err = ERR_INIT;
	int64_t bytes;

	f->child = NULL;
	if (failure)
		err = *failure;
	else if (disk_info_check(r->out, r->out_size, &bytes, &err) == 0) {
		sync_file(f);
		return;
	}
	fail(f, "InvalidDisk", &err, "disk in image");
}

/* To the one user of a program that looks at it, to read. */
static int show_to(const struct fetch *f, const char *path, uid_t user, struct err *err)
{
	if (chown(f->work, 0, user) < 0 || chmod(f->work, 0710) < 0 || chown(path, 0, user) < 0 ||
		chmod(path, 0440) < 0)
		return err_errno(err, -errno, "open '%s' to a program", path);
	return 0;
}

/* Nothing that a header names is opened, not even to look. */
static int check_header(const char *path, const char **ret_format, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	uint8_t *head = arena_alloc(&a, QCOW2_READ_BYTES);
	struct qcow2_header h;
	ssize_t n = fd < 0 ? -1 : pread(fd, head, QCOW2_READ_BYTES, 0);
	int r;

	if (n < 0)
		return err_errno(err, -errno, "read %s", path);
	*ret_format = "raw";
	if (n < 4 || memcmp(head, "QFI\xfb", 4) != 0)
		return 0;
	*ret_format = "qcow2";
	r = qcow2_header_read(&a, head, (size_t)n, &h, err);
	if (r == 0 && h.backing)
		r = err_set(err, -EINVAL, "the disk has a backing file, which is not allowed");
	return r;
}

static void extracted(void *user, const struct child_result *r, const struct err *failure)
{
	struct fetch *f = user;
	_cleanup_(free_p) char *path = xasprintf("%s/out", f->work);
	struct err err = ERR_INIT;
	const char *argv[] = {"qemu-img", "info", "--output=json", "-f", NULL, path, NULL};

	f->child = NULL;
	if (failure) {
		fail(f, "ErrImagePull", failure, "unpack image");
		return;
	}
	if (!f->is_disk) {
		f->format = "file";
		sync_file(f);
		return;
	}
	/* Never qemu-img's own guess: what a guest wrote into a raw disk could look like a format
	 * that names other files. */
	if (check_header(path, &f->format, &err) < 0) {
		fail(f, "InvalidDisk", &err, "disk in image");
		return;
	}
	uid_t reader = child_user_new();
	if (show_to(f, path, reader, &err) < 0) {
		fail(f, "ErrImagePull", &err, "disk in image");
		return;
	}
	argv[4] = f->format;
	f->state = PROBING;
	f->child = child_run(&(struct child_options){
		.loop = f->owner->loop,
		.argv = argv,
		.timeout_ms = 60000,
		.memory_bytes_max = UINT64_C(2) << 30,
		.cpu_s_max = 30,
		.unprivileged = true,
		.run_as = reader,
		.done = probed,
		.user = f,
	});
}

/* tar fails when a name that it was asked for is not there: that is no fault of the layer. */
static bool only_missing(const struct child_result *r)
{
	return r->exit_code == 2 && strstr(r->errors, "Not found in archive") &&
	       !strstr(r->errors, "nexpected") && !strstr(r->errors, "does not look like") &&
	       !strstr(r->errors, "corrupt");
}

/* A few bytes of a layer may stand for terabytes of zeros. */
static bool has_room(const char *directory, int64_t bytes, struct err *err)
{
	struct statvfs fs;
	int64_t have;

	if (statvfs(directory, &fs) < 0)
		return true;
	have = (int64_t)MIN((uint64_t)fs.f_bavail * fs.f_frsize, (uint64_t)INT64_MAX);
	/* Some is left for others. */
	have -= MIN(have / 20, INT64_C(1) << 30);
	if (bytes <= have)
		return true;
	err_set(err, -ENOSPC,
		"its file of %lld MiB does not fit into the %lld MiB that this node has",
		(long long)(bytes >> 20), (long long)(have >> 20));
	return false;
}

static void listed(void *user, const struct child_result *r, const struct err *failure)
{
	struct fetch *f = user;
	_cleanup_(free_p) char *layer = xasprintf("%s/%s", f->work, f->layers[f->layer]);
	_cleanup_(free_p) char *out = xasprintf("%s/out", f->work);
	struct tar_choice choice;
	struct err err = ERR_INIT;
	const char *argv[] = {"tar", "--extract", "--to-stdout", "--absolute-names",
		"--no-wildcards", "--occurrence=1", "-f", layer, "--", choice.name, NULL};

	f->child = NULL;
	if (failure && !only_missing(r)) {
		fail(f, "ErrImagePull", failure, "read a layer of image");
		return;
	}
	tar_choose(r->out, f->path, &choice);
	if (*choice.name && !has_room(f->work, choice.size, &err)) {
		fail(f, "ErrImagePull", &err, "unpack image");
		return;
	}
	if (*choice.name) {
		f->state = EXTRACTING;
		f->child = run(f, argv, out, TOOL_TIMEOUT_MS,
			(uint64_t)MAX(choice.size, INT64_C(1)), extracted);
		return;
	}
	if (!choice.hidden && f->layer-- > 0) {
		list_layer(f);
		return;
	}
	if (f->path)
		err_set(&err, -ENOENT, "there is no regular file %s in it", f->path);
	else
		err_set(&err, -ENOENT, "there is no disk in it: no regular file in /disk");
	fail(f, "InvalidDisk", &err, "image");
}

static void list_layer(struct fetch *f)
{
	_cleanup_(free_p) char *layer = xasprintf("%s/%s", f->work, f->layers[f->layer]);
	const char *path = f->path ? f->path + 1 : "disk/*";
	const char *slash = strrchr(path, '/');
	_cleanup_(free_p) char *dotted = xasprintf("./%s", path);
	_cleanup_(free_p) char *absolute = xasprintf("/%s", path);
	_cleanup_(free_p) char *gone =
		xasprintf("%.*s.wh.*", slash ? (int)(slash - path) + 1 : 0, path);
	_cleanup_(free_p) char *gone_dotted = xasprintf("./%s", gone);
	const char *argv[] = {"tar", "--list", "--verbose", "--numeric-owner", "--full-time",
		"--utc", "--absolute-names", "--quoting-style=escape", "-f", layer, "--wildcards",
		gone, gone_dotted, f->path ? "--no-wildcards" : "--wildcards", "--", path, dotted,
		absolute, NULL};

	f->state = LISTING;
	f->child = run(f, argv, NULL, TOOL_TIMEOUT_MS, 0, listed);
}

static void copied(void *user, const struct child_result *r, const struct err *failure)
{
	struct fetch *f = user;
	_cleanup_(free_p) char *path = xasprintf("%s/manifest.json", f->work);
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(free_p) char *text = xmalloc(1u << 20);
	struct err err = ERR_INIT;
	struct json *doc;
	ssize_t n;

	f->child = NULL;
	if (failure) {
		fail(f, "ErrImagePull", failure, "pull image");
		return;
	}
	n = files_read(path, text, 1u << 20);
	if (n < 0 || json_parse(&a, text, (size_t)n, NULL, &doc, &err) < 0) {
		err_set(&err, -EBADMSG, "its manifest can't be read");
		fail(f, "ErrImagePull", &err, "image");
		return;
	}
	JSON_FOR_EACH_ITEM(it, json_get(doc, "layers")) {
		const char *digest = json_str_or(json_get(it, "digest"), "");

		if (!str_has_prefix(digest, "sha256:") || strlen(digest) != 71 ||
			strspn(digest + 7, "0123456789abcdef") != 64 ||
			f->layer_count == LAYERS_MAX) {
			err_set(&err, -EBADMSG, "its manifest has a bad or too many layers");
			fail(f, "ErrImagePull", &err, "image");
			return;
		}
		f->layers[f->layer_count++] = xstrdup(digest + 7);
	}
	if (!f->layer_count) {
		err_set(&err, -EBADMSG, "it has no layers");
		fail(f, "ErrImagePull", &err, "image");
		return;
	}
	f->layer = f->layer_count - 1;
	list_layer(f);
}

/* REPOSITORY@DIGEST: what was inspected, even if the tag moves meanwhile. */
static char *pinned(const struct fetch *f)
{
	const char *at = strchr(f->image, '@'), *slash = strrchr(f->image, '/');
	const char *colon = strchr(slash ? slash : f->image, ':');
	size_t size = at      ? (size_t)(at - f->image)
		      : colon ? (size_t)(colon - f->image)
			      : strlen(f->image);

	return xasprintf("docker://%.*s@sha256:%s", (int)size, f->image, f->digest + 7);
}

static void start_copy(struct fetch *f)
{
	_cleanup_(free_p) char *from = pinned(f);
	_cleanup_(free_p) char *to = xasprintf("dir:%s", f->work);
	const char *argv[16] = {"skopeo", "--insecure-policy", "copy", "--quiet"};
	size_t n = 4;

	if (f->insecure)
		argv[n++] = "--src-tls-verify=false";
	if (f->auth) {
		argv[n++] = "--src-authfile";
		argv[n++] = f->auth;
	}
	argv[n++] = from;
	argv[n++] = to;
	f->state = COPYING;
	f->child = run(f, argv, NULL, PULL_TIMEOUT_MS, f->file_max, copied);
}

/* What the manifest says that comes: its files must fit, and none may be larger than the largest of
 * them. Of an image for several machines that is not known yet: then what there is room for. */
static int know_size(struct fetch *f, const char *text, size_t size, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	int64_t sum = 0, largest = 0;
	struct statvfs fs;
	struct json *doc;

	f->file_max = statvfs(f->work, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
	if (json_parse(&a, text, size, NULL, &doc, NULL) < 0 || !json_get(doc, "layers"))
		return 0;
	JSON_FOR_EACH_ITEM(it, json_get(doc, "layers")) {
		int64_t bytes = json_int_or(json_get(it, "size"), -1);

		if (bytes < 0 || bytes > IMAGE_MAX_BYTES || sum > IMAGE_MAX_BYTES)
			return err_set(err, -EBADMSG, "its manifest has a layer without a size");
		sum += bytes;
		largest = MAX(largest, bytes);
	}
	if (!has_room(f->work, sum, err))
		return -ENOSPC;
	f->file_max = (uint64_t)(largest + LAYER_SPARE_BYTES);
	return 0;
}

static void inspected(void *user, const struct child_result *r, const struct err *failure)
{
	struct fetch *f = user;
	unsigned char sum[EVP_MAX_MD_SIZE];
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	unsigned size = 0;
	struct err err = ERR_INIT;

	f->child = NULL;
	if (failure) {
		fail(f, "ErrImagePull", failure, "pull image");
		return;
	}
	/* The manifest's bytes are what the digest is of. */
	EVP_Digest(r->out, r->out_size, sum, &size, EVP_sha256(), NULL);
	snprintf(f->digest, sizeof(f->digest), "sha256-%s", hex_encode(&a, sum, size));
	if (serve_cached(f)) {
		write_ref(f); /* the memory lasts until the loop runs again */
		return;
	}
	f->work = xasprintf("%s/work/%u", f->owner->directory, ++f->owner->serial);
	if (mkdir(f->work, 0700) < 0) {
		err_errno(&err, -errno, "make %s", f->work);
		fail(f, "ErrImagePull", &err, "pull image");
		return;
	}
	if (know_size(f, r->out, r->out_size, &err) < 0) {
		fail(f, "ErrImagePull", &err, "pull image");
		return;
	}
	start_copy(f);
}

static bool registry_insecure(const char *image)
{
	char host[300], path[400], text[16384];

	image_registry(image, host, sizeof(host));
	/* Several runtimes keep the same files; the first directory is containerd's own. */
	snprintf(path, sizeof(path), "/etc/containerd/certs.d/%s/hosts.toml", host);
	return !strchr(host, '/') && files_read(path, text, sizeof(text)) > 0 &&
	       hosts_toml_insecure(text);
}

static void on_start(uv_timer_t *t)
{
	struct fetch *f = t->data;
	struct err err = ERR_INIT;
	_cleanup_(free_p) char *from = xasprintf("docker://%s", f->image);
	const char *argv[16] = {"skopeo", "--insecure-policy", "inspect", "--raw"};
	size_t n = 4;

	if (!streq(f->policy, "Always") && read_ref(f) && serve_cached(f))
		return;
	if (streq(f->policy, "Never")) {
		err_set(&err, -ENOENT,
			"it is not on this node, or not for these credentials, and "
			"imagePullPolicy is Never");
		fail(f, "ErrImageNeverPull", &err, "image");
		return;
	}
	f->insecure = registry_insecure(f->image);
	if (f->insecure)
		argv[n++] = "--tls-verify=false";
	if (f->auth) {
		argv[n++] = "--authfile";
		argv[n++] = f->auth;
	}
	argv[n++] = from;
	f->state = INSPECTING;
	f->child = run(f, argv, NULL, 60000, 0, inspected);
}

/* skopeo reads credentials from a file; returns its name. */
static char *write_auth(struct container_disks *c, const char *auth)
{
	char *path;

	if (!auth)
		return NULL;
	path = xasprintf("%s/work/auth-%u.json", c->directory, ++c->serial);
	if (files_write(path, auth, strlen(auth), 0600, NULL) < 0)
		log_warn("can't write credentials of a registry", "file", path, NULL);
	return path;
}

static void hash_auth(const char *auth, char ret[65])
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned size = 0;

	EVP_Digest(auth, strlen(auth), sum, &size, EVP_sha256(), NULL);
	snprintf(ret, 65, "%s", hex_encode(&a, sum, 32));
}

struct container_get *container_disks_get(struct container_disks *c, const struct vm_image *image,
	const char *path, bool is_disk, const char *auth, container_get_done *done, void *user)
{
	char hash[65] = "";
	if (auth)
		hash_auth(auth, hash);
	_cleanup_(free_p) char *key = xasprintf("%d %s\n%s\n%s\n%s", is_disk, image->image,
		path ? path : "", image->pull_policy, hash);
	struct fetch *f = table_get(&c->fetches, key);
	struct container_get *g = xcalloc(1, sizeof(*g));

	if (!f) {
		f = xcalloc(1, sizeof(*f));
		f->owner = c;
		f->key = xstrdup(key);
		f->image = xstrdup(image->image);
		f->policy = xstrdup(image->pull_policy);
		f->path = path ? xstrdup(path) : NULL;
		f->is_disk = is_disk;
		f->auth = write_auth(c, auth);
		memcpy(f->auth_hash, hash, sizeof(hash));
		list_init(&f->waiters);
		uv_timer_init(c->loop, &f->timer);
		f->timer.data = f;
		uv_timer_start(&f->timer, on_start, 0, 0);
		table_set(&c->fetches, key, f);
	}
	g->fetch = f;
	g->done = done;
	g->user = user;
	list_append(&f->waiters, &g->link);
	return g;
}

void container_get_cancel(struct container_get *g)
{
	struct fetch *f;

	if (!g)
		return;
	f = g->fetch;
	list_remove(&g->link);
	free(g);
	if (list_empty(&f->waiters) && !f->ending)
		fetch_end(f);
}
