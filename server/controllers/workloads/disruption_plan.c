#include "server/controllers/workloads/disruption_plan.h"

#include "server/controllers/meta.h"

static bool set(const struct json *v)
{
	return v && !json_is(v, JSON_NULL);
}

bool budget_needs_scale(const struct json *spec)
{
	return set(json_get(spec, "maxUnavailable")) || json_str(json_get(spec, "minAvailable"));
}

static void find_wanted(const struct budget *b, struct budget_status *s)
{
	const struct json *most = json_get(b->spec, "maxUnavailable"),
			  *least = json_get(b->spec, "minAvailable");
	if (set(most)) {
		s->expected = b->scale;
		s->desired = MAX(s->expected - count_or_part(most, s->expected, true), 0);
	} else if (set(least)) {
		s->expected = json_str(least) ? b->scale : (int64_t)b->count;
		s->desired = count_or_part(least, s->expected, true);
	}
}

/* Whether the pod's eviction still counts. */
static bool is_disrupted(struct arena *a, const struct budget *b, const struct budget_pod *pod,
	struct budget_status *s)
{
	const struct json *since = json_get(b->disrupted, pod->name);
	if (pod->deleting || !since)
		return false;
	int64_t left_ns = meta_time_ns(since) + DISRUPTION_TIMEOUT_S * NS_PER_S - b->now_ns;
	if (left_ns <= 0) {
		s->kept[s->kept_count++] = pod;
		return false;
	}
	if (!s->disrupted)
		s->disrupted = json_new_object(a);
	json_set(a, s->disrupted, pod->name, json_copy(a, since));
	int64_t left_ms = left_ns / NS_PER_MS + 1;
	s->again_ms = s->again_ms < 0 ? left_ms : MIN(s->again_ms, left_ms);
	return true;
}

struct budget_status budget_status(struct arena *a, const struct budget *b)
{
	struct budget_status s = {.again_ms = -1};
	s.kept = arena_alloc(a, (b->count + 1) * sizeof(*s.kept));
	find_wanted(b, &s);
	for (size_t n = 0; n < b->count; n++) {
		const struct budget_pod *pod = &b->pods[n];
		bool gone = is_disrupted(a, b, pod, &s);
		s.current += pod->ready && !pod->deleting && !gone;
	}
	/* Without pods nothing is allowed, so that the first ones do not go before they were looked
	 * at. */
	if (s.expected > 0)
		s.allowed = MAX(s.current - s.desired, 0);
	return s;
}

struct json *budget_disrupted_patch(
	struct arena *a, const struct json *has, const struct json *wanted)
{
	if (json_count(has) ? json_equal(has, wanted) : !wanted)
		return NULL;
	struct json *patch = json_new_object(a);
	JSON_FOR_EACH_MEMBER(m, has)
		if (!json_get(wanted, m->name))
			json_set(a, patch, m->name, json_new_null(a));
	JSON_FOR_EACH_MEMBER(m, wanted)
		json_set(a, patch, m->name, m->value);
	return patch;
}
