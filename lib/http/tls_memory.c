/* tls_memory.c - memory for OpenSSL. A connection gives its record buffers back whenever it has
 * nothing in them, so that idle ones cost little; a busy server takes and returns buffers of 17 KiB
 * several times a request, which the allocator answers by splitting, merging and now and then
 * returning its heap. A few of them wait here for the next record instead. */
#include "lib/http/tls.h"

#include <malloc.h>
#include <openssl/crypto.h>

/* Those of all record buffers are between these two. */
#define RECORD_MIN_BYTES (16u << 10)
#define RECORD_ROOM_BYTES (18u << 10)
#define SPARE_MAX 4

/* Of the thread that asked for it: no other one speaks TLS much, and none needs a lock. */
static _Thread_local struct {
	bool on;
	unsigned count;
	void *room[SPARE_MAX];
} spare;

static void *take(size_t size, const char *file, int line)
{
	if (size <= RECORD_MIN_BYTES || size > RECORD_ROOM_BYTES)
		return malloc(size);
	if (spare.count)
		return spare.room[--spare.count];
	return malloc(RECORD_ROOM_BYTES);
}

static void *resize(void *p, size_t size, const char *file, int line)
{
	return realloc(p, size);
}

static void give_back(void *p, const char *file, int line)
{
	if (p && spare.on && spare.count < SPARE_MAX) {
		size_t size = malloc_usable_size(p);
		if (size >= RECORD_ROOM_BYTES && size < RECORD_ROOM_BYTES + 64) {
			spare.room[spare.count++] = p;
			return;
		}
	}
	free(p);
}

void tls_keep_spare_buffers(void)
{
	if (CRYPTO_set_mem_functions(take, resize, give_back) == 1)
		spare.on = true;
}
