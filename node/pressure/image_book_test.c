/* image_book_test.c - which images go, on a clock of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "node/pressure/image_book.h"

#define MINUTE (60 * NS_PER_S)
#define T0 (1000 * NS_PER_S)

/* Images a, b, c, d of 10, 20, 30, 40 bytes; which of them containers have. */
struct runtime {
	Cri__Image images[4], *list[4];
	Cri__Container containers[4], *used[4];
	size_t image_count, used_count;
	char *tag;
};

static void runtime_init(struct runtime *r)
{
	static char *const ids[] = {"sha256:a", "sha256:b", "sha256:c", "sha256:d"};

	*r = (struct runtime){.image_count = 4, .tag = "registry.lab:5000/pause:latest"};
	for (size_t i = 0; i < 4; i++) {
		r->images[i] = (Cri__Image)CRI__IMAGE__INIT;
		r->images[i].id = ids[i];
		r->images[i].size = 10 * (i + 1);
		r->list[i] = &r->images[i];
	}
	r->images[3].repo_tags = &r->tag;
	r->images[3].n_repo_tags = 1;
}

static void use(struct runtime *r, const char *image)
{
	Cri__Container *c = &r->containers[r->used_count];

	*c = (Cri__Container)CRI__CONTAINER__INIT;
	c->image_ref = (char *)(uintptr_t)image;
	r->used[r->used_count++] = c;
}

static void look(struct image_book *b, const struct runtime *r, int64_t now)
{
	image_book_update(b, r->list, r->image_count, r->used, r->used_count,
		"registry.lab:5000/pause:latest", now);
}

static void choose(struct image_book *b, uint64_t bytes, int64_t now, const char *wanted)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	const char **ids;
	uint64_t found;

	size_t n = image_book_choose(b, &a, bytes, 2 * MINUTE, now, &ids, &found);
	for (size_t i = 0; i < n; i++)
		buf_printf(&text, "%s ", ids[i] + strlen("sha256:"));
	buf_printf(&text, "%llu", (unsigned long long)found);
	assert_string_equal(text.data, wanted);
}

static void order(void **state)
{
	struct image_book b = {0};
	struct runtime r;

	runtime_init(&r);
	use(&r, "sha256:a");
	look(&b, &r, T0);
	/* What was there at the first look is old; a is in use, d is the sandboxes'. */
	choose(&b, UINT64_MAX, T0, "b c 50");
	choose(&b, 1, T0, "b 20");
	choose(&b, 0, T0, "0");
	/* b has been in use of late: c goes first. */
	r.used_count = 0;
	use(&r, "sha256:b");
	look(&b, &r, T0 + MINUTE);
	r.used_count = 0;
	look(&b, &r, T0 + 2 * MINUTE);
	choose(&b, UINT64_MAX, T0 + 2 * MINUTE, "c a b 60");
	/* A pinned one stays. */
	r.images[2].pinned = true;
	look(&b, &r, T0 + 3 * MINUTE);
	choose(&b, UINT64_MAX, T0 + 3 * MINUTE, "a b 30");
	image_book_finish(&b);
}

static void young_ones_stay(void **state)
{
	struct image_book b = {0};
	struct runtime r;

	runtime_init(&r);
	r.image_count = 1;
	look(&b, &r, T0);
	r.image_count = 2;
	look(&b, &r, T0 + MINUTE);
	choose(&b, UINT64_MAX, T0 + 2 * MINUTE, "a 10");
	choose(&b, UINT64_MAX, T0 + 3 * MINUTE, "a b 30");
	/* Gone and back: young again. */
	r.image_count = 1;
	look(&b, &r, T0 + 4 * MINUTE);
	r.image_count = 2;
	look(&b, &r, T0 + 5 * MINUTE);
	choose(&b, UINT64_MAX, T0 + 6 * MINUTE, "a 10");
	image_book_finish(&b);
}

static void too_old(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct image_book b = {0};
	struct runtime r;
	const char **ids;

	runtime_init(&r);
	use(&r, "sha256:a");
	look(&b, &r, T0);
	assert_int_equal(image_book_choose_old(&b, &a, 0, T0 + 99 * MINUTE, &ids), 0);
	assert_int_equal(image_book_choose_old(&b, &a, 10 * MINUTE, T0 + 10 * MINUTE, &ids), 0);
	assert_int_equal(image_book_choose_old(&b, &a, 10 * MINUTE, T0 + 11 * MINUTE, &ids), 2);
	r.used_count = 0;
	look(&b, &r, T0 + 11 * MINUTE);
	assert_int_equal(image_book_choose_old(&b, &a, 10 * MINUTE, T0 + 11 * MINUTE, &ids), 3);
	image_book_finish(&b);
}

static void how_much(void **state)
{
	assert_int_equal(image_book_excess(1000, 160, 85, 80), 0);
	assert_int_equal(image_book_excess(1000, 151, 85, 80), 49);
	assert_int_equal(image_book_excess(1000, 150, 85, 80), 50);
	assert_int_equal(image_book_excess(1000, 0, 85, 80), 200);
	assert_int_equal(image_book_excess(1000, 1000, 100, 80), 0);
}

static void sandbox_image(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	Cri__StatusResponse s = CRI__STATUS_RESPONSE__INIT;
	Cri__Pair config = CRI__PAIR__INIT, *info = &config;

	assert_string_equal(image_book_sandbox(&a, &s), "");
	s.info = &info;
	s.n_info = 1;
	config.key = "config";
	config.value = "{\"sandboxImage\":\"pause:3\"}";
	assert_string_equal(image_book_sandbox(&a, &s), "pause:3");
	config.value = "nonsense";
	assert_string_equal(image_book_sandbox(&a, &s), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order),
		cmocka_unit_test(young_ones_stay),
		cmocka_unit_test(too_old),
		cmocka_unit_test(how_much),
		cmocka_unit_test(sandbox_image),
	};

	return cmocka_run_group_tests_name("images", tests, NULL, NULL);
}
