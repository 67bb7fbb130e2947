#include "lib/base/blob.h"

struct blob *blob_alloc(size_t size)
{
	struct blob *b;

	if (size >= UINT32_MAX)
		abort();
	b = xmalloc(sizeof(*b) + size + 1);
	b->refs = 1;
	b->size = (uint32_t)size;
	b->data[size] = '\0';
	return b;
}

struct blob *blob_new(const void *p, size_t size)
{
	struct blob *b = blob_alloc(size);

	if (size)
		memcpy(b->data, p, size);
	return b;
}

struct blob *blob_ref(struct blob *b)
{
	if (b)
		__atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
	return b;
}

void blob_unref(struct blob *b)
{
	if (b && __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(b);
}

void blob_unref_p(struct blob **b)
{
	blob_unref(*b);
}
