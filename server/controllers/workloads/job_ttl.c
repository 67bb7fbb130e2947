/* Jobs that are over go spec.ttlSecondsAfterFinished later, with all that is theirs. */
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"
#include "server/controllers/workloads/job_ttl.h"

struct job_ttl {
	struct loop *loop;
	struct informer *jobs;
};

int64_t job_expires_ns(const struct json *job)
{
	static const char *const ends[] = {"Complete", "Failed"};
	const struct json *ttl = json_path(job, "spec.ttlSecondsAfterFinished"),
			  *conditions = json_path(job, "status.conditions");
	for (size_t n = 0; n < ARRAY_LEN(ends) && json_is(ttl, JSON_INT); n++)
		if (condition_is(conditions, ends[n], "True")) {
			int64_t end_ns = meta_time_ns(json_get(
				condition_find(conditions, ends[n]), "lastTransitionTime"));
			return end_ns ? end_ns + json_int_or(ttl, 0) * NS_PER_S : INT64_MAX;
		}
	return INT64_MAX;
}

static void remove_job(struct sync *s, const struct json *live)
{
	struct job_ttl *t = s->self;
	struct arena *a = &s->arena;
	struct json *options = json_new_object(a);
	json_set_str(a, options, "kind", "DeleteOptions");
	json_set_str(a, options, "apiVersion", "v1");
	json_set_str(a, options, "propagationPolicy", "Foreground");
	json_path_set(a, options, "preconditions.uid", json_path(live, "metadata.uid"));
	json_path_set(a, options, "preconditions.resourceVersion",
		json_path(live, "metadata.resourceVersion"));
	char *body = json_text(a, options);
	struct client_request req = {.method = "DELETE",
		.path = client_path(a, informer_kind(t->jobs), s->ns, s->name, NULL),
		.body = body,
		.body_size = strlen(body)};
	sync_request(s, &req, NULL, NULL);
}

/* The time to live may have been raised meanwhile: the server is asked, and the deletion holds for
 * what it said only. */
static void on_live(struct sync *s, const struct client_result *r, void *user)
{
	struct json *live = NULL;
	if (r->code == 404)
		return;
	if (!client_ok(r)) {
		sync_check(s, r);
		return;
	}
	if (json_parse(&s->arena, r->body, r->body_size, NULL, &live, NULL) == 0 &&
		!json_path(live, "metadata.deletionTimestamp") &&
		job_expires_ns(live) <= loop_wall_ns(s->loop))
		remove_job(s, live);
}

static void reconcile(struct sync *s)
{
	struct job_ttl *t = s->self;
	struct object *job = informer_get(t->jobs, s->ns, s->name);
	if (!job || job->deleting)
		return;
	int64_t at_ns = job_expires_ns(object_doc(job, &s->arena)), now_ns = loop_wall_ns(s->loop);
	if (at_ns == INT64_MAX)
		return;
	if (at_ns > now_ns)
		sync_again(s, (at_ns - now_ns) / NS_PER_MS + 1);
	else
		sync_get(s, informer_kind(t->jobs), s->ns, s->name, on_live, NULL);
}

static void on_job(void *user, const struct object *old, const struct object *new)
{
	struct job_ttl *t = user;
	if (new && !new->deleting)
		loop_add_object(t->loop, new);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler handler = {.changed = on_job};
	struct job_ttl *t = xcalloc(1, sizeof(*t));
	t->loop = loop_create(sh->client, "ttl-after-finished-controller", 5, reconcile, t);
	t->jobs = shared_informer(sh, "batch", "v1", "Job");
	informer_add_handler(t->jobs, &handler, t);
	return t;
}

static void start(void *self)
{
	loop_start(((struct job_ttl *)self)->loop);
}

static void destroy(void *self)
{
	struct job_ttl *t = self;
	loop_destroy(t->loop);
	free(t);
}

const struct controller_class job_ttl_controller = {"ttl-after-finished", create, start, destroy};
