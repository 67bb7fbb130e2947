#include "node/net/service/service_map.h"

#include <stdio.h>

#include "lib/base/table.h"

/* Endpoints spread over slots. */
struct group {
	char name[24];
	struct netd_op id; /* as in the kernel: type GROUP; slot_count 0 = it is not there */
	struct service_target *slots;
	bool wanted;			 /* mark of the update that runs */
	VEC(struct service_target) lost; /* in the update that runs */
};

/* One address-and-port, or one node port. */
struct front {
	struct netd_op id; /* as in the kernel */
	char *owner;	   /* key of the service */
	struct net_range *sources;
	size_t source_count;
	bool firewalled;
	bool wanted; /* mark of the update that runs */
};

/* How many slots lead to an address: the hairpin set has it while there are any. */
struct hairpin {
	struct net_address address;
	size_t count;
};

struct owned {
	VEC(struct front *) fronts;
	VEC(struct group *) groups;
};

struct service_map {
	struct table fronts;		      /* by front_name */
	struct table owned;		      /* service key -> struct owned */
	struct table hairpins;		      /* by address */
	uint64_t taken[NETD_GROUPS_MAX / 64]; /* indexes of groups */
	size_t slots;
};

struct service_map *service_map_create(void)
{
	struct service_map *m = xcalloc(1, sizeof(*m));

	m->taken[0] = 1; /* a mark of 0 says nothing */
	return m;
}

static void front_free(struct front *f)
{
	free(f->owner);
	free(f->sources);
	free(f);
}

static void group_free(struct group *g)
{
	free(g->slots);
	VEC_FINISH(&g->lost);
	free(g);
}

static void owned_free(struct owned *o)
{
	VEC_FINISH(&o->fronts);
	VEC_FINISH(&o->groups);
	free(o);
}

void service_map_destroy(struct service_map *m)
{
	if (!m)
		return;
	for (struct table_iter i = table_iterate(&m->fronts); table_next(&i);)
		front_free(i.value);
	for (struct table_iter i = table_iterate(&m->owned); table_next(&i);) {
		struct owned *o = i.value;

		for (size_t n = 0; n < o->groups.count; n++)
			group_free(o->groups.items[n]);
		owned_free(o);
	}
	for (struct table_iter i = table_iterate(&m->hairpins); table_next(&i);)
		free(i.value);
	table_finish(&m->fronts);
	table_finish(&m->owned);
	table_finish(&m->hairpins);
	free(m);
}

size_t service_map_fronts(const struct service_map *m)
{
	return m->fronts.count;
}

size_t service_map_slots(const struct service_map *m)
{
	return m->slots;
}

#define ADDRESS_NAME 40

static void address_name(const struct net_address *a, char ret[ADDRESS_NAME])
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	for (size_t i = 0; i < net_address_size(a); i++) {
		ret[n++] = digits[a->bytes[i] >> 4];
		ret[n++] = digits[a->bytes[i] & 15];
	}
	ret[n] = '\0';
}

static void front_name(const struct netd_op *id, char ret[64])
{
	char address[ADDRESS_NAME];

	address_name(&id->address, address);
	snprintf(ret, 64, "%s %u %u", address, id->proto, id->port);
}

static void push(netd_ops *ops, const struct netd_op *like, bool remove)
{
	VEC_PUSH(ops, *like);
	ops->items[ops->count - 1].remove = remove;
}

static void push_endpoint(netd_ops *ops, const struct group *g, unsigned slot, bool remove)
{
	struct netd_op op = g->id;

	op.type = NETD_ENDPOINT;
	op.slot_count = 0;
	op.slot = (uint16_t)slot;
	op.to = g->slots[slot].address;
	op.to_port = g->slots[slot].port;
	push(ops, &op, remove);
}

static void push_hairpin(netd_ops *ops, const struct net_address *a, bool remove)
{
	push(ops, &(struct netd_op){.type = NETD_HAIRPIN, .address.family = a->family, .to = *a},
		remove);
}

static void hairpin_add(
	struct service_map *m, const struct net_address *address, int by, netd_ops *ops)
{
	char name[ADDRESS_NAME];
	struct hairpin *h;

	address_name(address, name);
	h = table_get(&m->hairpins, name);
	if (!h) {
		h = xcalloc(1, sizeof(*h));
		h->address = *address;
		table_set(&m->hairpins, name, h);
	}
	if (!h->count && by > 0)
		push_hairpin(ops, address, false);
	h->count += (size_t)by;
	m->slots += (size_t)by;
	if (!h->count) {
		push_hairpin(ops, address, true);
		table_remove(&m->hairpins, name);
		free(h);
	}
}

static int compare_targets(const void *a, const void *b)
{
	const struct service_target *x = a, *y = b;
	int r = memcmp(&x->address, &y->address, sizeof(x->address));

	return r ? r : (x->port > y->port) - (x->port < y->port);
}

static bool target_eq(const struct service_target *a, const struct service_target *b)
{
	return a->port == b->port && net_address_eq(&a->address, &b->address);
}

/* Sorted, each once, at most as many as there are slots. */
static size_t normalize(const struct service_group *g, struct service_target **ret)
{
	struct service_target *list = xmalloc((g->target_count + 1) * sizeof(*list));
	size_t count = 0;

	if (g->target_count) {
		memcpy(list, g->targets, g->target_count * sizeof(*list));
		qsort(list, g->target_count, sizeof(*list), compare_targets);
	}
	for (size_t i = 0; i < g->target_count; i++)
		if (!count || !target_eq(&list[count - 1], &list[i]))
			list[count++] = list[i];
	*ret = list;
	return MIN(count, (size_t)NETD_SLOTS_MOST);
}

/* Slots for `targets` (at least one): what was there stays where it can; each target gets its even
 * share, give or take one. */
static struct service_target *assign(
	const struct group *old, const struct service_target *targets, size_t count, unsigned slots)
{
	struct service_target *out = xcalloc(slots, sizeof(*out));
	unsigned *used = xcalloc(count, sizeof(*used));
	bool *filled = xcalloc(slots, sizeof(*filled));
	unsigned low = slots / (unsigned)count, extra = slots % (unsigned)count;
	size_t next = 0;

	for (unsigned s = 0; s < MIN(slots, (unsigned)old->id.slot_count); s++) {
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

static void note_lost(struct group *g, const struct service_target *t)
{
	for (size_t i = 0; i < g->lost.count; i++)
		if (target_eq(&g->lost.items[i], t))
			return;
	VEC_PUSH(&g->lost, *t);
}

/* `targets` (sorted) are those that there will be; the slots change from g's to `slots`. The rest
 * of g->id is the caller's to change. */
static void set_slots(struct service_map *m, struct group *g, struct service_target *slots,
	unsigned count, uint32_t seconds, const struct service_target *targets, size_t target_count,
	netd_ops *ops)
{
	unsigned old_count = g->id.slot_count;
	uint32_t old_seconds = g->id.seconds; /* other maps hold what is remembered */
	struct service_target *old = g->slots;

	for (unsigned s = 0; s < MAX(old_count, count); s++) {
		bool was = s < old_count, is = s < count;

		if (was && is && seconds == old_seconds && target_eq(&old[s], &slots[s]))
			continue;
		if (is)
			hairpin_add(m, &slots[s].address, 1, ops);
		if (was) {
			push_endpoint(ops, g, s, true);
			hairpin_add(m, &old[s].address, -1, ops);
			if (!target_count || !bsearch(&old[s], targets, target_count,
						     sizeof(*targets), compare_targets))
				note_lost(g, &old[s]);
		}
		if (is) {
			g->slots = slots;
			g->id.seconds = seconds;
			push_endpoint(ops, g, s, false);
			g->slots = old;
			g->id.seconds = old_seconds;
		}
	}
	free(old);
	g->slots = slots;
}

static void group_set(struct service_map *m, struct group *g, const struct service_target *targets,
	size_t count, uint32_t seconds, netd_ops *ops)
{
	unsigned slots = netd_slots_for(count);
	struct netd_op was = g->id;

	g->lost.count = 0;
	set_slots(m, g, count ? assign(g, targets, count, slots) : NULL, slots, seconds, targets,
		count, ops);
	g->id.seconds = seconds;
	g->id.slot_count = (uint16_t)slots;
	if (was.slot_count == slots && was.seconds == seconds)
		return;
	if (was.slot_count)
		push(ops, &was, true);
	if (slots)
		push(ops, &g->id, false);
}

/* An index by the name, so that an agent started anew finds the same one almost always: clients
 * are remembered by it. 0 when all are taken. */
static uint32_t take_index(struct service_map *m, const char *key, const char *name)
{
	uint64_t hash = fnv1a_64(key, strlen(key)) * 31 + fnv1a_64(name, strlen(name));
	uint32_t start = (uint32_t)((hash ^ hash >> 32) % NETD_GROUPS_MAX);

	for (uint32_t n = 0; n < NETD_GROUPS_MAX; n++) {
		uint32_t i = (start + n) % NETD_GROUPS_MAX;

		if (m->taken[i / 64] & 1ull << i % 64)
			continue;
		m->taken[i / 64] |= 1ull << i % 64;
		return i;
	}
	return 0;
}

static void give_index(struct service_map *m, uint32_t mark)
{
	uint32_t i = (mark & 0x3fffffff) >> 13;

	m->taken[i / 64] &= ~(1ull << i % 64);
}

/* NULL when there is no number for it. */
static struct group *group_get(struct service_map *m, struct owned *o, const char *key,
	const struct service_group *want, uint32_t family)
{
	struct group *g;
	uint32_t index;

	for (size_t i = 0; i < o->groups.count; i++)
		if (streq(o->groups.items[i]->name, want->name))
			return o->groups.items[i];
	index = take_index(m, key, want->name);
	if (!index)
		return NULL;
	g = xcalloc(1, sizeof(*g));
	snprintf(g->name, sizeof(g->name), "%s", want->name);
	g->id.type = NETD_GROUP;
	g->id.group = netd_group(want->kind, index);
	g->id.address.family = family;
	VEC_PUSH(&o->groups, g);
	return g;
}

/* Translations of UDP that would go on to where they should not: a client that keeps sending keeps
 * them alive. TCP ends by itself. */
static void forget(
	const struct front *f, const struct net_address *to, uint16_t port, netd_ops *ops)
{
	struct netd_op op = {.type = NETD_FORGET,
		.proto = f->id.proto,
		.port = f->id.port,
		.address = f->id.address};

	if (f->id.proto != IPPROTO_UDP)
		return;
	if (to) {
		op.to = *to;
		op.to_port = port;
	}
	push(ops, &op, false);
}

static void push_sources(netd_ops *ops, const struct front *f, bool remove)
{
	struct netd_op op = f->id;

	if (!f->firewalled)
		return;
	op.type = NETD_FIREWALL;
	op.verdict = 0;
	op.group = op.inside = 0;
	push(ops, &op, remove);
	op.type = NETD_SOURCE;
	for (size_t i = 0; i < f->source_count; i++) {
		op.to = f->sources[i].address;
		op.to_prefix = (uint16_t)f->sources[i].prefix;
		push(ops, &op, remove);
	}
}

static bool same_sources(const struct front *f, const struct service_front *want)
{
	return f->firewalled == (want->sources != NULL) && f->source_count == want->source_count &&
	       (!f->source_count ||
		       !memcmp(f->sources, want->sources, f->source_count * sizeof(*f->sources)));
}

static void set_sources(struct front *f, const struct service_front *want, netd_ops *ops)
{
	if (same_sources(f, want))
		return;
	push_sources(ops, f, true);
	free(f->sources);
	f->sources = NULL;
	f->firewalled = want->sources != NULL;
	f->source_count = want->source_count;
	if (f->source_count) {
		f->sources = xmalloc(f->source_count * sizeof(*f->sources));
		memcpy(f->sources, want->sources, f->source_count * sizeof(*f->sources));
	}
	push_sources(ops, f, false);
}

static void front_remove(struct service_map *m, struct front *f, netd_ops *ops)
{
	char name[64];

	push(ops, &f->id, true);
	push_sources(ops, f, true);
	if (f->id.verdict == NETD_TRANSLATE || f->id.inside)
		forget(f, NULL, 0, ops);
	front_name(&f->id, name);
	table_remove(&m->fronts, name);
	front_free(f);
}

static bool same_front(const struct netd_op *a, const struct netd_op *b)
{
	return a->verdict == b->verdict && a->group == b->group && a->inside == b->inside;
}

/* False when another service has it. `group` and `inside` NULL = no endpoints there. */
static bool front_set(struct service_map *m, struct owned *o, const char *key,
	const struct service_front *want, const struct group *group, const struct group *inside,
	netd_ops *ops)
{
	bool leads = group && group->id.slot_count;
	struct netd_op id = {
		.type = NETD_FRONT,
		.address = want->address,
		.proto = want->proto,
		.port = want->port,
		.verdict = (uint8_t)(leads ? NETD_TRANSLATE : want->empty),
		.group = leads ? group->id.group : 0,
		.inside = inside && inside->id.slot_count ? inside->id.group : 0,
	};
	struct front *f;
	char name[64];

	front_name(&id, name);
	f = table_get(&m->fronts, name);
	if (f && !streq(f->owner, key))
		return false;
	if (f && f->wanted)
		return true; /* the same port twice in one service: the first counts */
	if (!f) {
		f = xcalloc(1, sizeof(*f));
		f->id = id;
		f->owner = xstrdup(key);
		table_set(&m->fronts, name, f);
		VEC_PUSH(&o->fronts, f);
		push(ops, &id, false);
		if (leads || id.inside)
			forget(f, NULL, 0, ops);
	} else {
		for (size_t i = 0; group && i < group->lost.count; i++)
			forget(f, &group->lost.items[i].address, group->lost.items[i].port, ops);
		for (size_t i = 0; inside && i < inside->lost.count; i++)
			forget(f, &inside->lost.items[i].address, inside->lost.items[i].port, ops);
		if (!same_front(&f->id, &id)) {
			push(ops, &f->id, true);
			f->id = id;
			push(ops, &f->id, false);
			forget(f, NULL, 0, ops); /* its first endpoint, or other ones */
		}
	}
	f->wanted = true;
	set_sources(f, want, ops);
	return true;
}

static uint32_t family_of_group(const struct service_desc *desc, size_t group)
{
	for (size_t i = 0; i < desc->front_count; i++)
		if (desc->fronts[i].group == (int)group || desc->fronts[i].inside == (int)group)
			return desc->fronts[i].address.family;
	return 0;
}

static void drop_unwanted(struct service_map *m, struct owned *o, netd_ops *ops)
{
	for (size_t i = 0; i < o->fronts.count;) {
		if (o->fronts.items[i]->wanted) {
			i++;
			continue;
		}
		front_remove(m, o->fronts.items[i], ops);
		VEC_REMOVE(&o->fronts, i);
	}
	for (size_t i = 0; i < o->groups.count;) {
		struct group *g = o->groups.items[i];

		if (g->wanted) {
			i++;
			continue;
		}
		group_set(m, g, NULL, 0, 0, ops);
		give_index(m, g->id.group);
		group_free(g);
		VEC_REMOVE(&o->groups, i);
	}
}

bool service_map_set(
	struct service_map *m, const char *key, const struct service_desc *desc, netd_ops *ops)
{
	struct owned *o = table_get(&m->owned, key);
	struct group **groups = NULL;
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
	for (size_t i = 0; i < o->groups.count; i++)
		o->groups.items[i]->wanted = false;
	if (desc)
		groups = xcalloc(desc->group_count + 1, sizeof(struct group *));
	for (size_t i = 0; desc && i < desc->group_count; i++) {
		const struct service_group *want = &desc->groups[i];
		uint32_t family = family_of_group(desc, i);
		struct service_target *targets;
		size_t count;

		if (!family)
			continue; /* nobody gets there */
		count = normalize(want, &targets);
		if (netd_slots_for(count) > room)
			count = 0;
		room -= netd_slots_for(count);
		groups[i] = group_get(m, o, key, want, family);
		if (groups[i]) {
			group_set(m, groups[i], targets, count, want->seconds, ops);
			groups[i]->wanted = true;
		}
		free(targets);
	}
	for (size_t i = 0; desc && i < desc->front_count; i++) {
		const struct service_front *f = &desc->fronts[i];

		all &= front_set(m, o, key, f, groups[f->group],
			f->inside < 0 ? NULL : groups[f->inside], ops);
	}
	drop_unwanted(m, o, ops);
	if (!o->fronts.count && !o->groups.count) {
		table_remove(&m->owned, key);
		owned_free(o);
	}
	free(groups);
	return all;
}

static bool group_leads_to(const struct group *g, const struct net_address *a)
{
	for (unsigned s = 0; s < g->id.slot_count; s++)
		if (net_address_eq(&g->slots[s].address, a))
			return true;
	return false;
}

const char *service_map_owner(const struct service_map *m, const struct netd_op *op)
{
	if (op->type == NETD_FRONT || op->type == NETD_FIREWALL || op->type == NETD_SOURCE) {
		char name[64];

		front_name(op, name);
		const struct front *f = table_get(&m->fronts, name);
		return f ? f->owner : NULL;
	}
	for (struct table_iter i = table_iterate(&m->owned); table_next(&i);) {
		const struct owned *o = i.value;

		for (size_t n = 0; n < o->groups.count; n++) {
			const struct group *g = o->groups.items[n];

			if (op->type == NETD_HAIRPIN ? group_leads_to(g, &op->to)
						     : op->group && g->id.group == op->group)
				return i.key;
		}
	}
	return NULL;
}

void service_map_all(const struct service_map *m, netd_ops *ops)
{
	push(ops, &(struct netd_op){.type = NETD_FLUSH, .part = NETD_SERVICES}, false);
	for (struct table_iter i = table_iterate(&m->hairpins); table_next(&i);) {
		const struct hairpin *h = i.value;

		push_hairpin(ops, &h->address, false);
	}
	for (struct table_iter i = table_iterate(&m->owned); table_next(&i);) {
		const struct owned *o = i.value;

		for (size_t n = 0; n < o->groups.count; n++) {
			const struct group *g = o->groups.items[n];

			if (!g->id.slot_count)
				continue;
			push(ops, &g->id, false);
			for (unsigned s = 0; s < g->id.slot_count; s++)
				push_endpoint(ops, g, s, false);
		}
		for (size_t n = 0; n < o->fronts.count; n++) {
			push(ops, &o->fronts.items[n]->id, false);
			push_sources(ops, o->fronts.items[n], false);
		}
	}
}
