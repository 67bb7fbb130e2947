/* auth_bench.c - CPU time of one decision: the request's attributes and the roles, with the default
 * roles and 2,000 bindings more; and of a bearer token that was seen before.
 *
 *     auth-bench */
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "bench/common.h"
#include "lib/object/builtin.h"
#include "server/api/auth/default_roles.h"
#include "server/api/auth/rbac.h"
#include "server/api/auth/tokens.h"

#define BINDINGS 2000
#define BATCH 20000
#define BATCHES 25

static struct cache *cache;
static struct kind_registry *kinds;
static struct rbac *rbac;
static struct tokens *tokens;
static uv_loop_t loop;

struct write {
	struct blob *stored;
	bool done;
};

static struct cache_change decide(void *user, const struct object *present)
{
	struct write *w = user;
	return (struct cache_change){.verdict = CACHE_PUT, .stored = w->stored};
}

static void done(void *user, int r, struct object *result, const struct err *err)
{
	bench_must(r, err, "write");
	((struct write *)user)->done = true;
}

static void put(struct json *doc)
{
	struct arena a = ARENA_INIT;
	char group[128], version[64];
	gv_split(json_str(json_get(doc, "apiVersion")), group, version);
	const struct kind *k = kind_by_name(kinds, group, version, json_str(json_get(doc, "kind")));
	struct write w = {object_stored_form(k, &a, doc), false};
	cache_write(cache, k, json_str_or(json_path(doc, "metadata.namespace"), ""),
		json_path_str(doc, "metadata.name"), decide, done, &w);
	bench_wait(&loop, &w.done, 10, "a write");
	arena_finish(&a);
}

static void put_text(struct arena *a, const char *text)
{
	struct json *doc;
	bench_must(json_parse(a, text, strlen(text), NULL, &doc, NULL), NULL, "parse");
	put(doc);
}

static void fill(void)
{
	struct arena a = ARENA_INIT;
	for (size_t i = 0; i < default_role_count; i++)
		put(default_role_doc(&a, &default_roles[i]));
	for (size_t i = 0; i < default_binding_count; i++)
		put(default_binding_doc(&a, &default_bindings[i]));
	for (int i = 0; i < BINDINGS; i++)
		put_text(&a,
			arena_printf(&a,
				"{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":"
				"\"RoleBinding\",\"metadata\":{\"namespace\":\"n%d\",\"name\":"
				"\"b\"},"
				"\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":"
				"\"system:aggregate-to-view\"},\"subjects\":[{\"kind\":\"Group\","
				"\"name\":\"devs\"},{\"kind\":\"User\",\"name\":\"u%d\"}]}",
				i, i % 50));
	put_text(&a, "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":"
		     "{\"namespace\":\"t\",\"name\":\"a\",\"uid\":\"u\"}}");
	arena_finish(&a);
}

static int64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void report(const char *what, const int64_t *ns)
{
	int64_t best = INT64_MAX;
	for (int i = 0; i < BATCHES; i++)
		best = MIN(best, ns[i]);
	printf("%s %lld ns\n", what, (long long)(best / BATCH));
}

static void measure(const char *what, const struct api_user *user, const char *path, bool expected)
{
	int64_t ns[BATCHES];
	struct arena a = ARENA_INIT;
	for (int b = 0; b < BATCHES; b++) {
		int64_t at = cpu_ns();
		for (int i = 0; i < BATCH; i++) {
			if (i % 100 == 0)
				arena_reset(&a);
			struct route route = route_parse(&a, path);
			struct query query = {0};
			struct access x = access_of_request(&a, user, "GET", path, &route, &query);
			if (rbac_allows(rbac, &x, NULL) != expected)
				bench_die("%s: %s", what, expected ? "refused" : "allowed");
		}
		ns[b] = cpu_ns() - at;
	}
	arena_finish(&a);
	report(what, ns);
}

static void measure_token(void)
{
	struct arena a = ARENA_INIT, scratch = ARENA_INIT;
	struct json *audiences = json_new_array(&a);
	json_push(&a, audiences, json_new_string(&a, tokens_issuer(tokens)));
	struct token_request request = {
		.account = cache_get(
			cache, kind_by_resource(kinds, "", "v1", "serviceaccounts"), "t", "a"),
		.audiences = audiences,
		.lifetime_s = 3600,
		.id = "id",
	};
	char *token;
	int64_t expires_ns, ns[BATCHES];
	struct api_user user;
	bench_must(tokens_issue(tokens, &a, &request, &token, &expires_ns, NULL), NULL, "token");
	for (int b = 0; b < BATCHES; b++) {
		int64_t at = cpu_ns();
		for (int i = 0; i < BATCH; i++) {
			if (i % 100 == 0)
				arena_reset(&scratch);
			bench_must(tokens_authenticate(
					   tokens, &scratch, token, NULL, &user, NULL, NULL),
				NULL, "authenticate");
		}
		ns[b] = cpu_ns() - at;
	}
	report("token-seen-before", ns);
	arena_finish(&a);
	arena_finish(&scratch);
}

int main(void)
{
	struct err err = ERR_INIT;
	struct store *store = NULL;
	char dir[] = "/dev/shm/hanok-auth-bench.XXXXXX", path[64], *private, *public;
	if (!mkdtemp(dir))
		bench_die("no directory in /dev/shm");
	snprintf(path, sizeof(path), "%s/hanok.db", dir);
	uv_loop_init(&loop);
	kinds = kind_registry_create();
	bench_must(kind_registry_load_builtin(kinds, &err), &err, "kinds");
	bench_must(store_sqlite_open(&loop, path, &store, &err), &err, "store");
	cache = cache_create(&loop, kinds, store, clock_system());
	bench_must(cache_load(cache, &err), &err, "cache");
	fill();
	bench_must(rbac_create(cache, kinds, &rbac, &err), &err, "roles");
	bench_must(jwt_make_keys(&private, &public, &err), &err, "keys");
	bench_must(tokens_create(&(struct tokens_options){.cache = cache,
					 .kinds = kinds,
					 .clock = clock_system(),
					 .issuer = "https://issuer",
					 .private_pem = private},
			   &tokens, &err),
		&err, "tokens");
	const char *dev[] = {"devs", GROUP_AUTHENTICATED},
		   *node[] = {"system:nodes", GROUP_AUTHENTICATED};
	struct api_user u = {.name = "u1", .groups = dev, .group_count = 2};
	struct api_user n = {.name = "system:node:n1", .groups = node, .group_count = 2};
	measure("allowed-by-a-binding-in-the-namespace", &u, "/api/v1/namespaces/n1/pods/web",
		true);
	measure("allowed-to-a-node", &n, "/api/v1/namespaces/n1/secrets/s", true);
	measure("refused", &u, "/api/v1/namespaces/n1/secrets/s", false);
	measure_token();
	printf("(the first three with the route's parsing)\n");
	char command[64];
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) != 0;
}
