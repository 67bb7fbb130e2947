/* image_list.h - which images lie on this node, for the Node's status. Read from the runtime at
 * the start, after each pull, and every minute; what was recorded of images that are gone is
 * forgotten then. */
#pragma once

#include "lib/client/wakeup.h"
#include "node/cri/cri.h"
#include "node/image/image_records.h"

struct image_list;
struct image_list *image_list_create(
	uv_loop_t *loop, struct clock *clock, struct cri *cri, struct image_records *records);
void image_list_destroy(struct image_list *l); /* NULL allowed */
void image_list_changed(struct image_list *l); /* look again, soon */
/* status.images as JSON text: at most 50, the largest first; NULL before the first look. */
const char *image_list_status(const struct image_list *l);

/* Pure: the same from the runtime's list. */
struct json *image_list_make(struct arena *a, Cri__Image *const *images, size_t count);
