#include "lib/object/object.h"

#include <stdio.h>

/* What was accepted once may have grown by defaults and server fields since. */
#define STORED_LIMITS ((struct json_limits){.depth = 512, .size_bytes = 64u << 20})

/* ---- bytes ----
 *
 * Bytes always begin {"kind":K,"apiVersion":V,"metadata":{"resourceVersion":R so that a revision
 * can be put in without parsing. */

static void write_head(struct buf *out, const struct kind *k)
{
	buf_add_str(out, "{\"kind\":");
	json_write_string(out, k->kind, strlen(k->kind));
	buf_add_str(out, ",\"apiVersion\":");
	json_write_string(out, k->gv, strlen(k->gv));
	buf_add_str(out, ",\"metadata\":{");
}

static void write_member(struct buf *out, const struct json_member *m, bool comma)
{
	if (comma)
		buf_add_char(out, ',');
	json_write_string(out, m->name, m->name_size);
	buf_add_char(out, ':');
	json_write(out, m->value);
}

/* `revision` is the text of metadata.resourceVersion, NULL to leave it out. */
static void write_object(
	struct buf *out, const struct kind *k, const struct json *doc, const char *revision)
{
	bool comma = revision != NULL;

	write_head(out, k);
	if (revision)
		buf_printf(out, "\"resourceVersion\":\"%s\"", revision);
	JSON_FOR_EACH_MEMBER(m, json_get(doc, "metadata")) {
		if (streq(m->name, "resourceVersion"))
			continue;
		write_member(out, m, comma);
		comma = true;
	}
	buf_add_char(out, '}');
	JSON_FOR_EACH_MEMBER(m, doc) {
		if (!streq(m->name, "kind") && !streq(m->name, "apiVersion") &&
			!streq(m->name, "metadata"))
			write_member(out, m, true);
	}
	buf_add_char(out, '}');
}

/* ---- header ---- */

struct packer {
	char *pos;
};

static const char *pack(struct packer *p, const char *s)
{
	size_t size = strlen(s) + 1;
	char *at = p->pos;

	memcpy(at, s, size);
	p->pos += size;
	return at;
}

static const char *text_of(const struct json *v, char room[32])
{
	if (json_is(v, JSON_STRING))
		return v->s;
	if (json_is(v, JSON_BOOL))
		return v->b ? "true" : "false";
	if (json_is(v, JSON_INT)) {
		snprintf(room, 32, "%lld", (long long)v->i);
		return room;
	}
	return NULL;
}

static const char *field_text(const struct kind *k, size_t i, const struct json *doc, char room[32])
{
	const char *text = text_of(json_path(doc, k->selectable_paths[i]), room);

	return text ? text : k->selectable_absent[i];
}

static int label_compare(const void *a, const void *b)
{
	const struct object_label *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static size_t header_text_bytes(
	const struct kind *k, const struct json *doc, const struct json *meta)
{
	char room[32];
	size_t n = 0;

	n += strlen(json_str_or(json_get(meta, "namespace"), "")) + 1;
	n += strlen(json_str_or(json_get(meta, "name"), "")) + 1;
	n += strlen(json_str_or(json_get(meta, "uid"), "")) + 1;
	JSON_FOR_EACH_MEMBER(m, json_get(meta, "labels"))
		n += m->name_size + 1 + strlen(json_str_or(m->value, "")) + 1;
	JSON_FOR_EACH_ITEM(it, json_get(meta, "ownerReferences")) {
		n += strlen(json_str_or(json_get(it, "uid"), "")) + 1;
		n += strlen(json_str_or(json_get(it, "kind"), "")) + 1;
		n += strlen(json_str_or(json_get(it, "apiVersion"), "")) + 1;
		n += strlen(json_str_or(json_get(it, "name"), "")) + 1;
	}
	for (size_t i = 0; i < k->selectable_field_count; i++)
		n += strlen(field_text(k, i, doc, room)) + 1;
	return n;
}

/* Takes over `bytes`. */
static struct object *new_header(
	const struct kind *k, const struct json *doc, uint64_t revision, struct blob *bytes)
{
	const struct json *meta = json_get(doc, "metadata");
	const struct json *labels = json_get(meta, "labels");
	const struct json *owners = json_get(meta, "ownerReferences");
	size_t label_count = json_is(labels, JSON_OBJECT) ? json_count(labels) : 0;
	size_t owner_count = json_is(owners, JSON_ARRAY) ? json_count(owners) : 0;
	size_t arrays = label_count * sizeof(struct object_label) +
			owner_count * sizeof(struct object_owner) +
			k->selectable_field_count * sizeof(char *);
	struct object *o = xmalloc(sizeof(*o) + arrays + header_text_bytes(k, doc, meta));
	struct object_label *label = (struct object_label *)(o + 1);
	struct object_owner *owner = (struct object_owner *)(label + label_count);
	const char **fields = (const char **)(owner + owner_count);
	struct packer p = {(char *)(fields + k->selectable_field_count)};
	char room[32];

	*o = (struct object){
		.refs = 1,
		.kind = k,
		.kind_revision = k->revision,
		.revision = revision,
		.bytes = bytes,
		.labels = label,
		.label_count = label_count,
		.owners = owner,
		.owner_count = owner_count,
		.fields = fields,
	};
	o->namespace = pack(&p, json_str_or(json_get(meta, "namespace"), ""));
	o->name = pack(&p, json_str_or(json_get(meta, "name"), ""));
	o->uid = pack(&p, json_str_or(json_get(meta, "uid"), ""));
	o->deleting = json_is(json_get(meta, "deletionTimestamp"), JSON_STRING);
	if (label_count > 0) {
		JSON_FOR_EACH_MEMBER(m, labels) {
			label->key = pack(&p, m->name);
			label->value = pack(&p, json_str_or(m->value, ""));
			label++;
		}
		qsort((void *)o->labels, label_count, sizeof(*label), label_compare);
	}
	JSON_FOR_EACH_ITEM(it, owners) {
		owner->uid = pack(&p, json_str_or(json_get(it, "uid"), ""));
		owner->kind = pack(&p, json_str_or(json_get(it, "kind"), ""));
		owner->api_version = pack(&p, json_str_or(json_get(it, "apiVersion"), ""));
		owner->name = pack(&p, json_str_or(json_get(it, "name"), ""));
		owner->controller = json_bool_or(json_get(it, "controller"), false);
		owner->block_owner_deletion =
			json_bool_or(json_get(it, "blockOwnerDeletion"), false);
		owner++;
	}
	for (size_t i = 0; i < k->selectable_field_count; i++)
		fields[i] = pack(&p, field_text(k, i, doc, room));
	return o;
}

/* ---- making ---- */

struct object *object_new(
	const struct kind *k, struct arena *a, struct json *doc, uint64_t revision)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	struct json *meta = json_object_at(a, doc, "metadata");
	char digits[24];

	snprintf(digits, sizeof(digits), "%llu", (unsigned long long)revision);
	json_set_str(a, doc, "kind", k->kind);
	json_set_str(a, doc, "apiVersion", k->gv);
	if (revision)
		json_set_str(a, meta, "resourceVersion", digits);
	else
		json_remove(meta, "resourceVersion");
	buf_reserve(&text, 2048);
	write_object(&text, k, doc, revision ? digits : NULL);
	return new_header(k, doc, revision, blob_new(text.data, text.size));
}

struct blob *object_stored_form(const struct kind *k, struct arena *a, struct json *doc)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;

	(void)a;
	buf_reserve(&text, 2048);
	write_object(&text, k, doc, "");
	return blob_new(text.data, text.size);
}

int object_from_stored(const struct kind *k, const char *value, size_t size, uint64_t revision,
	struct object **ret, struct err *err)
{
	static const char empty[] = "\"resourceVersion\":\"";
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	struct json_limits limits = STORED_LIMITS;
	struct json *doc;
	size_t head;
	int r;

	buf_reserve(&text, size + 24);
	write_head(&text, k);
	buf_add_str(&text, empty);
	head = text.size;
	if (size <= head || memcmp(value, text.data, head) != 0 || value[head] != '"')
		return err_set(err, -EBADMSG, "stored %s does not begin as one", k->kind);
	buf_printf(&text, "%llu", (unsigned long long)revision);
	buf_add(&text, value + head, size - head);
	r = json_parse(&a, text.data, text.size, &limits, &doc, err);
	if (r < 0)
		return err_context(err, -EBADMSG, "stored %s", k->kind);
	*ret = new_header(k, doc, revision, blob_new(text.data, text.size));
	return 0;
}

int object_from_bytes(
	const struct kind *k, const char *text, size_t size, struct object **ret, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json_limits limits = STORED_LIMITS;
	uint64_t revision = 0;
	struct json *doc;
	int r;

	r = json_parse(&a, text, size, &limits, &doc, err);
	if (r < 0)
		return err_context(err, -EBADMSG, "received %s", k->kind);
	if (!json_is(json_get(doc, "metadata"), JSON_OBJECT))
		return err_set(err, -EBADMSG, "received %s has no metadata", k->kind);
	if (parse_u64(str_from(json_path_str(doc, "metadata.resourceVersion")), &revision) < 0)
		revision = 0;
	*ret = new_header(k, doc, revision, blob_new(text, size));
	return 0;
}

struct object *object_ref(struct object *o)
{
	o->refs++;
	return o;
}

void object_unref(struct object *o)
{
	if (!o || --o->refs > 0)
		return;
	blob_unref(o->bytes);
	free(o);
}

void object_unref_p(struct object **o)
{
	object_unref(*o);
	*o = NULL;
}

/* ---- reading ---- */

struct json *object_doc(const struct object *o, struct arena *a)
{
	struct json_limits limits = STORED_LIMITS;
	struct json *doc;

	if (json_parse(a, o->bytes->data, o->bytes->size, &limits, &doc, NULL) < 0)
		abort();
	return doc;
}

struct json *object_doc_as(const struct object *o, const struct kind *k, struct arena *a)
{
	return kind_convert(a, o->kind, k, object_doc(o, a));
}

const char *object_label(const struct object *o, const char *key)
{
	for (size_t i = 0; i < o->label_count; i++)
		if (streq(o->labels[i].key, key))
			return o->labels[i].value;
	return NULL;
}

const struct object_owner *object_controller(const struct object *o)
{
	for (size_t i = 0; i < o->owner_count; i++)
		if (o->owners[i].controller)
			return &o->owners[i];
	return NULL;
}

const char *object_field(const struct object *o, const char *path)
{
	if (streq(path, "metadata.name"))
		return o->name;
	if (streq(path, "metadata.namespace"))
		return o->namespace;
	if (o->kind_revision != o->kind->revision)
		return ""; /* its fields were others; only those who kept it over a change see this
			    */
	for (size_t i = 0; i < o->kind->selectable_field_count; i++)
		if (streq(o->kind->selectable_fields[i], path))
			return o->fields[i];
	return NULL;
}
