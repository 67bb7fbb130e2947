#include "lib/object/format.h"

#include <arpa/inet.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static bool is_alnum(char c)
{
	return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

/* 'd' a digit, 'h' a hexadecimal digit, anything else itself. */
static bool has_form(const char *s, size_t size, const char *form)
{
	if (strlen(form) != size)
		return false;
	for (size_t i = 0; i < size; i++)
		if (form[i] == 'd'	 ? !is_digit(s[i])
			: form[i] == 'h' ? !is_hex(s[i])
					 : s[i] != form[i])
			return false;
	return true;
}

static bool is_date(const char *s, size_t size)
{
	char time[32];
	int64_t ns;

	if (!has_form(s, size, "dddd-dd-dd"))
		return false;
	memcpy(time, s, size);
	memcpy(time + size, "T00:00:00Z", 11);
	return time_parse_rfc3339(time, &ns) == 0;
}

static bool is_time(const char *s, size_t size)
{
	int64_t ns;

	return time_parse_rfc3339(s, &ns) == 0;
}

static bool is_duration(const char *s, size_t size)
{
	static const char *const units[] = {"ns", "us", "\xc2\xb5s", "ms", "s", "m", "h", "d", "w",
		"second", "minute", "hour", "day", "week", "seconds", "minutes", "hours", "days",
		"weeks"};
	int64_t ns;
	size_t n = strspn(s, "0123456789.");

	if (duration_parse(s, &ns) == 0)
		return true;
	if (n == 0)
		return false;
	s += n + strspn(s + n, " ");
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (streq(units[i], s))
			return true;
	return false;
}

static bool is_ip(int family, const char *s)
{
	unsigned char room[16];

	return inet_pton(family, s, room) == 1;
}

static bool is_ipv4(const char *s, size_t size)
{
	return is_ip(AF_INET, s);
}

static bool is_ipv6(const char *s, size_t size)
{
	return is_ip(AF_INET6, s);
}

static bool is_cidr(const char *s, size_t size)
{
	const char *slash = strchr(s, '/');
	char address[64];
	int64_t bits;

	if (!slash || (size_t)(slash - s) >= sizeof(address) || !is_digit(slash[1]) ||
		parse_i64(str_from(slash + 1), &bits) < 0)
		return false;
	memcpy(address, s, (size_t)(slash - s));
	address[slash - s] = '\0';
	return (is_ip(AF_INET, address) && bits <= 32) || (is_ip(AF_INET6, address) && bits <= 128);
}

static bool is_mac(const char *s, size_t size)
{
	return has_form(s, size, "hh:hh:hh:hh:hh:hh") || has_form(s, size, "hh-hh-hh-hh-hh-hh") ||
	       has_form(s, size, "hhhh.hhhh.hhhh") || has_form(s, size, "hh:hh:hh:hh:hh:hh:hh:hh");
}

static bool is_uuid_of(const char *s, size_t size, char version)
{
	char plain[33];
	size_t n = 0;

	for (size_t i = 0; i < size; i++) {
		if (s[i] == '-' && (n == 8 || n == 12 || n == 16 || n == 20))
			continue;
		if (n == 32 || !is_hex(s[i]))
			return false;
		plain[n++] = s[i];
	}
	return n == 32 && (!version || plain[12] == version);
}

static bool is_uuid(const char *s, size_t size)
{
	return is_uuid_of(s, size, 0);
}

static bool is_uuid3(const char *s, size_t size)
{
	return is_uuid_of(s, size, '3');
}

static bool is_uuid4(const char *s, size_t size)
{
	return is_uuid_of(s, size, '4');
}

static bool is_uuid5(const char *s, size_t size)
{
	return is_uuid_of(s, size, '5');
}

static bool is_byte(const char *s, size_t size)
{
	size_t digits = 0, padding = 0;

	for (size_t i = 0; i < size; i++) {
		if (s[i] == '=')
			padding++;
		else if (padding || !(is_alnum(s[i]) || s[i] == '+' || s[i] == '/'))
			return false;
		else
			digits++;
	}
	return padding <= 2 && (digits + padding) % 4 == 0;
}

static bool is_hostname(const char *s, size_t size)
{
	size_t label = 0;

	if (size == 0 || size > 255)
		return false;
	for (size_t i = 0; i < size; i++) {
		if (s[i] == '.') {
			if (label == 0 || s[i - 1] == '-')
				return false;
			label = 0;
		} else if (is_alnum(s[i]) || (unsigned char)s[i] >= 0x80 || s[i] == '_' ||
			   (s[i] == '-' && label > 0)) {
			if (++label > 63)
				return false;
		} else {
			return false;
		}
	}
	return s[size - 1] != '-' && s[size - 1] != '.';
}

static bool is_email(const char *s, size_t size)
{
	const char *at = strrchr(s, '@');

	if (!at || at == s || strpbrk(s, " \t\r\n<>,;"))
		return false;
	return is_hostname(at + 1, size - (size_t)(at + 1 - s));
}

static bool is_uri(const char *s, size_t size)
{
	const char *colon = strchr(s, ':');

	if (size == 0 || strpbrk(s, " \t\r\n\"<>\\^`{|}"))
		return false;
	if (s[0] == '/')
		return true;
	if (!colon || colon == s || !((s[0] | 32) >= 'a' && (s[0] | 32) <= 'z'))
		return false;
	for (const char *p = s; p < colon; p++)
		if (!is_alnum(*p) && !strchr("+-.", *p))
			return false;
	return colon[1] != '\0';
}

static bool is_hexcolor(const char *s, size_t size)
{
	return has_form(s, size, "#hhhhhh") || has_form(s, size, "#hhh") ||
	       has_form(s, size, "hhhhhh") || has_form(s, size, "hhh");
}

bool format_holds(const char *format, const char *s, size_t size)
{
	static const struct {
		const char *name;
		bool (*holds)(const char *s, size_t size);
	} all[] = {
		{"date", is_date},
		{"date-time", is_time},
		{"datetime", is_time},
		{"duration", is_duration},
		{"ipv4", is_ipv4},
		{"ipv6", is_ipv6},
		{"cidr", is_cidr},
		{"mac", is_mac},
		{"uuid", is_uuid},
		{"uuid3", is_uuid3},
		{"uuid4", is_uuid4},
		{"uuid5", is_uuid5},
		{"byte", is_byte},
		{"hostname", is_hostname},
		{"email", is_email},
		{"uri", is_uri},
		{"hexcolor", is_hexcolor},
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (streq(all[i].name, format))
			return strlen(s) == size && all[i].holds(s, size);
	return true;
}
