/* image_gc.c - see image_gc.h. One round at a time:
 *
 *   sandbox image (once) -> where images are -> images -> containers -> remove, one by one
 */
#include "node/pressure/image_gc.h"

#include <stdio.h>
#include <sys/statvfs.h>

#include "lib/base/log.h"
#include "lib/client/wakeup.h"
#include "node/pod/pod_manager.h"
#include "node/pressure/image_book.h"

enum {
	FIRST_MS = 5000, /* the runtime is being got to know */
	PERIOD_MS = 5 * 60 * 1000,
};

struct waiter {
	void (*done)(void *user);
	void *user;
};

struct image_gc {
	struct node *n;
	struct wakeup *timer;
	struct image_book book;
	char *sandbox_image; /* NULL = not asked yet */
	VEC(struct waiter) waiters;
	bool running, all; /* a round; of all that may go */
	/* the round */
	struct grpc_call *call;
	struct arena arena;
	Cri__ListImagesResponse *images;
	const char **ids;
	size_t count, at;
	uint64_t wanted, freed;
	unsigned failures; /* rounds in a row */
};

static int64_t mono(const struct image_gc *g)
{
	return g->n->clock->mono_ns(g->n->clock);
}

static void node_warning(struct image_gc *g, const char *reason, const char *text)
{
	log_warn("image garbage collection", "reason", reason, "message", text, NULL);
	if (g->n->object)
		client_event(g->n->client, g->n->object, NULL, "Warning", reason, "%s", text);
}

static void begin(struct image_gc *g);

static void round_over(struct image_gc *g)
{
	struct waiter *waiters = g->waiters.items;
	size_t count = g->waiters.count;
	bool was_all = g->all;

	arena_finish(&g->arena);
	g->images = NULL;
	g->running = g->all = false;
	wakeup_in(g->timer, PERIOD_MS);
	if (count > 0 && !was_all) {
		begin(g); /* they came during an ordinary round */
		return;
	}
	g->waiters.items = NULL;
	g->waiters.count = g->waiters.room = 0;
	for (size_t i = 0; i < count; i++)
		waiters[i].done(waiters[i].user);
	free(waiters);
}

/* The first failure may be a runtime that is only starting. */
static void round_failed(struct image_gc *g, const char *text)
{
	if (g->failures++ > 0)
		node_warning(g, "ImageGCFailed", text);
	round_over(g);
}

static void remove_next(struct image_gc *g);

static void on_removed(void *user, const struct grpc_result *r)
{
	struct image_gc *g = user;

	g->call = NULL;
	if (grpc_ok(r))
		log_info("removed an unused image", "image", g->ids[g->at], NULL);
	else
		log_warn("image could not be removed", "image", g->ids[g->at], "reason", r->message,
			NULL);
	g->at++;
	remove_next(g);
}

static void remove_next(struct image_gc *g)
{
	if (g->at < g->count) {
		g->call =
			cri_remove_image(pod_manager_cri(g->n->pods), g->ids[g->at], on_removed, g);
		return;
	}
	if (!g->all && g->freed < g->wanted) {
		_cleanup_(free_p) char *text = xasprintf(
			"Failed to garbage collect required amount of images. Attempted to free "
			"%llu bytes, but only found %llu bytes eligible to free.",
			(unsigned long long)g->wanted, (unsigned long long)g->freed);
		node_warning(g, "FreeDiskSpaceFailed", text);
		round_failed(g, text);
		return;
	}
	g->failures = 0;
	round_over(g);
}

/* What goes: both lists are one, so that an old image is not removed twice. */
static void choose(struct image_gc *g)
{
	const struct node_config *c = g->n->config;
	int64_t now = mono(g);
	const char **chosen, **old;
	size_t chosen_count =
		image_book_choose(&g->book, &g->arena, g->all ? UINT64_MAX : g->wanted,
			c->image_minimum_gc_age_ms * NS_PER_MS, now, &chosen, &g->freed);
	size_t old_count = image_book_choose_old(
		&g->book, &g->arena, c->image_maximum_gc_age_ms * NS_PER_MS, now, &old);

	g->ids = arena_alloc(&g->arena, (chosen_count + old_count + 1) * sizeof(*g->ids));
	g->count = g->at = 0;
	for (size_t i = 0; i < chosen_count + old_count; i++) {
		const char *id = i < chosen_count ? chosen[i] : old[i - chosen_count];
		bool twice = false;
		for (size_t k = 0; k < g->count; k++)
			twice = twice || streq(g->ids[k], id);
		if (!twice)
			g->ids[g->count++] = arena_strdup(&g->arena, id);
	}
}

static void on_containers(void *user, const struct grpc_result *r)
{
	struct image_gc *g = user;
	const Cri__ListContainersResponse *list = r->response;

	g->call = NULL;
	if (!grpc_ok(r)) {
		round_failed(g, r->message);
		return;
	}
	image_book_update(&g->book, g->images->images, g->images->n_images, list->containers,
		list->n_containers, g->sandbox_image, mono(g));
	choose(g);
	remove_next(g);
}

static void on_images(void *user, const struct grpc_result *r)
{
	struct image_gc *g = user;

	g->call = NULL;
	if (!grpc_ok(r)) {
		round_failed(g, r->message);
		return;
	}
	/* The response ends with this callback. */
	const Cri__ListImagesResponse *list = r->response;
	size_t size = protobuf_c_message_get_packed_size(&list->base);
	uint8_t *packed = arena_alloc(&g->arena, size + 1);
	ProtobufCAllocator allocator = grpc_arena_allocator(&g->arena);
	protobuf_c_message_pack(&list->base, packed);
	g->images = cri__list_images_response__unpack(&allocator, size, packed);
	g->call = cri_list_containers(pod_manager_cri(g->n->pods), NULL, NULL, on_containers, g);
}

/* How full the file system is decides how much must go. */
static bool measure(struct image_gc *g, const char *directory)
{
	const struct node_config *c = g->n->config;
	struct statvfs fs;

	g->wanted = 0;
	if (g->all)
		return true;
	if (statvfs(directory, &fs) < 0 || fs.f_blocks == 0) {
		node_warning(g, "InvalidDiskCapacity", "invalid capacity 0 on image filesystem");
		return false;
	}
	g->wanted = image_book_excess(fs.f_blocks * fs.f_frsize, fs.f_bavail * fs.f_frsize,
		c->image_gc_high_percent, c->image_gc_low_percent);
	if (g->wanted > 0) {
		char bytes[24];
		log_info("the file system of images is too full, removing unused images", "bytes",
			log_i64(bytes, (int64_t)g->wanted), NULL);
	}
	return true;
}

static void on_fs(void *user, const struct grpc_result *r)
{
	struct image_gc *g = user;
	const Cri__ImageFsInfoResponse *info = r->response;

	g->call = NULL;
	if (!grpc_ok(r) || info->n_image_filesystems == 0 || !info->image_filesystems[0]->fs_id) {
		round_failed(
			g, grpc_ok(r) ? "the runtime does not say where images are" : r->message);
		return;
	}
	if (measure(g, info->image_filesystems[0]->fs_id->mountpoint))
		g->call = cri_list_images(pod_manager_cri(g->n->pods), on_images, g);
	else
		round_failed(g, "invalid capacity 0 on image filesystem");
}

static void on_status(void *user, const struct grpc_result *r)
{
	struct image_gc *g = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	g->call = NULL;
	if (!grpc_ok(r)) {
		round_failed(g, r->message);
		return;
	}
	g->sandbox_image = xstrdup(image_book_sandbox(&a, r->response));
	g->call = cri_image_fs_info(pod_manager_cri(g->n->pods), on_fs, g);
}

static void begin(struct image_gc *g)
{
	struct cri *cri = pod_manager_cri(g->n->pods);

	g->running = true;
	g->all = g->waiters.count > 0;
	if (g->sandbox_image)
		g->call = cri_image_fs_info(cri, on_fs, g);
	else
		g->call = cri_status_verbose(cri, on_status, g);
}

static void on_timer(void *user)
{
	struct image_gc *g = user;

	if (!g->running)
		begin(g);
}

void image_gc_free_unused(struct image_gc *g, void (*done)(void *user), void *user)
{
	struct waiter w = {done, user};

	VEC_PUSH(&g->waiters, w);
	if (!g->running)
		begin(g);
}

struct image_gc *image_gc_create(struct node *n)
{
	struct image_gc *g = xcalloc(1, sizeof(*g));

	g->n = n;
	g->arena = ARENA_INIT;
	g->timer = wakeup_create(n->loop, n->clock, on_timer, g);
	wakeup_in(g->timer, FIRST_MS);
	return g;
}

void image_gc_destroy(struct image_gc *g)
{
	if (!g)
		return;
	grpc_call_cancel(g->call);
	wakeup_destroy(g->timer);
	image_book_finish(&g->book);
	arena_finish(&g->arena);
	VEC_FINISH(&g->waiters);
	free(g->sandbox_image);
	free(g);
}
