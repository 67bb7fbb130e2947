/* wirec - makes the C table of protobuf messages: wirec OUT.c kubernetes.txt (format there). */

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "lib/object/protobuf_table.h"

#include <stdio.h>

struct message {
	char *name;
	size_t first, count;
};

struct field {
	unsigned number;
	size_t name;
	char *type;
	unsigned flags;
};

struct root {
	size_t api_version, kind;
	char *message;
};

struct tables {
	struct buf names;
	struct table name_at; /* text -> offset + 1 */
	VEC(struct message) messages;
	VEC(struct field) fields;
	VEC(struct root) roots;
};

static size_t intern(struct tables *t, const char *name)
{
	uintptr_t at = (uintptr_t)table_get(&t->name_at, name);

	if (!at) {
		at = t->names.size + 1;
		table_set(&t->name_at, name, (void *)at);
		buf_add(&t->names, name, strlen(name) + 1);
	}
	return (size_t)at - 1;
}

static int add_field(struct tables *t, char **words, size_t count)
{
	struct field f = {.name = intern(t, words[1]), .type = xstrdup(words[2])};
	struct message *m = &t->messages.items[t->messages.count - 1];
	int64_t number;

	if (parse_i64(str_from(words[0]), &number) < 0 || number < 1 || number > UINT16_MAX)
		return -EINVAL;
	f.number = (unsigned)number;
	for (size_t i = 3; i < count; i++) {
		if (streq(words[i], "repeated"))
			f.flags |= PROTO_REPEATED;
		else if (streq(words[i], "map"))
			f.flags |= PROTO_MAP;
		else if (streq(words[i], "inline"))
			f.flags |= PROTO_INLINE;
		else if (streq(words[i], "keep"))
			f.flags |= PROTO_KEEP;
		else
			return -EINVAL;
	}
	if (m->count > 0 && t->fields.items[t->fields.count - 1].number >= f.number)
		return -EINVAL; /* the decoder searches by number */
	m->count++;
	VEC_PUSH(&t->fields, f);
	return 0;
}

static int add_line(struct tables *t, char *line)
{
	char *words[8], *save = NULL;
	size_t count = 0;

	for (char *w = strtok_r(line, " \t\n", &save); w && count < ARRAY_LEN(words);
		w = strtok_r(NULL, " \t\n", &save))
		words[count++] = w;
	if (count == 0 || words[0][0] == '#')
		return 0;
	if (count == 4 && streq(words[0], "root")) {
		VEC_PUSH(&t->roots, ((struct root){intern(t, words[1]), intern(t, words[2]),
					    xstrdup(words[3])}));
		return 0;
	}
	if (count == 2 && streq(words[0], "message")) {
		VEC_PUSH(&t->messages, ((struct message){xstrdup(words[1]), t->fields.count, 0}));
		return 0;
	}
	if (count < 3 || t->messages.count == 0)
		return -EINVAL;
	return add_field(t, words, count);
}

static int find_message(const struct tables *t, const char *name)
{
	for (size_t i = 0; i < t->messages.count; i++)
		if (streq(t->messages.items[i].name, name))
			return (int)i;
	return -1;
}

static int scalar_type(const char *type)
{
	static const struct {
		const char *name;
		enum proto_type type;
	} scalars[] = {
		{"string", PROTO_STRING},
		{"bytes", PROTO_BYTES},
		{"int32", PROTO_INT},
		{"int64", PROTO_INT},
		{"bool", PROTO_BOOL},
		{"double", PROTO_DOUBLE},
	};

	for (size_t i = 0; i < ARRAY_LEN(scalars); i++)
		if (streq(scalars[i].name, type))
			return (int)scalars[i].type;
	return -1;
}

static enum proto_form form_of(const char *message)
{
	static const struct {
		const char *name;
		enum proto_form form;
	} forms[] = {
		{"meta.v1.Time", PROTO_TIME},
		{"meta.v1.MicroTime", PROTO_MICRO_TIME},
		{"meta.v1.Duration", PROTO_DURATION},
		{"meta.v1.FieldsV1", PROTO_RAW},
		{"apimachinery.api.resource.Quantity", PROTO_QUANTITY},
		{"apimachinery.util.intstr.IntOrString", PROTO_INT_OR_STRING},
		{"apimachinery.runtime.RawExtension", PROTO_RAW},
	};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		if (streq(forms[i].name, message))
			return forms[i].form;
	return str_has_suffix(message, ".ExtraValue") ? PROTO_LIST : PROTO_PLAIN;
}

static int write_tables(const struct tables *t, FILE *f)
{
	fprintf(f, "#include \"lib/object/protobuf_table.h\"\n\nconst char proto_names[] = {");
	for (size_t i = 0; i < t->names.size; i++)
		fprintf(f, "%s%u,", i % 32 ? "" : "\n", (unsigned char)t->names.data[i]);
	fprintf(f, "\n};\n\nconst struct proto_field proto_fields[] = {\n");
	for (size_t i = 0; i < t->fields.count; i++) {
		const struct field *d = &t->fields.items[i];
		int type = scalar_type(d->type), message = type < 0 ? find_message(t, d->type) : 0;

		if (message < 0) {
			fprintf(stderr, "wirec: nothing is called '%s'\n", d->type);
			return -EINVAL;
		}
		fprintf(f, "\t{ %u, %zu, %d, %d, %u },\n", d->number, d->name, message,
			type < 0 ? (int)PROTO_MESSAGE : type, d->flags);
	}
	fprintf(f, "};\n\nconst struct proto_message proto_messages[] = {\n");
	for (size_t i = 0; i < t->messages.count; i++) {
		const struct message *m = &t->messages.items[i];

		fprintf(f, "\t{ %zu, %zu, %d }, /* %s */\n", m->first, m->count,
			(int)form_of(m->name), m->name);
	}
	fprintf(f, "};\n\nconst struct proto_root proto_roots[] = {\n");
	for (size_t i = 0; i < t->roots.count; i++) {
		const struct root *r = &t->roots.items[i];
		int message = find_message(t, r->message);

		if (message < 0) {
			fprintf(stderr, "wirec: nothing is called '%s'\n", r->message);
			return -EINVAL;
		}
		fprintf(f, "\t{ %zu, %zu, %d },\n", r->api_version, r->kind, message);
	}
	fprintf(f, "};\n\nconst size_t proto_root_count = %zu;\n", t->roots.count);
	return t->names.size > UINT16_MAX || t->fields.count > UINT16_MAX ? -E2BIG : 0;
}

int main(int argc, char **argv)
{
	static struct tables t; /* lives as long as the program: not freed */
	char line[512];
	unsigned number = 0;
	FILE *in, *out;
	int r = 0;

	if (argc != 3) {
		fprintf(stderr, "usage: wirec OUT.c TABLE\n");
		return 2;
	}
	in = fopen(argv[2], "re");
	out = in ? fopen(argv[1], "we") : NULL;
	if (!out) {
		fprintf(stderr, "wirec: can't open '%s': %m\n", in ? argv[1] : argv[2]);
		return 1;
	}
	while (r == 0 && fgets(line, sizeof(line), in)) {
		number++;
		if (add_line(&t, line) < 0) {
			fprintf(stderr, "%s:%u: not understood\n", argv[2], number);
			r = -EINVAL;
		}
	}
	if (r == 0)
		r = write_tables(&t, out);
	fclose(in);
	return fclose(out) != 0 || r < 0;
}
