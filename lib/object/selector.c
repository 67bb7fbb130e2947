#include "lib/object/selector.h"

#include "lib/base/vec.h"

/* ---- building ---- */

typedef VEC(struct requirement) requirements;

static int requirement_compare(const void *a, const void *b)
{
	const struct requirement *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static int text_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void take(struct arena *a, requirements *from, bool sort, struct selector *ret)
{
	*ret = (struct selector){.count = from->count};
	if (from->count == 0)
		return;
	ret->items = (struct requirement *)arena_memdup(
		a, (const char *)from->items, from->count * sizeof(*from->items));
	if (sort)
		qsort((void *)ret->items, ret->count, sizeof(*ret->items), requirement_compare);
}

static const char **one_value(struct arena *a, const char *value)
{
	const char **values = arena_alloc(a, sizeof(*values));

	values[0] = value;
	return values;
}

/* ---- the language of label selectors ---- */

enum token {
	TOKEN_END,
	TOKEN_IDENTIFIER,
	TOKEN_COMMA,
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_NOT,
	TOKEN_EQ,
	TOKEN_EQ_EQ,
	TOKEN_NE,
	TOKEN_GT,
	TOKEN_LT,
	TOKEN_IN,
	TOKEN_NOT_IN,
};

struct parser {
	struct arena *arena;
	const char *at;
	enum token token;  /* the next one */
	const char *text;  /* its words, "" at the end */
	const char *error; /* of the requirement being parsed, or NULL */
};

static bool is_special(char c)
{
	return c != '\0' && strchr("=!(),><", c) != NULL;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void next(struct parser *p)
{
	static const struct {
		const char *text;
		enum token token;
	} symbols[] = {
		{"==", TOKEN_EQ_EQ},
		{"!=", TOKEN_NE},
		{"=", TOKEN_EQ},
		{"!", TOKEN_NOT},
		{"(", TOKEN_OPEN},
		{")", TOKEN_CLOSE},
		{",", TOKEN_COMMA},
		{">", TOKEN_GT},
		{"<", TOKEN_LT},
	};
	const char *from;

	while (is_space(*p->at))
		p->at++;
	from = p->at;
	if (!*from) {
		p->token = TOKEN_END;
		p->text = "";
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(symbols); i++) {
		if (!str_has_prefix(from, symbols[i].text))
			continue;
		p->at += strlen(symbols[i].text);
		p->token = symbols[i].token;
		p->text = symbols[i].text;
		return;
	}
	while (*p->at && !is_special(*p->at) && !is_space(*p->at))
		p->at++;
	p->text = arena_memdup(p->arena, from, (size_t)(p->at - from));
	p->token = streq(p->text, "in")	     ? TOKEN_IN
		   : streq(p->text, "notin") ? TOKEN_NOT_IN
					     : TOKEN_IDENTIFIER;
}

/* "in" and "notin" are words of the language only where an operator may stand. */
static bool at_identifier(const struct parser *p)
{
	return p->token == TOKEN_IDENTIFIER || p->token == TOKEN_IN || p->token == TOKEN_NOT_IN;
}

static int fail(struct parser *p, const char *expected, const char *found)
{
	p->error = arena_printf(p->arena, "found '%s'%s", found, expected);
	return -EINVAL;
}

static int check_rule(struct parser *p, enum rule rule, const char *field, const char *value)
{
	const char *messages[RULE_MESSAGES_MAX];
	size_t n = rule_check(rule, value, strlen(value), messages);
	const char *all;

	if (n == 0)
		return 0;
	all = messages[0];
	for (size_t i = 1; i < n; i++)
		all = arena_printf(p->arena, "%s; %s", all, messages[i]);
	p->error = arena_printf(p->arena, "%s: Invalid value: \"%s\": %s", field, value, all);
	return -EINVAL;
}

static int check_values(struct parser *p, const struct requirement *r)
{
	for (size_t i = 0; i < r->value_count; i++) {
		const char *field = arena_printf(p->arena, "values[%zu][%s]", i, r->key);

		if (check_rule(p, RULE_LABEL_VALUE, field, r->values[i]) < 0)
			return -EINVAL;
	}
	return 0;
}

static int parse_values(struct parser *p, struct requirement *r)
{
	VEC(const char *) values = {0};
	int ret = 0;

	if (p->token != TOKEN_OPEN)
		return fail(p, " expected: '('", p->text);
	next(p);
	if (p->token == TOKEN_CLOSE) {
		p->error = "values: Invalid value: []string{}: for 'in', 'notin' operators, values "
			   "set "
			   "can't be empty";
		return -EINVAL;
	}
	for (;;) {
		/* A value may be empty: (a,) and (,) have one. */
		const char *value = "";

		if (at_identifier(p)) {
			value = p->text;
			next(p);
		} else if (p->token != TOKEN_COMMA && p->token != TOKEN_CLOSE) {
			ret = fail(p, ", expected: ',', or identifier", p->text);
			break;
		}
		VEC_PUSH(&values, value);
		if (p->token == TOKEN_CLOSE) {
			next(p);
			break;
		}
		if (p->token != TOKEN_COMMA) {
			ret = fail(p, ", expected: ',' or ')'", p->text);
			break;
		}
		next(p);
	}
	if (ret == 0) {
		qsort(values.items, values.count, sizeof(*values.items), text_compare);
		r->values = (const char **)arena_memdup(
			p->arena, (const char *)values.items, values.count * sizeof(*values.items));
		r->value_count = values.count;
	}
	VEC_FINISH(&values);
	return ret;
}

static int parse_exact(struct parser *p, struct requirement *r)
{
	const char *value = "";
	int64_t n;

	if (p->token != TOKEN_END && p->token != TOKEN_COMMA) {
		if (!at_identifier(p))
			return fail(p, ", expected: identifier", p->text);
		value = p->text;
		next(p);
	}
	r->values = one_value(p->arena, value);
	r->value_count = 1;
	if ((r->op == SEL_GT || r->op == SEL_LT) && parse_i64(str_from(value), &n) < 0) {
		p->error = arena_printf(p->arena,
			"values[0]: Invalid value: \"%s\": for 'Gt', 'Lt' operators, the value "
			"must be an "
			"integer",
			value);
		return -EINVAL;
	}
	return 0;
}

static int parse_operator(struct parser *p, struct requirement *r)
{
	switch (p->token) {
	case TOKEN_EQ:
	case TOKEN_EQ_EQ:
		r->op = SEL_EQ;
		break;
	case TOKEN_NE:
		r->op = SEL_NE;
		break;
	case TOKEN_GT:
		r->op = SEL_GT;
		break;
	case TOKEN_LT:
		r->op = SEL_LT;
		break;
	case TOKEN_IN:
		r->op = SEL_IN;
		break;
	case TOKEN_NOT_IN:
		r->op = SEL_NOT_IN;
		break;
	case TOKEN_END:
	case TOKEN_IDENTIFIER:
	case TOKEN_COMMA:
	case TOKEN_OPEN:
	case TOKEN_CLOSE:
	case TOKEN_NOT:
		return fail(p, ", expected: in, notin, =, ==, !=, gt, lt", p->text);
	}
	next(p);
	return 0;
}

static int parse_requirement(struct parser *p, struct requirement *r)
{
	bool negated = p->token == TOKEN_NOT;
	int ret;

	*r = (struct requirement){0};
	if (negated)
		next(p);
	if (!at_identifier(p))
		return fail(p, ", expected: identifier", p->text);
	r->key = p->text;
	next(p);
	if (check_rule(p, RULE_QUALIFIED_NAME, "<nil>", r->key) < 0)
		return -EINVAL;
	if (negated || p->token == TOKEN_END || p->token == TOKEN_COMMA) {
		r->op = negated ? SEL_NOT_EXISTS : SEL_EXISTS;
		return 0;
	}
	ret = parse_operator(p, r);
	if (ret < 0)
		return ret;
	ret = r->op == SEL_IN || r->op == SEL_NOT_IN ? parse_values(p, r) : parse_exact(p, r);
	if (ret < 0)
		return ret;
	return check_values(p, r);
}

/* Parses into the list; the error text is in p->error, complete. */
static int parse_labels(struct parser *p, requirements *list)
{
	next(p);
	if (p->token == TOKEN_END)
		return 0;
	for (;;) {
		struct requirement r;

		if (!at_identifier(p) && p->token != TOKEN_NOT)
			return fail(p, ", expected: !, identifier, or 'end of string'", p->text);
		if (parse_requirement(p, &r) < 0) {
			p->error =
				arena_printf(p->arena, "unable to parse requirement: %s", p->error);
			return -EINVAL;
		}
		VEC_PUSH(list, r);
		if (p->token == TOKEN_END)
			return 0;
		if (p->token != TOKEN_COMMA)
			return fail(p, ", expected: ',' or 'end of string'", p->text);
		next(p);
		if (!at_identifier(p) && p->token != TOKEN_NOT)
			return fail(p, ", expected: identifier after ','", p->text);
	}
}

int selector_parse_labels(
	struct arena *a, const char *text, struct selector *ret, struct status *st)
{
	struct parser p = {.arena = a, .at = text};
	requirements list = {0};
	int r = parse_labels(&p, &list);

	if (r < 0)
		r = status_bad_request(a, st, "%s", p.error);
	else
		take(a, &list, true, ret);
	VEC_FINISH(&list);
	return r;
}

/* ---- field selectors: terms of FIELD=VALUE, FIELD==VALUE, FIELD!=VALUE ---- */

/* Splits off a term; a backslash keeps the comma behind it. */
static struct str next_term(const char **at)
{
	const char *from = *at, *s = from;

	for (; *s && *s != ','; s++)
		if (*s == '\\' && s[1])
			s++;
	*at = *s ? s + 1 : s;
	return (struct str){from, (size_t)(s - from)};
}

static char *unescape(struct arena *a, struct str value)
{
	char *out = arena_alloc(a, value.size + 1);
	size_t n = 0;

	for (size_t i = 0; i < value.size; i++) {
		if (value.p[i] == '\\') {
			if (++i == value.size || !strchr("\\,=", value.p[i]))
				return NULL;
		} else if (value.p[i] == '=' || value.p[i] == ',') {
			return NULL;
		}
		out[n++] = value.p[i];
	}
	out[n] = '\0';
	return out;
}

/* What the stored kind calls the field; NULL = there is no such field. */
static const char *stored_field(const struct kind *k, const char *field)
{
	if (streq(field, "metadata.name") || streq(field, "metadata.namespace"))
		return field;
	for (size_t i = 0; i < k->selectable_offered; i++)
		if (streq(k->selectable_fields[i], field))
			return k->selectable_stored[i];
	return NULL;
}

static int parse_term(struct arena *a, const struct kind *k, const char *text, struct str term,
	struct requirement *r, struct status *st)
{
	size_t at = 0, op_size = 1;
	const char *value, *stored;

	while (at < term.size && term.p[at] != '=' && term.p[at] != '!')
		at += term.p[at] == '\\' ? 2 : 1;
	if (at < term.size && term.p[at] == '!' && (at + 1 == term.size || term.p[at + 1] != '='))
		at = term.size;
	if (at >= term.size)
		return status_bad_request(a, st, "invalid selector: '%s'; can't understand '%.*s'",
			text, STR_ARG(term));
	r->op = term.p[at] == '!' ? SEL_NE : SEL_EQ;
	if (at + 1 < term.size && term.p[at + 1] == '=')
		op_size = 2;
	r->key = arena_memdup(a, term.p, at);
	value = unescape(a, (struct str){term.p + at + op_size, term.size - at - op_size});
	if (!value)
		return status_bad_request(a, st,
			"invalid field selector: unescaped character or invalid escape in value: "
			"%.*s",
			STR_ARG(term));
	r->values = one_value(a, value);
	r->value_count = 1;
	stored = stored_field(k, r->key);
	if (stored) {
		r->key = stored;
		return 0;
	}
	if (k->selectable_offered > 0)
		return status_bad_request(a, st, "field label not supported: %s", r->key);
	return status_bad_request(a, st,
		"\"%s\" is not a known field selector: only \"metadata.name\", "
		"\"metadata.namespace\"",
		r->key);
}

int selector_parse_fields(struct arena *a, const struct kind *k, const char *text,
	struct selector *ret, struct status *st)
{
	requirements list = {0};
	const char *at = text;
	int r = 0;

	while (*at && r == 0) {
		struct str term = next_term(&at);
		struct requirement item = {0};

		if (term.size == 0)
			continue;
		r = parse_term(a, k, text, term, &item, st);
		VEC_PUSH(&list, item);
	}
	if (r == 0)
		take(a, &list, false, ret);
	VEC_FINISH(&list);
	return r;
}

/* ---- from documents ---- */

static int from_expression(
	struct arena *a, const struct json *doc, struct requirement *ret, struct err *err)
{
	static const struct {
		const char *name;
		enum selector_op op;
		bool needs_values;
	} operators[] = {
		{"In", SEL_IN, true},
		{"NotIn", SEL_NOT_IN, true},
		{"Exists", SEL_EXISTS, false},
		{"DoesNotExist", SEL_NOT_EXISTS, false},
	};
	const char *op_name = json_str_or(json_get(doc, "operator"), "");
	const struct json *values = json_get(doc, "values");
	size_t i, count = json_is(values, JSON_ARRAY) ? json_count(values) : 0;

	for (i = 0; i < ARRAY_LEN(operators); i++)
		if (streq(operators[i].name, op_name))
			break;
	if (i == ARRAY_LEN(operators))
		return err_set(
			err, -EINVAL, "\"%s\" is not a valid label selector operator", op_name);
	if (operators[i].needs_values && count == 0)
		return err_set(err, -EINVAL,
			"values: Invalid value: []string{}: for 'in', 'notin' operators, values "
			"set can't be "
			"empty");
	if (!operators[i].needs_values && count > 0)
		return err_set(err, -EINVAL,
			"values: Invalid value: values set must be empty for exists and does not "
			"exist");
	*ret = (struct requirement){
		.key = json_str_or(json_get(doc, "key"), ""),
		.op = operators[i].op,
		.values = arena_alloc(a, MAX(count, 1) * sizeof(char *)),
		.value_count = count,
	};
	for (size_t v = 0; v < count; v++)
		ret->values[v] = json_str_or(json_at(values, v), "");
	qsort(ret->values, count, sizeof(*ret->values), text_compare);
	return 0;
}

static void add_map(struct arena *a, const struct json *map, requirements *list)
{
	JSON_FOR_EACH_MEMBER(m, map)
		VEC_PUSH(list, ((struct requirement){m->name, SEL_EQ,
				       one_value(a, json_str_or(m->value, "")), 1}));
}

struct selector selector_from_node_requirements(struct arena *a, const struct json *list)
{
	static const struct {
		const char *name;
		enum selector_op op;
	} operators[] = {{"In", SEL_IN}, {"NotIn", SEL_NOT_IN}, {"Exists", SEL_EXISTS},
		{"DoesNotExist", SEL_NOT_EXISTS}, {"Gt", SEL_GT}, {"Lt", SEL_LT}};
	struct requirement *items = arena_alloc(a, (json_count(list) + 1) * sizeof(*items));
	struct selector s = {.items = items};
	JSON_FOR_EACH_ITEM(it, list) {
		const struct json *values = json_get(it, "values");
		const char **texts = arena_alloc(a, (json_count(values) + 1) * sizeof(*texts));
		struct requirement r = {
			.key = json_str_or(json_get(it, "key"), ""), .values = texts};
		JSON_FOR_EACH_ITEM(v, values)
			texts[r.value_count++] = json_str_or(v, "");
		size_t n = 0;
		while (n < ARRAY_LEN(operators) &&
			!streq(operators[n].name, json_str(json_get(it, "operator"))))
			n++;
		if (n < ARRAY_LEN(operators)) {
			r.op = operators[n].op;
			items[s.count++] = r;
		} else {
			s.nothing = true;
		}
	}
	return s;
}

int selector_from_label_selector(
	struct arena *a, const struct json *doc, struct selector *ret, struct err *err)
{
	requirements list = {0};
	int r = 0;

	if (!json_is(doc, JSON_OBJECT)) {
		*ret = (struct selector){.nothing = true};
		return 0;
	}
	add_map(a, json_get(doc, "matchLabels"), &list);
	JSON_FOR_EACH_ITEM(it, json_get(doc, "matchExpressions")) {
		struct requirement item;

		r = from_expression(a, it, &item, err);
		if (r < 0)
			break;
		VEC_PUSH(&list, item);
	}
	if (r == 0)
		take(a, &list, true, ret);
	VEC_FINISH(&list);
	return r;
}

void selector_from_map(struct arena *a, const struct json *map, struct selector *ret)
{
	requirements list = {0};

	if (!json_is(map, JSON_OBJECT)) {
		*ret = (struct selector){.nothing = true};
		return;
	}
	add_map(a, map, &list);
	take(a, &list, true, ret);
	VEC_FINISH(&list);
}

/* ---- matching ---- */

static bool has_value(const struct requirement *r, const char *value)
{
	for (size_t i = 0; i < r->value_count; i++)
		if (streq(r->values[i], value))
			return true;
	return false;
}

static bool holds(const struct requirement *r, const char *value)
{
	int64_t n, limit;

	switch (r->op) {
	case SEL_EQ:
	case SEL_IN:
		return value && has_value(r, value);
	case SEL_NE:
	case SEL_NOT_IN:
		return !value || !has_value(r, value);
	case SEL_EXISTS:
		return value != NULL;
	case SEL_NOT_EXISTS:
		return value == NULL;
	case SEL_GT:
	case SEL_LT:
		if (!value || parse_i64(str_from(value), &n) < 0 || r->value_count != 1 ||
			parse_i64(str_from(r->values[0]), &limit) < 0)
			return false;
		return r->op == SEL_GT ? n > limit : n < limit;
	}
	return false;
}

/* Labels are sorted by key. */
static const char *find_label(const struct object_label *labels, size_t count, const char *key)
{
	size_t low = 0;

	while (low < count) {
		size_t mid = low + (count - low) / 2;
		int c = strcmp(labels[mid].key, key);

		if (c == 0)
			return labels[mid].value;
		if (c < 0)
			low = mid + 1;
		else
			count = mid;
	}
	return NULL;
}

bool selector_matches_labels(
	const struct selector *s, const struct object_label *labels, size_t count)
{
	for (size_t i = 0; i < s->count; i++)
		if (!holds(&s->items[i], find_label(labels, count, s->items[i].key)))
			return false;
	return !s->nothing;
}

bool selector_matches_label_map(const struct selector *s, const struct json *map)
{
	for (size_t i = 0; i < s->count; i++)
		if (!holds(&s->items[i], json_str(json_get(map, s->items[i].key))))
			return false;
	return !s->nothing;
}

bool selector_matches_fields(const struct selector *s, const struct object *o)
{
	for (size_t i = 0; i < s->count; i++) {
		const char *value = object_field(o, s->items[i].key);

		if (!holds(&s->items[i], value ? value : ""))
			return false;
	}
	return !s->nothing;
}

bool selector_node_terms_hold(struct arena *a, const struct json *terms, const struct object *node)
{
	JSON_FOR_EACH_ITEM(term, terms) {
		const struct json *by_label = json_get(term, "matchExpressions");
		const struct json *by_field = json_get(term, "matchFields");
		if (!json_count(by_label) && !json_count(by_field))
			continue;
		struct selector labels = selector_from_node_requirements(a, by_label);
		struct selector fields = selector_from_node_requirements(a, by_field);
		if (selector_matches_labels(&labels, node->labels, node->label_count) &&
			selector_matches_fields(&fields, node))
			return true;
	}
	return !terms;
}

/* ---- copies and text ---- */

struct selector selector_copy(struct arena *a, const struct selector *s)
{
	struct requirement *items = arena_alloc(a, MAX(s->count, 1) * sizeof(*items));

	for (size_t i = 0; i < s->count; i++) {
		const struct requirement *from = &s->items[i];
		const char **values = arena_alloc(a, MAX(from->value_count, 1) * sizeof(*values));

		for (size_t v = 0; v < from->value_count; v++)
			values[v] = arena_strdup(a, from->values[v]);
		items[i] = (struct requirement){
			arena_strdup(a, from->key), from->op, values, from->value_count};
	}
	return (struct selector){items, s->count, s->nothing};
}

static void add_values(struct buf *out, const struct requirement *r)
{
	buf_add_char(out, '(');
	for (size_t i = 0; i < r->value_count; i++)
		buf_printf(out, "%s%s", i ? "," : "", r->values[i]);
	buf_add_char(out, ')');
}

char *selector_text(struct arena *a, const struct selector *s)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;

	for (size_t i = 0; i < s->count; i++) {
		const struct requirement *r = &s->items[i];
		const char *value = r->value_count ? r->values[0] : "";

		if (i > 0)
			buf_add_char(&out, ',');
		if (r->op == SEL_NOT_EXISTS)
			buf_add_char(&out, '!');
		buf_add_str(&out, r->key);
		switch (r->op) {
		case SEL_EQ:
			buf_printf(&out, "=%s", value);
			break;
		case SEL_NE:
			buf_printf(&out, "!=%s", value);
			break;
		case SEL_GT:
			buf_printf(&out, ">%s", value);
			break;
		case SEL_LT:
			buf_printf(&out, "<%s", value);
			break;
		case SEL_IN:
			buf_add_str(&out, " in ");
			add_values(&out, r);
			break;
		case SEL_NOT_IN:
			buf_add_str(&out, " notin ");
			add_values(&out, r);
			break;
		case SEL_EXISTS:
		case SEL_NOT_EXISTS:
			break;
		}
	}
	return arena_memdup(a, out.data ? out.data : "", out.size);
}
