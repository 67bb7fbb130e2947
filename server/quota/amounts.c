#include "server/quota/amounts.h"

struct amount *amounts_find(const struct amounts *list, const char *name)
{
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
}

void amounts_set(struct arena *a, struct amounts *list, struct amount amount)
{
	struct amount *have = amounts_find(list, amount.name);
	if (have)
		*have = amount;
	else
		append(a, list, amount);
}

void amounts_add(struct arena *a, struct amounts *list, struct amount amount)
{
	struct amount *have = amounts_find(list, amount.name);
	if (!have) {
		append(a, list, amount);
		return;
	}
	/* A sum is shown as its first part that is not zero. */
	if (have->value.nano == 0)
		have->binary = amount.binary;
	have->value.nano += amount.value.nano;
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
	JSON_FOR_EACH_ITEM(c, json_get(spec, "containers"))
		amounts_add_map(a, &total, part_of(c, part));
	JSON_FOR_EACH_ITEM(c, json_get(spec, "initContainers")) {
		struct amounts beside = {0};
		if (streq(json_str(json_get(c, "restartPolicy")), "Always")) {
			amounts_add_map(a, &total, part_of(c, part));
			amounts_add_map(a, &sidecars, part_of(c, part));
			for (size_t i = 0; i < sidecars.count; i++)
				amounts_max(a, &init, sidecars.items[i]);
			continue;
		}
		amounts_add_map(a, &beside, part_of(c, part));
		for (size_t i = 0; i < sidecars.count; i++)
			amounts_add(a, &beside, sidecars.items[i]);
		for (size_t i = 0; i < beside.count; i++)
			amounts_max(a, &init, beside.items[i]);
	}
	for (size_t i = 0; i < init.count; i++)
		amounts_max(a, &total, init.items[i]);
	return total;
}
