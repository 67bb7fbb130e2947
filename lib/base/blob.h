/* blob.h - immutable, reference-counted bytes: the canonical form of an object, shared by store,
 * cache, watchers and responses. The count is atomic because the store's writer thread holds
 * references too; the bytes never change after creation. A NUL follows the bytes. */
#pragma once

#include "lib/base/util.h"

struct blob {
	uint32_t refs;
	uint32_t size; /* bytes without the NUL */
	char data[];
};

struct blob *blob_new(const void *p, size_t size); /* copies; one reference */
struct blob *blob_alloc(size_t size);		   /* to be filled before anybody else sees it */
struct blob *blob_ref(struct blob *b);		   /* returns b; NULL allowed */
void blob_unref(struct blob *b);		   /* NULL allowed */
void blob_unref_p(struct blob **b);
