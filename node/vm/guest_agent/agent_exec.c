#include "node/vm/guest_agent/agent_exec.h"

#define FIRST_PAUSE_MS 20
#define PAUSE_MAX_MS 1000
#define SILENT_PAUSE_MS 2000
/* One that does not answer keeps one of the link's few places. */
#define ANSWER_MAX_S 30

struct agent_exec {
	struct clock *clock;
	struct agent_link *link;
	struct libvirt_domain domain;
	char *arguments; /* of guest-exec, as text; NULL once it was sent */
	int64_t pid, deadline_ns;
	unsigned timeout_s, pause_ms;
	bool patient;		 /* timeout_s begins with the program */
	bool silent;		 /* an answer about it was lost */
	struct agent_call *call; /* always one, until done */
	agent_exec_done *done;
	void *user;
};

static void finish(
	struct agent_exec *e, const struct agent_exec_result *result, const struct err *err)
{
	agent_exec_done *done = e->done;
	void *user = e->user;

	free(e->arguments);
	free(e);
	done(user, result, err);
}

static int read_output(struct arena *a, const struct json *value, const char *name,
	const char **ret, size_t *ret_size)
{
	const struct json *text = json_get(value, name);
	char *out = arena_strdup(a, "");
	size_t size = 0;

	if (json_is(text, JSON_STRING) &&
		base64_decode(a, (struct str){text->s, text->count}, &out, &size) < 0)
		return -EBADMSG;
	*ret = out;
	*ret_size = size;
	return 0;
}

int agent_exec_status_read(
	struct arena *a, const struct json *value, struct agent_exec_result *ret, struct err *err)
{
	struct agent_exec_result r = {0};

	if (!json_is(json_get(value, "exited"), JSON_BOOL))
		return err_set(
			err, -EBADMSG, "the guest agent's answer to guest-exec-status is wrong");
	if (!json_bool_or(json_get(value, "exited"), false))
		return 0;
	r.exit_code = (int)(json_int_or(json_get(value, "exitcode"), -1) & 0xff);
	r.signal = (int)(json_int_or(json_get(value, "signal"), 0) & 0xff);
	if (!json_get(value, "exitcode"))
		r.exit_code = -1;
	r.out_truncated = json_bool_or(json_get(value, "out-truncated"), false);
	r.err_truncated = json_bool_or(json_get(value, "err-truncated"), false);
	if (read_output(a, value, "out-data", &r.out, &r.out_size) < 0 ||
		read_output(a, value, "err-data", &r.err, &r.err_size) < 0)
		return err_set(err, -EBADMSG, "the output that the guest agent sent is not base64");
	*ret = r;
	return 1;
}

static bool is_over(const struct agent_exec *e)
{
	return e->clock->mono_ns(e->clock) >= e->deadline_ns;
}

/* How long the agent may take for an answer: what is left, and never less than is usual. */
static unsigned answer_s(const struct agent_exec *e)
{
	int64_t left_s = (e->deadline_ns - e->clock->mono_ns(e->clock)) / NS_PER_S;

	return (unsigned)MIN(MAX(left_s, AGENT_TIMEOUT_S), ANSWER_MAX_S);
}

static void ask(struct agent_exec *e);
static void ping(struct agent_exec *e, unsigned delay_ms);

static void status_here(void *user, const struct json *value, const struct err *failure)
{
	struct agent_exec *e = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct agent_exec_result result;
	struct err err = ERR_INIT;
	int r = 0;

	e->call = NULL;
	if (!value && (failure->code == -ETIMEDOUT || failure->code == -EAGAIN)) {
		e->silent |= failure->code == -ETIMEDOUT;
		e->pause_ms = SILENT_PAUSE_MS;
		/* Nobody has asked whether it has ended. */
		if (failure->code == -EAGAIN && is_over(e)) {
			finish(e, NULL, failure);
			return;
		}
	} else if (!value && failure->code == -EREMOTEIO && e->silent) {
		/* The agent forgets what it has told: that was the answer that came too late. */
		r = err_set(&err, -ETIMEDOUT,
			"the command has ended, but the guest agent's answer came too late (%s)",
			failure->msg);
	} else if (!value) {
		finish(e, NULL, failure);
		return;
	} else {
		r = agent_exec_status_read(&a, value, &result, &err);
	}
	if (r == 0 && is_over(e))
		r = err_set(&err, -ETIME, "the command did not end within %u s", e->timeout_s);
	if (r == 0)
		ask(e);
	else
		finish(e, r > 0 ? &result : NULL, r > 0 ? NULL : &err);
}

static void ask(struct agent_exec *e)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *arguments = json_new_object(&a);

	json_set_int(&a, arguments, "pid", e->pid);
	e->call = agent_call(e->link, &e->domain,
		&(struct agent_command){
			.name = "guest-exec-status",
			.arguments = arguments,
			.timeout_s = answer_s(e),
			.urgent = true,
			.large = true,
			.delay_ms = e->pause_ms,
		},
		status_here, e);
	e->pause_ms = MIN(e->pause_ms * 2, (unsigned)PAUSE_MAX_MS);
}

static void started(void *user, const struct json *value, const struct err *failure)
{
	struct agent_exec *e = user;
	struct err err = ERR_INIT;

	e->call = NULL;
	if (!value) {
		finish(e, NULL, failure);
		return;
	}
	e->pid = json_int_or(json_get(value, "pid"), 0);
	if (e->pid <= 0) {
		err_set(&err, -EBADMSG, "the guest agent's answer to guest-exec has no pid");
		finish(e, NULL, &err);
		return;
	}
	if (e->patient)
		e->deadline_ns = e->clock->mono_ns(e->clock) + e->timeout_s * NS_PER_S;
	ask(e);
}

static void answers(void *user, const struct json *value, const struct err *failure)
{
	struct agent_exec *e = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(free_p) char *text = NULL;
	struct json *arguments = NULL;

	e->call = NULL;
	/* That it does not know guest-ping is an answer, too. */
	if (!value && (failure->code == -ETIMEDOUT || failure->code == -EAGAIN) && !is_over(e)) {
		ping(e, SILENT_PAUSE_MS);
		return;
	}
	if (!value && failure->code != -EREMOTEIO) {
		finish(e, NULL, failure);
		return;
	}
	text = TAKE_PTR(e->arguments);
	if (json_parse(&a, text, strlen(text), NULL, &arguments, NULL) < 0)
		abort(); /* our own */
	e->call = agent_call(e->link, &e->domain,
		&(struct agent_command){.name = "guest-exec",
			.arguments = arguments,
			.timeout_s = e->patient ? ANSWER_MAX_S : answer_s(e),
			.urgent = true},
		started, e);
}

static void ping(struct agent_exec *e, unsigned delay_ms)
{
	e->call = agent_call(e->link, &e->domain,
		&(struct agent_command){.name = "guest-ping", .urgent = true, .delay_ms = delay_ms},
		answers, e);
}

struct agent_exec *agent_exec_start(const struct agent_exec_options *o)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct agent_exec *e = xcalloc(1, sizeof(*e));
	struct json *arguments = json_new_object(&a), *words = json_new_array(&a);

	e->clock = o->clock;
	e->link = o->link;
	e->domain = *o->domain;
	e->timeout_s = o->timeout_s ? MIN(o->timeout_s, (unsigned)AGENT_EXEC_TIMEOUT_MAX_S) : 30;
	e->patient = o->patience_s > 0;
	e->deadline_ns = e->clock->mono_ns(e->clock) +
			 (e->patient ? o->patience_s : e->timeout_s) * NS_PER_S;
	e->pause_ms = FIRST_PAUSE_MS;
	e->done = o->done;
	e->user = o->user;
	for (size_t i = 1; i < json_count(o->command); i++)
		json_push(&a, words, json_copy(&a, json_at(o->command, i)));
	json_set_str(&a, arguments, "path", json_str_or(json_at(o->command, 0), ""));
	json_set(&a, arguments, "arg", words);
	if (json_count(o->environment))
		json_set(&a, arguments, "env", json_copy(&a, o->environment));
	if (o->input)
		json_set_str(
			&a, arguments, "input-data", base64_encode(&a, o->input, o->input_size));
	json_set_bool(&a, arguments, "capture-output", true);
	e->arguments = xstrdup(json_text(&a, arguments));
	ping(e, 0);
	return e;
}

void agent_exec_cancel(struct agent_exec *e)
{
	if (!e)
		return;
	agent_call_cancel(e->call);
	free(e->arguments);
	free(e);
}
