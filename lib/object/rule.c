#include "lib/object/rule.h"

#include <arpa/inet.h>

#define DNS_LABEL_FMT "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define QUALIFIED_FMT "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

/* Texts that clients see: they are part of the API (k8s.io/apimachinery validation). */
static const char not_dns_label[] = "a lowercase RFC 1123 label must consist of lower case "
				    "alphanumeric characters or '-', and must "
				    "start and end with an alphanumeric character (e.g. 'my-name', "
				    " or '123-abc', regex used for "
				    "validation is '" DNS_LABEL_FMT "')";
static const char not_dns_subdomain[] =
	"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
	"'.', "
	"and must start and end with an alphanumeric character (e.g. 'example.com', regex used for "
	"validation is '" DNS_LABEL_FMT "(\\." DNS_LABEL_FMT ")*')";
static const char not_dns_1035[] =
	"a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
	"alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "
	"'abc-123', "
	"regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
static const char not_name_part[] =
	"name part must consist of alphanumeric characters, '-', '_' or '.', and must start and "
	"end with "
	"an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
	"validation is '" QUALIFIED_FMT "')";
static const char not_qualified[] =
	"a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start "
	"and "
	"end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex "
	"used for "
	"validation is '" QUALIFIED_FMT "') with an optional DNS subdomain prefix and '/' (e.g. "
	"'example.com/MyName')";
static const char not_prefix_part[] =
	"prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
	"characters, "
	"'-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "
	"regex "
	"used for validation is '" DNS_LABEL_FMT "(\\." DNS_LABEL_FMT ")*')";
static const char not_label_value[] =
	"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
	"'.', "
	"and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
	"or "
	"'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
static const char not_config_key[] =
	"a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
	"'key.name',  "
	"or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
static const char not_env_name[] = "a valid environment variable name must consist only of "
				   "printable ASCII characters other than "
				   "'='";
static const char not_percent[] =
	"a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or "
	"'93%', regex used for validation is '[0-9]+%')";

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool is_dns_label(const char *s, size_t size)
{
	if (size == 0 || !is_lower_alnum(s[0]) || !is_lower_alnum(s[size - 1]))
		return false;
	for (size_t i = 1; i < size; i++)
		if (!is_lower_alnum(s[i]) && s[i] != '-')
			return false;
	return true;
}

static bool is_dns_subdomain(const char *s, size_t size)
{
	size_t from = 0;

	for (size_t i = 0; i <= size; i++) {
		if (i < size && s[i] != '.')
			continue;
		if (!is_dns_label(s + from, i - from))
			return false;
		from = i + 1;
	}
	return true;
}

/* The middle of label values and of the name part of qualified names. */
static bool is_name_part(const char *s, size_t size)
{
	if (size == 0 || !is_alnum(s[0]) || !is_alnum(s[size - 1]))
		return false;
	for (size_t i = 1; i < size; i++)
		if (!is_alnum(s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.')
			return false;
	return true;
}

static size_t check_limited(bool good, size_t size, size_t limit, const char *too_long,
	const char *bad, const char *ret[RULE_MESSAGES_MAX])
{
	size_t n = 0;

	if (size > limit)
		ret[n++] = too_long;
	if (!good)
		ret[n++] = bad;
	return n;
}

static size_t check_qualified_name(const char *s, size_t size, const char *ret[RULE_MESSAGES_MAX])
{
	const char *slash = memchr(s, '/', size);
	const char *name = s;
	size_t name_size = size, n = 0;

	if (slash) {
		size_t prefix_size = (size_t)(slash - s);

		name = slash + 1;
		name_size = size - prefix_size - 1;
		if (memchr(name, '/', name_size)) {
			ret[n++] = not_qualified;
			return n;
		}
		if (prefix_size == 0)
			ret[n++] = "prefix part must be non-empty";
		else if (prefix_size > 253)
			ret[n++] = "prefix part must be no more than 253 bytes";
		else if (!is_dns_subdomain(s, prefix_size))
			ret[n++] = not_prefix_part;
	}
	if (name_size == 0)
		ret[n++] = "name part must be non-empty";
	else if (name_size > 63)
		ret[n++] = "name part must be no more than 63 bytes";
	if (!is_name_part(name, name_size))
		ret[n++] = not_name_part;
	return n;
}

static size_t check_port_name(const char *s, size_t size, const char *ret[RULE_MESSAGES_MAX])
{
	bool clean = size > 0, letter = false, doubled = false;
	size_t n = 0;

	for (size_t i = 0; i < size; i++) {
		if (!is_lower_alnum(s[i]) && s[i] != '-')
			clean = false;
		if (s[i] >= 'a' && s[i] <= 'z')
			letter = true;
		if (s[i] == '-' && i > 0 && s[i - 1] == '-')
			doubled = true;
	}
	if (size > 15)
		ret[n++] = "must be no more than 15 characters";
	if (!clean)
		ret[n++] = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
	if (!letter)
		ret[n++] = "must contain at least one letter (a-z)";
	if (doubled && n < RULE_MESSAGES_MAX)
		ret[n++] = "must not contain consecutive hyphens";
	if (size > 0 && (s[0] == '-' || s[size - 1] == '-') && n < RULE_MESSAGES_MAX)
		ret[n++] = "must not begin or end with a hyphen";
	return n;
}

static size_t check_config_key(const char *s, size_t size, const char *ret[RULE_MESSAGES_MAX])
{
	size_t n = 0;
	bool good = size > 0;

	for (size_t i = 0; i < size; i++)
		if (!is_alnum(s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.')
			good = false;
	if (size > 253)
		ret[n++] = "must be no more than 253 bytes";
	if (!good)
		ret[n++] = not_config_key;
	if (size == 1 && s[0] == '.')
		ret[n++] = "must not be '.'";
	else if (size == 2 && memcmp(s, "..", 2) == 0)
		ret[n++] = "must not be '..'";
	else if (size > 2 && memcmp(s, "..", 2) == 0)
		ret[n++] = "must not start with '..'";
	return n;
}

static size_t check_path_segment(const char *s, size_t size, const char *ret[RULE_MESSAGES_MAX])
{
	size_t n = 0;

	if (size == 1 && s[0] == '.')
		ret[n++] = "may not be '.'";
	else if (size == 2 && memcmp(s, "..", 2) == 0)
		ret[n++] = "may not be '..'";
	if (memchr(s, '/', size))
		ret[n++] = "may not contain '/'";
	if (memchr(s, '%', size))
		ret[n++] = "may not contain '%'";
	return n;
}

static size_t check_env_name(const char *s, size_t size, const char *ret[RULE_MESSAGES_MAX])
{
	for (size_t i = 0; i < size; i++) {
		if (s[i] >= ' ' && s[i] <= '~' && s[i] != '=')
			continue;
		ret[0] = not_env_name;
		return 1;
	}
	return 0;
}

static size_t check_mac(const char *s, size_t size, const char *ret[RULE_MESSAGES_MAX])
{
	bool good = size == 17;

	for (size_t i = 0; good && i < size; i++) {
		bool hex =
			(s[i] >= '0' && s[i] <= '9') || ((s[i] | 32) >= 'a' && (s[i] | 32) <= 'f');

		good = i % 3 == 2 ? s[i] == ':' || s[i] == '-' : hex;
	}
	if (good)
		return 0;
	ret[0] = "must be a MAC address (e.g. '02:00:00:00:00:01')";
	return 1;
}

static size_t check_checksum(const char *s, size_t size, const char *ret[RULE_MESSAGES_MAX])
{
	static const struct {
		const char *name;
		size_t digits;
	} known[] = {{"md5:", 32}, {"sha1:", 40}, {"sha256:", 64}, {"sha512:", 128}};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		size_t length = strlen(known[i].name);

		if (size == length + known[i].digits && memcmp(s, known[i].name, length) == 0 &&
			strspn(s + length, "0123456789abcdefABCDEF") == known[i].digits)
			return 0;
	}
	ret[0] = "must be ALGORITHM:HEX with md5, sha1, sha256 or sha512, and all digits of it";
	return 1;
}

static size_t check_ip(const char *s, size_t size, const char *ret[RULE_MESSAGES_MAX])
{
	unsigned char room[16];

	if (strlen(s) == size &&
		(inet_pton(AF_INET, s, room) == 1 || inet_pton(AF_INET6, s, room) == 1))
		return 0;
	ret[0] = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
	return 1;
}

static size_t check_percent(const char *s, size_t size, const char *ret[RULE_MESSAGES_MAX])
{
	bool good = size >= 2 && s[size - 1] == '%';

	for (size_t i = 0; good && i + 1 < size; i++)
		good = s[i] >= '0' && s[i] <= '9';
	if (good)
		return 0;
	ret[0] = not_percent;
	return 1;
}

size_t rule_check(enum rule rule, const char *s, size_t size, const char *ret[RULE_MESSAGES_MAX])
{
	switch (rule) {
	case RULE_DNS_LABEL_OPT:
		if (size == 0)
			return 0;
		/* fall through */
	case RULE_DNS_LABEL:
		return check_limited(is_dns_label(s, size), size, 63,
			"must be no more than 63 characters", not_dns_label, ret);
	case RULE_DNS_SUBDOMAIN:
		return check_limited(is_dns_subdomain(s, size), size, 253,
			"must be no more than 253 characters", not_dns_subdomain, ret);
	case RULE_DNS_1035_LABEL:
		return check_limited(is_dns_label(s, size) && s[0] >= 'a', size, 63,
			"must be no more than 63 characters", not_dns_1035, ret);
	case RULE_PATH_SEGMENT:
		return check_path_segment(s, size, ret);
	case RULE_QUALIFIED_NAME:
		return check_qualified_name(s, size, ret);
	case RULE_LABEL_VALUE:
		return check_limited(size == 0 || is_name_part(s, size), size, 63,
			"must be no more than 63 characters", not_label_value, ret);
	case RULE_CONFIG_KEY:
		return check_config_key(s, size, ret);
	case RULE_ENV_NAME:
		return check_env_name(s, size, ret);
	case RULE_PORT:
	case RULE_PORT_NAME:
		if (size == 0 && rule == RULE_PORT_NAME)
			return 0;
		return check_port_name(s, size, ret);
	case RULE_COUNT_OR_PERCENT:
		return check_percent(s, size, ret);
	case RULE_IP:
		return check_ip(s, size, ret);
	case RULE_MAC:
		return size == 0 ? 0 : check_mac(s, size, ret);
	case RULE_CHECKSUM:
		return size == 0 ? 0 : check_checksum(s, size, ret);
	case RULE_NONE:
	case RULE_LABELS:
	case RULE_CONFIG_KEYS:
	case RULE_MICRO_TIME:
		return 0;
	}
	return 0;
}

bool rule_holds(enum rule rule, const char *s)
{
	const char *messages[RULE_MESSAGES_MAX];

	return rule_check(rule, s, strlen(s), messages) == 0;
}

int rule_from_name(const char *name, enum rule *ret)
{
	static const struct {
		const char *name;
		enum rule rule;
	} names[] = {
		{"dns-label", RULE_DNS_LABEL},
		{"dns-label-opt", RULE_DNS_LABEL_OPT},
		{"dns-subdomain", RULE_DNS_SUBDOMAIN},
		{"dns-1035-label", RULE_DNS_1035_LABEL},
		{"path-segment", RULE_PATH_SEGMENT},
		{"qualified-name", RULE_QUALIFIED_NAME},
		{"label-value", RULE_LABEL_VALUE},
		{"config-key", RULE_CONFIG_KEY},
		{"env-name", RULE_ENV_NAME},
		{"port-name", RULE_PORT_NAME},
		{"port", RULE_PORT},
		{"count-or-percent", RULE_COUNT_OR_PERCENT},
		{"ip", RULE_IP},
		{"mac", RULE_MAC},
		{"labels", RULE_LABELS},
		{"config-keys", RULE_CONFIG_KEYS},
		{"micro-time", RULE_MICRO_TIME},
		{"checksum", RULE_CHECKSUM},
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!streq(names[i].name, name))
			continue;
		*ret = names[i].rule;
		return 0;
	}
	return -EINVAL;
}
