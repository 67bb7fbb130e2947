/* backup.c - `hanok backup`: a running server's store into a file; `hanok restore`: back again. */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/client/endpoint.h"
#include "lib/json/json.h"
#include "server/data_dir.h"
#include "server/server.h"
#include "server/store/store.h"

/* ---- backup ---- */

struct download {
	int fd;
	int status;
	bool done;
	uint64_t bytes;
	struct err err;
	char refusal[4096]; /* the beginning of an answer that is no backup */
	size_t refusal_size;
};

static void on_begin(void *user, const struct http_response *r)
{
	struct download *d = user;
	d->status = r->status;
}

static void on_data(void *user, const char *p, size_t size)
{
	struct download *d = user;
	if (d->status != 200) {
		size_t n = MIN(size, sizeof(d->refusal) - d->refusal_size);
		memcpy(d->refusal + d->refusal_size, p, n);
		d->refusal_size += n;
		return;
	}
	for (ssize_t n; size > 0 && d->err.code == 0; p += n, size -= (size_t)n) {
		n = write(d->fd, p, size);
		if (n < 0 && errno == EINTR) {
			n = 0;
			continue;
		}
		if (n < 0) {
			(void)err_errno(&d->err, -errno, "write");
			return;
		}
		d->bytes += (uint64_t)n;
	}
}

static void on_done(void *user, const struct http_response *r, const struct err *err)
{
	struct download *d = user;
	if (!r && d->err.code == 0)
		d->err = *err;
	d->done = true;
}

static int refused(const struct download *d, struct err *err)
{
	struct arena a = ARENA_INIT;
	struct json *status = NULL;
	const char *message = NULL;
	if (json_parse(&a, d->refusal, d->refusal_size, NULL, &status, NULL) == 0)
		message = json_path_str(status, "message");
	int r = err_set(err, -EREMOTEIO, "the server answered %d%s%s", d->status,
		message ? ": " : "", message ? message : "");
	arena_finish(&a);
	return r;
}

static int download(const struct kubeconfig *k, struct download *d, struct err *err)
{
	uv_loop_t loop;
	struct http_endpoint *endpoint = NULL;
	struct arena a = ARENA_INIT;
	uv_loop_init(&loop);
	int r = client_endpoint_create(&loop, k, &endpoint, err);
	if (r == 0) {
		_cleanup_(free_p) char *auth = client_auth_headers(k);
		http_call(endpoint, &(struct http_call_options){
					    .method = "GET",
					    .target = arena_printf(&a, "%s/hanok/backup", k->path),
					    .headers = auth,
					    .timeout_ms = 600000, /* the copy is made first */
					    .begin = on_begin,
					    .data = on_data,
					    .done = on_done,
					    .user = d,
				    });
		while (!d->done && uv_run(&loop, UV_RUN_ONCE))
			;
		http_endpoint_destroy(endpoint);
		uv_run(&loop, UV_RUN_DEFAULT);
	}
	uv_loop_close(&loop);
	arena_finish(&a);
	if (r < 0)
		return r;
	if (d->err.code)
		return err_set(err, d->err.code, "%s", d->err.msg);
	return d->status == 200 ? 0 : refused(d, err);
}

/* Complete and sound under its name, or not there. */
static int backup_to(const struct kubeconfig *k, const char *file, struct store_backup_info *ret,
	uint64_t *ret_bytes, struct err *err)
{
	if (access(file, F_OK) == 0)
		return err_set(err, -EEXIST, "it is there already: remove it, or name another one");
	_cleanup_(free_p) char *part = xasprintf("%s.part", file);
	struct download d = {.fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
	if (d.fd < 0)
		return err_errno(err, -errno, "create '%s'", part);
	int r = download(k, &d, err);
	if (r == 0 && fsync(d.fd) < 0)
		r = err_errno(err, -errno, "write '%s'", part);
	close(d.fd);
	if (r == 0)
		r = store_sqlite_check(part, ret, err);
	if (r == 0 && rename(part, file) < 0)
		r = err_errno(err, -errno, "rename '%s'", part);
	if (r < 0)
		unlink(part);
	*ret_bytes = d.bytes;
	return r;
}

static void backup_usage(FILE *to)
{
	fprintf(to,
		"usage: hanok backup FILE [OPTIONS]\n\n"
		"Copies the store of a running server, as of one moment, into the new FILE. It "
		"holds all objects, Secrets\ntoo. Certificates and keys are not in it: keep a copy "
		"of DIR/pki as well.\n\n"
		"  --kubeconfig FILE  default: $KUBECONFIG, then ~/.kube/config\n"
		"  --context NAME     default: the current one\n");
}

int backup_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"kubeconfig", required_argument, NULL, 'k'},
		{"context", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *path = NULL, *context = NULL;
	optind = 1;
	for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		if (c == 'k') {
			path = optarg;
		} else if (c == 'c') {
			context = optarg;
		} else {
			backup_usage(c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
	}
	if (argc - optind != 1) {
		backup_usage(stderr);
		return 2;
	}
	const char *file = argv[optind];
	struct kubeconfig k;
	struct err err = ERR_INIT;
	struct store_backup_info info;
	uint64_t bytes = 0;
	umask(077);
	int r = kubeconfig_load(path, context, &k, &err);
	if (r == 0) {
		r = backup_to(&k, file, &info, &bytes, &err);
		kubeconfig_finish(&k);
	}
	if (r < 0) {
		fprintf(stderr, "hanok backup: '%s': %s\n", file, err.msg);
		return 1;
	}
	printf("%s: %" PRIu64 " objects at revision %" PRIu64 ", %" PRIu64 " bytes\n", file,
		info.objects, info.revision, bytes);
	return 0;
}

/* ---- restore ---- */

static void restore_usage(FILE *to)
{
	fprintf(to, "usage: hanok restore FILE --data DIR [--replace]\n\n"
		    "Makes the store of the data directory DIR, whose server must not run, of the "
		    "backup FILE. Revisions go on\nfar above those of the backup, so that clients "
		    "notice and list anew.\n\n"
		    "  --data DIR  the server's data directory; made when it is missing\n"
		    "  --replace   a store that is there is moved aside, not refused\n");
}

static const char *const store_files[] = {"", "-wal", "-shm"};

/* A log alone is one, too: it would be played back over the restored file. */
static bool store_there(const char *db)
{
	bool there = false;
	for (size_t i = 0; i < ARRAY_LEN(store_files); i++) {
		_cleanup_(free_p) char *name = xasprintf("%s%s", db, store_files[i]);
		there |= access(name, F_OK) == 0;
	}
	return there;
}

/* The store that is there gets another name; the file before its log, so that it is never left
 * without one. */
static int move_aside(const char *db, struct err *err)
{
	char stamp[32];
	time_t now = time(NULL);
	struct tm tm;
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", gmtime_r(&now, &tm));
	for (size_t i = 0; i < ARRAY_LEN(store_files); i++) {
		_cleanup_(free_p) char *from = xasprintf("%s%s", db, store_files[i]);
		_cleanup_(free_p) char *to = xasprintf("%s.%s%s", db, stamp, store_files[i]);
		if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
			if (i == 0)
				printf("the store that was there is now '%s'\n", to);
		} else if (errno != ENOENT) {
			return err_errno(err, -errno, "rename '%s' to '%s'", from, to);
		}
	}
	return 0;
}

/* Nothing that is there is touched before the new store is whole on the disk. */
static int restore(const char *backup, const char *data, bool replace, const char *db,
	struct store_backup_info *ret, struct err *err)
{
	_cleanup_(close_p) int lock = -1;
	int r = store_sqlite_check(backup, ret, err);
	if (r == 0)
		r = data_dir_lock(data, &lock, err);
	if (r < 0)
		return r;
	bool there = store_there(db);
	if (there && !replace)
		return err_set(err, -EEXIST,
			"there is a store already, '%s' (or its log): --replace moves it aside",
			db);
	/* Damaged ones are what restoring is for: then the steps must do. */
	uint64_t above = access(db, F_OK) == 0 ? store_sqlite_newest(db) : 0;
	r = store_sqlite_restore_prepare(backup, db, above, ret, err);
	if (r == 0 && there)
		r = move_aside(db, err);
	return r < 0 ? r : store_sqlite_restore_finish(data, db, err);
}

int restore_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"data", required_argument, NULL, 'd'},
		{"replace", no_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *data = NULL;
	bool replace = false;
	optind = 1;
	for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		if (c == 'd') {
			data = optarg;
		} else if (c == 'r') {
			replace = true;
		} else {
			restore_usage(c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
	}
	if (argc - optind != 1 || !data) {
		restore_usage(stderr);
		return 2;
	}
	struct err err = ERR_INIT;
	struct store_backup_info info;
	_cleanup_(free_p) char *db = xasprintf("%s/hanok.db", data);
	umask(077);
	if (restore(argv[optind], data, replace, db, &info, &err) < 0) {
		fprintf(stderr, "hanok restore: '%s': %s\n", argv[optind], err.msg);
		return 1;
	}
	printf("%s: %" PRIu64 " objects; revisions go on from %" PRIu64 "\n", db, info.objects,
		info.revision);
	return 0;
}
