#include "lib/base/sm.h"
#include "lib/base/log.h"

#include <stdio.h>

static _noreturn_ void die(const struct sm *sm, unsigned to, const char *why)
{
	fprintf(stderr, "state machine '%s' of '%s': %s (from %s to %u)\n", sm->class->name,
		sm->label, why,
		sm->state < sm->class->state_count ? sm->class->states[sm->state].name : "?", to);
	abort();
}

void sm_init(struct sm *sm, const struct sm_class *class, const void *owner, const char *label,
	unsigned first, int64_t now_ns)
{
	*sm = (struct sm){.class = class, .owner = owner, .state = first, .since_ns = now_ns};
	snprintf(sm->label, sizeof(sm->label), "%s", label);
	if (class->state_count > 64 || first >= class->state_count)
		die(sm, first, "no such first state");
	if (class->check)
		class->check(owner, first);
}

void sm_move(struct sm *sm, unsigned to, int64_t now_ns)
{
	const struct sm_state *from = &sm->class->states[sm->state];

	if (to >= sm->class->state_count)
		die(sm, to, "no such state");
	if (from->final || !(from->next & SM_ALLOW(to)))
		die(sm, to, "move not allowed");
	sm->state = to;
	sm->move_count++;
	sm->since_ns = now_ns;
	log_debug("state", "machine", sm->class->name, "of", sm->label, "from", from->name, "to",
		sm->class->states[to].name, NULL);
	if (sm->class->check)
		sm->class->check(sm->owner, to);
}

const char *sm_name(const struct sm *sm)
{
	return sm->class->states[sm->state].name;
}
