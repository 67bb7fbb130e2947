/* exposition.c - see exposition.h. A line is
 *
 *	name{label="value",label="value"} 1.5e3 1700000000000
 *
 * with the time (ms) left out or not; '#' begins a comment. */
#include "server/usage/exposition.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/base/table.h"

#define LABELS_MAX 16
#define LINE_MAX_BYTES 4096u
#define NAME_MAX_BYTES 253u /* of an object */

static const struct known {
	const char *name;
	enum figure_type type;
	bool cpu;
	const char *owner; /* the label that names it */
} known[] = {
	{"node_cpu_usage_seconds_total", FIGURE_NODE, true, NULL},
	{"node_memory_working_set_bytes", FIGURE_NODE, false, NULL},
	{"container_cpu_usage_seconds_total", FIGURE_CONTAINER, true, "pod"},
	{"container_memory_working_set_bytes", FIGURE_CONTAINER, false, "pod"},
	{"kubevirt_vmi_cpu_usage_seconds_total", FIGURE_MACHINE, true, "name"},
	{"kubevirt_vmi_memory_resident_bytes", FIGURE_MACHINE, false, "name"},
};

struct line {
	char *at; /* the line's text, NUL-terminated, is changed in place */
	const char *name;
	struct {
		const char *name, *value;
	} labels[LABELS_MAX];
	size_t label_count;
	double value;
	int64_t time_ns;
};

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == ':';
}

static void skip_blanks(struct line *l)
{
	while (*l->at == ' ' || *l->at == '\t')
		l->at++;
}

/* Ends the text before the present character and steps over it. */
static void cut(struct line *l)
{
	*l->at++ = '\0';
}

static bool read_value(struct line *l, const char **ret)
{
	if (*l->at != '"')
		return false;
	char *to = ++l->at;
	*ret = to;
	while (*l->at && *l->at != '"') {
		if (*l->at == '\\') {
			l->at++;
			if (!*l->at || !strchr("\\\"n", *l->at))
				return false;
			*to++ = *l->at == 'n' ? '\n' : *l->at;
			l->at++;
		} else {
			*to++ = *l->at++;
		}
	}
	if (*l->at != '"')
		return false;
	l->at++;
	*to = '\0';
	return true;
}

/* Behind '{', to behind '}'. */
static bool read_labels(struct line *l)
{
	for (;;) {
		skip_blanks(l);
		if (*l->at == '}') {
			l->at++;
			return true;
		}
		if (l->label_count == LABELS_MAX)
			return false;
		char *name = l->at;
		while (is_name_char(*l->at))
			l->at++;
		if (l->at == name)
			return false;
		char *end = l->at;
		skip_blanks(l);
		if (*l->at != '=')
			return false;
		l->at++;
		*end = '\0';
		skip_blanks(l);
		if (!read_value(l, &l->labels[l->label_count].value))
			return false;
		l->labels[l->label_count++].name = name;
		skip_blanks(l);
		if (*l->at == ',')
			l->at++;
		else if (*l->at != '}')
			return false;
	}
}

static bool read_number(struct line *l)
{
	char *end;

	skip_blanks(l);
	/* strtod() knows more forms than the format has: hexadecimal ones, for one. */
	if (!*l->at || !strchr("+-.0123456789NIni", *l->at) || strpbrk(l->at, "xX"))
		return false;
	l->value = strtod(l->at, &end);
	if (end == l->at)
		return false;
	l->at = end;
	if (*l->at && *l->at != ' ' && *l->at != '\t')
		return false;
	skip_blanks(l);
	if (!*l->at)
		return true;
	int64_t ms;
	char *from = l->at;
	while (*l->at && *l->at != ' ' && *l->at != '\t')
		l->at++;
	if (parse_i64((struct str){from, (size_t)(l->at - from)}, &ms) < 0 ||
		ms > INT64_MAX / NS_PER_MS || ms < 0)
		return false;
	l->time_ns = ms * NS_PER_MS;
	skip_blanks(l);
	return !*l->at;
}

static bool read_line(struct line *l)
{
	char *name = l->at;

	while (is_name_char(*l->at))
		l->at++;
	if (l->at == name)
		return false;
	l->name = name;
	char *end = l->at;
	skip_blanks(l);
	if (*l->at == '{') {
		l->at++;
		*end = '\0';
		return read_labels(l) && read_number(l);
	}
	if (l->at == end)
		return false;
	l->at = end;
	cut(l);
	return read_number(l);
}

static const char *label(const struct line *l, const char *name)
{
	for (size_t i = 0; i < l->label_count; i++)
		if (streq(l->labels[i].name, name))
			return l->labels[i].value;
	return NULL;
}

struct building {
	struct figures *out;
	struct table index; /* "type ns owner container" -> place in items, plus one */
	size_t room;
};

static struct figure *figure_of(struct building *b, enum figure_type type, const char *ns,
	const char *owner, const char *container)
{
	struct figures *f = b->out;
	const char *key = arena_printf(&f->arena, "%d %s %s %s", (int)type, ns, owner, container);
	uintptr_t at = (uintptr_t)table_get(&b->index, key);

	if (at)
		return &f->items[at - 1];
	if (f->count == FIGURES_MAX)
		return NULL;
	if (f->count == b->room) {
		b->room = b->room ? b->room * 2 : 64;
		f->items = xrealloc(f->items, b->room * sizeof(*f->items));
	}
	f->items[f->count++] = (struct figure){
		.type = type,
		.ns = arena_strdup(&f->arena, ns),
		.owner = arena_strdup(&f->arena, owner),
		.container = arena_strdup(&f->arena, container),
	};
	table_set(&b->index, key, (void *)(uintptr_t)f->count);
	return &f->items[f->count - 1];
}

static int take(struct building *b, const struct line *l, int64_t now_ns)
{
	const struct known *k = NULL;

	for (size_t i = 0; i < ARRAY_LEN(known) && !k; i++)
		if (streq(known[i].name, l->name))
			k = &known[i];
	/* NaN stands for "not known". */
	if (!k || !(l->value >= 0) || l->value > 9e9 * (k->cpu ? 1 : 1e9))
		return 0;
	const char *ns = k->owner ? label(l, "namespace") : "";
	const char *owner = k->owner ? label(l, k->owner) : "";
	const char *container = k->type == FIGURE_CONTAINER ? label(l, "container") : "";
	if (!ns || !owner || !container)
		return 0;
	/* Nothing is called so: it need not be kept. */
	if (strlen(ns) > NAME_MAX_BYTES || strlen(owner) > NAME_MAX_BYTES ||
		strlen(container) > NAME_MAX_BYTES)
		return 0;
	struct figure *f = figure_of(b, k->type, ns, owner, container);
	if (!f)
		return -E2BIG;
	if (k->cpu) {
		f->cpu_ns = (uint64_t)llround(l->value * 1e9);
		f->time_ns = l->time_ns >= 0 ? l->time_ns : now_ns;
		f->has_cpu = true;
	} else {
		f->memory_bytes = (uint64_t)l->value;
		f->has_memory = true;
	}
	return 0;
}

int figure_compare(const struct figure *a, const struct figure *b)
{
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	int c = strcmp(a->ns, b->ns);
	c = c ? c : strcmp(a->owner, b->owner);
	return c ? c : strcmp(a->container, b->container);
}

static int compare(const void *a, const void *b)
{
	return figure_compare(a, b);
}

int figures_parse(
	const char *text, size_t size, int64_t now_ns, struct figures *ret, struct err *err)
{
	struct building b = {.out = ret, .index = TABLE_INIT};
	struct str rest = {text, size}, part;
	size_t number = 0;
	int r = 0;

	*ret = (struct figures){.arena = ARENA_INIT};
	while (r == 0 && rest.p && str_split(&rest, '\n', &part)) {
		char copy[LINE_MAX_BYTES];
		struct line l = {.at = copy, .time_ns = -1};
		number++;
		if (part.size && part.p[part.size - 1] == '\r')
			part.size--;
		if (part.size >= sizeof(copy) || memchr(part.p, '\0', part.size)) {
			r = err_set(err, -EBADMSG, "line %zu is no line of figures", number);
			break;
		}
		memcpy(copy, part.p, part.size);
		copy[part.size] = '\0';
		skip_blanks(&l);
		if (!*l.at || *l.at == '#')
			continue;
		if (!read_line(&l))
			r = err_set(err, -EBADMSG, "line %zu is no line of figures", number);
		else if (take(&b, &l, now_ns) < 0)
			r = err_set(err, -E2BIG, "more than %u figures", FIGURES_MAX);
	}
	table_finish(&b.index);
	if (r < 0) {
		figures_finish(ret);
		return r;
	}
	if (ret->count > 1)
		qsort(ret->items, ret->count, sizeof(*ret->items), compare);
	return 0;
}

void figures_finish(struct figures *f)
{
	arena_finish(&f->arena);
	free(f->items);
	*f = (struct figures){.arena = ARENA_INIT};
}
