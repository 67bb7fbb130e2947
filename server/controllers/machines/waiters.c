#include "server/controllers/machines/waiters.h"

#include "lib/base/vec.h"

struct waiting {
	VEC(char *) keys; /* "NAMESPACE/NAME" */
};

static void waiting_free(struct waiting *w)
{
	for (size_t i = 0; i < w->keys.count; i++)
		free(w->keys.items[i]);
	VEC_FINISH(&w->keys);
	free(w);
}

void waiters_finish(struct waiters *w)
{
	for (struct table_iter i = table_iterate(&w->keys); table_next(&i);)
		waiting_free(i.value);
	table_finish(&w->keys);
}

void waiters_add(struct waiters *w, const char *key, const struct object *who)
{
	_cleanup_(free_p) char *name = xasprintf("%s/%s", who->namespace, who->name);
	struct waiting *all = table_get(&w->keys, key);
	if (!all) {
		all = xcalloc(1, sizeof(*all));
		table_set(&w->keys, key, all);
	}
	for (size_t i = 0; i < all->keys.count; i++)
		if (streq(all->keys.items[i], name))
			return;
	VEC_PUSH(&all->keys, TAKE_PTR(name));
}

void waiters_wake(struct waiters *w, const char *key)
{
	struct waiting *all = table_remove(&w->keys, key);
	for (size_t i = 0; all && i < all->keys.count; i++) {
		char *slash = strchr(all->keys.items[i], '/');
		*slash = '\0';
		loop_add(w->loop, all->keys.items[i], slash + 1);
	}
	if (all)
		waiting_free(all);
}
