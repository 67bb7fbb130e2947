/* image_book.h - which images lie on the node, since when, and when they were last in use: what
 * the collection of images goes by. Pure. Times are monotonic nanoseconds; 0 = before the agent
 * began. */
#pragma once

#include "lib/base/vec.h"
#include "node/cri/cri.h"

struct image_entry {
	char *id;
	uint64_t size_bytes;
	int64_t first_ns; /* when it was first seen here; those of the first look count as old */
	int64_t used_ns;  /* when a container was last seen to have it; 0 = never */
	bool in_use, kept, seen;
};
struct image_book {
	VEC(struct image_entry) images;
	int64_t began_ns; /* of the first look; 0 = not yet */
};
void image_book_finish(struct image_book *b);

/* Takes in what the runtime lists. An image is in use by any container, running or dead; kept are
 * those that it pins, and `sandbox_image` (NULL = not known) by any of its names. */
void image_book_update(struct image_book *b, Cri__Image *const *images, size_t image_count,
	Cri__Container *const *containers, size_t container_count, const char *sandbox_image,
	int64_t now_ns);

/* Ids of images to remove so that `bytes` become free: those longest unused first, none younger
 * than min_age_ns, none in use or kept. In the arena; ids are the book's. *ret_bytes is what they
 * give, which may be less. */
size_t image_book_choose(struct image_book *b, struct arena *a, uint64_t bytes, int64_t min_age_ns,
	int64_t now_ns, const char ***ret_ids, uint64_t *ret_bytes);
/* Those unused for longer than max_age_ns. What is not known to have been used counts from when
 * the agent began or first saw it. */
size_t image_book_choose_old(struct image_book *b, struct arena *a, int64_t max_age_ns,
	int64_t now_ns, const char ***ret_ids);
/* How much must go: nothing below the high mark, else down to the low one. */
uint64_t image_book_excess(
	uint64_t capacity, uint64_t available, int64_t high_percent, int64_t low_percent);
/* The sandbox's image by the runtime's verbose status ("config" of its info); "" = it says none. */
char *image_book_sandbox(struct arena *a, const Cri__StatusResponse *s);
