/* shutdown_core.c - see shutdown_core.h. */
#include "node/shutdown/shutdown_core.h"

#define PRIORITY_CRITICAL INT64_C(2000000000)

static const struct sm_state states[] = {
	[SHUTDOWN_HOLDING] = {"holding", SM_ALLOW(SHUTDOWN_ENDING), false},
	[SHUTDOWN_ENDING] = {"ending", SM_ALLOW(SHUTDOWN_HOLDING) | SM_ALLOW(SHUTDOWN_ENDED),
		false},
	[SHUTDOWN_ENDED] = {"ended", SM_ALLOW(SHUTDOWN_HOLDING), false},
};
static const struct sm_class state_class = {
	.name = "node shutdown",
	.states = states,
	.state_count = ARRAY_LEN(states),
};

size_t shutdown_groups(const struct node_config *config, struct shutdown_group *ret)
{
	int64_t critical = config->shutdown_grace_critical_ms / 1000;
	int64_t all = config->shutdown_grace_ms / 1000;
	size_t n = 0;

	for (; n < MIN(config->shutdown_by_priority_count, (size_t)SHUTDOWN_GROUPS_MAX); n++) {
		const struct node_shutdown_step *s = &config->shutdown_by_priority[n];
		ret[n] = (struct shutdown_group){s->priority, s->grace_s};
		for (size_t i = n; i > 0 && ret[i - 1].priority > ret[i].priority; i--) {
			struct shutdown_group swap = ret[i];
			ret[i] = ret[i - 1];
			ret[i - 1] = swap;
		}
	}
	if (n > 0 || all <= 0)
		return n;
	ret[0] = (struct shutdown_group){0, MAX(all - critical, 0)};
	ret[1] = (struct shutdown_group){PRIORITY_CRITICAL, critical};
	return 2;
}

size_t shutdown_group_of(const struct shutdown_group *groups, size_t count, int64_t priority)
{
	size_t at = 0;

	for (size_t i = 1; i < count; i++) {
		if (priority >= groups[i].priority)
			at = i;
	}
	return at;
}

int64_t shutdown_total_s(const struct shutdown_group *groups, size_t count)
{
	int64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += groups[i].grace_s;
	return sum;
}

void shutdown_core_init(
	struct shutdown_core *c, const struct shutdown_group *groups, size_t count, int64_t now_ns)
{
	*c = (struct shutdown_core){.groups = groups, .count = count};
	sm_init(&c->sm, &state_class, c, "host", SHUTDOWN_HOLDING, now_ns);
}

void shutdown_core_prepare(struct shutdown_core *c, bool going_down, int64_t now_ns)
{
	if (going_down && c->sm.state == SHUTDOWN_HOLDING) {
		c->at = 0;
		c->told = false;
		sm_move(&c->sm, SHUTDOWN_ENDING, now_ns);
	} else if (!going_down && c->sm.state != SHUTDOWN_HOLDING) {
		sm_move(&c->sm, SHUTDOWN_HOLDING, now_ns);
	}
}

struct shutdown_step shutdown_core_next(struct shutdown_core *c, bool left, int64_t now_ns)
{
	if (c->sm.state != SHUTDOWN_ENDING)
		return (struct shutdown_step){SHUTDOWN_WAIT, INT64_MAX};
	if (!c->told) {
		c->told = true;
		c->until_ns = now_ns + c->groups[c->at].grace_s * NS_PER_S;
		return (struct shutdown_step){SHUTDOWN_END_GROUP, c->until_ns};
	}
	if (left && now_ns < c->until_ns)
		return (struct shutdown_step){SHUTDOWN_WAIT, c->until_ns};
	if (c->at + 1 < c->count) {
		c->at++;
		c->told = false;
		return shutdown_core_next(c, left, now_ns);
	}
	sm_move(&c->sm, SHUTDOWN_ENDED, now_ns);
	return (struct shutdown_step){SHUTDOWN_LET_GO, INT64_MAX};
}
