#include "server/api/requests/query.h"

#include <strings.h>

struct query query_parse(struct arena *a, const char *text)
{
	if (!text || !*text)
		return (struct query){0};
	size_t room = 1;
	for (const char *p = text; *p; p++)
		if (*p == '&')
			room++;
	struct query_parameter *items = arena_alloc(a, room * sizeof(*items));
	size_t count = 0;
	struct str rest = str_from(text), part;
	while (str_split(&rest, '&', &part)) {
		struct str value = part, name;
		if (part.size == 0 || !str_split(&value, '=', &name))
			continue;
		char *n, *v;
		if (percent_decode(a, name, true, &n) < 0)
			continue;
		if (percent_decode(a, value.p ? value : STR(""), true, &v) < 0)
			continue;
		/* Values come back in error messages, which are JSON. */
		if (!utf8_valid(n, strlen(n)) || !utf8_valid(v, strlen(v)))
			continue;
		items[count++] = (struct query_parameter){n, v};
	}
	return (struct query){items, count};
}

const char *query_get(const struct query *q, const char *name)
{
	for (size_t i = 0; i < q->count; i++)
		if (streq(q->items[i].name, name))
			return q->items[i].value;
	return NULL;
}

bool query_bool(const struct query *q, const char *name)
{
	const char *v = query_get(q, name);
	/* Python clients write "False". */
	return v && strcasecmp(v, "false") != 0 && !streq(v, "0");
}
