#include "lib/base/cron.h"

#include <strings.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"

struct bounds {
	unsigned min, max;
	const char *const *names; /* of min, min + 1, ...; NULL = numbers only */
};

static const char *const months[] = {
	"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const days[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};
static const struct bounds bounds[5] = {
	{0, 59, NULL}, {0, 23, NULL}, {1, 31, NULL}, {1, 12, months}, {0, 6, days}};

static int parse_number(struct str s, unsigned *ret, struct err *err)
{
	int64_t n;
	int r = parse_i64(s, &n);
	if (r == -ERANGE || (r == 0 && n > UINT32_MAX))
		return err_set(err, -EINVAL,
			"failed to parse int from " STR_FMT ": strconv.Atoi: parsing \"" STR_FMT
			"\": value out of range",
			STR_ARG(s), STR_ARG(s));
	if (r < 0)
		return err_set(err, -EINVAL,
			"failed to parse int from " STR_FMT ": strconv.Atoi: parsing \"" STR_FMT
			"\": invalid syntax",
			STR_ARG(s), STR_ARG(s));
	if (n < 0)
		return err_set(err, -EINVAL, "negative number (%lld) not allowed: " STR_FMT,
			(long long)n, STR_ARG(s));
	*ret = (unsigned)n;
	return 0;
}

static int parse_value(const struct bounds *b, struct str s, unsigned *ret, struct err *err)
{
	for (unsigned i = 0; b->names && b->names[i]; i++)
		if (s.size == 3 && strncasecmp(b->names[i], s.p, 3) == 0) {
			*ret = b->min + i;
			return 0;
		}
	return parse_number(s, ret, err);
}

static bool is_any(struct str s)
{
	return str_eq(s, "*") || str_eq(s, "?");
}

/* N, N-M, *, with /STEP or without. */
static int parse_range(const struct bounds *b, struct str s, uint64_t *bits, struct err *err)
{
	struct str rest = s, range = {0}, step_text = {0}, low = {0}, high = {0}, more;
	unsigned start = 0, end = 0, step = 1;
	str_split(&rest, '/', &range);
	bool has_step = str_split(&rest, '/', &step_text);
	bool slashes = has_step && str_split(&rest, '/', &more);
	rest = range;
	str_split(&rest, '-', &low);
	bool single = !str_split(&rest, '-', &high), any = is_any(low);
	int r = 0;
	if (any) {
		start = b->min;
		end = b->max;
	} else {
		r = parse_value(b, low, &start, err);
		end = start;
		if (r == 0 && !single && str_split(&rest, '-', &more))
			return err_set(err, -EINVAL, "too many hyphens: " STR_FMT, STR_ARG(s));
		if (r == 0 && !single)
			r = parse_value(b, high, &end, err);
	}
	if (r == 0 && slashes)
		return err_set(err, -EINVAL, "too many slashes: " STR_FMT, STR_ARG(s));
	if (r == 0 && has_step) {
		r = parse_number(step_text, &step, err);
		if (single)
			end = b->max; /* N/STEP goes on to the end */
		any = any && step <= 1;
	}
	if (r < 0)
		return r;
	if (start < b->min)
		return err_set(err, -EINVAL, "beginning of range (%u) below minimum (%u): " STR_FMT,
			start, b->min, STR_ARG(s));
	if (end > b->max)
		return err_set(err, -EINVAL, "end of range (%u) above maximum (%u): " STR_FMT, end,
			b->max, STR_ARG(s));
	if (start > end)
		return err_set(err, -EINVAL,
			"beginning of range (%u) beyond end of range (%u): " STR_FMT, start, end,
			STR_ARG(s));
	if (step == 0)
		return err_set(err, -EINVAL, "step of range should be a positive number: " STR_FMT,
			STR_ARG(s));
	for (unsigned i = start; i <= end; i += step) {
		*bits |= 1ull << i;
		if (step > end)
			break;
	}
	if (any)
		*bits |= CRON_ANY;
	return 0;
}

static int parse_field(const struct bounds *b, struct str field, uint64_t *ret, struct err *err)
{
	struct str part;
	*ret = 0;
	while (str_split(&field, ',', &part))
		if (part.size > 0) { /* "1,,2" is taken */
			int r = parse_range(b, part, ret, err);
			if (r < 0)
				return r;
		}
	return 0;
}

static const struct {
	const char *word, *fields;
} words[] = {
	{"@yearly", "0 0 1 1 *"},
	{"@annually", "0 0 1 1 *"},
	{"@monthly", "0 0 1 * *"},
	{"@weekly", "0 0 * * 0"},
	{"@daily", "0 0 * * *"},
	{"@midnight", "0 0 * * *"},
	{"@hourly", "0 * * * *"},
};

static int parse_word(const char *text, struct cron *ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (streq(text, words[i].word))
			return cron_parse(words[i].fields, ret, err);
	if (!str_has_prefix(text, "@every "))
		return err_set(err, -EINVAL, "unrecognized descriptor: %s", text);
	*ret = (struct cron){0};
	if (duration_parse(text + strlen("@every "), &ret->every_ns) < 0)
		return err_set(err, -EINVAL,
			"failed to parse duration %s: time: invalid duration \"%s\"", text,
			text + strlen("@every "));
	/* Whole seconds, and at least one. */
	ret->every_ns = MAX(ret->every_ns / 1000000000, 1) * 1000000000;
	return 0;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

int cron_parse(const char *text, struct cron *ret, struct err *err)
{
	if (!*text)
		return err_set(err, -EINVAL, "empty spec string");
	if (str_has_prefix(text, "TZ=") || str_has_prefix(text, "CRON_TZ=")) {
		text += strcspn(text, " ");
		text += strspn(text, " ");
	}
	if (*text == '@')
		return parse_word(text, ret, err);
	_cleanup_(buf_finish) struct buf found = BUF_INIT;
	struct str fields[5];
	size_t count = 0;
	for (const char *p = text; *p;) {
		const char *begin = p;
		while (*p && !is_space(*p))
			p++;
		if (p > begin) {
			if (count < ARRAY_LEN(fields))
				fields[count] = (struct str){begin, (size_t)(p - begin)};
			buf_printf(&found, "%s%.*s", count ? " " : "", (int)(p - begin), begin);
			count++;
		}
		while (is_space(*p))
			p++;
	}
	if (count != ARRAY_LEN(fields))
		return err_set(err, -EINVAL, "expected exactly 5 fields, found %zu: [%s]", count,
			found.data ? found.data : "");
	struct cron c = {0};
	uint64_t *to[] = {&c.minute, &c.hour, &c.day, &c.month, &c.weekday};
	for (size_t i = 0; i < ARRAY_LEN(to); i++) {
		int r = parse_field(&bounds[i], fields[i], to[i], err);
		if (r < 0)
			return r;
	}
	*ret = c;
	return 0;
}
