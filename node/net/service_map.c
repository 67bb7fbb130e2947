#include "node/net/service_map.h"

#include <stdio.h>

#include "lib/base/table.h"

/* One address-and-port, or one node port, and where its slots lead. */
struct front {
	struct netd_op
		id; /* type SERVICE or NODE_PORT, address, proto, port; the rest as in the kernel */
	char *owner;		      /* key of the service */
	struct service_target *slots; /* id.slot of them */
	bool wanted;		      /* mark of the update that runs */
};

/* How many slots lead to an address: the hairpin set has it while there are any. */
struct hairpin {
	uint32_t address;
	size_t count;
};

struct owned {
	VEC(struct front *) fronts;
};

struct service_map {
	struct table fronts;   /* by front_name */
	struct table owned;    /* service key -> struct owned */
	struct table hairpins; /* by address */
};

struct service_map *service_map_create(void)
{
	return xcalloc(1, sizeof(struct service_map));
}

static void front_free(struct front *f)
{
	free(f->owner);
	free(f->slots);
	free(f);
}

void service_map_destroy(struct service_map *m)
{
	if (!m)
		return;
	for (struct table_iter i = table_iterate(&m->fronts); table_next(&i);)
		front_free(i.value);
	for (struct table_iter i = table_iterate(&m->owned); table_next(&i);) {
		struct owned *o = i.value;

		VEC_FINISH(&o->fronts);
		free(o);
	}
	for (struct table_iter i = table_iterate(&m->hairpins); table_next(&i);)
		free(i.value);
	table_finish(&m->fronts);
	table_finish(&m->owned);
	table_finish(&m->hairpins);
	free(m);
}

size_t service_map_count(const struct service_map *m)
{
	return m->fronts.count;
}

static void front_name(const struct netd_op *id, char ret[40])
{
	snprintf(ret, 40, "%u %08x %u %u", id->type, id->address, id->proto, id->port);
}

static struct netd_op *push(netd_ops *ops, const struct netd_op *like, bool remove)
{
	VEC_PUSH(ops, *like);
	ops->items[ops->count - 1].remove = remove;
	return &ops->items[ops->count - 1];
}

static void push_endpoint(netd_ops *ops, const struct front *f, unsigned slot,
	const struct service_target *t, bool remove)
{
	struct netd_op *op = push(ops, &f->id, remove);

	op->type = f->id.type == NETD_SERVICE ? NETD_ENDPOINT : NETD_NODE_PORT_ENDPOINT;
	op->affinity = 0;
	op->slot = (uint16_t)slot;
	op->to_address = t->address;
	op->to_port = t->port;
}

static void hairpin_add(struct service_map *m, uint32_t address, int by, netd_ops *ops)
{
	char name[16];
	struct hairpin *h;

	snprintf(name, sizeof(name), "%08x", address);
	h = table_get(&m->hairpins, name);
	if (!h) {
		h = xcalloc(1, sizeof(*h));
		h->address = address;
		table_set(&m->hairpins, name, h);
	}
	if (!h->count && by > 0)
		push(ops, &(struct netd_op){.type = NETD_HAIRPIN, .to_address = address}, false);
	h->count += (size_t)by;
	if (!h->count) {
		push(ops, &(struct netd_op){.type = NETD_HAIRPIN, .to_address = address}, true);
		table_remove(&m->hairpins, name);
		free(h);
	}
}

static int compare_targets(const void *a, const void *b)
{
	const struct service_target *x = a, *y = b;

	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	return x->port < y->port ? -1 : x->port > y->port;
}

static bool target_eq(const struct service_target *a, const struct service_target *b)
{
	return a->address == b->address && a->port == b->port;
}

/* Sorted, each once, at most as many as there are slots. */
static size_t normalize(const struct service_port *p, struct service_target **ret)
{
	struct service_target *list = xmalloc((p->target_count + 1) * sizeof(*list));
	size_t count = 0;

	if (p->target_count) {
		memcpy(list, p->targets, p->target_count * sizeof(*list));
		qsort(list, p->target_count, sizeof(*list), compare_targets);
	}
	for (size_t i = 0; i < p->target_count; i++)
		if (!count || !target_eq(&list[count - 1], &list[i]))
			list[count++] = list[i];
	*ret = list;
	return MIN(count, (size_t)NETD_SLOTS_MOST);
}

/* Slots for `targets` (at least one): what was there stays where it can; each target gets its even
 * share, give or take one. */
static struct service_target *assign(
	const struct front *old, const struct service_target *targets, size_t count, unsigned slots)
{
	struct service_target *out = xcalloc(slots, sizeof(*out));
	unsigned *used = xcalloc(count, sizeof(*used));
	bool *filled = xcalloc(slots, sizeof(*filled));
	unsigned low = slots / (unsigned)count, extra = slots % (unsigned)count;
	size_t next = 0;

	for (unsigned s = 0; old && s < MIN(slots, (unsigned)old->id.slot); s++) {
		const struct service_target *t =
			bsearch(&old->slots[s], targets, count, sizeof(*targets), compare_targets);
		size_t i;

		if (!t)
			continue;
		i = (size_t)(t - targets);
		if (used[i] >= low + (extra > 0))
			continue;
		if (used[i] == low)
			extra--; /* one of those that have one slot more */
		used[i]++;
		out[s] = *t;
		filled[s] = true;
	}
	for (unsigned s = 0; s < slots; s++) {
		if (filled[s])
			continue;
		while (next < count && used[next] >= low)
			next++;
		if (next == count) {
			/* All have their share: the rest goes one each to those without a surplus.
			 */
			for (size_t i = 0; i < count; i++)
				if (used[i] == low) {
					next = i;
					break;
				}
			used[next]++;
			out[s] = targets[next];
			next = count;
			continue;
		}
		used[next]++;
		out[s] = targets[next];
	}
	free(used);
	free(filled);
	return out;
}

static void set_slots(struct service_map *m, struct front *f, struct service_target *slots,
	unsigned count, netd_ops *ops)
{
	unsigned old_count = f->id.slot;

	for (unsigned s = 0; s < MAX(old_count, count); s++) {
		bool was = s < old_count, is = s < count;

		if (was && is && target_eq(&f->slots[s], &slots[s]))
			continue;
		if (is)
			hairpin_add(m, slots[s].address, 1, ops);
		if (was) {
			push_endpoint(ops, f, s, &f->slots[s], true);
			hairpin_add(m, f->slots[s].address, -1, ops);
		}
		if (is)
			push_endpoint(ops, f, s, &slots[s], false);
	}
	free(f->slots);
	f->slots = slots;
}

static void front_remove(struct service_map *m, struct front *f, netd_ops *ops)
{
	char name[40];

	push(ops, &f->id, true);
	set_slots(m, f, NULL, 0, ops);
	front_name(&f->id, name);
	table_remove(&m->fronts, name);
	front_free(f);
}

/* False when another service has it. */
static bool front_set(struct service_map *m, struct owned *o, const char *key, struct netd_op id,
	const struct service_target *targets, size_t count, uint8_t affinity, netd_ops *ops)
{
	unsigned slots = netd_slots_for(count);
	struct netd_op was;
	struct front *f;
	char name[40];
	bool fresh;

	front_name(&id, name);
	f = table_get(&m->fronts, name);
	if (f && !streq(f->owner, key))
		return false;
	if (f && f->wanted)
		return true; /* the same port twice in one service: the first counts */
	fresh = !f;
	if (fresh) {
		f = xcalloc(1, sizeof(*f));
		f->id = id;
		f->owner = xstrdup(key);
		table_set(&m->fronts, name, f);
		VEC_PUSH(&o->fronts, f);
	}
	f->wanted = true;
	was = f->id;
	set_slots(m, f, assign(fresh ? NULL : f, targets, count, slots), slots, ops);
	f->id.slot = (uint16_t)slots;
	f->id.affinity = affinity;
	if (fresh || was.slot != f->id.slot || was.affinity != f->id.affinity) {
		if (!fresh)
			push(ops, &was, true);
		push(ops, &f->id, false);
	}
	return true;
}

bool service_map_set(
	struct service_map *m, const char *key, const struct service_desc *desc, netd_ops *ops)
{
	struct owned *o = table_get(&m->owned, key);
	bool all = true;
	size_t room = SERVICE_SLOTS_MAX;

	if (!o) {
		if (!desc)
			return true;
		o = xcalloc(1, sizeof(*o));
		table_set(&m->owned, key, o);
	}
	for (size_t i = 0; i < o->fronts.count; i++)
		o->fronts.items[i]->wanted = false;
	for (size_t i = 0; desc && i < desc->port_count; i++) {
		const struct service_port *p = &desc->ports[i];
		struct service_target *targets;
		size_t count = normalize(p, &targets);
		struct netd_op id = {
			.type = NETD_SERVICE,
			.proto = p->proto,
			.address = desc->address,
			.port = p->port,
		};

		size_t slots = netd_slots_for(count) * (size_t)(p->node_port ? 2 : 1);
		if (slots > room) {
			free(targets);
			break;
		}
		room -= slots;
		if (count && desc->address)
			all &= front_set(m, o, key, id, targets, count, desc->affinity, ops);
		id.type = NETD_NODE_PORT;
		id.address = 0;
		id.port = p->node_port;
		if (count && p->node_port)
			all &= front_set(m, o, key, id, targets, count, desc->affinity, ops);
		free(targets);
	}
	for (size_t i = 0; i < o->fronts.count;) {
		if (o->fronts.items[i]->wanted) {
			i++;
			continue;
		}
		front_remove(m, o->fronts.items[i], ops);
		VEC_REMOVE(&o->fronts, i);
	}
	if (!o->fronts.count) {
		VEC_FINISH(&o->fronts);
		table_remove(&m->owned, key);
		free(o);
	}
	return all;
}

void service_map_all(const struct service_map *m, netd_ops *ops)
{
	push(ops, &(struct netd_op){.type = NETD_FLUSH}, false);
	for (struct table_iter i = table_iterate(&m->hairpins); table_next(&i);) {
		const struct hairpin *h = i.value;

		push(ops, &(struct netd_op){.type = NETD_HAIRPIN, .to_address = h->address}, false);
	}
	for (struct table_iter i = table_iterate(&m->fronts); table_next(&i);) {
		const struct front *f = i.value;

		push(ops, &f->id, false);
		for (unsigned s = 0; s < f->id.slot; s++)
			push_endpoint(ops, f, s, &f->slots[s], false);
	}
}
