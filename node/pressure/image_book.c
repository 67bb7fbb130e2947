/* image_book.c - see image_book.h. */
#include "node/pressure/image_book.h"

#include "lib/json/json.h"

void image_book_finish(struct image_book *b)
{
	for (size_t i = 0; i < b->images.count; i++)
		free(b->images.items[i].id);
	VEC_FINISH(&b->images);
}

static bool has_name(const Cri__Image *image, const char *name)
{
	if (!name || !*name)
		return false;
	if (streq(image->id, name))
		return true;
	for (size_t i = 0; i < image->n_repo_tags; i++) {
		if (streq(image->repo_tags[i], name))
			return true;
	}
	for (size_t i = 0; i < image->n_repo_digests; i++) {
		if (streq(image->repo_digests[i], name))
			return true;
	}
	return false;
}

static bool is_used(const Cri__Image *image, Cri__Container *const *containers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const Cri__Container *c = containers[i];
		if (has_name(image, c->image_ref) || (c->image && has_name(image, c->image->image)))
			return true;
	}
	return false;
}

static struct image_entry *entry_of(struct image_book *b, const char *id, int64_t first_ns)
{
	for (size_t i = 0; i < b->images.count; i++) {
		if (streq(b->images.items[i].id, id))
			return &b->images.items[i];
	}
	VEC_PUSH(&b->images, ((struct image_entry){.id = xstrdup(id), .first_ns = first_ns}));
	return &b->images.items[b->images.count - 1];
}

void image_book_update(struct image_book *b, Cri__Image *const *images, size_t image_count,
	Cri__Container *const *containers, size_t container_count, const char *sandbox_image,
	int64_t now_ns)
{
	int64_t first = b->began_ns ? now_ns : 0;

	if (!b->began_ns)
		b->began_ns = now_ns;
	for (size_t i = 0; i < b->images.count; i++)
		b->images.items[i].seen = false;
	for (size_t i = 0; i < image_count; i++) {
		const Cri__Image *image = images[i];
		struct image_entry *e = entry_of(b, image->id, first);
		e->seen = true;
		e->size_bytes = image->size;
		e->kept = image->pinned || has_name(image, sandbox_image);
		e->in_use = is_used(image, containers, container_count);
		if (e->in_use)
			e->used_ns = now_ns;
	}
	for (size_t i = b->images.count; i-- > 0;) {
		if (b->images.items[i].seen)
			continue;
		free(b->images.items[i].id);
		VEC_REMOVE(&b->images, i);
	}
}

static int by_age(const void *x, const void *y)
{
	const struct image_entry *a = x, *b = y;

	if (a->used_ns != b->used_ns)
		return a->used_ns < b->used_ns ? -1 : 1;
	if (a->first_ns != b->first_ns)
		return a->first_ns < b->first_ns ? -1 : 1;
	return strcmp(a->id, b->id);
}

size_t image_book_choose(struct image_book *b, struct arena *a, uint64_t bytes, int64_t min_age_ns,
	int64_t now_ns, const char ***ret_ids, uint64_t *ret_bytes)
{
	const char **ids = arena_alloc(a, (b->images.count + 1) * sizeof(*ids));
	uint64_t sum = 0;
	size_t n = 0;

	if (b->images.count > 1)
		qsort(b->images.items, b->images.count, sizeof(*b->images.items), by_age);
	for (size_t i = 0; i < b->images.count && sum < bytes; i++) {
		const struct image_entry *e = &b->images.items[i];
		/* A young one may be waiting for the container it was fetched for. */
		if (e->in_use || e->kept || (e->first_ns && now_ns - e->first_ns < min_age_ns))
			continue;
		ids[n++] = e->id;
		sum += e->size_bytes;
	}
	*ret_ids = ids;
	*ret_bytes = sum;
	return n;
}

size_t image_book_choose_old(struct image_book *b, struct arena *a, int64_t max_age_ns,
	int64_t now_ns, const char ***ret_ids)
{
	const char **ids = arena_alloc(a, (b->images.count + 1) * sizeof(*ids));
	size_t n = 0;

	for (size_t i = 0; i < b->images.count && max_age_ns > 0; i++) {
		const struct image_entry *e = &b->images.items[i];
		int64_t since = MAX(MAX(e->used_ns, e->first_ns), b->began_ns);
		if (!e->in_use && !e->kept && now_ns - since > max_age_ns)
			ids[n++] = e->id;
	}
	*ret_ids = ids;
	return n;
}

uint64_t image_book_excess(
	uint64_t capacity, uint64_t available, int64_t high_percent, int64_t low_percent)
{
	uint64_t used_percent = 100 - (uint64_t)((double)available * 100 / (double)capacity);
	uint64_t wanted = (uint64_t)((double)capacity * (double)(100 - low_percent) / 100);

	if (used_percent < (uint64_t)high_percent || wanted <= available)
		return 0;
	return wanted - available;
}

char *image_book_sandbox(struct arena *a, const Cri__StatusResponse *s)
{
	const char *text = cri_pair_get(s->info, s->n_info, "config");
	struct json *config = NULL;

	if (!text || json_parse(a, text, strlen(text), NULL, &config, NULL) < 0)
		return arena_strdup(a, "");
	return arena_strdup(a, json_str_or(json_get(config, "sandboxImage"), ""));
}
