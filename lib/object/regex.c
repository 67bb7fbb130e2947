#define PCRE2_CODE_UNIT_WIDTH 8
#include "lib/object/schema_build.h"

#include <pcre2.h>

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

bool schema_regex_matches(const struct schema_regex *re, const char *s, size_t size)
{
	const pcre2_code *code = (const pcre2_code *)re;
	pcre2_match_context *limits = pcre2_match_context_create(NULL);
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	int r;

	if (!limits || !data)
		abort();
	pcre2_set_match_limit(limits, 1000000);
	pcre2_set_heap_limit(limits, 4096); /* KiB */
	r = pcre2_match(code, (PCRE2_SPTR)s, size, 0, 0, data, limits);
	pcre2_match_data_free(data);
	pcre2_match_context_free(limits);
	return r >= 0;
}

void schema_regexes_finish(schema_regexes *all)
{
	for (size_t i = 0; i < all->count; i++)
		pcre2_code_free((pcre2_code *)all->items[i]);
	VEC_FINISH(all);
}
