#include "lib/base/clock.h"
#include "lib/object/check_internal.h"
#include "lib/object/quantity.h"
#include "lib/object/schema_build.h"

static const char quantity_words[] = "quantities must match the regular expression "
				     "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

static void set_string(struct json *v, const char *s)
{
	v->type = JSON_STRING;
	v->count = (uint32_t)strlen(s);
	v->s = s;
}

/* ---- formats: what does not fit the Go type is a 400, as in Kubernetes' decoder ---- */

static int check_quantity(struct check *c, struct json *v)
{
	const char *text;
	char *canonical;

	if (v->type == JSON_STRING)
		text = v->s;
	else if (v->type == JSON_INT || v->type == JSON_DOUBLE)
		text = json_text(c->arena, v);
	else
		return check_refuse(c, "%s", quantity_words);
	canonical = quantity_canonical(c->arena, text);
	if (!canonical || (v->type == JSON_STRING && strlen(text) != v->count))
		return check_refuse(c, "%s", quantity_words);
	set_string(v, canonical);
	return 0;
}

/* "2006-01-02T15:04:05Z" as it is. */
static bool is_plain_time(const char *s, size_t size)
{
	static const char form[] = "dddd-dd-ddTdd:dd:ddZ";

	if (size != sizeof(form) - 1)
		return false;
	for (size_t i = 0; i < size; i++)
		if (form[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != form[i])
			return false;
	return true;
}

static int check_time(struct check *c, const struct schema *s, struct json *v)
{
	bool micro = s->rule == RULE_MICRO_TIME;
	char room[TIME_RFC3339_MICRO_ROOM];
	int64_t ns;

	if (time_parse_rfc3339(v->s, &ns) < 0 || strlen(v->s) != v->count)
		return check_refuse(c,
			"parsing time \"%.64s\" as \"2006-01-02T15:04:05Z07:00\": cannot parse "
			"\"%.64s\"",
			v->s, v->s);
	if (!micro && is_plain_time(v->s, v->count))
		return 0;
	if (micro)
		time_format_rfc3339_micro(ns, room);
	else
		time_format_rfc3339(ns, room);
	set_string(v, arena_strdup(c->arena, room));
	return 0;
}

/* Padded base64; line breaks are passed over, as Go does. */
static int check_base64(struct check *c, struct json *v)
{
	size_t digits = 0, padding = 0;

	for (size_t i = 0; i < v->count; i++) {
		char ch = v->s[i];

		if (ch == '\n' || ch == '\r')
			continue;
		if (ch == '=' && padding < 2 && (digits + padding) % 4 >= 2) {
			padding++;
			continue;
		}
		if (padding > 0 || !((ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') ||
					   (ch >= '0' && ch <= '9') || ch == '+' || ch == '/'))
			return check_refuse(c, "illegal base64 data at input byte %zu", i);
		digits++;
	}
	if ((digits + padding) % 4 != 0)
		return check_refuse(c, "illegal base64 data at input byte %zu", (size_t)v->count);
	return 0;
}

static int check_format(struct check *c, const struct schema *s, struct json *v)
{
	const char *format = s->format;
	int64_t ns;

	if (streq(format, "date-time"))
		return check_time(c, s, v);
	if (streq(format, "byte"))
		return check_base64(c, v);
	if (streq(format, "duration") && duration_parse(v->s, &ns) < 0)
		return check_refuse(c, "time: invalid duration \"%.64s\"", v->s);
	return 0;
}

/* ---- values: what fits the type and is wrong is a field error ---- */

static void check_enum(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;

	/* Go can't tell "" from unset, so it passes where the field may be left out. */
	if (v->count == 0)
		return;
	JSON_FOR_EACH_ITEM(it, s->enum_values)
		if (it->type == JSON_STRING && it->count == v->count &&
			memcmp(it->s, v->s, v->count) == 0)
			return;
	JSON_FOR_EACH_ITEM(it, s->enum_values) {
		if (text.size > 0)
			buf_add_str(&text, ", ");
		buf_printf(&text, "\"%s\"", json_str_or(it, ""));
	}
	check_error(
		c, at, FIELD_NOT_SUPPORTED, v, "supported values: %s", text.data ? text.data : "");
}

static int64_t code_points(const char *s, size_t size)
{
	int64_t n = 0;

	for (size_t i = 0; i < size; i++)
		n += ((unsigned char)s[i] & 0xc0) != 0x80;
	return n;
}

static void check_rule(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v)
{
	const char *messages[RULE_MESSAGES_MAX];
	size_t n;

	/* An empty text is told as missing where it may not be, and else is none. */
	if (v->count == 0 && s->rule != RULE_PORT)
		return;
	n = rule_check(s->rule, v->s, v->count, messages);
	for (size_t i = 0; i < n; i++)
		check_error(c, at, FIELD_INVALID, v, "%s", messages[i]);
}

static void check_string(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v)
{
	if (s->enum_values)
		check_enum(c, at, s, v);
	if (s->rule)
		check_rule(c, at, s, v);
	if (s->min_length > 1 && code_points(v->s, v->count) < s->min_length)
		check_error(c, at, FIELD_INVALID, v, "must be at least %lld characters long",
			(long long)s->min_length);
	if (s->max_length >= 0 && code_points(v->s, v->count) > s->max_length)
		check_error(c, at, FIELD_TOO_LONG, NULL, "may not be more than %lld bytes",
			(long long)s->max_length);
	if (s->regex && schema_regex_matches(s->regex, v->s, v->count, &c->steps) <= 0)
		check_error(c, at, FIELD_INVALID, v, "must match '%s'", s->pattern);
}

static void check_bounds(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v)
{
	double n = v->type == JSON_INT ? (double)v->i : v->d;
	bool low = s->has_minimum && n < s->minimum, high = s->has_maximum && n > s->maximum;

	if (!low && !high)
		return;
	if (s->has_minimum && s->has_maximum)
		check_error(c, at, FIELD_INVALID, v, "must be between %.0f and %.0f, inclusive",
			s->minimum, s->maximum);
	else if (low && s->minimum == 1)
		check_error(c, at, FIELD_INVALID, v, "must be greater than 0");
	else if (low)
		check_error(c, at, FIELD_INVALID, v, "must be greater than or equal to %.0f",
			s->minimum);
	else
		check_error(
			c, at, FIELD_INVALID, v, "must be less than or equal to %.0f", s->maximum);
}

static void check_int_or_string(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v)
{
	if (v->type == JSON_STRING) {
		check_rule(c, at, s, v);
		return;
	}
	if (s->rule == RULE_PORT && (v->i < 1 || v->i > 65535))
		check_error(c, at, FIELD_INVALID, v, "must be between 1 and 65535, inclusive");
	if (s->rule == RULE_COUNT_OR_PERCENT && v->i < 0)
		check_error(c, at, FIELD_INVALID, v, "must be greater than or equal to 0");
}

static bool fits_int32(const struct json *v)
{
	return v->i >= INT32_MIN && v->i <= INT32_MAX;
}

int check_scalar(struct check *c, const struct place *at, const struct schema *s, struct json *v)
{
	bool skip = c->options->skip_validation;
	int r;

	switch (s->type) {
	case SCHEMA_STRING:
		if (s->format && streq(s->format, "quantity"))
			return check_quantity(c, v);
		if (v->type != JSON_STRING)
			return check_type_error(c, at, s, v);
		if (s->format) {
			r = check_format(c, s, v);
			if (r < 0)
				return r;
		}
		if (!skip)
			check_string(c, at, s, v);
		return 0;
	case SCHEMA_INTEGER:
		if (v->type != JSON_INT || (streq(s->format, "int32") && !fits_int32(v)))
			return check_type_error(c, at, s, v);
		if (!skip)
			check_bounds(c, at, s, v);
		return 0;
	case SCHEMA_NUMBER:
		if (v->type != JSON_INT && v->type != JSON_DOUBLE)
			return check_type_error(c, at, s, v);
		if (!skip)
			check_bounds(c, at, s, v);
		return 0;
	case SCHEMA_BOOLEAN:
		if (v->type != JSON_BOOL)
			return check_type_error(c, at, s, v);
		return 0;
	case SCHEMA_INT_OR_STRING:
		if (v->type != JSON_STRING && (v->type != JSON_INT || !fits_int32(v)))
			return check_type_error(c, at, s, v);
		if (!skip)
			check_int_or_string(c, at, s, v);
		return 0;
	case SCHEMA_ANY:
	case SCHEMA_OBJECT:
	case SCHEMA_ARRAY:
		break;
	}
	return 0;
}

/* ---- maps ---- */

void check_labels(struct check *c, const struct place *at, const struct json *map)
{
	const char *messages[RULE_MESSAGES_MAX];
	size_t n;

	JSON_FOR_EACH_MEMBER(m, map) {
		n = rule_check(RULE_QUALIFIED_NAME, m->name, m->name_size, messages);
		for (size_t i = 0; i < n; i++)
			check_error(c, at, FIELD_INVALID,
				json_new_string_n(c->arena, m->name, m->name_size), "%s",
				messages[i]);
		if (m->value->type != JSON_STRING)
			continue;
		n = rule_check(RULE_LABEL_VALUE, m->value->s, m->value->count, messages);
		for (size_t i = 0; i < n; i++)
			check_error(c, at, FIELD_INVALID, m->value, "%s", messages[i]);
	}
}

void check_annotations(struct check *c, const struct place *at, const struct json *map)
{
	const char *messages[RULE_MESSAGES_MAX];

	JSON_FOR_EACH_MEMBER(m, map) {
		/* Upper case is let pass in the prefix, too. */
		char *lower = arena_memdup(c->arena, m->name, m->name_size);
		size_t n;

		for (size_t i = 0; i < m->name_size; i++)
			if (lower[i] >= 'A' && lower[i] <= 'Z')
				lower[i] = (char)(lower[i] | 32);
		n = rule_check(RULE_QUALIFIED_NAME, lower, m->name_size, messages);
		for (size_t i = 0; i < n; i++)
			check_error(c, at, FIELD_INVALID,
				json_new_string_n(c->arena, m->name, m->name_size), "%s",
				messages[i]);
	}
}

void check_config_keys(struct check *c, const struct place *at, const struct json *map)
{
	const char *messages[RULE_MESSAGES_MAX];
	uint32_t rank = 0;

	JSON_FOR_EACH_MEMBER(m, map) {
		struct place here = {at, PLACE_KEY, m->name, m->name_size, rank++, NULL};
		size_t n = rule_check(RULE_CONFIG_KEY, m->name, m->name_size, messages);

		for (size_t i = 0; i < n; i++)
			check_error(c, &here, FIELD_INVALID,
				json_new_string_n(c->arena, m->name, m->name_size), "%s",
				messages[i]);
	}
}
