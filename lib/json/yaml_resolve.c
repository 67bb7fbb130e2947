/* yaml_resolve.c - what a YAML scalar means: YAML 1.1's rules in the subset that Kubernetes tools
 * use (sigs.k8s.io/yaml on go-yaml v2): y/n/yes/no/on/off, 0x/0o/0b and leading-zero octal, digits
 * grouped by '_', no base 60. */
#include "lib/json/yaml_internal.h"

#include <math.h>

static bool one_of(struct str s, const char *const *words)
{
	for (; *words; words++)
		if (str_eq(s, *words))
			return true;
	return false;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t skip_digits(struct str s, size_t i)
{
	while (i < s.size && is_digit(s.p[i]))
		i++;
	return i;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_float_text(struct str s)
{
	size_t i = 0, from;

	if (i < s.size && (s.p[i] == '-' || s.p[i] == '+'))
		i++;
	from = i;
	i = skip_digits(s, i);
	if (i == from) {
		if (i >= s.size || s.p[i] != '.')
			return false;
		from = ++i;
		i = skip_digits(s, i);
		if (i == from)
			return false;
	} else if (i < s.size && s.p[i] == '.') {
		i = skip_digits(s, i + 1);
	}
	if (i < s.size && (s.p[i] == 'e' || s.p[i] == 'E')) {
		i++;
		if (i < s.size && (s.p[i] == '-' || s.p[i] == '+'))
			i++;
		from = i;
		i = skip_digits(s, i);
		if (i == from)
			return false;
	}
	return i == s.size;
}

/* An integer in Go's notation with the base told by its prefix. What does not fit int64 is given
 * as a double, as it would arrive from JSON. */
static bool resolve_int(struct str s, struct yaml_scalar *ret)
{
	bool minus = false, over = false;
	uint64_t n = 0, base = 10;
	double d = 0;

	if (s.size && (s.p[0] == '-' || s.p[0] == '+')) {
		minus = s.p[0] == '-';
		s.p++;
		s.size--;
	}
	if (s.size > 1 && s.p[0] == '0') {
		char mark = (char)(s.p[1] | 0x20);
		size_t prefix = mark == 'x' || mark == 'o' || mark == 'b' ? 2 : 1;

		base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
		s.p += prefix;
		s.size -= prefix;
	}
	if (!s.size)
		return false;
	for (size_t i = 0; i < s.size; i++) {
		char c = (char)(s.p[i] | 0x20);
		uint64_t digit;

		if (is_digit(s.p[i]))
			digit = (uint64_t)(s.p[i] - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (uint64_t)(c - 'a') + 10;
		else
			return false;
		if (digit >= base)
			return false;
		over |= __builtin_mul_overflow(n, base, &n);
		over |= __builtin_add_overflow(n, digit, &n);
		d = d * (double)base + (double)digit;
	}
	if (!over && n <= (uint64_t)INT64_MAX + minus) {
		ret->type = YAML_SCALAR_INT;
		ret->i = (int64_t)(minus ? 0 - n : n);
	} else {
		ret->type = YAML_SCALAR_FLOAT;
		/* Decimal ones are rounded once, by strtod. */
		ret->d = base == 10 ? strtod(s.p, NULL) : d;
		if (minus)
			ret->d = -ret->d;
	}
	return true;
}

/* The date forms that YAML 1.1 takes for timestamps: YYYY-M-D, alone or with a time behind. */
static bool is_timestamp(struct str s)
{
	size_t i, from;

	if (skip_digits(s, 0) != 4 || s.size < 8 || s.p[4] != '-')
		return false;
	from = 5;
	i = skip_digits(s, from);
	if (i == from || i > from + 2 || i >= s.size || s.p[i] != '-')
		return false;
	from = i + 1;
	i = skip_digits(s, from);
	if (i == from || i > from + 2)
		return false;
	if (i == s.size)
		return true;
	return (s.p[i] == 'T' || s.p[i] == 't' || s.p[i] == ' ') && i + 1 < s.size &&
	       is_digit(s.p[i + 1]);
}

/* Leaves *ret alone when the text is no number. */
static void resolve_number(struct str s, struct yaml_scalar *ret)
{
	char room[64], *plain = room;
	struct str digits;

	if (is_timestamp(s)) {
		ret->type = YAML_SCALAR_TIMESTAMP;
		return;
	}
	if (s.size >= sizeof(room))
		plain = xmalloc(s.size + 1);
	digits = (struct str){plain, 0};
	for (size_t i = 0; i < s.size; i++)
		if (s.p[i] != '_')
			plain[digits.size++] = s.p[i];
	plain[digits.size] = '\0';
	if (!resolve_int(digits, ret) && is_float_text(digits)) {
		double d = strtod(plain, NULL);

		if (isfinite(d))
			*ret = (struct yaml_scalar){.type = YAML_SCALAR_FLOAT, .d = d};
	}
	if (plain != room)
		free(plain);
}

struct yaml_scalar yaml_resolve(struct str s)
{
	static const char *const nulls[] = {"~", "null", "Null", "NULL", NULL};
	static const char *const trues[] = {
		"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", NULL};
	static const char *const falses[] = {
		"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", NULL};
	static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};
	static const char *const infs[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", NULL};
	static const char *const minus_infs[] = {"-.inf", "-.Inf", "-.INF", NULL};
	struct yaml_scalar v = {.type = YAML_SCALAR_STRING};

	if (s.size == 0 || one_of(s, nulls)) {
		v.type = YAML_SCALAR_NULL;
		return v;
	}
	switch (s.p[0]) {
	case '+':
	case '-':
	case '.':
	case '0' ... '9':
		if (one_of(s, nans)) {
			v = (struct yaml_scalar){.type = YAML_SCALAR_FLOAT, .d = NAN};
		} else if (one_of(s, infs)) {
			v = (struct yaml_scalar){.type = YAML_SCALAR_FLOAT, .d = INFINITY};
		} else if (one_of(s, minus_infs)) {
			v = (struct yaml_scalar){.type = YAML_SCALAR_FLOAT, .d = -INFINITY};
		} else if (s.p[0] == '.') {
			/* No '_' here, as go-yaml has it. */
			if (!memchr(s.p, '_', s.size))
				resolve_number(s, &v);
		} else {
			resolve_number(s, &v);
		}
		break;
	default:
		if (one_of(s, trues))
			v = (struct yaml_scalar){.type = YAML_SCALAR_BOOL, .b = true};
		else if (one_of(s, falses))
			v = (struct yaml_scalar){.type = YAML_SCALAR_BOOL, .b = false};
	}
	return v;
}

/* Base 60 numbers of YAML 1.1, "1:30": read as strings here, but not by every reader. */
static bool is_base60(struct str s)
{
	size_t i = 0, parts = 0;

	if (s.size && (s.p[0] == '-' || s.p[0] == '+'))
		i++;
	if (i >= s.size || !is_digit(s.p[i]))
		return false;
	while (i < s.size && (is_digit(s.p[i]) || s.p[i] == '_'))
		i++;
	while (i + 1 < s.size && s.p[i] == ':' && is_digit(s.p[i + 1])) {
		i = skip_digits(s, i + 1);
		parts++;
	}
	if (i < s.size && s.p[i] == '.')
		for (i++; i < s.size && (is_digit(s.p[i]) || s.p[i] == '_');)
			i++;
	return parts && i == s.size;
}

bool yaml_needs_quotes(struct str s)
{
	return yaml_resolve(s).type != YAML_SCALAR_STRING || is_base60(s) || str_eq(s, "<<") ||
	       str_eq(s, "=");
}
