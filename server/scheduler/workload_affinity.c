/* workload_affinity.c - whom a workload wants beside it and whom not, and how it wants to be
 * spread.
 */
#include "lib/base/buf.h"
#include "server/scheduler/workload.h"

static void add_selector_key(struct arena *a, struct buf *key, const struct selector *s)
{
	/* Characters that stand in no label, so that different matchers have different texts. */
	buf_printf(key, "%s\x01%s", s->nothing ? "!" : "", selector_text(a, s));
}

static void make_key(struct arena *a, struct pod_matcher *m)
{
	_cleanup_(buf_finish) struct buf key = BUF_INIT;
	for (size_t n = 0; n < m->namespace_count; n++)
		buf_printf(&key, "%s\x02", m->namespaces[n]);
	if (m->by_namespace_labels) {
		buf_add_char(&key, '\x03');
		add_selector_key(a, &key, &m->namespace_labels);
	}
	buf_add_char(&key, '\x04');
	add_selector_key(a, &key, &m->labels);
	m->key = arena_strdup(a, key.data);
}

/* One that can't be read matches nothing. */
static struct selector read_selector(struct arena *a, const struct json *doc)
{
	struct err err = ERR_INIT;
	struct selector s;
	if (selector_from_label_selector(a, doc, &s, &err) < 0)
		return (struct selector){.nothing = true};
	return selector_copy(a, &s);
}

static const char *own_label(const struct workload *w, const char *key)
{
	for (size_t n = 0; n < w->label_count; n++)
		if (streq(w->labels[n].key, key))
			return w->labels[n].value;
	return NULL;
}

/* matchLabelKeys, mismatchLabelKeys: as if the selector had the workload's own values. */
static void add_own(
	struct workload *w, struct selector *s, const struct json *keys, enum selector_op op)
{
	if (!json_count(keys) || s->nothing)
		return;
	struct requirement *items =
		arena_alloc(&w->arena, (s->count + json_count(keys)) * sizeof(*items));
	if (s->count)
		memcpy(items, s->items, s->count * sizeof(*items));
	JSON_FOR_EACH_ITEM(key, keys) {
		const char *name = json_str_or(key, ""), *value = own_label(w, name);
		if (!value)
			continue;
		const char **values = arena_alloc(&w->arena, sizeof(*values));
		*values = arena_strdup(&w->arena, value);
		items[s->count++] =
			(struct requirement){arena_strdup(&w->arena, name), op, values, 1};
	}
	s->items = items;
}

static void own_namespace(struct workload *w, struct pod_matcher *m)
{
	m->namespaces = arena_alloc(&w->arena, sizeof(*m->namespaces));
	m->namespaces[0] = arena_strdup(&w->arena, w->ns);
	m->namespace_count = 1;
}

static struct pod_matcher read_matcher(struct workload *w, const struct json *term)
{
	struct arena *a = &w->arena;
	const struct json *names = json_get(term, "namespaces"),
			  *labels = json_get(term, "namespaceSelector");
	struct pod_matcher m = {.labels = read_selector(a, json_get(term, "labelSelector"))};
	add_own(w, &m.labels, json_get(term, "matchLabelKeys"), SEL_IN);
	add_own(w, &m.labels, json_get(term, "mismatchLabelKeys"), SEL_NOT_IN);
	if (json_is(labels, JSON_OBJECT)) {
		m.by_namespace_labels = true;
		m.namespace_labels = read_selector(a, labels);
	}
	if (json_count(names)) {
		m.namespaces = arena_alloc(a, json_count(names) * sizeof(*m.namespaces));
		JSON_FOR_EACH_ITEM(name, names)
			m.namespaces[m.namespace_count++] = arena_strdup(a, json_str_or(name, ""));
	} else if (!m.by_namespace_labels) {
		own_namespace(w, &m);
	}
	make_key(a, &m);
	return m;
}

static struct pod_term read_term(struct workload *w, const struct json *doc, int64_t weight)
{
	struct pod_term t = {
		.pods = read_matcher(w, doc),
		.topology_key =
			arena_strdup(&w->arena, json_str_or(json_get(doc, "topologyKey"), "")),
		.weight = weight,
	};
	t.key = arena_printf(
		&w->arena, "%lld\x05%s\x05%s", (long long)weight, t.topology_key, t.pods.key);
	return t;
}

static const struct pod_term *read_required(
	struct workload *w, const struct json *affinity, size_t *ret_count)
{
	const struct json *list =
		json_get(affinity, "requiredDuringSchedulingIgnoredDuringExecution");
	struct pod_term *all = NULL;
	*ret_count = 0;
	if (json_count(list))
		all = arena_alloc(&w->arena, json_count(list) * sizeof(*all));
	JSON_FOR_EACH_ITEM(t, list)
		all[(*ret_count)++] = read_term(w, t, 0);
	return all;
}

static void read_preferred(struct workload *w, const struct json *pods, const struct json *anti)
{
	static const char name[] = "preferredDuringSchedulingIgnoredDuringExecution";
	const struct json *with = json_get(pods, name), *without = json_get(anti, name);
	size_t room = json_count(with) + json_count(without);
	if (!room)
		return;
	struct pod_term *all = arena_alloc(&w->arena, room * sizeof(*all));
	JSON_FOR_EACH_ITEM(t, with)
		all[w->preferred_pods_count++] = read_term(
			w, json_get(t, "podAffinityTerm"), json_int_or(json_get(t, "weight"), 0));
	JSON_FOR_EACH_ITEM(t, without)
		all[w->preferred_pods_count++] = read_term(
			w, json_get(t, "podAffinityTerm"), -json_int_or(json_get(t, "weight"), 0));
	w->preferred_pods = all;
}

static struct spread read_spread(struct workload *w, const struct json *doc)
{
	struct arena *a = &w->arena;
	struct spread s = {
		.pods.labels = read_selector(a, json_get(doc, "labelSelector")),
		.topology_key = arena_strdup(a, json_str_or(json_get(doc, "topologyKey"), "")),
		.max_skew = json_int_or(json_get(doc, "maxSkew"), 1),
		.min_domains = json_int_or(json_get(doc, "minDomains"), 1),
		.required = !streq(json_str(json_get(doc, "whenUnsatisfiable")), "ScheduleAnyway"),
		.every_node = streq(json_str(json_get(doc, "nodeAffinityPolicy")), "Ignore"),
		.skip_tainted = streq(json_str(json_get(doc, "nodeTaintsPolicy")), "Honor"),
	};
	add_own(w, &s.pods.labels, json_get(doc, "matchLabelKeys"), SEL_IN);
	own_namespace(w, &s.pods);
	make_key(a, &s.pods);
	s.matches_itself = selector_matches_labels(&s.pods.labels, w->labels, w->label_count);
	return s;
}

void workload_read_affinity(struct workload *w, const struct json *spec)
{
	const struct json *affinity = json_get(spec, "affinity"),
			  *with = json_get(affinity, "podAffinity"),
			  *without = json_get(affinity, "podAntiAffinity"),
			  *spreads = json_get(spec, "topologySpreadConstraints");
	w->affinity = read_required(w, with, &w->affinity_count);
	w->anti_affinity = read_required(w, without, &w->anti_affinity_count);
	read_preferred(w, with, without);
	if (!json_count(spreads))
		return;
	struct spread *all = arena_alloc(&w->arena, json_count(spreads) * sizeof(*all));
	JSON_FOR_EACH_ITEM(s, spreads)
		all[w->spread_count++] = read_spread(w, s);
	w->spreads = all;
}

void workload_spread_by_default(struct workload *w, const struct selector *pods)
{
	static const struct {
		const char *topology_key;
		int64_t max_skew;
	} over[] = {{"kubernetes.io/hostname", 3}, {"topology.kubernetes.io/zone", 5}};
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	if (!pods->count) {
		w->spread_count = 0;
		return;
	}
	struct pod_matcher m = {
		.namespaces = (const char *[]){w->ns}, .namespace_count = 1, .labels = *pods};
	make_key(&a, &m);
	if (w->spread_count && streq(w->spreads[0].pods.key, m.key))
		return;
	struct spread *all = arena_alloc(&w->arena, ARRAY_LEN(over) * sizeof(*all));
	m.key = arena_strdup(&w->arena, m.key);
	m.labels = selector_copy(&w->arena, pods);
	own_namespace(w, &m);
	for (size_t n = 0; n < ARRAY_LEN(over); n++)
		all[n] = (struct spread){
			.pods = m,
			.topology_key = over[n].topology_key,
			.max_skew = over[n].max_skew,
			.min_domains = 1,
			.matches_itself = true,
		};
	w->spreads = all;
	w->spread_count = ARRAY_LEN(over);
	w->spreads_by_default = true;
}

bool pod_matcher_matches(const struct pod_matcher *m, const struct workload *w,
	const struct object_label *namespace_labels, size_t namespace_label_count)
{
	bool there = false;
	for (size_t n = 0; n < m->namespace_count && !there; n++)
		there = streq(m->namespaces[n], w->ns);
	if (!there && (!m->by_namespace_labels || !selector_matches_labels(&m->namespace_labels,
							  namespace_labels, namespace_label_count)))
		return false;
	return selector_matches_labels(&m->labels, w->labels, w->label_count);
}
