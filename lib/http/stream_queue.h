/* stream_queue.h - bytes waiting to be written: copied pieces and references to blobs, in order.
 * Small pieces share a chunk, so that a header and a short body leave in one write. */
#pragma once

#include "lib/base/blob.h"

#include <sys/uio.h>

struct stream_chunk;
struct stream_queue {
	struct stream_chunk *head, *tail;
	size_t bytes;
	size_t *held; /* what the queue takes of memory is counted there; NULL = nowhere */
};

/* From now on counted there. */
void stream_queue_count(struct stream_queue *q, size_t *held);

void stream_queue_add(struct stream_queue *q, const void *p, size_t size);
void stream_queue_add_blob(struct stream_queue *q, struct blob *b);
void stream_queue_add_part(struct stream_queue *q, struct blob *b, size_t start, size_t size);
/* Fills up to `room` vectors from the front; returns how many. */
int stream_queue_vectors(const struct stream_queue *q, struct iovec *ret, int room);
/* The front bytes in one piece: points into the queue when its first chunk has at least `size`
 * bytes or is all there is, else gathers into `scratch` of `size` bytes. */
const char *stream_queue_front(
	const struct stream_queue *q, char *scratch, size_t size, size_t *ret_size);
/* Moves bytes from the front of one queue to the end of another. */
void stream_queue_move(struct stream_queue *from, struct stream_queue *to, size_t size);
void stream_queue_drop(struct stream_queue *q, size_t size); /* from the front */
void stream_queue_clear(struct stream_queue *q);
