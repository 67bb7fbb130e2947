/* guest_agent.h - the guest agent of one running guest: whether it is there, and what it says.
 *
 *              said to be there, or answers
 *   ABSENT <---------------------------------> PRESENT
 *      ^         said to be gone, or guest-info
 *      |         finds nobody
 *   (also at first, and when the guest starts)
 *
 * Whether it is there comes as an event; after a start of this node agent, or when libvirt was
 * away, it is found out by asking. While it is there, what changes by itself (addresses, the state
 * of freezing) is looked at now and then, the rest when it came and when somebody asks. A guest
 * that does not answer is asked less and less. */
#pragma once

#include "node/vm/guest_agent/agent_exec.h"
#include "node/vm/guest_agent/agent_facts.h"
#include "node/vm/guest_agent/agent_link.h"

struct guest_agent;
/* changed: what guest_agent_present, _known or _fact tell is new. */
struct guest_agent *guest_agent_create(uv_loop_t *loop, struct clock *clock,
	struct agent_link *link, const struct libvirt_domain *domain, void (*changed)(void *user),
	void *user);
/* Whoever waits for facts is told now; no other callback after. NULL allowed. */
void guest_agent_destroy(struct guest_agent *g);

/* An event. */
void guest_agent_connected(struct guest_agent *g, bool connected);
/* Ask: events may have been missed. */
void guest_agent_look(struct guest_agent *g);

bool guest_agent_present(const struct guest_agent *g); /* false for NULL */
/* False until that is found out, so that its absence is no news. */
bool guest_agent_known(const struct guest_agent *g);
/* As last told, copied into the arena; NULL = not known. g NULL allowed. */
struct json *guest_agent_fact(const struct guest_agent *g, struct arena *a, enum agent_fact f);

/* Asks for these facts (1 << AGENT_FACT_...) now; done comes later, once, however it went. */
typedef void guest_agent_fresh(void *user);
struct guest_agent_wait;
struct guest_agent_wait *guest_agent_refresh(
	struct guest_agent *g, unsigned facts, guest_agent_fresh *done, void *user);
void guest_agent_wait_cancel(struct guest_agent_wait *w); /* NULL allowed */

/* Any other command: agent_call for this guest. It lives on when g is destroyed. */
struct agent_call *guest_agent_call(
	struct guest_agent *g, const struct agent_command *c, agent_done *done, void *user);
/* A program in this guest: agent_exec_start, which see, without the clock, the link and the domain.
 * It lives on when g is destroyed. */
struct agent_exec *guest_agent_exec(struct guest_agent *g, const struct agent_exec_options *o);
