#include "node/disk/populate/source_refs.h"

#include <uv.h>

struct one {
	struct source_refs *r;
	const char *kind, *name;
	struct client_call *call;
	struct json *doc;
};

struct source_refs {
	struct populate_job *j;
	struct arena arena;
	struct one list[SOURCE_REFS_MAX];
	size_t count, waiting;
	struct err err;
	uv_timer_t timer;
	source_refs_done *done;
	void *user;
};

static void freed(uv_handle_t *h)
{
	struct source_refs *r = h->data;

	arena_finish(&r->arena);
	free(r);
}

void source_refs_destroy(struct source_refs *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->count; i++)
		if (r->list[i].call)
			client_cancel(r->j->node->client, r->list[i].call);
	uv_close((uv_handle_t *)&r->timer, freed);
}

static void on_end(uv_timer_t *t)
{
	struct source_refs *r = t->data;

	r->done(r->user, r->err.code ? &r->err : NULL);
}

static void one_done(struct source_refs *r)
{
	if (--r->waiting == 0)
		uv_timer_start(&r->timer, on_end, 0, 0);
}

static void on_answer(void *user, const struct client_result *result)
{
	struct one *o = user;
	struct source_refs *r = o->r;
	struct err err = ERR_INIT;

	o->call = NULL;
	if (!client_ok(result))
		err_set(&r->err, -EIO, "%s '%s': %s",
			streq(o->kind, "Secret") ? "secret" : "config map", o->name,
			result->message);
	else if (json_parse(&r->arena, result->body, result->body_size, NULL, &o->doc, &err) < 0)
		r->err = err;
	one_done(r);
}

struct source_refs *source_refs_fetch(struct populate_job *j, const struct source_ref *list,
	size_t count, source_refs_done *done, void *user)
{
	struct source_refs *r = xcalloc(1, sizeof(*r));

	r->j = j;
	r->done = done;
	r->user = user;
	r->waiting = 1;
	uv_timer_init(j->node->loop, &r->timer);
	r->timer.data = r;
	for (size_t i = 0; i < count; i++) {
		struct one *o = &r->list[r->count];

		if (!list[i].name || !*list[i].name)
			continue;
		if (r->count == SOURCE_REFS_MAX) {
			err_set(&r->err, -EINVAL, "more than %d secrets", SOURCE_REFS_MAX);
			break;
		}
		*o = (struct one){.r = r, .kind = list[i].kind};
		o->name = arena_strdup(&r->arena, list[i].name);
		o->call = client_request(j->node->client,
			&(struct client_request){
				.method = "GET",
				.path = client_path(&r->arena,
					kind_by_name(j->node->kinds, "", "v1", o->kind),
					j->namespace, o->name, NULL),
			},
			on_answer, o);
		r->count++;
		r->waiting++;
	}
	one_done(r);
	return r;
}

const char *source_refs_value(
	const struct source_refs *r, const char *kind, const char *name, const char *key)
{
	struct source_refs *mine = (struct source_refs *)(uintptr_t)r;
	_cleanup_(buf_finish) struct buf all = BUF_INIT;

	for (size_t i = 0; name && i < r->count; i++) {
		if (!streq(r->list[i].kind, kind) || !streq(r->list[i].name, name))
			continue;
		JSON_FOR_EACH_MEMBER(m, json_get(r->list[i].doc, "data")) {
			const char *text = json_str_or(m->value, "");
			char *plain;
			size_t size;

			if (key && !streq(m->name, key))
				continue;
			if (streq(kind, "Secret")) {
				if (base64_decode(&mine->arena, str_from(text), &plain, &size) < 0)
					continue;
				text = plain;
			}
			buf_add_str(&all, text);
			buf_add_char(&all, '\n');
		}
	}
	if (!all.size)
		return NULL;
	all.data[--all.size] = '\0';
	return arena_strdup(&mine->arena, all.data);
}
