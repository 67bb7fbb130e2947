#include "server/scheduler/pod_index.h"

#include <stdio.h>

#include "server/scheduler/snapshot.h"

#define LABELS_MAX 32 /* that are kept */

struct indexed_label {
	struct table by_value; /* "namespace\x01value" -> pod_list */
	uint64_t last_used;    /* pass */
	char key[];
};

#define NAME_ROOM 256 /* a namespace and a label's value are at most 63 bytes each */

static void list_name(char room[NAME_ROOM], const char *ns, const char *value)
{
	snprintf(room, NAME_ROOM, "%s\x01%s", ns, value);
}

static void label_destroy(struct indexed_label *l)
{
	struct table_iter it = table_iterate(&l->by_value);
	while (table_next(&it)) {
		struct pod_list *list = it.value;
		VEC_FINISH(&list->pods);
		free(list);
	}
	table_finish(&l->by_value);
	free(l);
}

void pod_index_finish(struct pod_index *x)
{
	struct table_iter it = table_iterate(&x->labels);
	while (table_next(&it))
		label_destroy(it.value);
	table_finish(&x->labels);
}

static void add(struct indexed_label *l, struct assigned *as, const char *value)
{
	char name[NAME_ROOM];
	list_name(name, as->workload->ns, value);
	struct pod_list *list = table_get(&l->by_value, name);
	if (!list) {
		list = xcalloc(1, sizeof(*list));
		table_set(&l->by_value, name, list);
	}
	VEC_PUSH(&list->pods, as);
}

static void remove_from(struct indexed_label *l, struct assigned *as, const char *value)
{
	char name[NAME_ROOM];
	list_name(name, as->workload->ns, value);
	struct pod_list *list = table_get(&l->by_value, name);
	for (size_t n = list->pods.count; n-- > 0;) {
		if (list->pods.items[n] != as)
			continue;
		list->pods.items[n] = list->pods.items[--list->pods.count];
		break;
	}
	if (list->pods.count)
		return;
	table_remove(&l->by_value, name);
	VEC_FINISH(&list->pods);
	free(list);
}

void pod_index_account(struct pod_index *x, struct assigned *as, int sign)
{
	const struct workload *w = as->workload;
	for (size_t n = 0; n < w->label_count && x->labels.count; n++) {
		struct indexed_label *l = table_get(&x->labels, w->labels[n].key);
		if (!l)
			continue;
		if (sign > 0)
			add(l, as, w->labels[n].value);
		else
			remove_from(l, as, w->labels[n].value);
	}
}

static void drop_oldest(struct pod_index *x)
{
	struct indexed_label *oldest = NULL;
	struct table_iter it = table_iterate(&x->labels);
	while (table_next(&it)) {
		struct indexed_label *l = it.value;
		if (!oldest || l->last_used < oldest->last_used)
			oldest = l;
	}
	table_remove(&x->labels, oldest->key);
	label_destroy(oldest);
}

static struct indexed_label *make(struct snapshot *s, const char *label)
{
	struct pod_index *x = &s->counters.pods;
	if (x->labels.count >= LABELS_MAX)
		drop_oldest(x);
	size_t size = strlen(label) + 1;
	struct indexed_label *l = xcalloc(1, sizeof(*l) + size);
	memcpy(l->key, label, size);
	table_set(&x->labels, label, l);
	struct table_iter it = table_iterate(&s->assigned);
	while (table_next(&it)) {
		struct assigned *as = it.value;
		const struct workload *w = as->workload;
		for (size_t n = 0; n < w->label_count && !as->removed; n++)
			if (streq(w->labels[n].key, label))
				add(l, as, w->labels[n].value);
	}
	return l;
}

const struct pod_list *pod_index_get(
	struct snapshot *s, const char *ns, const char *label, const char *value)
{
	char name[NAME_ROOM];
	struct indexed_label *l = table_get(&s->counters.pods.labels, label);
	if (!l)
		l = make(s, label);
	l->last_used = s->pass;
	list_name(name, ns, value);
	return table_get(&l->by_value, name);
}
