#include "server/controllers/applications/application_plan.h"

#include "lib/base/clock.h"

enum application_selects application_selects_side(enum placement_isolation side)
{
	return side == PLACEMENT_CONTAINER ? SELECTS_CONTAINERS : SELECTS_MACHINES;
}

/* Milliseconds until `since` is `ms` ago; 0 = it is. */
static int64_t left_ms(int64_t since_ns, int64_t ms, int64_t now_ns)
{
	int64_t passed_ms = (now_ns - since_ns) / NS_PER_MS;
	return passed_ms >= ms ? 0 : ms - passed_ms;
}

static bool is_ready(const struct application_side *s)
{
	return s->exists && s->current && s->ready >= s->wanted;
}

/* The Service has left the old side. */
static void drain(struct application_plan *p, const struct application_view *v,
	enum placement_isolation from, enum placement_isolation to)
{
	p->phase = "Draining";
	p->selects = application_selects_side(to);
	p->serving = to;
	p->both_since_ns = v->both_since_ns;
	if (v->has_service && v->sides[from].published)
		return; /* the Endpoints follow: their event brings the next look */
	p->drained_since_ns = v->drained_since_ns ? v->drained_since_ns : v->now_ns;
	int64_t wait_ms = left_ms(p->drained_since_ns, v->drain_ms, v->now_ns);
	if (wait_ms) {
		p->again_ms = wait_ms;
	} else if (is_ready(&v->sides[to])) {
		p->phase = "Removing";
		p->remove[from] = true;
	}
}

static void serve_both(struct application_plan *p, const struct application_view *v,
	enum placement_isolation from, enum placement_isolation to)
{
	const struct application_side *new = &v->sides[to];
	p->phase = "Starting";
	p->selects = SELECTS_BOTH;
	if (!is_ready(new) || v->selects != SELECTS_BOTH || new->published < new->wanted)
		return;
	p->phase = "Serving";
	p->both_since_ns = v->both_since_ns ? v->both_since_ns : v->now_ns;
	int64_t wait_ms = left_ms(p->both_since_ns, SERVE_BOTH_MS, v->now_ns);
	if (wait_ms) {
		p->again_ms = wait_ms;
		return;
	}
	p->phase = "Draining";
	p->selects = application_selects_side(to);
	p->serving = to;
}

struct application_plan application_plan(const struct application_view *v)
{
	struct application_plan p = {.selects = v->selects, .serving = v->serving, .again_ms = -1};
	enum placement_isolation to = v->target, from = placement_other(to);
	if (to == PLACEMENT_NEITHER)
		return p;
	p.keep[to] = true;
	if (!v->sides[from].exists) {
		p.selects = application_selects_side(to);
		p.serving = to;
		return p;
	}
	if (!v->has_service) {
		/* Nobody asks it anything: only what is done counts. */
		p.phase = "Starting";
		if (is_ready(&v->sides[to])) {
			p.phase = "Removing";
			p.remove[from] = true;
			p.serving = to;
		}
		return p;
	}
	bool left = v->selects == application_selects_side(to);
	/* The new side has gone quiet after the Service went over to it. */
	bool back = !v->sides[to].ready && v->sides[to].wanted && v->sides[from].ready;
	if (left && !back)
		drain(&p, v, from, to);
	else
		serve_both(&p, v, from, to);
	return p;
}
