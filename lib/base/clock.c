#include "lib/base/clock.h"
#include "lib/base/str.h"

#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) < 0)
		abort();
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int64_t system_wall_ns(struct clock *c)
{
	return read_clock(CLOCK_REALTIME);
}

static int64_t system_mono_ns(struct clock *c)
{
	return read_clock(CLOCK_MONOTONIC);
}

struct clock *clock_system(void)
{
	static struct clock c = {.wall_ns = system_wall_ns, .mono_ns = system_mono_ns};

	return &c;
}

/* Years are counted from March, so that the leap day is a year's last. */
int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * 146097 + day_of_era - 719468;
}

void date_from_days(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t day_of_era = z - era * 146097;
	int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t m = (5 * day_of_year + 2) / 153;

	*ret_day = (int)(day_of_year - (153 * m + 2) / 5 + 1);
	*ret_month = (int)(m < 10 ? m + 3 : m - 9);
	*ret_year = (int)(year_of_era + era * 400 + (*ret_month <= 2));
}

struct parts {
	int year, month, day, hour, minute, second;
	int nano;
};

/* int64 nanoseconds reach from 1677 to 2262, so a year always has four digits. */
static struct parts split_time(int64_t wall_ns)
{
	int64_t s = wall_ns / NS_PER_S, nano = wall_ns % NS_PER_S, day, rest;
	struct parts p;

	if (nano < 0) {
		nano += NS_PER_S;
		s--;
	}
	day = s / 86400;
	rest = s % 86400;
	if (rest < 0) {
		rest += 86400;
		day--;
	}
	date_from_days(day, &p.year, &p.month, &p.day);
	p.hour = (int)(rest / 3600);
	p.minute = (int)(rest / 60 % 60);
	p.second = (int)(rest % 60);
	p.nano = (int)nano;
	return p;
}

static char *put_digits(char *q, int n, int count)
{
	for (int i = count - 1; i >= 0; i--, n /= 10)
		q[i] = (char)('0' + n % 10);
	return q + count;
}

static char *put_date_time(char *q, const struct parts *p)
{
	q = put_digits(q, p->year, 4);
	*q++ = '-';
	q = put_digits(q, p->month, 2);
	*q++ = '-';
	q = put_digits(q, p->day, 2);
	*q++ = 'T';
	q = put_digits(q, p->hour, 2);
	*q++ = ':';
	q = put_digits(q, p->minute, 2);
	*q++ = ':';
	return put_digits(q, p->second, 2);
}

void time_format_rfc3339(int64_t wall_ns, char ret[TIME_RFC3339_ROOM])
{
	struct parts p = split_time(wall_ns);
	char *q = put_date_time(ret, &p);

	*q++ = 'Z';
	*q = '\0';
}

void time_format_rfc3339_micro(int64_t wall_ns, char ret[TIME_RFC3339_MICRO_ROOM])
{
	struct parts p = split_time(wall_ns);
	char *q = put_date_time(ret, &p);

	*q++ = '.';
	q = put_digits(q, p.nano / 1000, 6);
	*q++ = 'Z';
	*q = '\0';
}

static bool take_digits(const char **s, int count, int *ret)
{
	int n = 0;

	for (int i = 0; i < count; i++) {
		char c = (*s)[i];

		if (c < '0' || c > '9')
			return false;
		n = n * 10 + (c - '0');
	}
	*s += count;
	*ret = n;
	return true;
}

static bool take_char(const char **s, char c)
{
	if (**s != c)
		return false;
	(*s)++;
	return true;
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

int time_parse_rfc3339(const char *s, int64_t *ret_wall_ns)
{
	struct parts p = {0};
	int offset_hour = 0, offset_minute = 0;
	int64_t seconds, ns;
	bool west = false;

	if (!take_digits(&s, 4, &p.year) || !take_char(&s, '-') || !take_digits(&s, 2, &p.month) ||
		!take_char(&s, '-') || !take_digits(&s, 2, &p.day) || !take_char(&s, 'T') ||
		!take_digits(&s, 2, &p.hour) || !take_char(&s, ':') ||
		!take_digits(&s, 2, &p.minute) || !take_char(&s, ':') ||
		!take_digits(&s, 2, &p.second))
		return -EINVAL;
	if (p.month < 1 || p.month > 12 || p.day < 1 || p.day > days_in_month(p.year, p.month) ||
		p.hour > 23 || p.minute > 59 || p.second > 59)
		return -EINVAL;
	if (take_char(&s, '.')) {
		int scale = 100000000, count = 0;

		for (; *s >= '0' && *s <= '9'; s++, count++, scale /= 10) {
			if (count == 9)
				return -EINVAL;
			p.nano += (*s - '0') * scale;
		}
		if (count == 0)
			return -EINVAL;
	}
	if (!take_char(&s, 'Z')) {
		west = *s == '-';
		if (*s != '-' && *s != '+')
			return -EINVAL;
		s++;
		if (!take_digits(&s, 2, &offset_hour) || !take_char(&s, ':') ||
			!take_digits(&s, 2, &offset_minute) || offset_hour > 23 ||
			offset_minute > 59)
			return -EINVAL;
	}
	if (*s)
		return -EINVAL;
	seconds = days_from_date(p.year, p.month, p.day) * 86400 + p.hour * 3600 + p.minute * 60 +
		  p.second;
	seconds -= (west ? -1 : 1) * (offset_hour * 3600 + offset_minute * 60);
	if (seconds < 0 && p.nano > 0) {
		/* Keeps the product in range for the earliest representable second. */
		seconds++;
		p.nano -= (int)NS_PER_S;
	}
	if (__builtin_mul_overflow(seconds, NS_PER_S, &ns) ||
		__builtin_add_overflow(ns, p.nano, &ns))
		return -EINVAL;
	*ret_wall_ns = ns;
	return 0;
}

static bool take_unit(const char **s, uint64_t *ret_ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{"ns", 1},
		{"us", 1000},
		{"\xc2\xb5s", 1000}, /* U+00B5 micro sign */
		{"\xce\xbcs", 1000}, /* U+03BC Greek mu */
		{"ms", 1000000},
		{"s", 1000000000},
		{"m", UINT64_C(60000000000)},
		{"h", UINT64_C(3600000000000)},
	};
	size_t size = strcspn(*s, "0123456789.");

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (strlen(units[i].name) == size && memcmp(*s, units[i].name, size) == 0) {
			*s += size;
			*ret_ns = units[i].ns;
			return true;
		}
	}
	return false;
}

int duration_parse(const char *s, int64_t *ret_ns)
{
	const uint64_t limit = UINT64_C(1) << 63;
	uint64_t total = 0;
	bool minus = *s == '-';

	if (*s == '-' || *s == '+')
		s++;
	if (streq(s, "0")) {
		*ret_ns = 0;
		return 0;
	}
	if (!*s)
		return -EINVAL;
	while (*s) {
		uint64_t whole = 0, fraction = 0, unit, part;
		double scale = 1;
		bool digits = false, full = false;

		for (; *s >= '0' && *s <= '9'; s++, digits = true) {
			if (whole > limit / 10)
				return -EINVAL;
			whole = whole * 10 + (uint64_t)(*s - '0');
		}
		if (*s == '.') {
			for (s++; *s >= '0' && *s <= '9'; s++, digits = true) {
				/* Digits beyond what fits can't change the nanoseconds. */
				if (full || fraction > (limit - 10) / 10) {
					full = true;
					continue;
				}
				fraction = fraction * 10 + (uint64_t)(*s - '0');
				scale *= 10;
			}
		}
		if (!digits || !take_unit(&s, &unit))
			return -EINVAL;
		if (__builtin_mul_overflow(whole, unit, &part) || part > limit)
			return -EINVAL;
		part += (uint64_t)((double)fraction * ((double)unit / scale));
		if (part > limit || __builtin_add_overflow(total, part, &total) || total > limit)
			return -EINVAL;
	}
	if (!minus && total == limit)
		return -EINVAL;
	*ret_ns = minus ? (int64_t)(0 - total) : (int64_t)total;
	return 0;
}

/* "XaYb" without the second part when it is zero. */
static char *two_units(struct arena *a, int64_t x, char ux, int64_t y, char uy)
{
	if (y == 0)
		return arena_printf(a, "%lld%c", (long long)x, ux);
	return arena_printf(a, "%lld%c%lld%c", (long long)x, ux, (long long)y, uy);
}

/* Kubernetes' HumanDuration: the more time, the coarser, at most two units. */
/* "12.5": value in billionths, without zeros at its end. */
static char *with_decimals(struct arena *a, uint64_t whole, uint64_t rest, int digits)
{
	char *text = rest ? arena_printf(a, "%llu.%0*llu", (unsigned long long)whole, digits,
				    (unsigned long long)rest)
			  : arena_printf(a, "%llu", (unsigned long long)whole);
	size_t size = strlen(text);

	while (rest && size > 0 && text[size - 1] == '0')
		text[--size] = '\0';
	return text;
}

char *duration_text(struct arena *a, int64_t ns)
{
	const uint64_t second = (uint64_t)NS_PER_S;
	uint64_t u = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
	const char *sign = ns < 0 ? "-" : "";

	if (u == 0)
		return arena_strdup(a, "0s");
	if (u < 1000)
		return arena_printf(a, "%s%lluns", sign, (unsigned long long)u);
	if (u < 1000 * 1000)
		return arena_printf(
			a, "%s%s\u00b5s", sign, with_decimals(a, u / 1000, u % 1000, 3));
	if (u < second)
		return arena_printf(
			a, "%s%sms", sign, with_decimals(a, u / 1000000, u % 1000000, 6));
	uint64_t s = u / second, h = s / 3600, m = s / 60 % 60;
	const char *seconds = with_decimals(a, s % 60, u % second, 9);
	if (h)
		return arena_printf(a, "%s%lluh%llum%ss", sign, (unsigned long long)h,
			(unsigned long long)m, seconds);
	if (m)
		return arena_printf(a, "%s%llum%ss", sign, (unsigned long long)m, seconds);
	return arena_printf(a, "%s%ss", sign, seconds);
}

char *duration_human(struct arena *a, int64_t ns)
{
	int64_t s = ns / NS_PER_S, m = s / 60, h = m / 60, d = h / 24;

	if (s < -1)
		return arena_strdup(a, "<invalid>");
	if (s < 0)
		s = 0;
	if (s < 120)
		return two_units(a, s, 's', 0, 0);
	if (m < 10)
		return two_units(a, m, 'm', s % 60, 's');
	if (h < 3)
		return two_units(a, m, 'm', 0, 0);
	if (h < 8)
		return two_units(a, h, 'h', m % 60, 'm');
	if (h < 48)
		return two_units(a, h, 'h', 0, 0);
	if (d < 8)
		return two_units(a, d, 'd', h % 24, 'h');
	if (d < 365 * 2)
		return two_units(a, d, 'd', 0, 0);
	if (d < 365 * 8)
		return two_units(a, d / 365, 'y', d % 365, 'd');
	return two_units(a, d / 365, 'y', 0, 0);
}
