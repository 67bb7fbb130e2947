#include "server/api/requests/negotiate.h"

#include <strings.h>

#include "lib/base/str.h"

static struct str trim(struct str s)
{
	while (s.size && (*s.p == ' ' || *s.p == '\t'))
		s.p++, s.size--;
	while (s.size && (s.p[s.size - 1] == ' ' || s.p[s.size - 1] == '\t'))
		s.size--;
	return s;
}

static bool is(struct str s, const char *name)
{
	return s.size == strlen(name) && strncasecmp(s.p, name, s.size) == 0;
}

struct media_range {
	struct str type, as, group, version, q;
};

static struct media_range media_range_parse(struct str text)
{
	struct media_range m = {.as = STR(""), .group = STR(""), .version = STR(""), .q = STR("")};
	struct str part;
	if (!str_split(&text, ';', &part))
		return m;
	m.type = trim(part);
	while (str_split(&text, ';', &part)) {
		struct str value = trim(part), name;
		if (!str_split(&value, '=', &name) || !value.p)
			continue;
		name = trim(name);
		value = trim(value);
		if (value.size >= 2 && value.p[0] == '"' && value.p[value.size - 1] == '"')
			value = (struct str){value.p + 1, value.size - 2};
		if (is(name, "as"))
			m.as = value;
		else if (is(name, "g"))
			m.group = value;
		else if (is(name, "v"))
			m.version = value;
		else if (is(name, "q"))
			m.q = value;
	}
	return m;
}

/* The form that `as`, `g` and `v` name, or -1. */
static int find_form(const struct media_range *m)
{
	static const struct {
		const char *as, *group, *versions[3];
		enum accept_form form;
	} forms[] = {
		{"Table", "meta.k8s.io", {"v1", "v1beta1"}, ACCEPT_TABLE},
		{"PartialObjectMetadata", "meta.k8s.io", {"v1", "v1beta1"}, ACCEPT_PARTIAL},
		{"PartialObjectMetadataList", "meta.k8s.io", {"v1", "v1beta1"},
			ACCEPT_PARTIAL_LIST},
		{"APIGroupDiscoveryList", "apidiscovery.k8s.io", {"v2", "v2beta1"},
			ACCEPT_DISCOVERY},
	};
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (!str_eq(m->as, forms[i].as) || !str_eq(m->group, forms[i].group))
			continue;
		for (size_t v = 0; v < ARRAY_LEN(forms[i].versions) && forms[i].versions[v]; v++)
			if (str_eq(m->version, forms[i].versions[v]))
				return (int)forms[i].form;
	}
	return -1;
}

int accept_parse(struct arena *a, const char *accept, unsigned serves, struct accept *ret)
{
	*ret = (struct accept){.form = ACCEPT_OBJECT, .version = ""};
	struct str rest = trim(str_from(accept)), part;
	if (rest.size == 0)
		return 0;
	while (str_split(&rest, ',', &part)) {
		struct media_range m = media_range_parse(part);
		if (str_eq(m.q, "0") || m.type.size == 0)
			continue;
		if (is(m.type, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf") &&
			(serves & SERVES(ACCEPT_OPENAPI_V2))) {
			ret->form = ACCEPT_OPENAPI_V2;
			return 0;
		}
		bool yaml = is(m.type, "application/yaml");
		if (!yaml && !is(m.type, "application/json") && !is(m.type, "application/*") &&
			!is(m.type, "*/*"))
			continue;
		enum accept_form form = ACCEPT_OBJECT;
		if (m.as.size) {
			int found = find_form(&m);
			if (found < 0 || !(serves & SERVES(found)))
				continue;
			form = (enum accept_form)found;
		}
		ret->form = form;
		ret->yaml = yaml;
		ret->version = arena_memdup(a, m.version.p, m.as.size ? m.version.size : 0);
		return 0;
	}
	return -ENOTSUP;
}
