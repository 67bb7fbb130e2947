#include "server/api/auth/policy.h"

/* Combinations of verb, group, resource and name that a role may have for an escalation check. */
#define COMBINATIONS_MAX 50000
/* Texts held that are looked at for them, some tenths of a second. */
#define COMPARISONS_MAX 50000000
#define MERGE_WINDOW 64 /* how far back parts of the same resource are looked for */

static bool has(const struct texts *t, const char *s)
{
	for (size_t i = 0; i < t->count; i++)
		if (streq(t->items[i], s))
			return true;
	return false;
}

static bool has_all(const struct texts *t, const struct texts *wanted)
{
	for (size_t i = 0; i < wanted->count; i++)
		if (!has(t, wanted->items[i]))
			return false;
	return true;
}

static void set_mask(struct policy_rule *r)
{
	r->verb_mask = 0;
	r->unusual_verbs = false;
	for (size_t i = 0; i < r->verbs.count; i++) {
		uint32_t bit = access_verb_bit(r->verbs.items[i]);
		if (streq(r->verbs.items[i], "*"))
			r->verb_mask = UINT32_MAX;
		else if (bit)
			r->verb_mask |= bit;
		else
			r->unusual_verbs = true;
	}
}

static struct texts texts_decode(struct arena *a, const struct json *list)
{
	struct texts t = {.items = arena_alloc(a, (json_count(list) + 1) * sizeof(char *))};
	JSON_FOR_EACH_ITEM(item, list) {
		/* With a NUL inside it names nothing; left out, an empty list would mean all. */
		const char *s = json_str(item);
		bool whole = s && strlen(s) == item->count;
		t.items[t.count++] = whole ? arena_strdup(a, s) : "\x7f";
	}
	return t;
}

struct policy policy_decode(struct arena *a, const struct json *rules)
{
	struct policy_rule *all = arena_zalloc(a, (json_count(rules) + 1) * sizeof(*all));
	struct policy p = {.rules = all};
	JSON_FOR_EACH_ITEM(j, rules) {
		struct policy_rule *r = &all[p.count++];
		r->verbs = texts_decode(a, json_get(j, "verbs"));
		r->groups = texts_decode(a, json_get(j, "apiGroups"));
		r->resources = texts_decode(a, json_get(j, "resources"));
		r->names = texts_decode(a, json_get(j, "resourceNames"));
		r->urls = texts_decode(a, json_get(j, "nonResourceURLs"));
		set_mask(r);
	}
	return p;
}

static size_t texts_count(const struct policy_rule *r)
{
	return r->verbs.count + r->groups.count + r->resources.count + r->names.count +
	       r->urls.count;
}

static size_t texts_bytes(const struct texts *t)
{
	size_t n = 0;
	for (size_t i = 0; i < t->count; i++)
		n += strlen(t->items[i]) + 1;
	return n;
}

static void pack_texts(struct texts *to, const struct texts *from, const char ***items, char **text)
{
	to->items = *items;
	to->count = from->count;
	for (size_t i = 0; i < from->count; i++) {
		size_t size = strlen(from->items[i]) + 1;
		memcpy(*text, from->items[i], size);
		*(*items)++ = *text;
		*text += size;
	}
}

size_t policy_rule_size(const struct policy_rule *r)
{
	return texts_bytes(&r->verbs) + texts_bytes(&r->groups) + texts_bytes(&r->resources) +
	       texts_bytes(&r->names) + texts_bytes(&r->urls);
}

struct policy_rule *policy_pack(const struct policy *p)
{
	size_t texts = 0, bytes = 0;
	for (size_t i = 0; i < p->count; i++) {
		const struct policy_rule *r = &p->rules[i];
		texts += texts_count(r);
		bytes += policy_rule_size(r);
	}
	if (!p->count)
		return NULL;
	size_t rules_size = p->count * sizeof(struct policy_rule);
	struct policy_rule *all = xmalloc(rules_size + texts * sizeof(char *) + bytes);
	const char **items = (const char **)(all + p->count);
	char *text = (char *)(items + texts);
	for (size_t i = 0; i < p->count; i++) {
		const struct policy_rule *from = &p->rules[i];
		all[i] = *from;
		pack_texts(&all[i].verbs, &from->verbs, &items, &text);
		pack_texts(&all[i].groups, &from->groups, &items, &text);
		pack_texts(&all[i].resources, &from->resources, &items, &text);
		pack_texts(&all[i].names, &from->names, &items, &text);
		pack_texts(&all[i].urls, &from->urls, &items, &text);
	}
	return all;
}

static void encode_texts(
	struct arena *a, struct json *rule, const char *name, const struct texts *t)
{
	if (!t->count)
		return;
	struct json *list = json_new_array(a);
	for (size_t i = 0; i < t->count; i++)
		json_push(a, list, json_new_string(a, t->items[i]));
	json_set(a, rule, name, list);
}

struct json *policy_encode(struct arena *a, const struct policy *p)
{
	struct json *list = json_new_array(a);
	for (size_t i = 0; i < p->count; i++) {
		const struct policy_rule *r = &p->rules[i];
		struct json *rule = json_new_object(a);
		encode_texts(a, rule, "verbs", &r->verbs);
		encode_texts(a, rule, "apiGroups", &r->groups);
		encode_texts(a, rule, "resources", &r->resources);
		encode_texts(a, rule, "resourceNames", &r->names);
		encode_texts(a, rule, "nonResourceURLs", &r->urls);
		json_push(a, list, rule);
	}
	return list;
}

static bool is_star(const char *s)
{
	return s[0] == '*' && !s[1];
}

static bool group_allowed(const struct policy_rule *r, const char *group)
{
	for (size_t i = 0; i < r->groups.count; i++) {
		const char *g = r->groups.items[i];
		if (is_star(g) || (g[0] == group[0] && streq(g, group)))
			return true;
	}
	return false;
}

/* "pods", "pods/log", "*" and "*" + "/scale". */
static bool resource_allowed(const struct policy_rule *r, const struct access *x)
{
	size_t size = strlen(x->resource);
	for (size_t i = 0; i < r->resources.count; i++) {
		const char *s = r->resources.items[i];
		if (s[0] == '*') {
			if (!s[1])
				return true;
			if (s[1] == '/' && *x->subresource && streq(s + 2, x->subresource))
				return true;
		}
		if (s[0] != x->resource[0] || strncmp(s, x->resource, size) != 0)
			continue;
		if (*x->subresource ? s[size] == '/' && streq(s + size + 1, x->subresource)
				    : !s[size])
			return true;
	}
	return false;
}

static bool url_matches(const char *pattern, const char *path)
{
	size_t size = strlen(pattern);
	if (streq(pattern, path))
		return true;
	if (!size || pattern[size - 1] != '*')
		return false;
	while (size && pattern[size - 1] == '*')
		size--;
	return strncmp(pattern, path, size) == 0;
}

static bool url_allowed(const struct policy_rule *r, const char *path)
{
	for (size_t i = 0; i < r->urls.count; i++)
		if (url_matches(r->urls.items[i], path))
			return true;
	return false;
}

bool policy_rule_allows(const struct policy_rule *r, const struct access *x)
{
	if (!(r->verb_mask & x->verb_bit) && r->verb_mask != UINT32_MAX &&
		!(r->unusual_verbs && !x->verb_bit && has(&r->verbs, x->verb)))
		return false;
	if (!x->is_resource)
		return url_allowed(r, x->path);
	return group_allowed(r, x->group) && resource_allowed(r, x) &&
	       (!r->names.count || has(&r->names, x->name));
}

const struct policy_rule *policy_find(const struct policy *p, const struct access *x)
{
	for (size_t i = 0; i < p->count; i++)
		if (policy_rule_allows(&p->rules[i], x))
			return &p->rules[i];
	return NULL;
}

/* A rule with one of each: what a rule is, taken apart. */
static struct texts one(const char **s)
{
	return (struct texts){s, 1};
}

static bool resources_cover(const struct texts *have, const struct texts *wanted)
{
	if (has(have, "*"))
		return true;
	for (size_t i = 0; i < wanted->count; i++) {
		const char *slash = strchr(wanted->items[i], '/');
		bool found = has(have, wanted->items[i]);
		for (size_t n = 0; n < have->count && !found; n++)
			found = slash && have->items[n][0] == '*' &&
				streq(have->items[n] + 1, slash);
		if (!found)
			return false;
	}
	return true;
}

static bool urls_cover(const struct texts *have, const struct texts *wanted)
{
	for (size_t i = 0; i < wanted->count; i++) {
		bool found = false;
		for (size_t n = 0; n < have->count && !found; n++)
			found = url_matches(have->items[n], wanted->items[i]);
		if (!found)
			return false;
	}
	return true;
}

static bool rule_covers(const struct policy_rule *have, const struct policy_rule *part)
{
	return (has(&have->verbs, "*") || has_all(&have->verbs, &part->verbs)) &&
	       (has(&have->groups, "*") || has_all(&have->groups, &part->groups)) &&
	       resources_cover(&have->resources, &part->resources) &&
	       urls_cover(&have->urls, &part->urls) &&
	       (!have->names.count || (part->names.count && has_all(&have->names, &part->names)));
}

struct covering {
	struct arena *arena;
	const struct policy *have;
	struct policy_rule *missing;
	size_t count, room;
	size_t looked_at, compared;
};

static bool same_target(const struct policy_rule *a, const struct policy_rule *b)
{
	if (a->urls.count || b->urls.count || a->names.count != b->names.count)
		return false;
	return streq(a->groups.items[0], b->groups.items[0]) &&
	       streq(a->resources.items[0], b->resources.items[0]) &&
	       (!a->names.count || streq(a->names.items[0], b->names.items[0]));
}

/* Parts of the same resource become one rule with several verbs. */
static void add_missing(struct covering *c, const struct policy_rule *part)
{
	for (size_t i = c->count > MERGE_WINDOW ? c->count - MERGE_WINDOW : 0; i < c->count; i++) {
		struct texts *verbs = &c->missing[i].verbs;
		if (!same_target(&c->missing[i], part))
			continue;
		/* Room for a power of two; the first one is the rule's own. */
		if (!(verbs->count & (verbs->count - 1))) {
			size_t size = verbs->count * sizeof(char *);
			const char **items = arena_alloc(c->arena, size * 2);
			memcpy(items, verbs->items, size);
			verbs->items = items;
		}
		verbs->items[verbs->count++] = part->verbs.items[0];
		return;
	}
	if (c->count == c->room) {
		size_t room = c->room ? c->room * 2 : 8;
		c->missing = arena_grow(c->arena, c->missing, c->room * sizeof(*c->missing),
			room * sizeof(*c->missing));
		c->room = room;
	}
	c->missing[c->count++] = *part;
}

static int look_at(struct covering *c, const struct policy_rule *part)
{
	if (++c->looked_at > COMBINATIONS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < c->have->count; i++) {
		c->compared += 1 + texts_count(&c->have->rules[i]);
		if (c->compared > COMPARISONS_MAX)
			return -E2BIG;
		if (rule_covers(&c->have->rules[i], part))
			return 0;
	}
	add_missing(c, part);
	return 0;
}

static int cover_resource(struct covering *c, const struct policy_rule *r, struct policy_rule *part,
	const char **verb)
{
	part->verbs = one(verb);
	if (!r->names.count)
		return look_at(c, part);
	int result = 0;
	for (size_t n = 0; n < r->names.count && result == 0; n++) {
		part->names = one(&r->names.items[n]);
		result = look_at(c, part);
	}
	return result;
}

static int cover_rule(struct covering *c, const struct policy_rule *r)
{
	int result = 0;
	for (size_t g = 0; g < r->groups.count && result == 0; g++)
		for (size_t s = 0; s < r->resources.count && result == 0; s++)
			for (size_t v = 0; v < r->verbs.count && result == 0; v++) {
				struct policy_rule part = {.groups = one(&r->groups.items[g]),
					.resources = one(&r->resources.items[s])};
				result = cover_resource(c, r, &part, &r->verbs.items[v]);
			}
	for (size_t u = 0; u < r->urls.count && result == 0; u++)
		for (size_t v = 0; v < r->verbs.count && result == 0; v++) {
			struct policy_rule part = {
				.urls = one(&r->urls.items[u]), .verbs = one(&r->verbs.items[v])};
			result = look_at(c, &part);
		}
	return result;
}

int policy_covers(struct arena *a, const struct policy *have, const struct policy *wanted,
	struct policy *ret_missing)
{
	struct covering c = {.arena = a, .have = have};
	for (size_t i = 0; i < wanted->count; i++) {
		int r = cover_rule(&c, &wanted->rules[i]);
		if (r < 0)
			return r;
	}
	*ret_missing = (struct policy){c.missing, c.count};
	return 0;
}

static void add_texts(struct arena *a, struct buf *out, const char *name, const struct texts *t)
{
	if (!t->count)
		return;
	buf_printf(out, "%s%s:[", out->size > 1 ? ", " : "", name);
	for (size_t i = 0; i < t->count; i++)
		buf_printf(out, "%s%s", i ? " " : "", text_quoted(a, t->items[i]));
	buf_add_char(out, ']');
}

const char *policy_rule_text(struct arena *a, const struct policy_rule *r)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	buf_add_char(&out, '{');
	add_texts(a, &out, "APIGroups", &r->groups);
	add_texts(a, &out, "Resources", &r->resources);
	add_texts(a, &out, "NonResourceURLs", &r->urls);
	add_texts(a, &out, "ResourceNames", &r->names);
	add_texts(a, &out, "Verbs", &r->verbs);
	buf_add_char(&out, '}');
	return arena_memdup(a, out.data, out.size);
}
