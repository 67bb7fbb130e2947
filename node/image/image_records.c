/* image_records.c - see image_records.h. The file:
 *
 *   {"images": {ID: {REPOSITORY: {"everyone": true} |
 *                                {"secrets": [{"namespace", "name", "uid", "hash"}]}}},
 *    "pulling": {REPOSITORY: true},
 *    "lost": true}
 *
 * An image with a record and no repository is nobody's until it is pulled again. "lost" is there
 * until those are known that were here when the file was found to be of no use. */
#include "node/image/image_records.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/base/table.h"
#include "node/image/image_ref.h"

enum { SECRETS_MAX = 64, FILE_MAX_BYTES = 8 << 20 };

struct image_records {
	char *path;
	struct arena arena;
	struct json *doc;
	struct table absent; /* ids that were not there when it was last looked */
};

static const struct json_limits limits = {.depth = 16, .size_bytes = FILE_MAX_BYTES};

static int read_file(const char *path, struct arena *a, struct json **ret, struct err *err)
{
	struct str text;
	int r = file_load(a, path, FILE_MAX_BYTES, &text, err);

	if (r < 0)
		return r;
	r = json_parse(a, text.p, text.size, &limits, ret, err);
	return r < 0 ? err_context(err, r, "'%s'", path) : 0;
}

static void save(struct image_records *r);

static void lose(struct image_records *r, const struct err *err)
{
	_cleanup_(free_p) char *aside = xasprintf("%s.bad", r->path);

	log_error("who pulled images is not known any more: pods have to pull anew those that "
		  "lie here",
		"reason", err->msg, "kept as", aside, NULL);
	if (rename(r->path, aside) < 0)
		log_warn("the file of who pulled images can't be put aside", "reason",
			strerror(errno), NULL);
	json_set_bool(&r->arena, r->doc, "lost", true);
	save(r);
}

struct image_records *image_records_open(const char *path)
{
	struct image_records *r = xcalloc(1, sizeof(*r));
	struct err err = ERR_INIT;

	r->path = xstrdup(path);
	int result = read_file(path, &r->arena, &r->doc, &err);
	if (result == 0 && !json_is(r->doc, JSON_OBJECT))
		result = err_set(&err, -EINVAL, "'%s': this is no object", path);
	if (result < 0)
		r->doc = json_new_object(&r->arena);
	if (result < 0 && result != -ENOENT)
		lose(r, &err);
	return r;
}

void image_records_close(struct image_records *r)
{
	if (!r)
		return;
	arena_finish(&r->arena);
	table_finish(&r->absent);
	free(r->path);
	free(r);
}

static int write_file(const char *path, const char *text, size_t size, struct err *err)
{
	_cleanup_(free_p) char *temporary = xasprintf("%s.new", path);
	_cleanup_(close_p) int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_errno(err, -errno, "create '%s'", temporary);
	if (write(fd, text, size) != (ssize_t)size)
		return err_errno(err, -EIO, "write '%s'", temporary);
	/* A host that loses its power must not find the image and no record of it. */
	if (fsync(fd) < 0)
		return err_errno(err, -errno, "write '%s' to the disk", temporary);
	if (rename(temporary, path) < 0)
		return err_errno(err, -errno, "rename '%s'", temporary);
	const char *slash = strrchr(path, '/');
	_cleanup_(free_p) char *directory = xstrndup(path, slash ? (size_t)(slash - path) : 0);
	_cleanup_(close_p) int dir =
		open(slash ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fsync(dir) < 0)
		return err_errno(err, -errno, "write the directory of '%s' to the disk", path);
	return 0;
}

/* Writes it, and leaves what was replaced in the arena behind. */
static void save(struct image_records *r)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	struct arena fresh = ARENA_INIT;
	struct err err = ERR_INIT;

	json_write(&b, r->doc);
	if (write_file(r->path, b.data, b.size, &err) < 0)
		log_warn(
			"who may use pulled images can't be written down", "reason", err.msg, NULL);
	struct json *copy = json_copy(&fresh, r->doc);
	arena_finish(&r->arena);
	r->arena = fresh;
	r->doc = copy;
}

static const struct json *record_of(const struct image_records *r, const char *id)
{
	return json_get(json_get(r->doc, "images"), id);
}

bool image_records_lost(const struct image_records *r)
{
	return json_bool_or(json_get(r->doc, "lost"), false);
}

void image_records_found(struct image_records *r, const char *const *ids, size_t count)
{
	for (size_t i = 0; i < count; i++)
		json_object_at(&r->arena, json_object_at(&r->arena, r->doc, "images"), ids[i]);
	json_remove(r->doc, "lost");
	save(r);
}

bool image_records_restricted(const struct image_records *r, const char *id, const char *image)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *repository = image_ref_repository(&a, image);
	const struct json *record = record_of(r, id);

	if (!record)
		return image_records_lost(r) || json_get(json_get(r->doc, "pulling"), repository);
	return !json_path_bool(json_get(record, repository), "everyone", false);
}

bool image_records_allow(const struct image_records *r, const char *id, const char *image,
	const struct image_auth *auths, size_t count)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *known =
		json_get(json_get(record_of(r, id), image_ref_repository(&a, image)), "secrets");

	if (!image_records_restricted(r, id, image))
		return true;
	JSON_FOR_EACH_ITEM(s, known) {
		for (size_t i = 0; i < count; i++) {
			const struct image_auth *auth = &auths[i];
			if (streq(json_str(json_get(s, "hash")), auth->hash))
				return true;
			/* The same Secret with another content: a password that was changed. */
			if (auth->secret_uid &&
				streq(json_str(json_get(s, "uid")), auth->secret_uid) &&
				streq(json_str(json_get(s, "name")), auth->secret_name) &&
				streq(json_str(json_get(s, "namespace")), auth->secret_namespace))
				return true;
		}
	}
	return false;
}

void image_records_begin(struct image_records *r, const char *image)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *repository = image_ref_repository(&a, image);

	if (json_get(json_get(r->doc, "pulling"), repository))
		return;
	json_set_bool(&r->arena, json_object_at(&r->arena, r->doc, "pulling"), repository, true);
	save(r);
}

static bool end_pull(struct image_records *r, const char *image)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *pulling = json_get(r->doc, "pulling");

	return pulling && json_remove(pulling, image_ref_repository(&a, image));
}

void image_records_failed(struct image_records *r, const char *image)
{
	if (end_pull(r, image))
		save(r);
}

static void note_secret(struct arena *a, struct json *entry, const struct image_auth *auth)
{
	struct json *list = json_array_at(a, entry, "secrets"), *s = json_new_object(a);

	for (size_t i = json_count(list); i-- > 0;) {
		const struct json *old = json_at(list, i);
		if (streq(json_str(json_get(old, "hash")), auth->hash) ||
			streq(json_str(json_get(old, "uid")), auth->secret_uid))
			json_remove_at(list, i);
	}
	while (json_count(list) >= SECRETS_MAX)
		json_remove_at(list, 0);
	json_set_str(a, s, "namespace", auth->secret_namespace);
	json_set_str(a, s, "name", auth->secret_name);
	json_set_str(a, s, "uid", auth->secret_uid);
	json_set_str(a, s, "hash", auth->hash);
	json_push(a, list, s);
}

void image_records_pulled(
	struct image_records *r, const char *id, const char *image, const struct image_auth *auth)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *repository = image_ref_repository(&a, image);
	bool everyone = !auth || !auth->secret_uid;
	bool changed = end_pull(r, image);

	/* What is everybody's anyway needs no record. */
	if (!everyone || record_of(r, id) || image_records_lost(r)) {
		struct json *images = json_object_at(&r->arena, r->doc, "images");
		struct json *entry = json_object_at(
			&r->arena, json_object_at(&r->arena, images, id), repository);
		if (everyone && !json_path_bool(entry, "everyone", false)) {
			json_set_bool(&r->arena, entry, "everyone", true);
			json_remove(entry, "secrets");
			changed = true;
		} else if (!everyone && !json_path_bool(entry, "everyone", false)) {
			note_secret(&r->arena, entry, auth);
			changed = true;
		}
	}
	if (changed)
		save(r);
}

void image_records_sweep(
	struct image_records *r, bool (*present)(void *user, const char *id), void *user)
{
	struct json *images = json_get(r->doc, "images");
	struct table absent = TABLE_INIT;
	bool changed = false;

	for (size_t i = json_count(images); i-- > 0;) {
		const char *id = json_members(images)[i].name;
		if (present(user, id))
			continue;
		if (table_get(&r->absent, id))
			changed = json_remove(images, id) || changed;
		else
			table_set(&absent, id, r);
	}
	table_finish(&r->absent);
	r->absent = absent;
	if (changed)
		save(r);
}
