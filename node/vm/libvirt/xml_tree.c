#include "node/vm/libvirt/xml_tree.h"

#include <ctype.h>
#include <stdlib.h>

#include "lib/base/str.h"

#define DEPTH_MAX 64
#define NODES_MAX 200000
#define SIZE_MAX_BYTES (8u << 20)

struct reader {
	struct arena *a;
	const char *start, *p, *end;
	unsigned nodes;
	struct err *err;
};

static int bad(struct reader *r, const char *what)
{
	return err_set(r->err, -EINVAL, "XML, offset %zu: %s", (size_t)(r->p - r->start), what);
}

static bool at(const struct reader *r, const char *what)
{
	size_t size = strlen(what);

	return (size_t)(r->end - r->p) >= size && memcmp(r->p, what, size) == 0;
}

static void skip_blanks(struct reader *r)
{
	while (r->p < r->end && isspace((unsigned char)*r->p))
		r->p++;
}

/* Behind `what`; false when it does not come. */
static bool skip_to(struct reader *r, const char *what)
{
	const char *found = memmem(r->p, (size_t)(r->end - r->p), what, strlen(what));

	r->p = found ? found + strlen(what) : r->end;
	return found != NULL;
}

static char *decode(struct arena *a, const char *p, size_t size)
{
	static const struct {
		const char *name;
		char is;
	} known[] = {
		{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&apos;", '\''}, {"&quot;", '"'}};
	char *out = arena_alloc(a, size + 1), *o = out;
	const char *end = p + size;

	while (p < end) {
		size_t take = 1;
		char c = *p;

		for (size_t i = 0; *p == '&' && i < ARRAY_LEN(known); i++) {
			size_t length = strlen(known[i].name);

			if ((size_t)(end - p) >= length && !memcmp(p, known[i].name, length)) {
				c = known[i].is;
				take = length;
				break;
			}
		}
		if (c == '\0')
			c = ' ';
		*o++ = c;
		p += take;
	}
	*o = '\0';
	return out;
}

static const char *read_name(struct reader *r)
{
	const char *from = r->p;

	while (r->p < r->end && (isalnum((unsigned char)*r->p) || strchr("_-.:", *r->p)) && *r->p)
		r->p++;
	return r->p > from ? arena_memdup(r->a, from, (size_t)(r->p - from)) : NULL;
}

static int read_attributes(struct reader *r, struct xml_node *n)
{
	struct xml_attribute **last = &n->attributes;

	for (;;) {
		struct xml_attribute *x;
		const char *from;
		char quote;

		skip_blanks(r);
		if (r->p == r->end)
			return bad(r, "an element does not end");
		if (*r->p == '>' || *r->p == '/')
			return 0;
		x = arena_zalloc(r->a, sizeof(*x));
		x->name = read_name(r);
		skip_blanks(r);
		if (!x->name || r->p == r->end || *r->p++ != '=')
			return bad(r, "an attribute was expected");
		skip_blanks(r);
		quote = r->p < r->end ? *r->p++ : '\0';
		from = r->p;
		if (quote != '\'' && quote != '"')
			return bad(r, "a quote was expected");
		while (r->p < r->end && *r->p != quote)
			r->p++;
		if (r->p == r->end)
			return bad(r, "an attribute does not end");
		x->value = decode(r->a, from, (size_t)(r->p++ - from));
		*last = x;
		last = &x->next;
	}
}

/* At '<' of an element's start. */
static int read_node(struct reader *r, unsigned depth, struct xml_node **ret)
{
	struct xml_node *n = arena_zalloc(r->a, sizeof(*n)), **last = &n->child;
	const char *from;
	char *text = NULL;
	size_t text_size = 0;
	int res;

	if (depth > DEPTH_MAX || ++r->nodes > NODES_MAX)
		return err_set(r->err, -E2BIG, "XML: too deep or too many elements");
	n->text = "";
	r->p++;
	n->name = read_name(r);
	if (!n->name)
		return bad(r, "an element's name was expected");
	res = read_attributes(r, n);
	if (res < 0)
		return res;
	*ret = n;
	if (*r->p == '/') {
		r->p++;
		if (r->p == r->end || *r->p++ != '>')
			return bad(r, "'>' was expected");
		return 0;
	}
	r->p++;
	for (;;) {
		from = r->p;
		while (r->p < r->end && *r->p != '<')
			r->p++;
		if (r->p == r->end)
			return bad(r, "an element is not closed");
		if (r->p > from) {
			struct str s = {from, (size_t)(r->p - from)};

			while (s.size && isspace((unsigned char)s.p[0]))
				s.p++, s.size--;
			while (s.size && isspace((unsigned char)s.p[s.size - 1]))
				s.size--;
			if (s.size) {
				char *more = decode(r->a, s.p, s.size);
				size_t size = strlen(more);

				text = arena_grow(r->a, text, text_size, text_size + size + 1);
				memcpy(text + text_size, more, size + 1);
				text_size += size;
				n->text = text;
			}
		}
		if (at(r, "<!--")) {
			if (!skip_to(r, "-->"))
				return bad(r, "a comment does not end");
			continue;
		}
		if (at(r, "</"))
			break;
		res = read_node(r, depth + 1, last);
		if (res < 0)
			return res;
		last = &(*last)->next;
	}
	r->p += 2;
	from = read_name(r);
	if (!from || !streq(from, n->name))
		return bad(r, "another element is closed");
	skip_blanks(r);
	if (r->p == r->end || *r->p++ != '>')
		return bad(r, "'>' was expected");
	return 0;
}

int xml_tree_parse(
	struct arena *a, const char *text, size_t size, struct xml_node **ret, struct err *err)
{
	struct reader r = {.a = a, .start = text, .p = text, .end = text + size, .err = err};
	struct xml_node *n = NULL;
	int res;

	if (size > SIZE_MAX_BYTES)
		return err_set(err, -E2BIG, "XML: longer than %u bytes", SIZE_MAX_BYTES);
	for (;;) {
		skip_blanks(&r);
		if (at(&r, "<?") ? skip_to(&r, "?>") : at(&r, "<!--") && skip_to(&r, "-->"))
			continue;
		break;
	}
	if (r.p == r.end || *r.p != '<')
		return bad(&r, "an element was expected");
	res = read_node(&r, 0, &n);
	if (res < 0)
		return res;
	*ret = n;
	return 0;
}

const char *xml_attr(const struct xml_node *n, const char *name)
{
	for (const struct xml_attribute *x = n ? n->attributes : NULL; x; x = x->next)
		if (streq(x->name, name))
			return x->value;
	return NULL;
}

const struct xml_node *xml_find(const struct xml_node *n, const char *path)
{
	struct str rest = str_from(path), part;

	while (n && str_split(&rest, '/', &part)) {
		n = n->child;
		while (n && !str_eq(part, n->name))
			n = n->next;
	}
	return n;
}

const struct xml_node *xml_next(const struct xml_node *n)
{
	const char *name = n ? n->name : "";

	for (n = n ? n->next : NULL; n && !streq(n->name, name);)
		n = n->next;
	return n;
}

const char *xml_text(const struct xml_node *n)
{
	return n ? n->text : "";
}
