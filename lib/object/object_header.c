#include "lib/object/object_header.h"

#include <stdio.h>

/* ---- from a document ---- */

static struct str text_of(const struct json *v, struct arena *a)
{
	if (json_is(v, JSON_STRING))
		return str_from(v->s);
	if (json_is(v, JSON_BOOL))
		return v->b ? STR("true") : STR("false");
	if (json_is(v, JSON_INT))
		return str_from(arena_printf(a, "%lld", (long long)v->i));
	return (struct str){0};
}

static struct str member_text(const struct json *object, const char *name)
{
	return str_from(json_str_or(json_get(object, name), ""));
}

void header_from_doc(
	const struct kind *k, const struct json *doc, struct arena *a, struct object_header *ret)
{
	const struct json *meta = json_get(doc, "metadata");
	const struct json *labels = json_get(meta, "labels");
	const struct json *owners = json_get(meta, "ownerReferences");
	struct object_header h = {
		.namespace = member_text(meta, "namespace"),
		.name = member_text(meta, "name"),
		.uid = member_text(meta, "uid"),
		.deleting = json_is(json_get(meta, "deletionTimestamp"), JSON_STRING),
	};

	if (json_is(labels, JSON_OBJECT))
		h.labels = arena_alloc(a, (json_count(labels) + 1) * sizeof(*h.labels));
	if (json_is(owners, JSON_ARRAY))
		h.owners = arena_alloc(a, (json_count(owners) + 1) * sizeof(*h.owners));
	h.fields = arena_alloc(a, (k->selectable_field_count + 1) * sizeof(*h.fields));
	JSON_FOR_EACH_MEMBER(m, labels)
		h.labels[h.label_count++] = (struct header_label){
			str_from(m->name), str_from(json_str_or(m->value, ""))};
	JSON_FOR_EACH_ITEM(it, owners) {
		h.owners[h.owner_count++] = (struct header_owner){
			.uid = member_text(it, "uid"),
			.kind = member_text(it, "kind"),
			.api_version = member_text(it, "apiVersion"),
			.name = member_text(it, "name"),
			.controller = json_bool_or(json_get(it, "controller"), false),
			.block_owner_deletion =
				json_bool_or(json_get(it, "blockOwnerDeletion"), false),
		};
	}
	for (size_t i = 0; i < k->selectable_field_count; i++) {
		h.fields[i] = text_of(json_path(doc, k->selectable_paths[i]), a);
		if (!h.fields[i].p)
			h.fields[i] = str_from(k->selectable_absent[i]);
	}
	*ret = h;
}

/* ---- from bytes ---- */

struct scan {
	const char *p, *end; /* p NULL: gave up */
	const struct kind *kind;
	struct header_room *room;
	struct object_header *header;
};

static bool give_up(struct scan *s)
{
	s->p = NULL;
	return false;
}

static inline bool at(const struct scan *s, char c)
{
	return s->p && s->p < s->end && *s->p == c;
}

static inline bool take(struct scan *s, char c)
{
	if (!at(s, c))
		return give_up(s);
	s->p++;
	return true;
}

/* Behind the closing quote; p is behind the opening one. Most strings are too short for a call. */
static inline const char *string_end(const char *p, const char *end)
{
	for (const char *near = p + MIN((size_t)32, (size_t)(end - p)); p < near; p++) {
		if (*p == '"')
			return p + 1;
		if (*p == '\\')
			break;
	}
	while ((p = memchr(p, '"', (size_t)(end - p))) != NULL) {
		const char *back = p;
		while (back[-1] == '\\')
			back--;
		if ((p - back) % 2 == 0)
			return p + 1;
		p++;
	}
	return NULL;
}

/* A string without escapes. */
static inline bool take_string(struct scan *s, struct str *ret)
{
	if (!take(s, '"'))
		return false;
	const char *start = s->p, *p = start, *end = s->end;
	while (p < end && *p != '"' && *p != '\\')
		p++;
	if (p == end || *p != '"')
		return give_up(s);
	s->p = p + 1;
	*ret = (struct str){start, (size_t)(p - start)};
	return true;
}

static bool skip_value(struct scan *s)
{
	const char *p = s->p, *end = s->end;
	unsigned depth = 0;
	do {
		if (p >= end)
			return give_up(s);
		switch (*p++) {
		case '"':
			p = string_end(p, end);
			if (!p)
				return give_up(s);
			break;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			if (depth-- == 0)
				return give_up(s);
			break;
		case ',':
		case ':':
			break;
		default: /* a number or a word */
			while (p < end && *p != ',' && *p != '}' && *p != ']')
				p++;
		}
	} while (depth > 0);
	s->p = p;
	return true;
}

/* The next member of an object whose '{' was taken: at its value. False: '}' was taken, or gave up.
 */
static inline bool next_member(struct scan *s, struct str *ret_name)
{
	if (at(s, '}')) {
		s->p++;
		return false;
	}
	if (at(s, ','))
		s->p++;
	return take_string(s, ret_name) && take(s, ':');
}

static bool next_item(struct scan *s)
{
	if (at(s, ']')) {
		s->p++;
		return false;
	}
	if (at(s, ','))
		s->p++;
	return s->p != NULL;
}

/* Anything but a string counts as "". */
static void take_text(struct scan *s, struct str *ret)
{
	if (at(s, '"'))
		take_string(s, ret);
	else
		skip_value(s);
}

static bool take_bool(struct scan *s)
{
	bool is_true = at(s, 't');
	skip_value(s);
	return is_true;
}

static void scan_labels(struct scan *s)
{
	struct object_header *h = s->header;
	struct str name;
	if (!at(s, '{')) {
		skip_value(s);
		return;
	}
	s->p++;
	while (next_member(s, &name)) {
		if (h->label_count == HEADER_LABELS) {
			give_up(s);
			return;
		}
		struct header_label *label = &h->labels[h->label_count++];
		*label = (struct header_label){name, STR("")};
		take_text(s, &label->value);
	}
}

static void scan_owner(struct scan *s)
{
	struct object_header *h = s->header;
	struct str name;
	if (h->owner_count == HEADER_OWNERS || !take(s, '{')) {
		give_up(s);
		return;
	}
	struct header_owner *o = &h->owners[h->owner_count++];
	*o = (struct header_owner){STR(""), STR(""), STR(""), STR(""), false, false};
	while (next_member(s, &name)) {
		if (str_eq(name, "uid"))
			take_text(s, &o->uid);
		else if (str_eq(name, "kind"))
			take_text(s, &o->kind);
		else if (str_eq(name, "apiVersion"))
			take_text(s, &o->api_version);
		else if (str_eq(name, "name"))
			take_text(s, &o->name);
		else if (str_eq(name, "controller"))
			o->controller = take_bool(s);
		else if (str_eq(name, "blockOwnerDeletion"))
			o->block_owner_deletion = take_bool(s);
		else
			skip_value(s);
	}
}

static void scan_owners(struct scan *s)
{
	if (!at(s, '[')) {
		skip_value(s);
		return;
	}
	s->p++;
	while (next_item(s))
		scan_owner(s);
}

static void scan_meta(struct scan *s)
{
	struct object_header *h = s->header;
	struct str name;
	if (!take(s, '{'))
		return;
	while (next_member(s, &name)) {
		if (str_eq(name, "name")) {
			take_text(s, &h->name);
		} else if (str_eq(name, "namespace")) {
			take_text(s, &h->namespace);
		} else if (str_eq(name, "uid")) {
			take_text(s, &h->uid);
		} else if (str_eq(name, "deletionTimestamp")) {
			h->deleting = at(s, '"');
			skip_value(s);
		} else if (str_eq(name, "labels")) {
			if (h->label_count == 0)
				scan_labels(s);
			else
				give_up(s); /* twice: which one counts, the parser knows */
		} else if (str_eq(name, "ownerReferences")) {
			if (h->owner_count == 0)
				scan_owners(s);
			else
				give_up(s);
		} else {
			skip_value(s);
		}
	}
}

/* Paths of fields that may be below the present value: what is left of them; NULL = not below. */
struct paths {
	const char *rest[HEADER_FIELDS];
};

static bool paths_below(const struct scan *s, const struct paths *from, struct str name,
	struct paths *ret, bool *ret_leaf)
{
	bool any = false;
	*ret_leaf = false;
	for (size_t i = 0; i < s->kind->selectable_field_count; i++) {
		const char *rest = from->rest[i];
		ret->rest[i] = NULL;
		if (!rest || !name.size || *rest != *name.p ||
			strnlen(rest, name.size) < name.size ||
			memcmp(rest, name.p, name.size) != 0)
			continue;
		if (rest[name.size] == '\0')
			*ret_leaf = true;
		else if (rest[name.size] != '.')
			continue;
		ret->rest[i] = rest + name.size + (rest[name.size] == '.');
		any = true;
	}
	return any;
}

static void take_field(struct scan *s, const struct paths *paths)
{
	struct str text = {0};
	const char *start = s->p;
	if (at(s, '"')) {
		take_string(s, &text);
	} else {
		skip_value(s);
		text = (struct str){start, s->p ? (size_t)(s->p - start) : 0};
		bool digits = text.size > 0 && text.size < 19 &&
			      strspn(start + (*start == '-'), "0123456789") ==
				      text.size - (*start == '-');
		if (!digits && !str_eq(text, "true") && !str_eq(text, "false")) {
			if (*start == '-' || (*start >= '0' && *start <= '9'))
				give_up(s); /* what a number is, the parser knows */
			return;
		}
	}
	for (size_t i = 0; s->p && i < s->kind->selectable_field_count; i++)
		if (paths->rest[i] && !*paths->rest[i])
			s->header->fields[i] = text;
}

static void scan_fields(struct scan *s, const struct paths *paths)
{
	struct str name;
	if (!at(s, '{')) {
		skip_value(s);
		return;
	}
	s->p++;
	while (next_member(s, &name)) {
		struct paths below;
		bool leaf;
		if (!paths_below(s, paths, name, &below, &leaf))
			skip_value(s);
		else if (leaf)
			take_field(s, &below);
		else
			scan_fields(s, &below);
	}
}

static void scan_object(struct scan *s)
{
	struct paths paths;
	struct str name;
	for (size_t i = 0; i < s->kind->selectable_field_count; i++)
		paths.rest[i] = s->kind->selectable_paths[i];
	if (!take(s, '{'))
		return;
	while (next_member(s, &name)) {
		struct paths below;
		bool leaf;
		if (str_eq(name, "metadata"))
			scan_meta(s);
		else if (!paths_below(s, &paths, name, &below, &leaf))
			skip_value(s);
		else if (leaf)
			take_field(s, &below);
		else
			scan_fields(s, &below);
	}
}

/* Paths into lists or metadata are rare: such kinds are parsed. One path within another, too. */
static bool is_plain(const struct kind *k)
{
	if (k->selectable_field_count > HEADER_FIELDS)
		return false;
	for (size_t i = 0; i < k->selectable_field_count; i++) {
		const char *path = k->selectable_paths[i];
		if (strchr(path, '[') || str_has_prefix(path, "metadata."))
			return false;
	}
	return true;
}

bool header_scan(const struct kind *k, const char *text, size_t size, struct header_room *room,
	struct object_header *ret)
{
	if (!is_plain(k))
		return false;
	struct object_header h = {
		.namespace = STR(""),
		.name = STR(""),
		.uid = STR(""),
		.labels = room->labels,
		.owners = room->owners,
		.fields = room->fields,
	};
	struct scan s = {.p = text, .end = text + size, .kind = k, .room = room, .header = &h};
	for (size_t i = 0; i < k->selectable_field_count; i++)
		h.fields[i] = str_from(k->selectable_absent[i]);
	scan_object(&s);
	if (!s.p || s.p != s.end)
		return false;
	*ret = h;
	return true;
}
