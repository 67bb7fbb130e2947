#include "server/api/verbs/sliced_list.h"

#include "server/api/tables/table.h"

/* What one turn of the loop makes. */
#define SLICE_ITEMS 32
#define SLICE_BYTES (64u << 10)
/* Of objects; what is made of them is mostly smaller. */
#define WORTH_COMPRESSING (256u << 10)

enum form { FORM_TABLE, FORM_METADATA, FORM_PRETTY, FORM_YAML, FORM_PLAIN };

struct sliced_list {
	struct list link; /* in api->sliced_lists */
	struct api_request *req;
	const struct kind *kind;
	struct object **items; /* from `at` on ours */
	size_t at, count;
	size_t written; /* of some that were found nothing can be made */
	struct json *(*make)(const struct compute *c, const struct object *of); /* hooks.h */
	const char *meta;
	enum form form;
	struct table_writer table;
	struct arena scratch;
};

/* A document with one member is written, and all before and behind its one item is cut away: what
 * stands between is the same in any list. */
static void write_nested(struct sliced_list *l, struct buf *out, struct json *item)
{
	static const char yaml_head[] = "items:\n", pretty_head[] = "{\n  \"items\": [";
	static const char pretty_tail[] = "\n  ]\n}";
	struct json *doc = json_new_object(&l->scratch), *items = json_new_array(&l->scratch);
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	json_set(&l->scratch, doc, "items", items);
	json_push(&l->scratch, items, item);
	if (l->form == FORM_YAML) {
		yaml_write(&text, doc);
		buf_add_str(out, text.data + sizeof(yaml_head) - 1);
		return;
	}
	json_write_pretty(&text, doc);
	buf_add(out, text.data + sizeof(pretty_head) - 1,
		text.size - (sizeof(pretty_head) - 1) - (sizeof(pretty_tail) - 1));
}

static void write_document_head(struct sliced_list *l, struct buf *out)
{
	struct arena *a = &l->scratch;
	struct json *doc = json_new_object(a), *metadata;
	const char *text = arena_printf(a, "{%s}", l->meta);
	_cleanup_(buf_finish) struct buf head = BUF_INIT;
	json_set_str(a, doc, "kind", l->kind->list_kind);
	json_set_str(a, doc, "apiVersion", l->kind->gv);
	if (json_parse(a, text, strlen(text), NULL, &metadata, NULL) < 0)
		abort(); /* it is ours */
	json_set(a, doc, "metadata", metadata);
	if (l->form == FORM_YAML) {
		yaml_write(out, doc);
	} else {
		json_write_pretty(&head, doc);
		buf_add(out, head.data, head.size - strlen("\n}"));
		buf_add_str(out, ",\n  \"items\": [");
	}
	arena_reset(a);
}

static void write_head(struct sliced_list *l, struct buf *out)
{
	l->table.out = out;
	if (l->form == FORM_TABLE)
		table_begin(&l->table, l->meta, true);
	else if (l->form == FORM_METADATA)
		buf_printf(out,
			"{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/%s\","
			"\"metadata\":{%s},\"items\":[",
			l->req->wanted.version, l->meta);
	else if (l->form == FORM_PLAIN)
		buf_printf(out,
			"{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{%s},\"items\":[",
			l->kind->list_kind, l->kind->gv, l->meta);
	else
		write_document_head(l, out);
}

static void write_doc(struct sliced_list *l, struct buf *out, struct json *doc)
{
	if (l->written && l->form != FORM_TABLE && l->form != FORM_YAML)
		buf_add_char(out, ',');
	if (!l->written && l->form == FORM_YAML)
		buf_add_str(out, "items:\n");
	l->written++;
	if (l->form == FORM_TABLE)
		table_add(&l->table, &l->scratch, doc);
	else if (l->form == FORM_METADATA)
		json_write(out, partial_metadata(&l->scratch, doc, l->req->wanted.version));
	else if (l->form == FORM_PLAIN)
		json_write(out, doc);
	else
		write_nested(l, out, doc);
}

static void write_item(struct sliced_list *l, struct buf *out)
{
	const struct compute c = {.api = l->req->api, .arena = &l->scratch, .kind = l->kind};
	const struct object *o = l->items[l->at];
	struct json *doc = l->make ? l->make(&c, o) : object_doc_as(o, l->kind, &l->scratch);
	if (doc)
		write_doc(l, out, doc);
	arena_reset(&l->scratch);
	object_unref(l->items[l->at++]);
}

static void write_tail(struct sliced_list *l, struct buf *out)
{
	if (l->form == FORM_TABLE)
		table_end(&l->table);
	else if (l->form == FORM_METADATA || l->form == FORM_PLAIN)
		buf_add_str(out, "]}\n");
	else if (l->form == FORM_PRETTY)
		buf_add_str(out, l->written ? "\n  ]\n}\n" : "]\n}\n");
	else if (!l->written)
		buf_add_str(out, "items: []\n");
}

static bool next_slice(void *user, struct buf *out)
{
	struct sliced_list *l = user;
	/* Who takes it all at once hands the same buffer in again. */
	size_t first = l->at, begin = out->size;
	l->table.out = out;
	if (first == 0)
		write_head(l, out);
	while (l->at < l->count && l->at < first + SLICE_ITEMS && out->size - begin < SLICE_BYTES)
		write_item(l, out);
	if (l->at < l->count) {
		/* No piece is empty: that would be the end of the answer. */
		if (out->size == begin)
			buf_add_char(out, '\n');
		return true;
	}
	write_tail(l, out);
	return false;
}

static void finish(void *user)
{
	struct sliced_list *l = user;
	list_remove(&l->link);
	while (l->at < l->count)
		object_unref(l->items[l->at++]);
	arena_finish(&l->scratch);
}

void sliced_list_respond(struct api_request *req, const struct cache_page *page, const char *meta)
{
	struct sliced_list *l = ARENA_NEW(req->arena, struct sliced_list);
	const char *include = query_get(&req->query, "includeObject");
	size_t size = 0;
	*l = (struct sliced_list){
		.req = req,
		.make = req->kind->custom ? NULL : hooks_find(req->kind)->make,
		.kind = req->kind,
		.items = page->items,
		.count = page->count,
		.meta = meta,
		.form = req->wanted.form == ACCEPT_TABLE    ? FORM_TABLE
			: req->wanted.form != ACCEPT_OBJECT ? FORM_METADATA
			: req->wanted.yaml		    ? FORM_YAML
			: query_bool(&req->query, "pretty") ? FORM_PRETTY
							    : FORM_PLAIN,
		.table = {.kind = req->kind,
			.version = req->wanted.version,
			.include = streq(include, "Object") ? INCLUDE_OBJECT
				   : streq(include, "None") ? INCLUDE_NONE
							    : INCLUDE_METADATA,
			.now_ns = api_now_ns(req)},
	};
	list_append(&req->api->sliced_lists, &l->link);
	for (size_t i = 0; i < page->count; i++) {
		object_ref(page->items[i]);
		size += page->items[i]->bytes->size;
	}
	api_respond_source(req, l->form == FORM_YAML ? "application/yaml" : "application/json",
		&(struct http_source){next_slice, finish, l}, size >= WORTH_COMPRESSING);
}

void sliced_lists_end_kind(struct api *api, const struct kind *k)
{
	LIST_FOR_EACH(l, &api->sliced_lists, struct sliced_list, link) {
		if (l->kind->slot != k->slot || l->at == l->count || !l->req->http)
			continue;
		list_remove(&l->link);
		http_abort(l->req->http);
	}
}
