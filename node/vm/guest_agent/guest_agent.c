#include "node/vm/guest_agent/guest_agent.h"

#include "lib/base/list.h"

/* A libvirt that has just started has not looked at its guests' channels yet, and sends no event
 * when it has: that a channel is closed counts when it still is after these. */
static const unsigned missed_s[] = {1, 2, 4};
/* A guest that has just started gets its addresses little by little. */
static const unsigned first_looks_s[] = {1, 2, 4, 8, 15};
#define LOOK_S 30
#define LOOK_MAX_S 300 /* when it does not answer */
#define SLOW_FACTS_S 300
/* A guest that opens and closes its channel all the time is not followed through each of it. */
#define FLAP_MS 5000
#define CHANGING_FACTS (1u << AGENT_FACT_INTERFACES | 1u << AGENT_FACT_FREEZE)
#define SLOW_FACTS (1u << AGENT_FACT_OS | 1u << AGENT_FACT_HOSTNAME | 1u << AGENT_FACT_TIMEZONE)

struct guest_agent_wait {
	struct list link;
	unsigned facts; /* not yet answered */
	guest_agent_fresh *done;
	void *user;
};

struct guest_agent {
	struct clock *clock;
	struct agent_link *link;
	struct libvirt_domain domain;
	void (*changed)(void *user);
	void *user;
	bool present;
	bool known; /* that it is there, or not: it was asked, or an event said so */
	bool destroyed;
	unsigned due;	   /* facts to be asked for */
	unsigned failures; /* in a row */
	unsigned missed;   /* times that the channel was closed, which does not count yet */
	unsigned looks;	   /* since it came */
	int64_t slow_at_ns;
	int64_t came_at_ns; /* by the last event that said so; 0 = none */
	enum agent_fact asking;
	struct agent_call *call;
	/* JSON as text: small, and compared at a glance. NULL = not known. */
	char *facts[AGENT_FACT_COUNT];
	struct list waits;
	uv_timer_t timer;
};

static void next(struct guest_agent *g);

static int64_t now_of(const struct guest_agent *g)
{
	return g->clock->mono_ns(g->clock);
}

static void on_timer(uv_timer_t *t)
{
	struct guest_agent *g = t->data;

	if (!g->present) {
		g->due |= 1u << AGENT_FACT_INFO;
	} else {
		g->due |= CHANGING_FACTS;
		if (g->slow_at_ns <= now_of(g)) {
			g->slow_at_ns = now_of(g) + SLOW_FACTS_S * NS_PER_S;
			g->due |= SLOW_FACTS;
		}
	}
	next(g);
}

static void arm(struct guest_agent *g)
{
	unsigned pause = LOOK_S;

	/* Nobody there: its coming is an event; this is for those that were lost. */
	if (g->missed)
		pause = missed_s[g->missed - 1];
	else if (!g->present)
		pause = LOOK_MAX_S;
	else if (g->failures)
		pause = MIN((unsigned)LOOK_S << MIN(g->failures, 4u), (unsigned)LOOK_MAX_S);
	else if (g->looks < ARRAY_LEN(first_looks_s))
		pause = first_looks_s[g->looks++];
	uv_timer_start(&g->timer, on_timer, (uint64_t)pause * 1000, 0);
}

/* Waiters whose facts are in, or (all) everyone. */
static void tell_waits(struct guest_agent *g, unsigned facts, bool all)
{
	struct list ready;

	list_init(&ready);
	LIST_FOR_EACH(w, &g->waits, struct guest_agent_wait, link) {
		w->facts &= ~facts;
		if (w->facts && !all)
			continue;
		list_remove(&w->link);
		list_append(&ready, &w->link);
	}
	while (!list_empty(&ready)) {
		struct guest_agent_wait *w =
			CONTAINER_OF(ready.next, struct guest_agent_wait, link);
		guest_agent_fresh *done = w->done;
		void *user = w->user;

		guest_agent_wait_cancel(w);
		done(user);
	}
}

static bool keep(struct guest_agent *g, enum agent_fact f, const char *text)
{
	if (text ? streq(g->facts[f], text) : !g->facts[f])
		return false;
	free(g->facts[f]);
	g->facts[f] = text ? xstrdup(text) : NULL;
	return true;
}

/* False when it was so already, and known. */
static bool set_present(struct guest_agent *g, bool present)
{
	bool news = !g->known;

	g->known = true;
	g->missed = 0;
	if (g->present == present)
		return news;
	g->present = present;
	g->failures = g->looks = 0;
	g->slow_at_ns = now_of(g) + SLOW_FACTS_S * NS_PER_S;
	g->due = present ? AGENT_ALL_FACTS : 0;
	if (!present)
		for (unsigned f = 0; f < AGENT_FACT_COUNT; f++)
			keep(g, f, NULL);
	return true;
}

static void answered(void *user, const struct json *value, const struct err *err)
{
	struct guest_agent *g = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *fact = value ? agent_fact_read(&a, g->asking, value) : NULL;
	enum agent_fact f = g->asking;
	bool changed = false, given_up = false;

	g->call = NULL;
	if (err && err->code == -ENOTCONN && (g->present || !g->known) &&
		g->missed < ARRAY_LEN(missed_s)) {
		g->missed++;
		g->due = 0;
		given_up = true;
	} else if (err && err->code == -ENOTCONN) {
		changed = set_present(g, false);
	} else if (err && agent_unasked(err->code)) {
		/* It was not asked: all is as it was. When libvirt is back it is looked for. */
		g->due = 0;
		given_up = true;
	} else if (err && err->code == -ETIMEDOUT) {
		/* It says nothing: neither will it to the other questions. */
		changed = !g->known;
		g->known = true;
		g->failures++;
		g->due = 0;
	} else {
		/* An answer, be it that it does not know the command, or not while it is frozen. */
		g->failures = 0;
		changed = set_present(g, true);
		g->due &= ~(1u << f);
		if (fact)
			changed |= keep(g, f, json_text(&a, fact));
	}
	if (!g->due)
		arm(g);
	next(g);
	/* These may destroy g. */
	tell_waits(g, 1u << f, !g->present || g->failures || given_up);
	if (changed && !g->destroyed)
		g->changed(g->user);
}

static void next(struct guest_agent *g)
{
	enum agent_fact f = AGENT_FACT_INFO;

	if (g->call || !g->due || g->destroyed)
		return;
	while (!(g->due & 1u << f))
		f++;
	g->due &= ~(1u << f);
	g->asking = f;
	g->call = agent_call(g->link, &g->domain,
		&(struct agent_command){
			.name = agent_fact_command(f), .urgent = !list_empty(&g->waits)},
		answered, g);
}

struct guest_agent *guest_agent_create(uv_loop_t *loop, struct clock *clock,
	struct agent_link *link, const struct libvirt_domain *domain, void (*changed)(void *user),
	void *user)
{
	struct guest_agent *g = xcalloc(1, sizeof(*g));

	g->clock = clock;
	g->link = link;
	g->domain = *domain;
	g->changed = changed;
	g->user = user;
	list_init(&g->waits);
	uv_timer_init(loop, &g->timer);
	g->timer.data = g;
	return g;
}

static void freed(uv_handle_t *h)
{
	struct guest_agent *g = h->data;

	for (unsigned f = 0; f < AGENT_FACT_COUNT; f++)
		free(g->facts[f]);
	free(g);
}

void guest_agent_destroy(struct guest_agent *g)
{
	if (!g || g->destroyed)
		return;
	g->destroyed = true;
	g->present = false;
	agent_call_cancel(TAKE_PTR(g->call));
	tell_waits(g, 0, true);
	uv_close((uv_handle_t *)&g->timer, freed);
}

void guest_agent_connected(struct guest_agent *g, bool connected)
{
	int64_t now = now_of(g);
	bool changed;

	if (connected && g->came_at_ns && now - g->came_at_ns < FLAP_MS * NS_PER_MS) {
		uv_timer_start(&g->timer, on_timer, FLAP_MS, 0); /* it is asked then */
		return;
	}
	if (connected)
		g->came_at_ns = now;
	changed = set_present(g, connected);
	/* A new agent in the same place (the guest restarted): all is new. */
	if (connected)
		g->due = AGENT_ALL_FACTS;
	else
		agent_call_cancel(TAKE_PTR(g->call));
	g->failures = g->looks = 0;
	arm(g);
	next(g);
	if (!connected)
		tell_waits(g, 0, true);
	if (changed && !g->destroyed)
		g->changed(g->user);
}

void guest_agent_look(struct guest_agent *g)
{
	g->due |= g->present ? AGENT_ALL_FACTS : 1u << AGENT_FACT_INFO;
	g->failures = 0;
	next(g);
}

bool guest_agent_present(const struct guest_agent *g)
{
	return g && g->present;
}

bool guest_agent_known(const struct guest_agent *g)
{
	return g->known;
}

struct json *guest_agent_fact(const struct guest_agent *g, struct arena *a, enum agent_fact f)
{
	struct json *v;

	if (!g || !g->facts[f] ||
		json_parse(a, g->facts[f], strlen(g->facts[f]), NULL, &v, NULL) < 0)
		return NULL;
	return v;
}

struct guest_agent_wait *guest_agent_refresh(
	struct guest_agent *g, unsigned facts, guest_agent_fresh *done, void *user)
{
	struct guest_agent_wait *w = xcalloc(1, sizeof(*w));

	w->facts = facts;
	w->done = done;
	w->user = user;
	list_append(&g->waits, &w->link);
	g->due |= facts;
	next(g);
	return w;
}

void guest_agent_wait_cancel(struct guest_agent_wait *w)
{
	if (!w)
		return;
	list_remove(&w->link);
	free(w);
}

struct agent_call *guest_agent_call(
	struct guest_agent *g, const struct agent_command *c, agent_done *done, void *user)
{
	return agent_call(g->link, &g->domain, c, done, user);
}

struct agent_exec *guest_agent_exec(struct guest_agent *g, const struct agent_exec_options *o)
{
	struct agent_exec_options mine = *o;

	mine.clock = g->clock;
	mine.link = g->link;
	mine.domain = &g->domain;
	return agent_exec_start(&mine);
}
