/* source_http.c - spec.source.http: a file by HTTP or HTTPS, fetched by curl as a user of its own.
 *
 *   ".new-UID.part"     what has come
 *   ".new-UID.headers"  of the answers; the last one's ETag or Last-Modified tells, in another
 *                       attempt or of another agent, whether what has come can be gone on with
 *   ".new-UID.ca"       certificates of certConfigMap
 *   ".new-UID.resolv"   its resolv.conf: that of a pod in the DataVolume's namespace
 *
 * Whatever is secret goes to curl by its standard input. No proxy is used, redirects are few and
 * lead to http and https only; and whatever the URL says, it is asked from the pods' network
 * (node/net/import_net.h). */
#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "lib/base/file.h"
#include "lib/client/wakeup.h"
#include "lib/object/rule.h"
#include "node/child/child.h"
#include "node/disk/populate/http_headers.h"
#include "node/disk/populate/source_refs.h"
#include "node/disk/populate/sources.h"
#include "node/net/import_net.h"
#include "node/disk/write_out.h"
#include "node/net/net.h"
#include "node/vm/guest_dns.h"
#include "node/volume/file_work.h"

#define WATCH_MS 500
#define FETCH_TIMEOUT_MS (7u * 24 * 3600 * 1000)
#define URL_MAX_BYTES 4096

enum { CURL_RANGE_REFUSED = 33, CURL_WRITE_FAILED = 23 };

struct http_fetch {
	uid_t run_as; /* curl's user, whose the files are */
	struct populate_job *j;
	struct source_refs *refs;
	struct child *child;
	struct file_job *job;
	struct wakeup *watch;
	struct write_out *out;
	char *part, *headers, *ca, *resolv;
	struct import_net_call *asking;
	char *namespace, *name_switch; /* of the network; NULL = not asked for yet */
	int64_t had_bytes;	       /* of an earlier attempt, gone on with */
};

static void start_curl(struct http_fetch *f);

/* ---- the checksum ---- */

struct hashing {
	struct http_fetch *f;
	char *path, name[16], wanted[EVP_MAX_MD_SIZE * 2 + 1];
	struct err err;
};

static void hash_file(void *user)
{
	struct hashing *h = user;
	struct stat st;
	_cleanup_(close_p) int fd = file_open_regular(AT_FDCWD, h->path, O_RDONLY, &st);
	_cleanup_(free_p) char *room = xmalloc(1 << 20);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[EVP_MAX_MD_SIZE * 2 + 1] = "";
	unsigned size = 0;
	ssize_t n = -1;

	if (fd < 0 || !ctx || !EVP_DigestInit_ex(ctx, EVP_get_digestbyname(h->name), NULL)) {
		err_errno(&h->err, fd < 0 ? fd : -EIO, "read '%s'", h->path);
	} else {
		while ((n = read(fd, room, 1 << 20)) > 0)
			EVP_DigestUpdate(ctx, room, (size_t)n);
		if (n < 0)
			err_errno(&h->err, -errno, "read '%s'", h->path);
		EVP_DigestFinal_ex(ctx, digest, &size);
		for (unsigned i = 0; i < size; i++)
			snprintf(text + 2 * i, 3, "%02x", digest[i]);
		if (n == 0 && strcasecmp(text, h->wanted) != 0)
			err_set(&h->err, -EINVAL,
				"the checksum of what came is %s:%s, but %s:%s was wanted", h->name,
				text, h->name, h->wanted);
	}
	EVP_MD_CTX_free(ctx);
}

static void on_hashed(void *user, bool cancelled)
{
	struct hashing *h = user;

	if (!cancelled) {
		struct http_fetch *f = h->f;

		f->job = NULL;
		if (!h->err.code) {
			populate_file(f->j, f->part, true);
		} else if (h->err.code != -EINVAL) { /* of the disk, not of the file */
			populate_retry(f->j, &h->err);
		} else {
			(void)unlink(f->part);
			populate_fail(f->j, &h->err);
		}
	}
	free(h->path);
	free(h);
}

static void check_sum(struct http_fetch *f)
{
	const char *sum = json_str(json_get(f->j->spec, "checksum"));
	struct hashing *h;

	if (!sum || !*sum) {
		populate_file(f->j, f->part, true);
		return;
	}
	h = xcalloc(1, sizeof(*h));
	h->f = f;
	h->path = xstrdup(f->part);
	snprintf(h->name, sizeof(h->name), "%.*s", (int)strcspn(sum, ":"), sum);
	snprintf(h->wanted, sizeof(h->wanted), "%s", strchr(sum, ':') + 1);
	f->job = file_work_queue(f->j->node->files, f->j->directory, hash_file, on_hashed, h);
}

/* ---- the transfer ---- */

/* The arena is the caller's: they are read all the time. */
static void read_headers(struct arena *a, const struct http_fetch *f, struct http_headers *ret)
{
	http_headers_load(a, f->headers, ret);
}

static int64_t size_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : 0;
}

static void too_large(struct http_fetch *f, int64_t bytes)
{
	struct err err = ERR_INIT;

	/* CDI's words. */
	err_set(&err, -EFBIG,
		"Virtual image size %lld is larger than the reported available storage %lld. A "
		"larger PVC is required",
		(long long)bytes, (long long)f->j->size_bytes);
	(void)unlink(f->part);
	(void)unlink(f->headers);
	populate_fail(f->j, &err);
}

static void on_watch(void *user)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct http_fetch *f = user;
	struct http_headers h;
	struct statvfs fs;
	struct err err = ERR_INIT;

	read_headers(&a, f, &h);
	if (h.total > populate_file_max(f->j)) {
		too_large(f, h.total);
		return;
	}
	populate_progress(f->j, size_of(f->part), h.total);
	if (h.total > 0 && statvfs(f->j->directory, &fs) == 0 &&
		(int64_t)(fs.f_bavail * fs.f_frsize) < h.total - size_of(f->part)) {
		err_set(&err, -ENOSPC,
			"the file has %lld bytes, and there is no room for it in the file system "
			"of '%s': make room, it is tried again",
			(long long)h.total, f->j->directory);
		populate_retry(f->j, &err);
		return;
	}
	wakeup_in(f->watch, WATCH_MS);
}

static void on_fetched(void *user, const struct child_result *r, const struct err *failure)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct http_fetch *f = user;
	struct http_headers h;
	struct err err = ERR_INIT;

	f->child = NULL;
	wakeup_cancel(f->watch);
	write_out_stop(TAKE_PTR(f->out));
	read_headers(&a, f, &h);
	if (failure && (r->signal == SIGXFSZ || size_of(f->part) >= populate_file_max(f->j))) {
		too_large(f, size_of(f->part));
		return;
	}
	if (failure && f->had_bytes && (r->exit_code == CURL_RANGE_REFUSED || h.code == 416)) {
		/* It has changed, or the server can't go on: all of it anew. */
		(void)unlink(f->part);
		(void)unlink(f->headers);
		start_curl(f);
		return;
	}
	if (failure) {
		struct statvfs fs;

		if (r->exit_code == CURL_WRITE_FAILED && statvfs(f->j->directory, &fs) == 0 &&
			fs.f_bavail * fs.f_frsize < (1u << 20)) {
			err_set(&err, -ENOSPC,
				"the file system of '%s' is full: make room in it, it is tried "
				"again",
				f->j->directory);
			populate_retry(f->j, &err);
			return;
		}
		err = *failure;
		err_context(&err, err.code, "Unable to connect to http data source");
		populate_retry(f->j, &err);
		return;
	}
	populate_progress(f->j, size_of(f->part), size_of(f->part));
	check_sum(f);
}

static void add_option(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, "%s = \"", name);
	for (const char *c = value; *c; c++) {
		if (*c == '"' || *c == '\\')
			buf_add_char(b, '\\');
		if (*c == '\n' || *c == '\r')
			continue; /* a header or an option of its own it must not become */
		buf_add_char(b, *c);
	}
	buf_add_str(b, "\"\n");
}

/* Made by the agent, so that a program without rights can write there. */
static int give_file(
	const struct http_fetch *f, const char *path, const char *text, struct err *err)
{
	_cleanup_(close_p) int fd = -1;

	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || (text && write(fd, text, strlen(text)) != (ssize_t)strlen(text)) ||
		fchown(fd, f->run_as, f->run_as) < 0)
		return err_errno(err, -errno, "make '%s'", path);
	return 0;
}

static int give_resolv_conf(struct http_fetch *f, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	const struct dhcp_resolvers dns = guest_dns(&a, f->j->doc, f->j->node->config);

	for (const char *const *s = dns.servers; *s; s++)
		buf_printf(&text, "nameserver %s\n", *s);
	if (*dns.searches)
		buf_add_str(&text, "search");
	for (const char *const *s = dns.searches; *s; s++)
		buf_printf(&text, " %s", *s);
	buf_add_char(&text, '\n');
	return give_file(f, f->resolv, text.data, err);
}

/* curl reads headers from a file of the host where one begins with '@'. */
static int add_header(struct buf *config, const char *header, struct err *err)
{
	if (*header == '@')
		return err_set(err, -EINVAL, "an extra header begins with '@': want NAME: VALUE");
	if (*header)
		add_option(config, "header", header);
	return 0;
}

static int add_headers(struct http_fetch *f, struct buf *config, struct err *err)
{
	int r = 0;

	JSON_FOR_EACH_ITEM(it, json_get(f->j->spec, "extraHeaders"))
		if (r == 0)
			r = add_header(config, json_str_or(it, ""), err);
	JSON_FOR_EACH_ITEM(it, json_get(f->j->spec, "secretExtraHeaders")) {
		const char *value = source_refs_value(f->refs, "Secret", json_str(it), NULL);

		/* Each value is a header of its own. */
		struct str rest = str_from(value), line;
		while (r == 0 && value && str_split(&rest, '\n', &line)) {
			_cleanup_(free_p) char *one = xstrndup(line.p, line.size);

			one[strcspn(one, "\r")] = '\0';
			r = add_header(config, one, err);
		}
	}
	return r;
}

static int write_config(struct http_fetch *f, struct buf *config, struct err *err)
{
	const struct json *spec = f->j->spec;
	const char *secret = json_str(json_get(spec, "secretRef"));
	const char *certs = json_str(json_get(spec, "certConfigMap"));
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct http_headers h;
	int r = 0;

	buf_add_str(config, "silent\nshow-error\nfail\ngloboff\nlocation\nmax-redirs = 10\n"
			    "proto = \"=http,https\"\nproto-redir = \"=http,https\"\n"
			    "noproxy = \"*\"\nconnect-timeout = 30\nspeed-limit = 1\n"
			    "speed-time = 60\nuser-agent = \"hanok\"\n");
	add_option(config, "url", json_str_or(json_get(spec, "url"), ""));
	if (secret && *secret) {
		const char *user = source_refs_value(f->refs, "Secret", secret, "accessKeyId");
		const char *key = source_refs_value(f->refs, "Secret", secret, "secretKey");
		_cleanup_(free_p) char *both = xasprintf("%s:%s", user ? user : "", key ? key : "");

		add_option(config, "user", both);
	}
	r = add_headers(f, config, err);
	if (r < 0)
		return r;
	if (certs && *certs) {
		const char *text = source_refs_value(f->refs, "ConfigMap", certs, NULL);

		if (!f->ca)
			f->ca = xasprintf("%s/.new-%s.ca", f->j->directory, f->j->uid);
		r = give_file(f, f->ca, text ? text : "", err);
		add_option(config, "cacert", f->ca);
	}
	read_headers(&a, f, &h);
	f->had_bytes = size_of(f->part);
	if (f->had_bytes > 0 && h.validator && (h.code == 200 || h.code == 206)) {
		_cleanup_(free_p) char *header = xasprintf("If-Range: %s", h.validator);

		add_option(config, "header", header);
		buf_printf(config, "continue-at = %lld\n", (long long)f->had_bytes);
		/* Whoever had it before is another user. */
		if (r == 0)
			r = disk_dir_set_owner(f->part, f->run_as, 0600, err);
	} else if (r == 0) {
		f->had_bytes = 0;
		r = give_file(f, f->part, NULL, err);
	}
	if (r == 0)
		r = give_file(f, f->headers, NULL, err);
	add_option(config, "output", f->part);
	add_option(config, "dump-header", f->headers);
	return r;
}

static void start_curl(struct http_fetch *f)
{
	_cleanup_(buf_finish) struct buf config = BUF_INIT;
	const char *argv[] = {"curl", "-q", "--config", "-", NULL};
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct child_network network = {
		.namespace = f->namespace,
		.name_switch = f->name_switch,
		.resolv_conf = f->resolv,
	};
	struct http_headers h;
	struct err err = ERR_INIT;

	/* An agent before this one has fetched it all. */
	read_headers(&a, f, &h);
	if (h.total > 0 && size_of(f->part) == h.total && (h.code == 200 || h.code == 206)) {
		check_sum(f);
		return;
	}
	if (write_config(f, &config, &err) < 0 || give_resolv_conf(f, &err) < 0) {
		if (err.code == -EINVAL)
			populate_fail(f->j, &err);
		else
			populate_retry(f->j, &err);
		return;
	}
	f->child = child_run(&(struct child_options){
		.loop = f->j->node->loop,
		.argv = argv,
		.input = config.data,
		.input_size = config.size,
		.timeout_ms = FETCH_TIMEOUT_MS,
		.memory_bytes_max = UINT64_C(1) << 30,
		.file_bytes_max = (uint64_t)populate_file_max(f->j),
		.unprivileged = true,
		.run_as = f->run_as,
		.network = &network,
		.done = on_fetched,
		.user = f,
	});
	f->out = write_out_start(f->j->node, f->part);
	populate_progress(f->j, f->had_bytes, 0);
	wakeup_in(f->watch, WATCH_MS);
}

static void on_network(void *user, const struct child_network *network, const struct err *err)
{
	struct http_fetch *f = user;

	f->asking = NULL;
	if (err) {
		populate_retry(f->j, err);
		return;
	}
	f->namespace = xstrdup(network->namespace);
	f->name_switch = xstrdup(network->name_switch);
	start_curl(f);
}

static void on_refs(void *user, const struct err *err)
{
	struct http_fetch *f = user;

	if (err)
		populate_retry(f->j, err);
	else
		f->asking = import_net_ask(net_imports(f->j->node->net), on_network, f);
}

static int check(const struct populate_job *j, struct err *err)
{
	const char *url = json_str_or(json_get(j->spec, "url"), "");
	const char *sum = json_str(json_get(j->spec, "checksum"));

	if ((!str_has_prefix(url, "http://") && !str_has_prefix(url, "https://")) ||
		strlen(url) > URL_MAX_BYTES)
		return err_set(err, -EINVAL,
			"spec.source.http.url: '%s' is not a URL of http or https", url);
	for (const char *c = url; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f || strchr("\"\\", *c))
			return err_set(err, -EINVAL,
				"spec.source.http.url: '%s' has characters that must be "
				"percent-encoded",
				url);
	if (sum && !rule_holds(RULE_CHECKSUM, sum))
		return err_set(err, -EINVAL,
			"spec.source.http.checksum: '%s' is not ALGORITHM:HEX with md5, sha1, "
			"sha256 or sha512",
			sum);
	return 0;
}

static void start(struct populate_job *j)
{
	struct http_fetch *f = xcalloc(1, sizeof(*f));
	struct source_ref refs[SOURCE_REFS_MAX];
	size_t count = 0;
	struct err err = ERR_INIT;

	j->user = f;
	f->j = j;
	f->run_as = child_user_new();
	f->part = xasprintf("%s/.new-%s.part", j->directory, j->uid);
	f->headers = xasprintf("%s/.new-%s.headers", j->directory, j->uid);
	f->resolv = xasprintf("%s/.new-%s.resolv", j->directory, j->uid);
	f->watch = wakeup_create(j->node->loop, j->node->clock, on_watch, f);
	if (check(j, &err) < 0) {
		populate_fail(j, &err);
		return;
	}
	refs[count++] = (struct source_ref){"Secret", json_str(json_get(j->spec, "secretRef"))};
	refs[count++] =
		(struct source_ref){"ConfigMap", json_str(json_get(j->spec, "certConfigMap"))};
	JSON_FOR_EACH_ITEM(it, json_get(j->spec, "secretExtraHeaders"))
		if (count < SOURCE_REFS_MAX)
			refs[count++] = (struct source_ref){"Secret", json_str(it)};
	f->refs = source_refs_fetch(j, refs, count, on_refs, f);
}

static void stop(struct populate_job *j)
{
	struct http_fetch *f = j->user;

	if (!f)
		return;
	source_refs_destroy(f->refs);
	import_net_cancel(f->asking);
	child_cancel(f->child);
	file_job_cancel(f->job);
	wakeup_destroy(f->watch);
	write_out_stop(f->out);
	free(f->part);
	free(f->headers);
	free(f->ca);
	free(f->resolv);
	free(f->namespace);
	free(f->name_switch);
	free(f);
}

const struct populate_source source_http = {
	.field = "http",
	.scheduled = "ImportScheduled",
	.running = "ImportInProgress",
	.word = "Import",
	.start = start,
	.stop = stop,
};
