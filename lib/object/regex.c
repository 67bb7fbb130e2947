#define PCRE2_CODE_UNIT_WIDTH 8
#include "lib/object/schema_build.h"

#include <pcre2.h>

/* Of backtracking, from the one to the other by powers of 16. */
#define FIRST_LIMIT 256u
#define LAST_LIMIT (1u << 20)

/* struct schema_regex is never defined: it stands for pcre2_code, which kind.h need not know. */

int schema_regex_compile(
	schema_regexes *all, const char *pattern, const struct schema_regex **ret, struct err *err)
{
	int code;
	PCRE2_SIZE at;
	pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
		PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);

	if (!re)
		return err_set(
			err, -EINVAL, "pattern '%s' is wrong at offset %zu", pattern, (size_t)at);
	VEC_PUSH(all, (struct schema_regex *)re);
	*ret = (struct schema_regex *)re;
	return 0;
}

int schema_regex_matches(const struct schema_regex *re, const char *s, size_t size, size_t *steps)
{
	const pcre2_code *code = (const pcre2_code *)re;
	pcre2_match_context *limits = pcre2_match_context_create(NULL);
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	int r = PCRE2_ERROR_MATCHLIMIT;

	if (!limits || !data)
		abort();
	pcre2_set_heap_limit(limits, 4096); /* KiB */
	*steps += 4 + size / 8;
	/* PCRE does not tell how far it went: most matches end within the first limit, and who
	 * needs a higher one pays for it. */
	for (uint32_t limit = FIRST_LIMIT; limit <= LAST_LIMIT; limit *= 16) {
		if (limit > FIRST_LIMIT)
			*steps += limit / 16;
		pcre2_set_match_limit(limits, limit);
		r = pcre2_match(code, (PCRE2_SPTR)s, size, 0, 0, data, limits);
		if (r != PCRE2_ERROR_MATCHLIMIT)
			break;
	}
	pcre2_match_data_free(data);
	pcre2_match_context_free(limits);
	if (r == PCRE2_ERROR_MATCHLIMIT || r == PCRE2_ERROR_HEAPLIMIT)
		return -E2BIG;
	return r >= 0;
}

void schema_regexes_finish(schema_regexes *all)
{
	for (size_t i = 0; i < all->count; i++)
		pcre2_code_free((pcre2_code *)all->items[i]);
	VEC_FINISH(all);
}
