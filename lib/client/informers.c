#include <stdio.h>

#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "lib/client/informer.h"

struct informers {
	struct client *client;
	VEC(struct informer *) all;
};

struct informers *informers_create(struct client *c)
{
	struct informers *f = xcalloc(1, sizeof(*f));
	f->client = c;
	return f;
}

struct informer *informers_get(struct informers *f, const char *group, const char *version,
	const char *kind)
{
	const struct kind *k = kind_by_name(f->client->kinds, group, version, kind);
	if (!k) {
		log_error("no such kind in this program", "group", group, "version", version, "kind", kind,
			NULL);
		abort();
	}
	for (size_t n = 0; n < f->all.count; n++)
		if (informer_kind(f->all.items[n]) == k)
			return f->all.items[n];
	struct informer *i = informer_create(f->client, k, NULL, NULL, NULL);
	VEC_PUSH(&f->all, i);
	return i;
}

void informers_start(struct informers *f)
{
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
