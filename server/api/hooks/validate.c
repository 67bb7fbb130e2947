#include "server/api/hooks/validate.h"

#include <arpa/inet.h>

#define DNS_LABEL_FMT "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define HTTP_PATH_FMT "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+"

static const struct json *shown(struct hook *h, const struct json *value)
{
	return value ? value : json_new_string(h->arena, "");
}

void invalid(struct hook *h, const char *field, const struct json *value, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	field_error_v(h->errors, FIELD_INVALID, field, shown(h, value), fmt, ap);
	va_end(ap);
}

void required(struct hook *h, const char *field, const char *detail)
{
	if (detail)
		field_error(h->errors, FIELD_REQUIRED, field, NULL, "%s", detail);
	else
		field_error(h->errors, FIELD_REQUIRED, field, NULL, NULL);
}

void forbidden(struct hook *h, const char *field, const char *detail)
{
	field_error(h->errors, FIELD_FORBIDDEN, field, NULL, "%s", detail);
}

void forbid(struct hook *h, const char *field, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	field_error_v(h->errors, FIELD_FORBIDDEN, field, NULL, fmt, ap);
	va_end(ap);
}

void duplicate(struct hook *h, const char *field, const struct json *value)
{
	field_error(h->errors, FIELD_DUPLICATE, field, shown(h, value), NULL);
}

bool require_text(struct hook *h, const char *field, const struct json *value)
{
	if (json_is(value, JSON_STRING) && value->count > 0)
		return true;
	required(h, field, NULL);
	return false;
}

void check_rule_at(struct hook *h, enum rule rule, const char *field, const struct json *value)
{
	const char *messages[RULE_MESSAGES_MAX];
	bool text = json_is(value, JSON_STRING);
	size_t n = rule_check(rule, text ? value->s : "", text ? value->count : 0, messages);
	for (size_t i = 0; i < n; i++)
		invalid(h, field, value, "%s", messages[i]);
}

void check_name_at(struct hook *h, enum rule rule, const char *field, const struct json *value)
{
	if (require_text(h, field, value))
		check_rule_at(h, rule, field, value);
}

const char *rule_text(struct arena *a, enum rule rule, const char *s)
{
	const char *messages[RULE_MESSAGES_MAX], *text = NULL;
	size_t n = rule_check(rule, s, strlen(s), messages);
	for (size_t i = 0; i < n; i++)
		text = text ? arena_printf(a, "%s,%s", text, messages[i]) : messages[i];
	return text;
}

bool is_one_of(const char *s, const char *const *supported)
{
	for (; *supported; supported++)
		if (streq(s, *supported))
			return true;
	return false;
}

bool check_one_of(
	struct hook *h, const char *field, const struct json *value, const char *const *supported)
{
	if (is_one_of(json_str_or(value, ""), supported))
		return true;
	unsupported(h, field, value, supported);
	return false;
}

void check_fixed(struct hook *h, const char *field, const struct json *doc, const struct json *old,
	const char *path)
{
	const struct json *now = json_path(doc, path);
	if (!json_equal(now, json_path(old, path)))
		field_immutable(h, field, now);
}

void check_label_selector(struct hook *h, const struct json *selector, const char *field)
{
	size_t i = 0;
	JSON_FOR_EACH_ITEM(r, json_get(selector, "matchExpressions")) {
		const char *op = json_str_or(json_get(r, "operator"), "");
		const char *path = at(h, "%s.matchExpressions[%zu]", field, i++);
		const struct json *values = json_get(r, "values");
		if ((streq(op, "In") || streq(op, "NotIn")) && json_count(values) == 0)
			required(h, at(h, "%s.values", path),
				"must be specified when `operator` is 'In' or 'NotIn'");
		if ((streq(op, "Exists") || streq(op, "DoesNotExist")) && json_count(values) > 0)
			forbidden(h, at(h, "%s.values", path),
				"may not be specified when `operator` is 'Exists' or "
				"'DoesNotExist'");
		size_t n = 0;
		JSON_FOR_EACH_ITEM(v, values)
			check_rule_at(h, RULE_LABEL_VALUE, at(h, "%s.values[%zu]", path, n++), v);
	}
}

int ip_read(const char *s, struct ip *ret)
{
	static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	struct ip ip = {.family = 4, .prefix = 32};
	if (inet_pton(AF_INET, s, ip.bytes) != 1) {
		ip.family = 6;
		ip.prefix = 128;
		if (inet_pton(AF_INET6, s, ip.bytes) != 1)
			return -EINVAL;
		if (memcmp(ip.bytes, mapped, sizeof(mapped)) == 0) {
			memmove(ip.bytes, ip.bytes + sizeof(mapped), 4);
			ip.family = 4;
			ip.prefix = 32;
		}
	}
	*ret = ip;
	return 0;
}

int cidr_read(const char *s, struct ip *ret)
{
	const char *slash = strchr(s, '/');
	char address[INET6_ADDRSTRLEN];
	uint64_t prefix;
	struct ip ip;
	if (!slash || (size_t)(slash - s) >= sizeof(address) || strlen(slash + 1) > 3 ||
		parse_u64(str_from(slash + 1), &prefix) < 0)
		return -EINVAL;
	memcpy(address, s, (size_t)(slash - s));
	address[slash - s] = '\0';
	if (ip_read(address, &ip) < 0 || prefix > ip.prefix)
		return -EINVAL;
	ip.prefix = (unsigned)prefix;
	*ret = ip;
	return 0;
}

bool cidr_contains(const struct ip *range, const struct ip *address)
{
	if (range->family != address->family)
		return false;
	for (unsigned bit = 0; bit < range->prefix; bit += 8) {
		unsigned rest = range->prefix - bit;
		unsigned mask = rest >= 8 ? 0xff : 0xff & ~(0xffu >> rest);
		if ((range->bytes[bit / 8] ^ address->bytes[bit / 8]) & mask)
			return false;
	}
	return true;
}

void check_ip_at(struct hook *h, const char *field, const struct json *value)
{
	struct ip ip;
	if (ip_read(json_str_or(value, ""), &ip) < 0)
		invalid(h, field, value,
			"must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
}

void check_cidr_at(struct hook *h, const char *field, const struct json *value)
{
	struct ip ip;
	if (cidr_read(json_str_or(value, ""), &ip) < 0)
		invalid(h, field, value,
			"must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
}

void check_host_at(struct hook *h, const char *field, const struct json *value)
{
	const char *s = json_str_or(value, "");
	if (!strchr(s, '*')) {
		check_rule_at(h, RULE_DNS_SUBDOMAIN, field, value);
		return;
	}
	if (strlen(s) > 253)
		invalid(h, field, value, "must be no more than 253 characters");
	if (!str_has_prefix(s, "*.") || !rule_holds(RULE_DNS_SUBDOMAIN, s + 2))
		invalid(h, field, value,
			"a wildcard DNS-1123 subdomain must start with '*.', followed by a valid "
			"DNS subdomain, which must consist of lower case alphanumeric characters, "
			"'-' or '.' and end with an alphanumeric character (e.g. '*.example.com', "
			"regex used for validation is '\\*\\." DNS_LABEL_FMT "(\\." DNS_LABEL_FMT
			")*')");
}

static bool is_http_path(const char *s)
{
	for (; *s; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
			    (*s >= '0' && *s <= '9') || strchr("/-._~%!$&'()*+,;=:", *s)))
			return false;
	return true;
}

void check_domain_path_at(struct hook *h, const char *field, const struct json *value)
{
	if (!require_text(h, field, value))
		return;
	const char *slash = strchr(value->s, '/');
	if (!slash || slash == value->s || !slash[1]) {
		invalid(h, field, value,
			"must be a domain-prefixed path (such as \"acme.io/foo\")");
		return;
	}
	check_rule_at(h, RULE_DNS_SUBDOMAIN, field,
		json_new_string_n(h->arena, value->s, (size_t)(slash - value->s)));
	if (!is_http_path(slash + 1))
		invalid(h, field, json_new_string(h->arena, slash + 1),
			"Invalid path (regex used for validation is '%s')", HTTP_PATH_FMT);
}

void check_full_name_at(struct hook *h, const char *field, const struct json *value, int segments)
{
	static const char *const words[] = {"zero", "one", "two", "three"};
	if (!require_text(h, field, value))
		return;
	const char *problem = rule_text(h->arena, RULE_DNS_SUBDOMAIN, value->s);
	int count = 1;
	for (const char *p = value->s; *p; p++)
		count += *p == '.';
	if (problem)
		invalid(h, field, value, "%s", problem);
	else if (count < segments)
		invalid(h, field, value,
			"should be a domain with at least %s segments separated by dots",
			words[segments]);
}

void check_port_at(struct hook *h, const char *field, const struct json *value)
{
	if (!json_is(value, JSON_INT) || value->i < 1 || value->i > 65535)
		invalid(h, field, value, "must be between 1 and 65535, inclusive");
}

bool has_text(const struct json *list, const char *s)
{
	JSON_FOR_EACH_ITEM(i, list)
		if (streq(json_str(i), s))
			return true;
	return false;
}

char *lower_text(struct arena *a, const char *s)
{
	char *copy = arena_strdup(a, s);
	for (char *p = copy; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p | 32);
	return copy;
}

/* Paths are made for every pod, mostly for nothing: no formatting. */
static char *join(struct hook *h, const char *path, const char *name, const char *index)
{
	size_t path_size = strlen(path), name_size = strlen(name), index_size = strlen(index);
	bool dot = path_size && name_size;
	char *text = arena_alloc(h->arena, path_size + dot + name_size + index_size + 1), *p = text;
	memcpy(p, path, path_size);
	p += path_size;
	if (dot)
		*p++ = '.';
	memcpy(p, name, name_size);
	p += name_size;
	memcpy(p, index, index_size + 1);
	return text;
}

/* "[12]" */
static const char *index_text(size_t i, char room[24])
{
	char *p = room + 24;
	*--p = '\0';
	*--p = ']';
	do
		*--p = (char)('0' + i % 10);
	while (i /= 10);
	*--p = '[';
	return p;
}

char *at_child(struct hook *h, const char *path, const char *name)
{
	return join(h, path, name, "");
}

char *at_item(struct hook *h, const char *path, size_t i)
{
	char room[24];
	return join(h, path, "", index_text(i, room));
}

char *at_child_item(struct hook *h, const char *path, const char *name, size_t i)
{
	char room[24];
	return join(h, path, name, index_text(i, room));
}

char *at_key(struct hook *h, const char *at, const char *key)
{
	return arena_printf(h->arena, "%s[%s]", at, key);
}

bool present(const struct json *v)
{
	return v && !json_is(v, JSON_NULL);
}

void invalid_text(struct hook *h, const char *at, const char *value, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	field_error_v(h->errors, FIELD_INVALID, at, json_new_string(h->arena, value), fmt, ap);
	va_end(ap);
}

void unsupported(
	struct hook *h, const char *at, const struct json *value, const char *const *values)
{
	const char *text = "";
	for (; *values; values++)
		text = arena_printf(h->arena, "%s%s\"%s\"", text, *text ? ", " : "", *values);
	field_error(h->errors, FIELD_NOT_SUPPORTED, at,
		value ? value : json_new_string(h->arena, ""), "supported values: %s", text);
}

void too_many(struct hook *h, const char *at, size_t count, size_t most)
{
	field_error(h->errors, FIELD_TOO_MANY, at, json_new_int(h->arena, (int64_t)count),
		"must have at most %zu item%s", most, most == 1 ? "" : "s");
}

void check_nonnegative(struct hook *h, const char *at, const struct json *number)
{
	if (json_int_or(number, 0) < 0)
		invalid(h, at, number, "must be greater than or equal to 0");
}

static bool percent_of(const struct json *value, int64_t *ret)
{
	const char *s = json_str(value);
	return s && str_has_suffix(s, "%") && parse_i64((struct str){s, strlen(s) - 1}, ret) == 0;
}

int64_t count_or_percent(const struct json *value)
{
	int64_t n;
	return percent_of(value, &n) ? n : json_int_or(value, 0);
}

void check_percent_at(struct hook *h, const char *at, const struct json *value)
{
	int64_t n;
	if (percent_of(value, &n) && n > 100)
		invalid(h, at, value, "must not be greater than 100%%");
}

void check_unchanged(struct hook *h, const char *at, const struct json *now, const struct json *was)
{
	if (json_equal(present(now) ? now : NULL, present(was) ? was : NULL))
		return;
	invalid(h, at, present(now) ? now : json_new_null(h->arena), "field is immutable");
}

bool condition_true(const struct json *status, const char *type)
{
	JSON_FOR_EACH_ITEM(c, json_get(status, "conditions"))
		if (streq(json_str(json_get(c, "type")), type) &&
			streq(json_str(json_get(c, "status")), "True"))
			return true;
	return false;
}
