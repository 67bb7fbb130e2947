/* image_puller.c - see image_puller.h.
 *
 *   image_pull()          a turn is free          the runtime answers
 *   ------------> QUEUED ----------------> PULLING -------------------> gone, all are told
 *                    |                        | refused, more credentials: the next of them
 *                    +-- nobody waits --------+--> gone
 */
#include "node/image/image_puller.h"

#include <math.h>

#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/client/wakeup.h"

enum {
	CONFIG_MAX_BYTES = 1 << 20,
	ERRORS_MAX_BYTES = 16 << 10,
	/* When a long pull tells of itself: at first, then at each doubling, at most so far
	   apart. */
	PROGRESS_FIRST_S = 10,
	PROGRESS_MAX_S = 60,
};

struct image_puller {
	struct image_puller_options o;
	char *data_dir;
	struct image_records *records;
	struct list pulls; /* struct pull: in the order of their coming */
	size_t running;
	double tokens; /* of registry_burst, refilled with registry_pull_qps */
	int64_t tokens_ns;
	struct wakeup *turn, *progress;
	struct grpc_call *downloads;
};

struct pull {
	struct list link;
	struct image_puller *p;
	struct arena arena; /* what follows lives there */
	const char *image, *key;
	struct image_auth *auths;
	size_t auth_count, auth_at;
	Cri__PodSandboxConfig *sandbox_config;
	struct list waits; /* struct image_pull_wait */
	struct buf errors; /* of the credentials tried before */
	bool running;
	struct grpc_call *call;
	int64_t started_ns, tell_ns, tell_every_ns;
};

struct image_pull_wait {
	struct list link;
	struct pull *pull;
	void (*progress)(void *user, const char *text);
	void (*done)(void *user, const struct image_pulled *r);
	void *user;
};

static int64_t now(struct image_puller *p)
{
	return p->o.clock->mono_ns(p->o.clock);
}

static void pull_free(struct pull *l)
{
	list_remove(&l->link);
	if (l->running)
		l->p->running--;
	buf_finish(&l->errors);
	arena_finish(&l->arena);
	free(l);
}

/* ---- taking turns ---- */

static size_t turns(const struct image_puller *p)
{
	if (p->o.config->serialize_image_pulls)
		return 1;
	return p->o.config->max_parallel_image_pulls > 0
		       ? (size_t)p->o.config->max_parallel_image_pulls
		       : SIZE_MAX;
}

/* Takes one of the registry's tokens; else *ret_wait_ns says when there is one. */
static bool take_token(struct image_puller *p, int64_t *ret_wait_ns)
{
	double qps = p->o.config->registry_pull_qps;
	double burst = (double)MAX(p->o.config->registry_burst, 1);
	int64_t t = now(p);

	if (qps <= 0)
		return true;
	p->tokens = MIN(burst, p->tokens + qps * (double)(t - p->tokens_ns) / 1e9);
	p->tokens_ns = t;
	if (p->tokens >= 1) {
		p->tokens -= 1;
		return true;
	}
	*ret_wait_ns = (int64_t)ceil((1 - p->tokens) / qps * 1e9);
	return false;
}

static void start(struct pull *l);

static void give_turns(struct image_puller *p)
{
	int64_t wait;

	LIST_FOR_EACH(l, &p->pulls, struct pull, link) {
		if (p->running >= turns(p))
			return;
		if (l->running)
			continue;
		if (!take_token(p, &wait)) {
			wakeup_in(p->turn, wait / NS_PER_MS + 1);
			return;
		}
		l->running = true;
		p->running++;
		l->started_ns = now(p);
		l->tell_every_ns = PROGRESS_FIRST_S * NS_PER_S;
		l->tell_ns = l->started_ns + l->tell_every_ns;
		if (!wakeup_armed(p->progress))
			wakeup_in(p->progress, PROGRESS_FIRST_S * 1000);
		start(l);
	}
}

static void on_turn(void *user)
{
	give_turns(user);
}

/* ---- progress ---- */

static void tell(struct pull *l, const struct cri_downloads *d)
{
	struct image_puller *p = l->p;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *took = duration_text(&a, (now(p) - l->started_ns) / NS_PER_S * NS_PER_S);
	const char *text = arena_printf(&a, "Pulling image \"%s\": %s so far", l->image, took);

	/* Parts are not told apart by image, so several pulls have one sum. */
	if (d->count > 0)
		text = arena_printf(&a, "%s, %.1f MiB of %.1f MiB%s", text,
			(double)d->done_bytes / (1 << 20), (double)d->total_bytes / (1 << 20),
			p->running > 1
				? arena_printf(&a, " of the %zu images under way", p->running)
				: "");
	LIST_FOR_EACH(w, &l->waits, struct image_pull_wait, link) {
		if (w->progress)
			w->progress(w->user, text);
	}
}

static void arm_progress(struct image_puller *p)
{
	int64_t next = INT64_MAX;

	LIST_FOR_EACH(l, &p->pulls, struct pull, link) {
		if (l->running)
			next = MIN(next, l->tell_ns);
	}
	if (next != INT64_MAX)
		wakeup_at(p->progress, next);
}

static void on_downloads(void *user, const struct grpc_result *r)
{
	struct image_puller *p = user;
	struct cri_downloads d;
	int64_t t = now(p);

	p->downloads = NULL;
	cri_downloads_read(r, &d);
	LIST_FOR_EACH(l, &p->pulls, struct pull, link) {
		if (!l->running || l->tell_ns > t)
			continue;
		l->tell_every_ns = MIN(l->tell_every_ns * 2, PROGRESS_MAX_S * NS_PER_S);
		l->tell_ns = t + l->tell_every_ns;
		tell(l, &d);
	}
	arm_progress(p);
}

static void on_progress(void *user)
{
	struct image_puller *p = user;
	bool due = false;

	LIST_FOR_EACH(l, &p->pulls, struct pull, link)
		due = due || (l->running && l->tell_ns <= now(p));
	if (due && !p->downloads)
		p->downloads = cri_list_downloads(p->o.cri, on_downloads, p);
	else if (!due)
		arm_progress(p);
}

/* ---- one pull ---- */

static void finish(struct pull *l, const struct image_pulled *r)
{
	struct image_puller *p = l->p;
	struct list waits;

	list_init(&waits);

	/* Those who are told may ask for the next pull, or go away. */
	LIST_FOR_EACH(w, &l->waits, struct image_pull_wait, link) {
		list_remove(&w->link);
		list_append(&waits, &w->link);
		w->pull = NULL;
	}
	struct arena arena = l->arena; /* the texts of the result may be in there */
	l->arena = ARENA_INIT;
	pull_free(l);
	while (!list_empty(&waits)) {
		struct image_pull_wait *w = CONTAINER_OF(waits.next, struct image_pull_wait, link);
		struct image_pull_wait told = *w;
		list_remove(&w->link);
		free(w);
		told.done(told.user, r);
	}
	arena_finish(&arena);
	give_turns(p);
}

static const struct image_auth *auth_now(const struct pull *l)
{
	return l->auth_at < l->auth_count ? &l->auths[l->auth_at] : NULL;
}

/* As Go's gRPC prints an error, which is what users search for. */
static const char *error_text(struct pull *l, const struct grpc_result *r)
{
	if (r->status == GRPC_UNKNOWN)
		return r->message;
	return arena_printf(&l->arena, "rpc error: code = %s desc = %s",
		grpc_status_name(r->status), r->message);
}

static void on_pulled(void *user, const struct grpc_result *r)
{
	struct pull *l = user;
	struct image_puller *p = l->p;
	const Cri__PullImageResponse *answer = r->response;

	l->call = NULL;
	if (grpc_ok(r)) {
		struct image_pulled done = {
			.id = arena_strdup(&l->arena, answer->image_ref),
			.pull_ns = now(p) - l->started_ns,
		};
		image_records_pulled(p->records, done.id, l->image, auth_now(l));
		finish(l, &done);
		return;
	}
	const char *text = error_text(l, r);
	if (l->errors.size + strlen(text) < ERRORS_MAX_BYTES &&
		!(l->errors.size && strstr(l->errors.data, text)))
		buf_printf(&l->errors, "%s%s", l->errors.size ? ", " : "", text);
	if (l->auth_at + 1 < l->auth_count) {
		l->auth_at++;
		start(l);
		return;
	}
	image_records_failed(p->records, l->image);
	bool several = l->errors.size > strlen(text);
	struct image_pulled done = {
		.error = several ? arena_printf(&l->arena, "[%s]", l->errors.data)
				 : arena_strdup(&l->arena, text),
		.pull_ns = now(p) - l->started_ns,
	};
	finish(l, &done);
}

static void start(struct pull *l)
{
	const struct image_auth *found = auth_now(l);
	Cri__AuthConfig auth = CRI__AUTH_CONFIG__INIT;

	if (found) {
		auth.username = (char *)(uintptr_t)found->username;
		auth.password = (char *)(uintptr_t)found->password;
		auth.identity_token = (char *)(uintptr_t)found->identity_token;
		if (found->secret_uid)
			image_records_begin(l->p->records, l->image);
	}
	l->call = cri_pull_image(
		l->p->o.cri, l->image, found ? &auth : NULL, l->sandbox_config, on_pulled, l);
}

/* ---- who waits ---- */

static const char *key_of(struct arena *a, const struct image_pull_request *r)
{
	const char *key = r->image;

	for (size_t i = 0; i < r->auth_count; i++)
		key = arena_printf(a, "%s %s", key, r->auths[i].hash);
	return key;
}

static Cri__PodSandboxConfig *copy_config(struct arena *a, const Cri__PodSandboxConfig *c)
{
	if (!c)
		return NULL;
	size_t size = protobuf_c_message_get_packed_size(&c->base);
	uint8_t *packed = arena_alloc(a, size + 1);
	ProtobufCAllocator allocator = grpc_arena_allocator(a);

	protobuf_c_message_pack(&c->base, packed);
	return cri__pod_sandbox_config__unpack(&allocator, size, packed);
}

static struct pull *pull_create(struct image_puller *p, const struct image_pull_request *r)
{
	struct pull *l = xcalloc(1, sizeof(*l));
	struct arena *a = &l->arena;

	l->p = p;
	l->image = arena_strdup(a, r->image);
	l->key = arena_strdup(a, key_of(a, r));
	l->auths = arena_zalloc(a, (r->auth_count + 1) * sizeof(*l->auths));
	l->auth_count = r->auth_count;
	for (size_t i = 0; i < r->auth_count; i++) {
		struct image_auth *to = &l->auths[i];
		*to = r->auths[i];
		to->username = arena_strdup(a, to->username);
		to->password = arena_strdup(a, to->password);
		to->identity_token = arena_strdup(a, to->identity_token);
		if (to->secret_uid) {
			to->secret_namespace = arena_strdup(a, to->secret_namespace);
			to->secret_name = arena_strdup(a, to->secret_name);
			to->secret_uid = arena_strdup(a, to->secret_uid);
		}
	}
	l->sandbox_config = copy_config(a, r->sandbox_config);
	list_init(&l->waits);
	list_init(&l->link);
	list_append(&p->pulls, &l->link);
	return l;
}

struct image_pull_wait *image_pull(struct image_puller *p, const struct image_pull_request *r)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *key = key_of(&a, r);
	struct image_pull_wait *w = xcalloc(1, sizeof(*w));

	w->progress = r->progress;
	w->done = r->done;
	w->user = r->user;
	list_init(&w->link);
	LIST_FOR_EACH(l, &p->pulls, struct pull, link) {
		if (streq(l->key, key))
			w->pull = l;
	}
	if (!w->pull)
		w->pull = pull_create(p, r);
	list_append(&w->pull->waits, &w->link);
	give_turns(p);
	return w;
}

void image_pull_cancel(struct image_pull_wait *w)
{
	if (!w)
		return;
	struct pull *l = w->pull;
	list_remove(&w->link);
	free(w);
	/* NULL: it is being told already, by a list that it was taken out of just now. */
	if (!l || !list_empty(&l->waits))
		return;
	struct image_puller *p = l->p;
	/* Whether the runtime has it now is not known: its name stays under suspicion. */
	if (l->running)
		grpc_call_cancel(l->call);
	pull_free(l);
	give_turns(p);
}

/* ---- the puller ---- */

struct image_puller *image_puller_create(const struct image_puller_options *options)
{
	struct image_puller *p = xcalloc(1, sizeof(*p));
	_cleanup_(free_p) char *path = xasprintf("%s/images.json", options->data_dir);

	p->o = *options;
	p->data_dir = xstrdup(options->data_dir);
	p->o.data_dir = p->data_dir;
	p->records = image_records_open(path);
	p->tokens = (double)MAX(options->config->registry_burst, 1);
	p->tokens_ns = now(p);
	list_init(&p->pulls);
	p->turn = wakeup_create(options->loop, options->clock, on_turn, p);
	p->progress = wakeup_create(options->loop, options->clock, on_progress, p);
	return p;
}

void image_puller_destroy(struct image_puller *p)
{
	if (!p)
		return;
	LIST_FOR_EACH(l, &p->pulls, struct pull, link) {
		LIST_FOR_EACH(w, &l->waits, struct image_pull_wait, link)
			free(w);
		grpc_call_cancel(l->call);
		pull_free(l);
	}
	grpc_call_cancel(p->downloads);
	wakeup_destroy(p->turn);
	wakeup_destroy(p->progress);
	image_records_close(p->records);
	free(p->data_dir);
	free(p);
}

struct image_records *image_puller_records(struct image_puller *p)
{
	return p->records;
}

void image_puller_add_node_auths(struct image_puller *p, struct image_keyring *k)
{
	_cleanup_(free_p) char *path = xasprintf("%s/config.json", p->data_dir);
	struct err err = ERR_INIT;
	struct str text;
	int r = file_load(k->arena, path, CONFIG_MAX_BYTES, &text, &err);

	if (r == -ENOENT)
		return;
	if (r >= 0)
		r = image_keyring_add_file(k, text.p, text.size, &err);
	if (r < 0)
		log_warn("credentials of this node can't be used", "file", path, "reason", err.msg,
			NULL);
}
