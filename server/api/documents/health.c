/* health.c - /livez, /readyz, /healthz, /version and /metrics. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "server/api/api_internal.h"

#define GIT_VERSION "v1.33.0+hanok-" HANOK_VERSION

struct check {
	const char *name;
	bool (*ok)(const struct api *api);
	bool readiness_only;
};

static bool check_ping(const struct api *api)
{
	return true;
}

static bool check_ready(const struct api *api)
{
	return api->ready;
}

static bool check_stopping(const struct api *api)
{
	return !api->stopping;
}

static const struct check checks[] = {
	{"ping", check_ping, false},
	{"bootstrap", check_ready, true},
	{"shutdown", check_stopping, true},
};

static bool excluded(const struct api_request *req, const char *name)
{
	for (size_t i = 0; i < req->query.count; i++)
		if (streq(req->query.items[i].name, "exclude") &&
			streq(req->query.items[i].value, name))
			return true;
	return false;
}

void api_health(struct api_request *req)
{
	bool ready = str_has_prefix(req->path, "/readyz");
	const char *slash = strchr(req->path + 1, '/');
	const char *only = slash && slash[1] ? slash + 1 : NULL;
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	bool ok = true, found = false;
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		const struct check *c = &checks[i];
		if ((c->readiness_only && !ready) || (only && !streq(only, c->name)))
			continue;
		found = true;
		if (excluded(req, c->name)) {
			buf_printf(&out, "[+]%s excluded: ok\n", c->name);
			continue;
		}
		bool good = c->ok(req->api);
		ok &= good;
		buf_printf(&out, good ? "[+]%s ok\n" : "[-]%s failed: reason withheld\n", c->name);
	}
	if (only && !found) {
		api_respond_text(
			req, 404, "text/plain; charset=utf-8", NULL, "404 page not found\n", 19);
		return;
	}
	const char *what = ready				 ? "readyz"
			   : str_has_prefix(req->path, "/livez") ? "livez"
								 : "healthz";
	if (ok && !query_bool(&req->query, "verbose")) {
		api_respond_text(req, 200, "text/plain; charset=utf-8", NULL, "ok", 2);
		return;
	}
	buf_printf(&out, "%s check %s\n", what, ok ? "passed" : "failed");
	api_respond_text(
		req, ok ? 200 : 500, "text/plain; charset=utf-8", NULL, out.data, out.size);
}

void api_version(struct api_request *req)
{
	struct arena *a = req->arena;
	struct json *v = json_new_object(a);
	json_set_str(a, v, "major", "1");
	json_set_str(a, v, "minor", "33");
	json_set_str(a, v, "gitVersion", GIT_VERSION);
	json_set_str(a, v, "gitCommit", "");
	json_set_str(a, v, "gitTreeState", "clean");
	json_set_str(a, v, "buildDate", "1970-01-01T00:00:00Z");
	json_set_str(a, v, "goVersion", "none");
	json_set_str(a, v, "compiler", __VERSION__);
	struct utsname u;
	const char *machine = uname(&u) == 0 ? u.machine : "unknown";
	json_set(a, v, "platform",
		json_new_printf(a, "linux/%s",
			streq(machine, "x86_64")    ? "amd64"
			: streq(machine, "aarch64") ? "arm64"
						    : machine));
	api_respond_doc(req, 200, v);
}

static int64_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long long total = 0, resident = 0;
	if (!f)
		return 0;
	if (fscanf(f, "%lld %lld", &total, &resident) != 2)
		resident = 0;
	fclose(f);
	return resident * sysconf(_SC_PAGESIZE);
}

void api_set_more_metrics(struct api *api, void (*write)(void *user, struct buf *out), void *user)
{
	api->more_metrics = write;
	api->more_metrics_user = user;
}

void api_metrics(struct api_request *req)
{
	struct api *api = req->api;
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	metrics_write(&api->metrics, &out);
	buf_printf(&out,
		"# HELP apiserver_current_inflight_requests Requests under way, of those that are "
		"limited.\n"
		"# TYPE apiserver_current_inflight_requests gauge\n"
		"apiserver_current_inflight_requests{request_kind=\"readOnly\"} %u\n"
		"apiserver_current_inflight_requests{request_kind=\"mutating\"} %u\n",
		api->inflight.reading, api->inflight.writing);
	buf_add_str(&out, "# HELP apiserver_storage_objects Objects by resource.\n"
			  "# TYPE apiserver_storage_objects gauge\n");
	for (size_t i = 0; i < kind_count(api->kinds); i++) {
		const struct kind *k = kind_at(api->kinds, i);
		if (k->served && kind_is_storage(k) && kind_has_verb(k, "list"))
			buf_printf(&out, "apiserver_storage_objects{resource=\"%s\"} %zu\n",
				k->resource, cache_count(api->cache, k));
	}
	buf_printf(&out,
		"# HELP hanok_store_revision Newest revision that readers see.\n"
		"# TYPE hanok_store_revision counter\nhanok_store_revision %" PRIu64 "\n",
		cache_revision(api->cache));
	if (api->options.store && streq(api->options.store->ops->name, "sqlite")) {
		struct store_stats s = store_sqlite_stats(api->options.store);
		buf_printf(&out,
			"# HELP hanok_store_txns_total Changes made durable.\n"
			"# TYPE hanok_store_txns_total counter\nhanok_store_txns_total %" PRIu64
			"\n"
			"# HELP hanok_store_commits_total Commits; one carries many changes.\n"
			"# TYPE hanok_store_commits_total counter\nhanok_store_commits_total "
			"%" PRIu64 "\n"
			"# HELP hanok_store_failed_total Changes that the store refused.\n"
			"# TYPE hanok_store_failed_total counter\nhanok_store_failed_total %" PRIu64
			"\n"
			"# HELP hanok_store_commit_seconds_total Time spent in commits.\n"
			"# TYPE hanok_store_commit_seconds_total counter\n"
			"hanok_store_commit_seconds_total %.6f\n"
			"# HELP hanok_store_commit_seconds_max The slowest commit.\n"
			"# TYPE hanok_store_commit_seconds_max "
			"gauge\nhanok_store_commit_seconds_max %.6f\n",
			s.txns, s.commits, s.failed, (double)s.commit_ns_total / 1e9,
			(double)s.commit_ns_max / 1e9);
	}
	buf_printf(&out,
		"# HELP process_resident_memory_bytes Resident memory.\n"
		"# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %" PRId64
		"\n",
		resident_bytes());
	if (api->more_metrics)
		api->more_metrics(api->more_metrics_user, &out);
	api_respond_text(
		req, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, out.data, out.size);
}
