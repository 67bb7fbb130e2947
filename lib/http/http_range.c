#include "lib/http/http_range.h"

#include <string.h>
#include <strings.h>

#include "lib/base/str.h"
#include "lib/base/util.h"

enum http_range http_range_parse(
	const char *text, uint64_t size, uint64_t *ret_from, uint64_t *ret_count)
{
	uint64_t first = 0, last = UINT64_MAX;
	const char *dash;

	if (!text || strncasecmp(text, "bytes=", 6) != 0)
		return HTTP_RANGE_NONE;
	text += 6;
	dash = strchr(text, '-');
	if (!dash || (dash == text && !dash[1]))
		return HTTP_RANGE_NONE;
	if (dash != text && parse_u64((struct str){text, (size_t)(dash - text)}, &first) < 0)
		return HTTP_RANGE_NONE;
	if (dash[1] && parse_u64(str_from(dash + 1), &last) < 0)
		return HTTP_RANGE_NONE;
	if (dash == text) { /* the last so many */
		if (!last || !size)
			return HTTP_RANGE_BEYOND;
		*ret_count = MIN(last, size);
		*ret_from = size - *ret_count;
		return HTTP_RANGE_PART;
	}
	if (last < first)
		return HTTP_RANGE_NONE;
	if (first >= size)
		return HTTP_RANGE_BEYOND;
	*ret_from = first;
	*ret_count = MIN(last, size - 1) - first + 1;
	return HTTP_RANGE_PART;
}
