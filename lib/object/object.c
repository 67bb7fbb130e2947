#include "lib/object/object.h"
#include "lib/object/object_header.h"

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

static const char *pack(struct packer *p, struct str s)
{
	char *at = p->pos;

	if (s.size)
		memcpy(at, s.p, s.size);
	at[s.size] = '\0';
	p->pos += s.size + 1;
	return at;
}

static int label_compare(const void *a, const void *b)
{
	const struct object_label *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static size_t header_text_bytes(const struct kind *k, const struct object_header *h)
{
	size_t n = h->namespace.size + h->name.size + h->uid.size + 3;

	for (size_t i = 0; i < h->label_count; i++)
		n += h->labels[i].key.size + h->labels[i].value.size + 2;
	for (size_t i = 0; i < h->owner_count; i++)
		n += h->owners[i].uid.size + h->owners[i].kind.size +
		     h->owners[i].api_version.size + h->owners[i].name.size + 4;
	for (size_t i = 0; i < k->selectable_field_count; i++)
		n += h->fields[i].size + 1;
	return n;
}

/* Takes over `bytes`. */
static struct object *new_object(
	const struct kind *k, const struct object_header *h, uint64_t revision, struct blob *bytes)
{
	size_t arrays = h->label_count * sizeof(struct object_label) +
			h->owner_count * sizeof(struct object_owner) +
			k->selectable_field_count * sizeof(char *);
	struct object *o = xmalloc(sizeof(*o) + arrays + header_text_bytes(k, h));
	struct object_label *label = (struct object_label *)(o + 1);
	struct object_owner *owner = (struct object_owner *)(label + h->label_count);
	const char **fields = (const char **)(owner + h->owner_count);
	struct packer p = {(char *)(fields + k->selectable_field_count)};

	*o = (struct object){
		.refs = 1,
		.kind = k,
		.kind_revision = k->revision,
		.revision = revision,
		.bytes = bytes,
		.deleting = h->deleting,
		.labels = label,
		.label_count = h->label_count,
		.owners = owner,
		.owner_count = h->owner_count,
		.fields = fields,
	};
	o->namespace = pack(&p, h->namespace);
	o->name = pack(&p, h->name);
	o->uid = pack(&p, h->uid);
	for (size_t i = 0; i < h->label_count; i++) {
		label[i].key = pack(&p, h->labels[i].key);
		label[i].value = pack(&p, h->labels[i].value);
	}
	if (h->label_count > 1)
		qsort(label, h->label_count, sizeof(*label), label_compare);
	for (size_t i = 0; i < h->owner_count; i++) {
		const struct header_owner *from = &h->owners[i];

		owner[i] = (struct object_owner){
			.uid = pack(&p, from->uid),
			.kind = pack(&p, from->kind),
			.api_version = pack(&p, from->api_version),
			.name = pack(&p, from->name),
			.controller = from->controller,
			.block_owner_deletion = from->block_owner_deletion,
		};
	}
	for (size_t i = 0; i < k->selectable_field_count; i++)
		fields[i] = pack(&p, h->fields[i]);
	return o;
}

static struct object *new_header(
	const struct kind *k, const struct json *doc, uint64_t revision, struct blob *bytes)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object_header h;

	header_from_doc(k, doc, &a, &h);
	return new_object(k, &h, revision, bytes);
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

/* The stored form with its revision put in. NULL when it does not begin as one. */
static struct blob *with_revision(
	const struct kind *k, const char *value, size_t size, uint64_t revision)
{
	static const char empty[] = "\"resourceVersion\":\"";
	_cleanup_(buf_finish) struct buf head = BUF_INIT;
	struct blob *b;
	size_t stored;

	buf_reserve(&head, 256);
	write_head(&head, k);
	buf_add_str(&head, empty);
	stored = head.size;
	if (size <= stored || size >= STORED_LIMITS.size_bytes ||
		memcmp(value, head.data, stored) != 0 || value[stored] != '"')
		return NULL;
	buf_printf(&head, "%llu", (unsigned long long)revision);
	b = blob_alloc(head.size + size - stored);
	memcpy(b->data, head.data, head.size);
	memcpy(b->data + head.size, value + stored, size - stored);
	return b;
}

static int parse_stored(const struct kind *k, struct blob *bytes, uint64_t revision,
	struct object **ret, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json_limits limits = STORED_LIMITS;
	struct json *doc;
	int r;

	r = json_parse(&a, bytes->data, bytes->size, &limits, &doc, err);
	if (r < 0)
		return err_context(err, -EBADMSG, "stored %s", k->kind);
	*ret = new_header(k, doc, revision, blob_ref(bytes));
	return 0;
}

int object_from_stored(const struct kind *k, const char *value, size_t size, uint64_t revision,
	struct object **ret, struct err *err)
{
	_cleanup_(blob_unref_p) struct blob *bytes = with_revision(k, value, size, revision);

	if (!bytes)
		return err_set(err, -EBADMSG, "stored %s does not begin as one", k->kind);
	return parse_stored(k, bytes, revision, ret, err);
}

int object_from_written(const struct kind *k, const char *value, size_t size, uint64_t revision,
	struct object **ret, struct err *err)
{
	_cleanup_(blob_unref_p) struct blob *bytes = with_revision(k, value, size, revision);
	struct object_header header;
	struct header_room room;

	if (!bytes)
		return err_set(err, -EBADMSG, "stored %s does not begin as one", k->kind);
	if (!header_scan(k, bytes->data, bytes->size, &room, &header))
		return parse_stored(k, bytes, revision, ret, err);
	*ret = new_object(k, &header, revision, TAKE_PTR(bytes));
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

bool object_labels_equal(
	const struct object_label *a, size_t a_count, const struct object_label *b, size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t n = 0; n < a_count; n++)
		if (!streq(a[n].key, b[n].key) || !streq(a[n].value, b[n].value))
			return false;
	return true;
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
