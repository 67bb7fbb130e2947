/* The agent's end of netd, beside a netd that takes everything: this program itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "node/net/netd_client.h"

static bool whole(int fd, char *p, size_t size)
{
	while (size) {
		ssize_t n = read(fd, p, size);

		if (n <= 0)
			return false;
		p += n;
		size -= (size_t)n;
	}
	return true;
}

/* Says of each message how many operations it had. */
static int take_all(void)
{
	static char body[1 << 20];
	struct netd_header h;

	while (whole(3, (char *)&h, sizeof(h))) {
		char text[32];

		if (h.size > NETD_MESSAGE_MAX_BYTES)
			return 1;
		snprintf(text, sizeof(text), "%zu", h.size / sizeof(struct netd_op));
		for (size_t left = h.size; left;) {
			size_t n = MIN(left, sizeof(body));

			if (!whole(3, body, n))
				return 1;
			left -= n;
		}
		h.type = NETD_RESULT;
		h.size = (uint32_t)strlen(text);
		h.code = 0;
		if (write(3, &h, sizeof(h)) != sizeof(h) || write(3, text, h.size) != h.size)
			return 1;
	}
	return 0;
}

struct world {
	uv_loop_t loop;
	struct netd_client *netd;
	uint32_t first, last;
	unsigned answers;
	size_t taken, count;
	struct netd_op *ops;
};

static void fresh(void *user, const char *why)
{
	struct world *w = user;

	assert_int_equal(w->last, 0); /* once: it never ended */
	assert_true(netd_client_send_ops(w->netd, w->ops, w->count, &w->first, &w->last));
}

static void result(void *user, uint32_t serial, int code, const char *text)
{
	struct world *w = user;

	assert_int_equal(code, 0);
	assert_int_equal(serial, w->first + w->answers);
	w->answers++;
	w->taken += strtoul(text, NULL, 10);
	if (serial == w->last)
		netd_client_destroy(TAKE_PTR(w->netd));
}

static void check(size_t count, unsigned messages)
{
	static const struct netd_client_handler h = {.fresh = fresh, .result = result};
	struct world w = {.count = count};

	w.ops = xcalloc(count, sizeof(*w.ops));
	uv_loop_init(&w.loop);
	w.netd = netd_client_create(&w.loop, NULL, &h, &w);
	uv_run(&w.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w.loop), 0);
	assert_int_equal(w.answers, messages);
	assert_int_equal(w.last - w.first + 1, messages);
	assert_int_equal(w.taken, count);
	free(w.ops);
}

static void a_change_that_is_too_large_for_one_message(void **state)
{
	size_t most = NETD_MESSAGE_MAX_BYTES / sizeof(struct netd_op);

	check(1, 1);
	check(most, 1);
	check(most + 1, 2);
}

static void nobody_is_there(void **state)
{
	static const struct netd_client_handler h = {.fresh = fresh, .result = result};
	struct netd_op op = {.type = NETD_FLUSH};
	uint32_t first, last;
	uv_loop_t loop;

	uv_loop_init(&loop);
	struct netd_client *c = netd_client_create(&loop, "/nonexistent", &h, NULL);
	assert_false(netd_client_send_ops(c, &op, 1, &first, &last));
	assert_int_equal(last, 0);
	netd_client_destroy(c);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_that_is_too_large_for_one_message),
		cmocka_unit_test(nobody_is_there),
	};

	if (argc == 2 && strcmp(argv[1], "netd") == 0)
		return take_all();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
