#include "server/api/auth/access.h"

#include <stdio.h>

#include "lib/object/rule.h"

uint32_t access_verb_bit(const char *verb)
{
	static const char *const verbs[] = {"get", "list", "watch", "create", "update", "patch",
		"delete", "deletecollection", "impersonate", "bind", "escalate", "approve", "sign",
		"use", "proxy", "head", "post", "put", "options"};
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (verb[0] == verbs[i][0] && streq(verb, verbs[i]))
			return 1u << i;
	return 0;
}

void access_set_verb(struct access *x, const char *verb)
{
	x->verb = verb;
	x->verb_bit = access_verb_bit(verb);
}

static const char *lower(struct arena *a, const char *method)
{
	char *s = arena_strdup(a, method);
	for (char *p = s; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return s;
}

/* A list or watch of one name by field selector is a question about that object: a rule with
 * resourceNames allows it. The first requirement metadata.name=NAME counts; that the others hold,
 * too, is seen to by the selector itself. */
static const char *selected_name(struct arena *a, const struct query *query)
{
	const char *text = query_get(query, "fieldSelector");
	struct str rest = str_from(text), part;
	while (text && str_split(&rest, ',', &part)) {
		static const char key[] = "metadata.name=";
		if (part.size < sizeof(key) || memcmp(part.p, key, sizeof(key) - 1) != 0)
			continue;
		part.p += sizeof(key) - 1;
		part.size -= sizeof(key) - 1;
		if (part.size && part.p[0] == '=') {
			part.p++;
			part.size--;
		}
		const char *name = arena_memdup(a, part.p, part.size);
		if (*name && !strpbrk(name, "\\=!") && rule_holds(RULE_PATH_SEGMENT, name))
			return name;
	}
	return "";
}

static const char *verb_of(
	struct access *x, const char *method, const struct route *route, const struct query *query)
{
	bool named = route->name != NULL;
	if (route->watch)
		return "watch";
	if (streq(method, "GET") || streq(method, "HEAD"))
		return named ? "get" : query_bool(query, "watch") ? "watch" : "list";
	if (streq(method, "DELETE"))
		return named ? "delete" : "deletecollection";
	return streq(method, "POST")	? "create"
	       : streq(method, "PUT")	? "update"
	       : streq(method, "PATCH") ? "patch"
					: "";
}

static const char *text_or_empty(const char *s)
{
	return s ? s : "";
}

struct access access_of_request(struct arena *a, const struct api_user *user, const char *method,
	const char *path, const struct route *route, const struct query *query)
{
	struct access x = {.user = user, .path = path};
	if (route->type != ROUTE_RESOURCE) {
		access_set_verb(&x, lower(a, method));
		return x;
	}
	x.is_resource = true;
	x.group = route->group;
	x.version = text_or_empty(route->version);
	x.namespace = text_or_empty(route->namespace);
	x.resource = route->resource;
	x.name = text_or_empty(route->name);
	x.subresource = text_or_empty(route->subresource);
	if (!*x.namespace && streq(x.resource, "namespaces"))
		x.namespace = x.name;
	access_set_verb(&x, verb_of(&x, method, route, query));
	if (!*x.name && (streq(x.verb, "list") || streq(x.verb, "watch")))
		x.name = selected_name(a, query);
	return x;
}

static const char *resource_text(struct arena *a, const struct access *x)
{
	return *x->subresource ? arena_printf(a, "%s/%s", x->resource, x->subresource)
			       : x->resource;
}

const char *text_quoted(struct arena *a, const char *s)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	json_write_string(&out, s, strlen(s));
	return arena_memdup(a, out.data, out.size);
}

int access_forbidden(struct arena *a, struct status *st, const struct access *x, const char *reason)
{
	const char *because = reason && *reason ? arena_printf(a, ": %s", reason) : "";
	if (!x->is_resource)
		return status_forbidden(a, st, NULL, NULL,
			arena_printf(a, "User %s cannot %s path %s%s",
				text_quoted(a, x->user->name), x->verb, text_quoted(a, x->path),
				because));
	const char *where = *x->namespace ? arena_printf(a, "in the namespace \"%s\"", x->namespace)
					  : "at the cluster scope";
	const char *detail =
		arena_printf(a, "User %s cannot %s resource \"%s\" in API group \"%s\" %s%s",
			text_quoted(a, x->user->name), x->verb, resource_text(a, x), x->group,
			where, because);
	/* Whether or not there is such a kind. */
	struct kind k = {.group = x->group, .plural = x->resource};
	snprintf(k.resource, sizeof(k.resource), "%s%s%s", x->resource, *x->group ? "." : "",
		x->group);
	return status_forbidden(a, st, &k, x->name, detail);
}
