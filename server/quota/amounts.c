#include "server/quota/amounts.h"

#include "lib/base/table.h"

#define INDEXED_FROM 16

/* Where the name is in the index, or would be. */
static uint32_t *slot_of(const struct amounts *list, const char *name)
{
	size_t i = table_hash(name, strlen(name));
	for (;; i++) {
		uint32_t *slot = &list->index[i & (list->index_room - 1)];
		if (!*slot || streq(list->items[*slot - 1].name, name))
			return slot;
	}
}

static void index_last(struct arena *a, struct amounts *list)
{
	size_t first = list->count - 1;
	if (list->count < INDEXED_FROM)
		return;
	if (list->index_room < 2 * list->count) {
		list->index_room = MAX(list->index_room * 2, (size_t)4 * INDEXED_FROM);
		list->index = arena_zalloc(a, list->index_room * sizeof(*list->index));
		first = 0;
	}
	for (size_t i = first; i < list->count; i++)
		*slot_of(list, list->items[i].name) = (uint32_t)i + 1;
}

struct amount *amounts_find(const struct amounts *list, const char *name)
{
	if (list->index) {
		uint32_t place = *slot_of(list, name);
		return place ? &list->items[place - 1] : NULL;
	}
	for (size_t i = 0; i < list->count; i++)
		if (streq(list->items[i].name, name))
			return &list->items[i];
	return NULL;
}

static void append(struct arena *a, struct amounts *list, struct amount amount)
{
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 8;
		list->items = arena_grow(a, list->items, list->room * sizeof(*list->items),
			room * sizeof(*list->items));
		list->room = room;
	}
	list->items[list->count++] = amount;
	index_last(a, list);
}

void amounts_set(struct arena *a, struct amounts *list, struct amount amount)
{
	struct amount *have = amounts_find(list, amount.name);
	if (have)
		*have = amount;
	else
		append(a, list, amount);
}

static void add(struct amount *to, const struct amount *amount)
{
	/* A sum is shown as its first part that is not zero. */
	if (to->value.nano == 0)
		to->binary = amount->binary;
	to->value.nano += amount->value.nano;
}

void amounts_add(struct arena *a, struct amounts *list, struct amount amount)
{
	struct amount *have = amounts_find(list, amount.name);
	if (have)
		add(have, &amount);
	else
		append(a, list, amount);
}

void amounts_max(struct arena *a, struct amounts *list, struct amount amount)
{
	struct amount *have = amounts_find(list, amount.name);
	if (!have)
		append(a, list, amount);
	else if (amount.value.nano > have->value.nano)
		*have = amount;
}

bool amount_of(const char *name, const struct json *value, struct amount *ret)
{
	const char *text = json_str(value);
	struct amount amount = {.name = name};
	if (json_is(value, JSON_INT)) { /* before the server has made a text of it */
		amount.value.nano = (__int128)value->i * 1000000000;
		*ret = amount;
		return true;
	}
	if (!text || quantity_parse(text, &amount.value) < 0)
		return false;
	amount.binary = quantity_is_binary(text);
	*ret = amount;
	return true;
}

void amounts_add_map(struct arena *a, struct amounts *list, const struct json *map)
{
	struct amount amount;
	JSON_FOR_EACH_MEMBER(m, map)
		if (amount_of(m->name, m->value, &amount))
			amounts_add(a, list, amount);
}

char *amount_text(struct arena *a, const struct amount *amount)
{
	return quantity_text(a, amount->value, amount->binary);
}

static const struct json *part_of(const struct json *container, const char *part)
{
	return json_get(json_get(container, "resources"), part);
}

struct amounts pod_amounts(struct arena *a, const struct json *spec, const char *part)
{
	struct amounts total = {0}, sidecars = {0}, init = {0};
	struct amount amount;
	JSON_FOR_EACH_ITEM(c, json_get(spec, "containers"))
		amounts_add_map(a, &total, part_of(c, part));
	JSON_FOR_EACH_ITEM(c, json_get(spec, "initContainers")) {
		bool sidecar = streq(json_str(json_get(c, "restartPolicy")), "Always");
		/* `init` has what the sidecars need already, but for the names of this one. */
		JSON_FOR_EACH_MEMBER(m, part_of(c, part)) {
			if (!amount_of(m->name, m->value, &amount))
				continue;
			if (sidecar) {
				amounts_add(a, &total, amount);
				amounts_add(a, &sidecars, amount);
			}
			const struct amount *beside = amounts_find(&sidecars, m->name);
			if (beside && sidecar)
				amount = *beside;
			else if (beside)
				add(&amount, beside);
			amounts_max(a, &init, amount);
		}
	}
	for (size_t i = 0; i < init.count; i++)
		amounts_max(a, &total, init.items[i]);
	return total;
}
