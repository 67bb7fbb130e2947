#include "node/vm/snapshot/gzip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "lib/base/random.h"
#include "lib/base/util.h"

/* By another library, and as one member: some readers take the first for all. */
static void check_unpacks(const struct buf *packed, const char *data, size_t size)
{
	z_stream z = {0};
	char *back = xmalloc(size + 1);

	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	z.next_in = (Bytef *)packed->data;
	z.avail_in = (uInt)packed->size;
	z.next_out = (Bytef *)back;
	z.avail_out = (uInt)size + 1;
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.avail_in, 0);
	assert_int_equal(z.total_out, size);
	assert_memory_equal(back, data, size);
	inflateEnd(&z);
	free(back);
}

static void check(const char *data, size_t size, size_t piece)
{
	struct gzip *g = gzip_create();
	struct buf out = BUF_INIT;

	for (size_t at = 0; at < size; at += piece)
		gzip_add(g, data + at, MIN(piece, size - at), &out);
	gzip_end(g, &out);
	check_unpacks(&out, data, size);
	buf_finish(&out);
	gzip_destroy(g);
}

enum { SIZE = 3 << 20 };

static void test_pieces(void **state)
{
	static const size_t pieces[] = {1, 511, 65536, 262144, 1 << 20, SIZE};
	struct random random = RANDOM_SYSTEM;
	char *data = xcalloc(1, SIZE);

	/* Zeros, noise, and words. */
	for (size_t i = SIZE / 3; i < 2 * SIZE / 3; i += 8) {
		uint64_t v = random_u64(&random);
		memcpy(data + i, &v, sizeof(v));
	}
	for (size_t i = 2 * SIZE / 3; i < SIZE; i++)
		data[i] = "the quick brown fox "[(i * i / 7 + i) % 20];
	for (size_t i = 1; i < ARRAY_LEN(pieces); i++)
		check(data, SIZE, pieces[i]);
	check(data + SIZE / 3 - 5000, 10000, pieces[0]);
	check(data, 0, 1);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_pieces)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
