/* kindc - bundles the kind files into one JSON document, as a C array: kindc OUT.c FILE.yaml...
 * A second, smaller one is for programs that only are clients: it knows each kind by its names, but
 * describes none but those of client_definitions.
 *
 * A file with a top-level `kind` describes that kind; its `schema` becomes the definition named by
 * `definition`. Any other file is a map of definitions. Kinds keep the order of the arguments,
 * which is the order of discovery. */

#include "lib/json/json.h"
#include "lib/object/kind.h"

#include <stdio.h>

/* What clients read that no server has checked: a node's static pods. */
static const char *const client_definitions[] = {"io.k8s.api.core.v1.Pod"};

static int read_file(const char *path, struct buf *ret)
{
	char room[65536];
	size_t n;
	FILE *f = fopen(path, "re");

	if (!f)
		return -errno;
	while ((n = fread(room, 1, sizeof(room), f)) > 0)
		buf_add(ret, room, n);
	n = (size_t)ferror(f);
	fclose(f);
	return n ? -EIO : 0;
}

static int add_definitions(
	struct arena *a, struct json *all, const struct json *more, struct err *err)
{
	JSON_FOR_EACH_MEMBER(m, more) {
		if (json_get(all, m->name))
			return err_set(err, -EEXIST, "'%s' is defined elsewhere, too", m->name);
		json_set(a, all, m->name, m->value);
	}
	return 0;
}

static int add_file(struct arena *a, const char *path, struct json *definitions, struct json *kinds,
	struct err *err)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	const char *definition;
	struct json *doc;
	int r;

	r = read_file(path, &text);
	if (r < 0)
		return err_errno(err, r, "read");
	r = yaml_parse(a, text.data ? text.data : "", text.size, NULL, &doc, err);
	if (r < 0)
		return r;
	if (!json_get(doc, "kind"))
		return add_definitions(a, definitions, doc, err);
	definition = json_str(json_get(doc, "definition"));
	if (!definition || !json_get(doc, "schema"))
		return err_set(err, -EINVAL, "a kind needs definition and schema");
	if (json_get(definitions, definition))
		return err_set(err, -EEXIST, "'%s' is defined elsewhere, too", definition);
	json_set(a, definitions, definition, json_get(doc, "schema"));
	r = add_definitions(a, definitions, json_get(doc, "definitions"), err);
	if (r < 0)
		return r;
	json_remove(doc, "schema");
	json_remove(doc, "definitions");
	json_push(a, kinds, doc);
	return 0;
}

/* `name` and all that it refers to. */
static void add_definition(
	struct arena *a, struct json *to, const struct json *definitions, const char *name);

static void add_referred(
	struct arena *a, struct json *to, const struct json *definitions, const struct json *j)
{
	const char *name = json_str(json_get(j, "$ref"));

	if (name)
		add_definition(a, to, definitions, name);
	JSON_FOR_EACH_MEMBER(m, j) {
		add_referred(a, to, definitions, m->value);
	}
	JSON_FOR_EACH_ITEM(item, j) {
		add_referred(a, to, definitions, item);
	}
}

static void add_definition(
	struct arena *a, struct json *to, const struct json *definitions, const char *name)
{
	struct json *definition = json_get(definitions, name);

	if (json_get(to, name) || !definition)
		return; /* loading says what is missing */
	json_set(a, to, name, definition);
	add_referred(a, to, definitions, definition);
}

static struct json *client_bundle(struct arena *a, const struct json *bundle)
{
	struct json *all = json_copy(a, bundle), *definitions = json_get(all, "definitions");
	struct json *chosen = json_new_object(a);

	for (size_t i = 0; i < ARRAY_LEN(client_definitions); i++)
		add_definition(a, chosen, definitions, client_definitions[i]);
	json_set(a, all, "definitions", chosen);
	JSON_FOR_EACH_ITEM(kind, json_get(all, "kinds")) {
		json_remove(kind, "columns");
		if (!json_get(chosen, json_str(json_get(kind, "definition"))))
			json_set_bool(a, kind, "described", false);
	}
	return all;
}

static void write_array(FILE *f, const char *name, const struct buf *text)
{
	fprintf(f, "\nconst size_t %s_size = %zu;\nconst unsigned char %s[] = {", name, text->size,
		name);
	for (size_t i = 0; i < text->size; i++)
		fprintf(f, "%s%u,", i % 32 ? "" : "\n", (unsigned char)text->data[i]);
	fprintf(f, "0\n};\n");
}

static int write_c(const char *path, const struct buf *text, const struct buf *client_text)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return -errno;
	fprintf(f, "#include \"lib/object/builtin.h\"\n");
	write_array(f, "builtin_kinds", text);
	write_array(f, "builtin_client_kinds", client_text);
	return fclose(f) == 0 ? 0 : -EIO;
}

/* A bundle that the program could not load should fail the build. */
static int check(const struct buf *text, struct err *err)
{
	struct kind_registry *registry = kind_registry_create();
	int r = kind_registry_load(registry, text->data, text->size, err);

	kind_registry_destroy(registry);
	return r;
}

int main(int argc, char **argv)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf text = BUF_INIT, client_text = BUF_INIT;
	struct json *bundle = json_new_object(&a);
	struct json *definitions = json_object_at(&a, bundle, "definitions");
	struct json *kinds = json_array_at(&a, bundle, "kinds");
	struct err err = ERR_INIT;
	int r;

	if (argc < 3) {
		fprintf(stderr, "usage: kindc OUT.c FILE.yaml...\n");
		return 2;
	}
	for (int i = 2; i < argc; i++) {
		if (add_file(&a, argv[i], definitions, kinds, &err) < 0) {
			fprintf(stderr, "%s: %s\n", argv[i], err.msg);
			return 1;
		}
	}
	json_write(&text, bundle);
	json_write(&client_text, client_bundle(&a, bundle));
	r = check(&text, &err);
	if (r >= 0)
		r = check(&client_text, &err);
	if (r < 0) {
		fprintf(stderr, "kindc: %s\n", err.msg);
		return 1;
	}
	r = write_c(argv[1], &text, &client_text);
	if (r < 0) {
		fprintf(stderr, "kindc: can't write '%s': %s\n", argv[1], strerror(-r));
		return 1;
	}
	return 0;
}
