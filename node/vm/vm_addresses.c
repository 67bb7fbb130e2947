#include "node/vm/vm_addresses.h"

#include "lib/base/log.h"
#include "node/net/lease.h"
#include "node/vm/vm_internal.h"

#define FIRST_MS 3000
#define PERIOD_MS 60000

struct vm_addresses {
	struct vm_manager *m;
	struct node *node;
	uv_timer_t timer;
	struct client_call *call;
	struct lease_kept_list kept; /* those of this round, and those that are remembered */
	size_t at;
};

static void next(struct vm_addresses *v);

/* A domain of the machines that have an instance here: their addresses are in use. */
static bool is_here(const struct vm_addresses *v, const char *domain)
{
	for (struct table_iter i = table_iterate(&v->m->workers); table_next(&i);) {
		const struct vm_worker *w = i.value;

		if (streq(w->domain.name, domain))
			return true;
	}
	return false;
}

static void looked(void *user, const struct client_result *r)
{
	struct vm_addresses *v = user;
	const char *domain = v->kept.items[v->at++];

	v->call = NULL;
	/* One that stands alone may have come meanwhile. */
	if (r->code == 404 && !is_here(v, domain)) {
		log_info("the address of a machine is free again", "domain", domain, NULL);
		lease_kept_drop(CNI_STORE, domain);
		vm_address_forget(v->m->directory, domain);
	}
	next(v);
}

/* One after the other: nobody waits for it. */
static void next(struct vm_addresses *v)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct kind *machines =
		kind_by_name(v->node->kinds, "kubevirt.io", "v1", "VirtualMachine");
	const char *domain, *bar = NULL;

	/* NAMESPACE_NAME: no name has such a character. */
	while (v->at < v->kept.count &&
		(!(bar = strchr(v->kept.items[v->at], '_')) || is_here(v, v->kept.items[v->at])))
		v->at++;
	if (v->at == v->kept.count) {
		lease_kept_list_finish(&v->kept);
		return;
	}
	domain = v->kept.items[v->at];
	v->call = client_request(v->node->client,
		&(struct client_request){
			.method = "GET",
			.path = client_path(&a, machines,
				arena_printf(&a, "%.*s", (int)(bar - domain), domain), bar + 1,
				NULL),
		},
		looked, v);
}

static void on_timer(uv_timer_t *t)
{
	struct vm_addresses *v = t->data;

	if (v->call)
		return; /* a round is under way */
	lease_kept_list_finish(&v->kept);
	v->at = 0;
	lease_kept_list_read(CNI_STORE, &v->kept);
	vm_address_list(v->m->directory, &v->kept);
	next(v);
}

void vm_addresses_kept(struct vm_addresses *v)
{
	uv_timer_start(&v->timer, on_timer, FIRST_MS, PERIOD_MS);
}

struct vm_addresses *vm_addresses_create(struct vm_manager *m)
{
	struct vm_addresses *v = xcalloc(1, sizeof(*v));

	v->m = m;
	v->node = m->node;
	uv_timer_init(v->node->loop, &v->timer);
	v->timer.data = v;
	vm_addresses_kept(v);
	return v;
}

static void freed(uv_handle_t *h)
{
	free(h->data);
}

void vm_addresses_destroy(struct vm_addresses *v)
{
	if (!v)
		return;
	if (v->call)
		client_cancel(v->node->client, v->call);
	lease_kept_list_finish(&v->kept);
	uv_close((uv_handle_t *)&v->timer, freed);
}
