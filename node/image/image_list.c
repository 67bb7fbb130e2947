/* image_list.c - see image_list.h. */
#include "node/image/image_list.h"

#include "lib/base/str.h"

enum {
	STATUS_IMAGES_MAX = 50,
	STATUS_NAMES_MAX = 5, /* of one image */
	LOOK_MS = 60 * 1000,
	LOOK_SOON_MS = 2000,
};

struct image_list {
	struct cri *cri;
	struct image_records *records;
	struct wakeup *look;
	struct grpc_call *call;
	char *status;
};

static int compare(const void *a, const void *b)
{
	const Cri__Image *x = *(Cri__Image *const *)a, *y = *(Cri__Image *const *)b;

	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return strcmp(x->id, y->id);
}

struct json *image_list_make(struct arena *a, Cri__Image *const *images, size_t count)
{
	struct json *list = json_new_array(a);
	Cri__Image **sorted = arena_alloc(a, (count + 1) * sizeof(*sorted));

	for (size_t i = 0; i < count; i++)
		sorted[i] = images[i];
	if (count > 0)
		qsort(sorted, count, sizeof(*sorted), compare);
	for (size_t i = 0; i < MIN(count, (size_t)STATUS_IMAGES_MAX); i++) {
		const Cri__Image *image = sorted[i];
		struct json *o = json_new_object(a), *names = json_new_array(a);
		for (size_t k = 0;
			k < image->n_repo_digests && json_count(names) < STATUS_NAMES_MAX; k++)
			json_push(a, names, json_new_string(a, image->repo_digests[k]));
		for (size_t k = 0; k < image->n_repo_tags && json_count(names) < STATUS_NAMES_MAX;
			k++)
			json_push(a, names, json_new_string(a, image->repo_tags[k]));
		json_set(a, o, "names", names);
		json_set_int(a, o, "sizeBytes", (int64_t)MIN(image->size, (uint64_t)INT64_MAX));
		json_push(a, list, o);
	}
	return list;
}

static bool is_present(void *user, const char *id)
{
	const Cri__ListImagesResponse *list = user;

	for (size_t i = 0; i < list->n_images; i++)
		if (streq(list->images[i]->id, id))
			return true;
	return false;
}

static void on_images(void *user, const struct grpc_result *r)
{
	struct image_list *l = user;

	l->call = NULL;
	wakeup_in(l->look, LOOK_MS);
	if (!grpc_ok(r))
		return;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const Cri__ListImagesResponse *list = r->response;
	free(l->status);
	l->status = xstrdup(json_text(&a, image_list_make(&a, list->images, list->n_images)));
	image_records_sweep(l->records, is_present, (void *)(uintptr_t)list);
}

static void on_look(void *user)
{
	struct image_list *l = user;

	if (!l->call)
		l->call = cri_list_images(l->cri, on_images, l);
	else
		wakeup_in(l->look, LOOK_SOON_MS);
}

struct image_list *image_list_create(
	uv_loop_t *loop, struct clock *clock, struct cri *cri, struct image_records *records)
{
	struct image_list *l = xcalloc(1, sizeof(*l));

	l->cri = cri;
	l->records = records;
	l->look = wakeup_create(loop, clock, on_look, l);
	wakeup_in(l->look, 0);
	return l;
}

void image_list_destroy(struct image_list *l)
{
	if (!l)
		return;
	grpc_call_cancel(l->call);
	wakeup_destroy(l->look);
	free(l->status);
	free(l);
}

void image_list_changed(struct image_list *l)
{
	if (!l->call)
		wakeup_in(l->look, LOOK_SOON_MS);
}

const char *image_list_status(const struct image_list *l)
{
	return l->status;
}
