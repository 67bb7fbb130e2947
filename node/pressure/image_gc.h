/* image_gc.h - removes images that no container has: when their file system is fuller than
 * image_gc_high_percent, down to image_gc_low_percent; those unused for image_maximum_gc_age_ms;
 * and all of them when the disk is short. Looked at each 5 minutes. */
#pragma once

#include "node/node.h"

struct image_gc;
struct image_gc *image_gc_create(struct node *n);
void image_gc_destroy(struct image_gc *g); /* NULL allowed; who waits is not told */
/* Removes all that may go; done is called later, once. */
void image_gc_free_unused(struct image_gc *g, void (*done)(void *user), void *user);
