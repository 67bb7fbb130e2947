#include "lib/http/stream_queue.h"

/* Large enough for the usual answer with its header; a malloc'd chunk stays within two pages. */
#define CHUNK_ROOM (8192u - sizeof(struct stream_chunk) - 16u)
/* Blobs up to this size are cheaper to copy than to hold. */
#define BLOB_COPY_MAX 1024u
/* What stands between two blobs is a comma or a frame: a list has thousands of those. */
#define GAP_ROOM (128u - sizeof(struct stream_chunk))

struct stream_chunk {
	struct stream_chunk *next;
	struct blob *blob; /* holds the bytes instead of `data` */
	size_t start;	   /* bytes already written */
	size_t size;	   /* bytes, counted from 0 */
	size_t room;	   /* of data; 0 with a blob */
	char data[];
};

static const char *chunk_bytes(const struct stream_chunk *c)
{
	return (c->blob ? c->blob->data : c->data) + c->start;
}

/* Blobs are others' bytes. */
static size_t chunk_held(const struct stream_chunk *c)
{
	return sizeof(*c) + c->room;
}

static void count(struct stream_queue *q, const struct stream_chunk *c, bool more)
{
	if (q->held)
		*q->held += more ? chunk_held(c) : 0 - chunk_held(c);
}

void stream_queue_count(struct stream_queue *q, size_t *held)
{
	for (const struct stream_chunk *c = q->head; c; c = c->next)
		count(q, c, false);
	q->held = held;
	for (const struct stream_chunk *c = q->head; c; c = c->next)
		count(q, c, true);
}

static void queue_link(struct stream_queue *q, struct stream_chunk *c)
{
	if (q->tail)
		q->tail->next = c;
	else
		q->head = c;
	q->tail = c;
	count(q, c, true);
}

static struct stream_chunk *queue_push(struct stream_queue *q, size_t room)
{
	struct stream_chunk *c = xmalloc(sizeof(*c) + room);
	*c = (struct stream_chunk){.room = room};
	queue_link(q, c);
	return c;
}

void stream_queue_add(struct stream_queue *q, const void *p, size_t size)
{
	const char *from = p;
	q->bytes += size;
	if (q->tail && q->tail->room > q->tail->size) {
		struct stream_chunk *c = q->tail;
		size_t n = MIN(size, c->room - c->size);
		memcpy(c->data + c->size, from, n);
		c->size += n;
		from += n;
		size -= n;
	}
	if (size == 0)
		return;
	size_t room = q->tail && q->tail->blob ? GAP_ROOM : CHUNK_ROOM;
	struct stream_chunk *c = queue_push(q, MAX(size, room));
	memcpy(c->data, from, size);
	c->size = size;
}

void stream_queue_add_part(struct stream_queue *q, struct blob *b, size_t start, size_t size)
{
	if (size <= BLOB_COPY_MAX) {
		stream_queue_add(q, b->data + start, size);
		return;
	}
	struct stream_chunk *c = queue_push(q, 0);
	c->blob = blob_ref(b);
	c->start = start;
	c->size = start + size;
	q->bytes += size;
}

void stream_queue_add_blob(struct stream_queue *q, struct blob *b)
{
	stream_queue_add_part(q, b, 0, b->size);
}

int stream_queue_vectors(const struct stream_queue *q, struct iovec *ret, int room)
{
	int n = 0;
	for (struct stream_chunk *c = q->head; c && n < room; c = c->next) {
		ret[n].iov_base = (void *)chunk_bytes(c);
		ret[n].iov_len = c->size - c->start;
		n++;
	}
	return n;
}

const char *stream_queue_front(
	const struct stream_queue *q, char *scratch, size_t size, size_t *ret_size)
{
	struct stream_chunk *c = q->head;
	if (!c) {
		*ret_size = 0;
		return scratch;
	}
	if (!c->next || c->size - c->start >= size) {
		*ret_size = MIN(size, c->size - c->start);
		return chunk_bytes(c);
	}
	size_t at = 0;
	for (; c && at < size; c = c->next) {
		size_t n = MIN(size - at, c->size - c->start);
		memcpy(scratch + at, chunk_bytes(c), n);
		at += n;
	}
	*ret_size = at;
	return scratch;
}

void stream_queue_drop(struct stream_queue *q, size_t size)
{
	q->bytes -= size;
	while (q->head) {
		struct stream_chunk *c = q->head;
		size_t left = c->size - c->start;
		if (size < left) {
			c->start += size;
			return;
		}
		size -= left;
		q->head = c->next;
		if (!q->head)
			q->tail = NULL;
		count(q, c, false);
		blob_unref(c->blob);
		free(c);
	}
}

void stream_queue_move(struct stream_queue *from, struct stream_queue *to, size_t size)
{
	while (size) {
		struct stream_chunk *c = from->head;
		size_t left = c->size - c->start, n = MIN(size, left);
		size -= n;
		if (n <= BLOB_COPY_MAX || (n < left && !c->blob)) {
			stream_queue_add(to, chunk_bytes(c), n);
			stream_queue_drop(from, n);
			continue;
		}
		if (n < left) {
			stream_queue_add_part(to, c->blob, c->start, n);
			c->start += n;
			to->bytes -= n;
		} else {
			from->head = c->next;
			if (!from->head)
				from->tail = NULL;
			c->next = NULL;
			count(from, c, false);
			queue_link(to, c);
		}
		from->bytes -= n;
		to->bytes += n;
	}
}

void stream_queue_clear(struct stream_queue *q)
{
	stream_queue_drop(q, q->bytes);
}
