/* Text forms of bytes, numbers, times and durations, there and back. */
#include "lib/base/clock.h"
#include "lib/base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_encodings(struct arena *a, struct str in)
{
	char *bytes, *back;
	size_t bytes_size, back_size;

	if (base64_decode(a, str_from(base64_encode(a, in.p, in.size)), &back, &back_size) < 0 ||
		back_size != in.size || memcmp(back, in.p, in.size) != 0)
		abort();
	if (base64url_decode(a, str_from(base64url_encode(a, in.p, in.size)), &back, &back_size) <
			0 ||
		back_size != in.size || memcmp(back, in.p, in.size) != 0)
		abort();
	if (base64_decode(a, in, &bytes, &bytes_size) == 0 &&
		(base64_decode(
			 a, str_from(base64_encode(a, bytes, bytes_size)), &back, &back_size) < 0 ||
			back_size != bytes_size || memcmp(back, bytes, bytes_size) != 0))
		abort();
	if (base64url_decode(a, in, &bytes, &bytes_size) == 0 && bytes_size > in.size)
		abort();
	if (strlen(hex_encode(a, in.p, in.size)) != in.size * 2)
		abort();
	if (percent_decode(a, in, true, &bytes) == 0 &&
		(percent_decode(a, str_from(percent_encode(a, str_from(bytes))), false, &back) <
				0 ||
			strcmp(bytes, back) != 0))
		abort();
}

static void check_numbers(struct arena *a, const char *s)
{
	char room[TIME_RFC3339_MICRO_ROOM];
	int64_t n, again;
	uint64_t u;

	if (parse_i64(str_from(s), &n) == 0 &&
		(parse_i64(str_from(arena_printf(a, "%lld", (long long)n)), &again) < 0 ||
			n != again))
		abort();
	if (parse_u64(str_from(s), &u) == 0 && u != strtoull(s, NULL, 10))
		abort();
	if (time_parse_rfc3339(s, &n) == 0) {
		time_format_rfc3339_micro(n, room);
		/* The first microsecond of the range starts before the first nanosecond. */
		if (time_parse_rfc3339(room, &again) == 0 &&
			(again > n || (uint64_t)n - (uint64_t)again >= 1000))
			abort();
	}
	if (duration_parse(s, &n) == 0) {
		duration_human(a, n);
		if (duration_parse(arena_printf(a, "%lldns", (long long)n), &again) < 0 ||
			n != again)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT;
	/* A copy of the exact size, with a NUL for those who want C strings. */
	struct str in = {arena_memdup(&a, data, size), size}, rest = in, part;
	size_t parts = 0, total = 0;

	check_encodings(&a, in);
	check_numbers(&a, in.p);
	while (str_split(&rest, ',', &part)) {
		parts++;
		total += part.size;
	}
	if (total + parts - 1 != size)
		abort();
	/* Valid text cut at a valid place is valid on both sides. */
	if (utf8_valid(in.p, in.size) && utf8_valid(in.p, size / 2) &&
		!utf8_valid(in.p + size / 2, size - size / 2))
		abort();
	arena_finish(&a);
	return 0;
}
