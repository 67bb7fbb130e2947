#include "server/api/tables/jsonpath.h"

#define STEPS_MAX 100000 /* what one path may look at in one document */
#define PATH_MAX_BYTES 1024

enum step_type { STEP_NAME, STEP_INDEX, STEP_ALL, STEP_FILTER, STEP_BELOW };

struct step {
	enum step_type type;
	char name[256]; /* STEP_NAME; of a filter, the path that is compared */
	size_t name_size;
	int64_t from, to; /* STEP_INDEX: items [from, to), negative ones from the end */
	char op[3];	  /* filter: "==", ...; "" = is there */
	struct str value; /* filter: the literal, without its quotes */
	bool quoted;
};

/* A name up to one of the bytes, with backslashes before those that belong to it. */
static int read_name(const char **p, const char *ends, struct step *s)
{
	s->name_size = 0;
	for (; **p && !strchr(ends, **p); (*p)++) {
		if (**p == '\\' && (*p)[1])
			(*p)++;
		if (s->name_size == sizeof(s->name) - 1)
			return -EINVAL;
		s->name[s->name_size++] = **p;
	}
	s->name[s->name_size] = '\0';
	return s->name_size ? 0 : -EINVAL;
}

static int read_quoted(const char **p, struct step *s)
{
	char ends[2] = {**p, '\0'};
	(*p)++;
	if (read_name(p, ends, s) < 0 || !**p)
		return -EINVAL;
	(*p)++;
	return 0;
}

static void skip_spaces(const char **p)
{
	*p += strspn(*p, " ");
}

/* Behind "[?(": "@.a.b op literal)]". */
static int read_filter(const char **p, struct step *s)
{
	skip_spaces(p);
	if (**p != '@')
		return -EINVAL;
	(*p)++;
	size_t size = strcspn(*p, " =!<>)");
	if (size >= sizeof(s->name))
		return -EINVAL;
	memcpy(s->name, *p, size);
	s->name[size] = '\0';
	*p += size;
	skip_spaces(p);
	s->type = STEP_FILTER;
	size_t op = strspn(*p, "=!<>");
	if (op > 2)
		return -EINVAL;
	memcpy(s->op, *p, op);
	s->op[op] = '\0';
	*p += op;
	if (op) {
		skip_spaces(p);
		char quote = **p;
		s->quoted = quote == '\'' || quote == '"';
		if (s->quoted) {
			const char *end = strchr(*p + 1, quote);
			if (!end)
				return -EINVAL;
			s->value = (struct str){*p + 1, (size_t)(end - *p - 1)};
			*p = end + 1;
		} else {
			s->value = (struct str){*p, strcspn(*p, " )")};
			*p += s->value.size;
		}
		if (!streq(s->op, "==") && !streq(s->op, "!=") && !streq(s->op, "<") &&
			!streq(s->op, "<=") && !streq(s->op, ">") && !streq(s->op, ">="))
			return -EINVAL;
	}
	skip_spaces(p);
	if (!str_has_prefix(*p, ")]"))
		return -EINVAL;
	*p += 2;
	return 0;
}

static int read_number(const char **p, int64_t *ret)
{
	size_t size = strspn(*p, "-0123456789");
	if (parse_i64((struct str){*p, size}, ret) < 0 || *ret < -1000000 || *ret > 1000000)
		return -EINVAL;
	*p += size;
	return 0;
}

/* "3]", "-1]", "1:3]", ":2]", "1:]" */
static int read_index(const char **p, struct step *s)
{
	s->type = STEP_INDEX;
	s->from = 0;
	if (**p != ':' && read_number(p, &s->from) < 0)
		return -EINVAL;
	s->to = s->from == -1 ? INT64_MAX : s->from + 1;
	if (**p == ':') {
		(*p)++;
		s->to = INT64_MAX;
		if (**p != ']' && read_number(p, &s->to) < 0)
			return -EINVAL;
	}
	return *(*p)++ == ']' ? 0 : -EINVAL;
}

/* One step, and *p behind it. */
static int read_step(const char **p, struct step *s)
{
	if (str_has_prefix(*p, "..")) {
		*p += 1;
		s->type = STEP_BELOW;
		return (*p)[1] && (*p)[1] != '}' ? 0 : -EINVAL;
	}
	if (**p == '.') {
		(*p)++;
		if (**p == '*') {
			(*p)++;
			s->type = STEP_ALL;
			return 0;
		}
		s->type = STEP_NAME;
		return read_name(p, ".[}", s);
	}
	if (**p != '[')
		return -EINVAL;
	(*p)++;
	if (**p == '\'' || **p == '"') {
		s->type = STEP_NAME;
		return read_quoted(p, s) == 0 && *(*p)++ == ']' ? 0 : -EINVAL;
	}
	if (str_has_prefix(*p, "*]")) {
		*p += 2;
		s->type = STEP_ALL;
		return 0;
	}
	if (str_has_prefix(*p, "?(")) {
		*p += 2;
		return read_filter(p, s);
	}
	return read_index(p, s);
}

static bool at_end(const char *p)
{
	return !*p || streq(p, "}");
}

static const struct json *find(const struct json *v, const char *p, size_t *left);

static bool compare(const char *op, int c)
{
	return streq(op, "==")	 ? c == 0
	       : streq(op, "!=") ? c != 0
	       : streq(op, "<")	 ? c < 0
	       : streq(op, "<=") ? c <= 0
	       : streq(op, ">")	 ? c > 0
				 : c >= 0;
}

static bool passes(const struct json *item, const struct step *s, size_t *left)
{
	const struct json *v = *s->name ? find(item, s->name, left) : item;
	int64_t number;
	if (!v || !*s->op)
		return v != NULL;
	if (json_is(v, JSON_STRING) && s->quoted) {
		int c = memcmp(v->s, s->value.p, MIN((size_t)v->count, s->value.size));
		return compare(s->op, c				 ? c
				      : v->count < s->value.size ? -1
								 : v->count > s->value.size);
	}
	if (json_is(v, JSON_BOOL) && !s->quoted)
		return compare(s->op, !str_eq(s->value, v->b ? "true" : "false"));
	if (json_is(v, JSON_INT) && !s->quoted && parse_i64(s->value, &number) == 0)
		return compare(s->op, v->i < number ? -1 : v->i > number);
	return streq(s->op, "!=");
}

static const struct json *find_in_all(const struct json *v, const char *p, size_t *left)
{
	const struct json *found = NULL;
	JSON_FOR_EACH_ITEM(item, v)
		if (!found)
			found = find(item, p, left);
	JSON_FOR_EACH_MEMBER(m, v)
		if (!found)
			found = find(m->value, p, left);
	return found;
}

/* Here first, then in what is below. */
static const struct json *find_below(const struct json *v, const char *p, size_t *left)
{
	if (*left == 0)
		return NULL;
	--*left;
	const struct json *found = find(v, p, left);
	JSON_FOR_EACH_ITEM(item, v)
		if (!found)
			found = find_below(item, p, left);
	JSON_FOR_EACH_MEMBER(m, v)
		if (!found)
			found = find_below(m->value, p, left);
	return found;
}

static const struct json *find_indexes(
	const struct json *v, const struct step *s, const char *p, size_t *left)
{
	int64_t count = json_is(v, JSON_ARRAY) ? (int64_t)json_count(v) : 0;
	int64_t from = s->from < 0 ? MAX(count + s->from, (int64_t)0) : s->from;
	int64_t to = s->to < 0 ? count + s->to : MIN(s->to, count);
	if (s->from < 0 && count + s->from < 0)
		return NULL;
	for (int64_t i = from; i < to; i++) {
		const struct json *found = find(json_at(v, (size_t)i), p, left);
		if (found)
			return found;
	}
	return NULL;
}

static const struct json *find(const struct json *v, const char *p, size_t *left)
{
	struct step s;
	if (at_end(p) || !v)
		return v;
	if (*left == 0 || read_step(&p, &s) < 0)
		return NULL;
	--*left;
	switch (s.type) {
	case STEP_NAME:
		return find(json_get_n(v, s.name, s.name_size), p, left);
	case STEP_INDEX:
		return find_indexes(v, &s, p, left);
	case STEP_ALL:
		return find_in_all(v, p, left);
	case STEP_BELOW:
		return find_below(v, p, left);
	case STEP_FILTER:
		JSON_FOR_EACH_ITEM(item, v) {
			const struct json *found =
				passes(item, &s, left) ? find(item, p, left) : NULL;
			if (found)
				return found;
		}
		return NULL;
	}
	return NULL;
}

/* Behind the brace and the dollar sign that may come first. */
static const char *begin(const char *path)
{
	path += *path == '{';
	path += *path == '$';
	return path;
}

const struct json *jsonpath_first(const struct json *doc, const char *path)
{
	size_t allowance = STEPS_MAX;
	return jsonpath_first_within(doc, path, &allowance);
}

const struct json *jsonpath_first_within(
	const struct json *doc, const char *path, size_t *allowance)
{
	size_t given = MIN(*allowance, (size_t)STEPS_MAX), left = given;
	if (strlen(path) > PATH_MAX_BYTES)
		return NULL;
	const struct json *found = find(doc, begin(path), &left);
	*allowance -= given - left;
	return found;
}

bool jsonpath_valid(const char *path)
{
	struct step s;
	if (strlen(path) > PATH_MAX_BYTES)
		return false;
	for (path = begin(path); !at_end(path);)
		if (read_step(&path, &s) < 0 ||
			(s.type == STEP_FILTER && *s.name && !jsonpath_valid(s.name)))
			return false;
	return true;
}
