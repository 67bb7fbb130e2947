#include <stdio.h>

#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "lib/client/informer.h"

struct informers {
	struct client *client;
	VEC(struct informer *) all;
	void (*on_synced)(void *user);
	void *user;
	bool told;
};

struct informers *informers_create(struct client *c)
{
	struct informers *f = xcalloc(1, sizeof(*f));
	f->client = c;
	return f;
}

struct informer *informers_get(
	struct informers *f, const char *group, const char *version, const char *kind)
{
	const struct kind *k = kind_by_name(f->client->kinds, group, version, kind);
	if (!k) {
		log_error("no such kind in this program", "group", group, "version", version,
			"kind", kind, NULL);
		abort();
	}
	for (size_t n = 0; n < f->all.count; n++)
		if (informer_kind(f->all.items[n]) == k)
			return f->all.items[n];
	struct informer *i = informer_create(f->client, k, NULL, NULL, NULL);
	VEC_PUSH(&f->all, i);
	return i;
}

static void on_one_synced(void *user)
{
	struct informers *f = user;
	if (f->told || !informers_synced(f))
		return;
	f->told = true;
	f->on_synced(f->user);
}

void informers_on_synced(struct informers *f, void (*synced)(void *user), void *user)
{
	f->on_synced = synced;
	f->user = user;
}

void informers_start(struct informers *f)
{
	static const struct informer_handler handler = {NULL, on_one_synced};
	for (size_t n = 0; n < f->all.count && f->on_synced; n++)
		informer_add_handler(f->all.items[n], &handler, f);
	for (size_t n = 0; n < f->all.count; n++)
		informer_start(f->all.items[n]);
}

bool informers_synced(const struct informers *f)
{
	for (size_t n = 0; n < f->all.count; n++)
		if (!informer_synced(f->all.items[n]))
			return false;
	return true;
}

void informers_destroy(struct informers *f)
{
	if (!f)
		return;
	for (size_t n = 0; n < f->all.count; n++)
		informer_destroy(f->all.items[n]);
	VEC_FINISH(&f->all);
	free(f);
}
