/* agent_link.h - commands to the guest agents of this node's guests, over a connection to libvirt
 * of their own: libvirt serves few calls of a connection at a time, and a guest that does not
 * answer keeps one of them busy until the time-out. So at most AGENT_CALLS_MAX are under way, one a
 * guest; the others wait in line, what somebody waits for before what is only looked at.
 *
 * Commands and answers: qemu-ga's, https://www.qemu.org/docs/master/interop/qemu-ga-ref.html.
 * Whatever comes back was written inside a guest and is bounded and parsed here, not believed. */
#pragma once

#include "lib/json/json.h"
#include "node/vm/libvirt/libvirt_rpc.h"

#define AGENT_CALLS_MAX 4 /* libvirtd's max_client_requests is 5 */
#define AGENT_TIMEOUT_S 5 /* as libvirt's own */
/* Of an answer's text. One that carries a file or an output may have more. */
#define AGENT_ANSWER_MAX_BYTES (256u << 10)
#define AGENT_LARGE_MAX_BYTES (4u << 20)

struct agent_link;
struct agent_call;

/* up: the connection is there (again), and what failed may be asked anew. */
struct agent_link *agent_link_create(uv_loop_t *loop, struct clock *clock, const char *address,
	void (*up)(void *user), void *user);
/* What is not answered yet fails now, with -ECANCELED. NULL allowed. */
void agent_link_destroy(struct agent_link *l);

/* value is the answer's "return", valid during the callback; NULL on failure:
 *   -ENOTCONN   no agent is connected, or the guest does not run
 *   -EHOSTDOWN  libvirt can't be reached: that says nothing of the guest
 *   -EAGAIN     it was not asked, for calls before this one took too long: likewise
 *   -ETIMEDOUT  the agent did not answer in time
 *   -EREMOTEIO  the agent refused: its words, or libvirt's
 *   -EBADMSG    the answer can't be read
 *   -E2BIG      it is too large */
typedef void agent_done(void *user, const struct json *value, const struct err *err);

/* This failure (0 = none) says nothing of the guest, which was not asked. */
static inline bool agent_unasked(int code)
{
	return code == -EHOSTDOWN || code == -EAGAIN;
}

struct agent_command {
	const char *name;	      /* "guest-get-osinfo" */
	const struct json *arguments; /* NULL = none; copied */
	unsigned timeout_s;	      /* 0 = AGENT_TIMEOUT_S */
	bool urgent;		      /* somebody waits for it */
	bool large;		      /* AGENT_LARGE_MAX_BYTES */
	bool silent; /* it is not answered when it is done (guest-shutdown): silence is success */
	unsigned delay_ms; /* before it is sent */
};
/* done is called later, once; never inside this call. */
struct agent_call *agent_call(struct agent_link *l, const struct libvirt_domain *d,
	const struct agent_command *c, agent_done *done, void *user);
void agent_call_cancel(struct agent_call *c); /* done is not called; NULL allowed */

/* Pure: the "return" of an answer's text; -EBADMSG, or -EREMOTEIO with what the agent says. */
int agent_answer_read(struct arena *a, const char *text, size_t size, const struct json **ret,
	struct err *err) _must_check_;
