#include "bench/json_bench.h"

#include <json-c/json.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

struct peer {
	const char *text;
	size_t size;
	json_tokener *tokener;
	json_object *v;
};

static void step_parse(void *user)
{
	struct peer *peer = user;

	json_object_put(peer->v);
	json_tokener_reset(peer->tokener);
	peer->v = json_tokener_parse_ex(peer->tokener, peer->text, (int)peer->size);
	if (!peer->v)
		abort();
}

static void step_write(void *user)
{
	struct peer *peer = user;

	if (!json_object_to_json_string_ext(peer->v, JSON_C_TO_STRING_PLAIN))
		abort();
}

void bench_json_c(const char *text, size_t size)
{
	struct peer peer = {.text = text, .size = size};
	struct mallinfo2 before, after;

	peer.tokener = json_tokener_new();
	before = mallinfo2();
	step_parse(&peer);
	after = mallinfo2();
	printf("json-c  parse %7.1f MB/s", bench_measure(step_parse, &peer, size));
	printf("   write %7.1f MB/s", bench_measure(step_write, &peer, size));
	printf("   memory %.2fx of the text\n",
		(double)(after.uordblks - before.uordblks) / (double)size);
	json_object_put(peer.v);
	json_tokener_free(peer.tokener);
}
