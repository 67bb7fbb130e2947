#include "lib/object/quantity.h"

#include <stdio.h>

#define NANO ((__int128)1000000000)

/* Kubernetes caps quantities at 2^63-1 in the unit itself; fractions go down to nano. */
#define NANO_MAX ((__int128)INT64_MAX * NANO)

enum family { DECIMAL_SI, BINARY_SI, DECIMAL_EXPONENT };

struct suffix {
	const char *text;
	enum family family;
	int exponent; /* of 10 or of 2 */
};

static const struct suffix suffixes[] = {
	{"", DECIMAL_SI, 0},
	{"n", DECIMAL_SI, -9},
	{"u", DECIMAL_SI, -6},
	{"m", DECIMAL_SI, -3},
	{"k", DECIMAL_SI, 3},
	{"M", DECIMAL_SI, 6},
	{"G", DECIMAL_SI, 9},
	{"T", DECIMAL_SI, 12},
	{"P", DECIMAL_SI, 15},
	{"E", DECIMAL_SI, 18},
	{"Ki", BINARY_SI, 10},
	{"Mi", BINARY_SI, 20},
	{"Gi", BINARY_SI, 30},
	{"Ti", BINARY_SI, 40},
	{"Pi", BINARY_SI, 50},
	{"Ei", BINARY_SI, 60},
};

struct parsed {
	struct quantity value;
	enum family family;
};

static int parse_suffix(const char *s, enum family *ret_family, int *ret_exponent)
{
	if (s[0] == 'e' || (s[0] == 'E' && s[1] != '\0' && s[1] != 'i')) {
		int64_t exponent;
		const char *digits = s + 1;

		if (*digits == '+')
			digits++;
		if (parse_i64(str_from(digits), &exponent) < 0 || exponent > 1000 ||
			exponent < -1000)
			return -EINVAL;
		*ret_family = DECIMAL_EXPONENT;
		*ret_exponent = (int)exponent;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		if (!streq(s, suffixes[i].text))
			continue;
		*ret_family = suffixes[i].family;
		*ret_exponent = suffixes[i].exponent;
		return 0;
	}
	return -EINVAL;
}

/* Rounds up in size, as upstream does with what is finer than nano. */
static __int128 divide_up(__int128 n, __int128 by)
{
	return (n + by - 1) / by;
}

/* mantissa * 10^exponent, in nano, where the mantissa is positive and below 10^30. */
static __int128 scale_decimal(__int128 mantissa, int exponent)
{
	exponent += 9;
	for (; exponent < 0 && mantissa > 0; exponent++) {
		if (mantissa <= 9)
			return 1; /* too small to tell from the smallest */
		mantissa = divide_up(mantissa, 10);
	}
	for (; exponent > 0 && mantissa > 0; exponent--) {
		if (mantissa > NANO_MAX / 10)
			return NANO_MAX;
		mantissa *= 10;
	}
	return MIN(mantissa, NANO_MAX);
}

/* mantissa * 10^-decimals * 2^bits, in nano. */
static __int128 scale_binary(__int128 mantissa, int decimals, int bits)
{
	__int128 by = 1;

	/* First to nano with what the decimals leave over, then the doubling. */
	for (int i = 0; i < 9; i++) {
		if (decimals > 0)
			decimals--;
		else if (mantissa > NANO_MAX / 10)
			return NANO_MAX;
		else
			mantissa *= 10;
	}
	for (; bits > 0; bits--) {
		/* Where the room ends, decimals far below nano go first. */
		for (; mantissa > ((__int128)1 << 120) && decimals > 0; decimals--)
			mantissa = divide_up(mantissa, 10);
		if (mantissa > ((__int128)1 << 120))
			return NANO_MAX;
		mantissa *= 2;
	}
	/* 10^38 would not fit, and is more than any mantissa here. */
	if (decimals > 37)
		return mantissa > 0;
	for (; decimals > 0; decimals--)
		by *= 10;
	return MIN(divide_up(mantissa, by), NANO_MAX);
}

static int parse(const char *text, struct parsed *ret)
{
	const char *s = text;
	bool negative = false, point = false;
	__int128 mantissa = 0, nano;
	int digits = 0, decimals = 0, exponent;

	if (*s == '+' || *s == '-')
		negative = *s++ == '-';
	for (; (*s >= '0' && *s <= '9') || (*s == '.' && !point); s++) {
		if (*s == '.') {
			point = true;
			continue;
		}
		digits++;
		/* Digits behind the 27th can't matter: the value is capped or below nano. */
		if (mantissa >= (__int128)1000000000 * NANO * NANO) {
			if (!point)
				decimals--;
			continue;
		}
		mantissa = mantissa * 10 + (*s - '0');
		if (point)
			decimals++;
	}
	if (digits == 0 || digits > 4096)
		return -EINVAL;
	if (parse_suffix(s, &ret->family, &exponent) < 0)
		return -EINVAL;
	if (ret->family == BINARY_SI)
		nano = decimals < 0 ? NANO_MAX : scale_binary(mantissa, decimals, exponent);
	else
		nano = scale_decimal(mantissa, exponent - decimals);
	ret->value.nano = negative ? -nano : nano;
	return 0;
}

int quantity_parse(const char *text, struct quantity *ret)
{
	struct parsed p;
	int r = parse(text, &p);

	if (r >= 0)
		*ret = p.value;
	return r;
}

static int64_t clamp(__int128 n)
{
	return n > INT64_MAX ? INT64_MAX : n < INT64_MIN ? INT64_MIN : (int64_t)n;
}

/* Rounds towards positive infinity. */
static __int128 ceiling(__int128 n, __int128 by)
{
	return n >= 0 ? divide_up(n, by) : -(-n / by);
}

int64_t quantity_value(struct quantity q)
{
	return clamp(ceiling(q.nano, NANO));
}

int64_t quantity_milli_value(struct quantity q)
{
	return clamp(ceiling(q.nano, NANO / 1000));
}

static int from_json(const struct json *v, struct quantity *ret)
{
	if (json_is(v, JSON_STRING))
		return quantity_parse(v->s, ret);
	if (json_is(v, JSON_INT)) {
		ret->nano = (__int128)v->i * NANO;
		return 0;
	}
	if (json_is(v, JSON_DOUBLE)) {
		char text[64];

		snprintf(text, sizeof(text), "%.17g", v->d);
		return quantity_parse(text, ret);
	}
	return -EINVAL;
}

int64_t quantity_json_milli(const struct json *v, int64_t fallback)
{
	struct quantity q;

	return from_json(v, &q) < 0 ? fallback : quantity_milli_value(q);
}

int64_t quantity_json_value(const struct json *v, int64_t fallback)
{
	struct quantity q;

	return from_json(v, &q) < 0 ? fallback : quantity_value(q);
}

static char *format(struct arena *a, bool negative, __int128 n, const char *suffix)
{
	char digits[48];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + (int)(n % 10));
		n /= 10;
	} while (n > 0);
	return arena_printf(a, "%s%.*s%s", negative ? "-" : "", (int)(sizeof(digits) - at),
		digits + at, suffix);
}

static char *format_decimal(struct arena *a, bool negative, __int128 nano, bool exponent_form)
{
	static const char *const si[] = {"n", "u", "m", "", "k", "M", "G", "T", "P", "E"};
	char suffix[8];
	int i = 0;

	while (i + 1 < (int)ARRAY_LEN(si) && nano % 1000 == 0) {
		nano /= 1000;
		i++;
	}
	if (!exponent_form)
		return format(a, negative, nano, si[i]);
	if (i == 3)
		return format(a, negative, nano, "");
	snprintf(suffix, sizeof(suffix), "e%d", i * 3 - 9);
	return format(a, negative, nano, suffix);
}

static char *canonical(struct arena *a, struct quantity q, enum family family)
{
	static const char *const binary[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
	bool negative = q.nano < 0;
	__int128 nano = negative ? -q.nano : q.nano;
	size_t i = 0;

	if (nano == 0)
		return arena_strdup(a, "0");
	/* Below 1024 and for fractions the binary family has no words of its own. */
	if (family != BINARY_SI || nano < 1024 * NANO || nano % NANO != 0)
		return format_decimal(a, negative, nano, family == DECIMAL_EXPONENT);
	nano /= NANO;
	while (i + 1 < ARRAY_LEN(binary) && nano % 1024 == 0) {
		nano /= 1024;
		i++;
	}
	return format(a, negative, nano, binary[i]);
}

char *quantity_canonical(struct arena *a, const char *text)
{
	struct parsed p;

	return parse(text, &p) < 0 ? NULL : canonical(a, p.value, p.family);
}

char *quantity_text(struct arena *a, struct quantity q, bool binary)
{
	return canonical(a, q, binary ? BINARY_SI : DECIMAL_SI);
}

bool quantity_is_binary(const char *text)
{
	struct parsed p;

	return parse(text, &p) >= 0 && p.family == BINARY_SI;
}

char *quantity_format_bytes(struct arena *a, int64_t bytes)
{
	if (bytes > 0 && bytes % 1024 == 0)
		return arena_printf(a, "%lldKi", (long long)(bytes / 1024));
	return arena_printf(a, "%lld", (long long)bytes);
}
