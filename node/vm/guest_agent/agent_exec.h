/* agent_exec.h - a program inside a guest, by its agent: started, asked after until it has ended,
 * with its output. The agent has no way to end it: one that runs longer than it may goes on.
 *
 *              answers         has a pid          has exited
 *   PINGED -------------> START -------------> ASKED -------------> (told, gone)
 *    ^  |  silent          |                    ^  |  runs, or silent
 *    `--'                  `-- silent: told     `--'
 *
 * A guest may be slow: its agent's silence ends nothing before the time is over, but for the start,
 * which must not be done twice. So that libvirt has nothing to put in order there (after a command
 * that was not answered it first asks the agent whether it listens, and has 5 s for that), the
 * agent must have answered something harmless before. */
#pragma once

#include "node/vm/guest_agent/agent_link.h"

#define AGENT_EXEC_TIMEOUT_MAX_S 3600
#define AGENT_EXEC_WORDS_MAX 256
#define AGENT_EXEC_INPUT_MAX_BYTES (1u << 20)

struct agent_exec_result {
	int exit_code;	       /* -1 when a signal ended it */
	int signal;	       /* 0 = none */
	const char *out, *err; /* NUL-terminated; valid during the callback */
	size_t out_size, err_size;
	bool out_truncated, err_truncated; /* the agent keeps 16 MiB of each */
};
/* Once, later. result NULL on failure: agent_link.h's codes; -ETIME when it did not end in time. */
typedef void agent_exec_done(
	void *user, const struct agent_exec_result *result, const struct err *err);

struct agent_exec_options {
	struct clock *clock;
	struct agent_link *link;
	const struct libvirt_domain *domain;
	const struct json *command;	/* ["/bin/sh", "-c", "..."], a word at least */
	const struct json *environment; /* ["A=b"]; NULL = the agent's own */
	const char *input;		/* NULL = none */
	size_t input_size;
	unsigned timeout_s; /* 0 = 30; at most AGENT_EXEC_TIMEOUT_MAX_S */
	/* For the agent to answer before the program is started; it then has all of timeout_s. 0 =
	 * that is a part of timeout_s. */
	unsigned patience_s;
	agent_exec_done *done;
	void *user;
};
struct agent_exec;
struct agent_exec *agent_exec_start(const struct agent_exec_options *o);
void agent_exec_cancel(struct agent_exec *e); /* done is not called; NULL allowed */

/* Pure: the answer to guest-exec-status. 1 = ended and *ret is filled (texts in the arena), 0 = it
 * still runs, -EBADMSG. */
int agent_exec_status_read(struct arena *a, const struct json *value, struct agent_exec_result *ret,
	struct err *err) _must_check_;
