#include "node/vm/guest_agent/guest_actions.h"

#include "node/vm/control/control.h"
#include "node/vm/guest_agent/agent_exec.h"
#include "node/vm/guest_agent/vm_freeze.h"

#define NO_AGENT "VMI does not have guest agent connected"
#define THAW_DEFAULT_NS (300 * NS_PER_S)
#define EXEC_PATIENCE_S 60  /* the API server counts on it: server/api/machines/instance.c */
#define LIST_MAX_IN_INFO 10 /* KubeVirt's */

static void fail(struct http_request *req, const struct err *err)
{
	switch (err->code) {
	case -ENOTCONN:
		vm_answer_status(req, 409, "Conflict", "%s", NO_AGENT);
		break;
	case -EBUSY:
		vm_answer_status(req, 409, "Conflict", "%s", err->msg);
		break;
	case -EAGAIN:
	case -ETIMEDOUT:
	case -ETIME:
		vm_answer_status(req, 504, "Timeout", "%s", err->msg);
		break;
	case -EHOSTDOWN:
	case -ECANCELED:
		vm_answer_status(req, 503, "ServiceUnavailable", "%s", err->msg);
		break;
	default:
		vm_answer_status(req, 500, "InternalError", "%s", err->msg);
	}
}

static bool has_agent(struct vm_worker *w, struct http_request *req)
{
	if (guest_agent_present(w->agent))
		return true;
	vm_answer_conflict(w, req, NO_AGENT);
	return false;
}

/* ---- what the agent knows ---- */

static void put(struct http_request *req, const struct guest_agent *g, struct json *to,
	const char *name, enum agent_fact f)
{
	struct json *v = guest_agent_fact(g, &req->arena, f);

	if (v)
		json_set(&req->arena, to, name, v);
}

static void answer(struct http_request *req, const struct json *doc)
{
	const char *text = json_text(&req->arena, doc);

	http_respond(req, 200, "application/json", NULL, text, strlen(text));
}

static struct json *first_of(struct json *list)
{
	while (json_count(list) > LIST_MAX_IN_INFO)
		json_remove_at(list, json_count(list) - 1);
	return list;
}

static void osinfo_here(void *user)
{
	struct http_request *req = user;
	const struct guest_agent *g = req->user;
	struct arena *a = &req->arena;
	struct json *doc, *users, *disks;

	if (!guest_agent_present(g)) {
		vm_answer_status(req, 409, "Conflict", "%s", NO_AGENT);
		return;
	}
	doc = guest_agent_fact(g, a, AGENT_FACT_INFO);
	doc = doc ? doc : json_new_object(a);
	put(req, g, doc, "hostname", AGENT_FACT_HOSTNAME);
	put(req, g, doc, "os", AGENT_FACT_OS);
	put(req, g, doc, "timezone", AGENT_FACT_TIMEZONE);
	users = guest_agent_fact(g, a, AGENT_FACT_USERS);
	if (json_count(users))
		json_set(a, doc, "userList", first_of(users));
	disks = guest_agent_fact(g, a, AGENT_FACT_FILESYSTEMS);
	json_set(a, json_object_at(a, doc, "fsInfo"), "disks",
		disks ? first_of(disks) : json_new_array(a));
	put(req, g, doc, "fsFreezeStatus", AGENT_FACT_FREEZE);
	answer(req, doc);
}

void guest_action_osinfo(struct vm_worker *w, struct http_request *req, const char *more)
{
	if (!has_agent(w, req))
		return;
	req->user = w->agent;
	guest_agent_refresh(w->agent, AGENT_ALL_FACTS, osinfo_here, req);
}

static void list_here(struct http_request *req, enum agent_fact f)
{
	const struct guest_agent *g = req->user;
	struct arena *a = &req->arena;
	struct json *doc = json_new_object(a), *items = guest_agent_fact(g, a, f);

	if (!guest_agent_present(g)) {
		vm_answer_status(req, 409, "Conflict", "%s", NO_AGENT);
		return;
	}
	json_set(a, doc, "metadata", json_new_object(a));
	json_set(a, doc, "items", items ? items : json_new_array(a));
	answer(req, doc);
}

static void users_here(void *user)
{
	list_here(user, AGENT_FACT_USERS);
}

static void filesystems_here(void *user)
{
	list_here(user, AGENT_FACT_FILESYSTEMS);
}

void guest_action_userlist(struct vm_worker *w, struct http_request *req, const char *more)
{
	if (!has_agent(w, req))
		return;
	req->user = w->agent;
	guest_agent_refresh(w->agent, 1u << AGENT_FACT_USERS, users_here, req);
}

void guest_action_filesystemlist(struct vm_worker *w, struct http_request *req, const char *more)
{
	if (!has_agent(w, req))
		return;
	req->user = w->agent;
	guest_agent_refresh(w->agent, 1u << AGENT_FACT_FILESYSTEMS, filesystems_here, req);
}

/* ---- freezing ---- */

static void freeze_done(void *user, const struct err *err)
{
	struct http_request *req = user;

	if (err)
		fail(req, err);
	else
		vm_answer_done(req, 200);
}

void guest_action_freeze(struct vm_worker *w, struct http_request *req, const char *more)
{
	int64_t thaw_after_ns = THAW_DEFAULT_NS;
	struct err err = ERR_INIT;
	struct json *body = NULL;
	const struct json *given;

	if (req->body_size &&
		json_parse(&req->arena, req->body, req->body_size, NULL, &body, &err) < 0) {
		vm_answer_status(
			req, 400, "BadRequest", "Can not unmarshal Request body: %s", err.msg);
		return;
	}
	given = json_get(body, "unfreezeTimeout");
	if (given && (!json_str(given) || duration_parse(json_str(given), &thaw_after_ns) < 0 ||
			     thaw_after_ns < 0)) {
		vm_answer_status(req, 400, "BadRequest",
			"unfreezeTimeout: must be a duration such as \"5m0s\", or \"0s\" for none");
		return;
	}
	if (has_agent(w, req))
		vm_freeze_freeze(w->freeze, thaw_after_ns, freeze_done, req);
}

void guest_action_unfreeze(struct vm_worker *w, struct http_request *req, const char *more)
{
	if (has_agent(w, req))
		vm_freeze_thaw(w->freeze, freeze_done, req);
}

/* ---- programs ---- */

/* As text where it is some; also as it came where it is none. */
static void put_output(
	struct arena *a, struct json *doc, const char *name, const char *p, size_t size, bool cut)
{
	char *text = arena_memdup(a, p, size);

	utf8_repair(text, size);
	json_set(a, doc, name, json_new_string_n(a, text, size));
	if (memcmp(text, p, size) || strlen(p) != size)
		json_set_str(a, doc, arena_printf(a, "%sBase64", name), base64_encode(a, p, size));
	if (cut)
		json_set_bool(a, doc, arena_printf(a, "%sTruncated", name), true);
}

static void exec_done(void *user, const struct agent_exec_result *r, const struct err *err)
{
	struct http_request *req = user;
	struct arena *a = &req->arena;
	struct json *doc;

	if (!r) {
		fail(req, err);
		return;
	}
	doc = json_new_object(a);
	if (r->exit_code >= 0)
		json_set_int(a, doc, "exitCode", r->exit_code);
	else
		json_set_int(a, doc, "signal", r->signal);
	put_output(a, doc, "stdout", r->out, r->out_size, r->out_truncated);
	put_output(a, doc, "stderr", r->err, r->err_size, r->err_truncated);
	answer(req, doc);
}

/* Why a list is none of words; NULL when it is. */
static const char *words_problem(const struct json *list)
{
	if (list && !json_is(list, JSON_ARRAY))
		return "must be a list of texts";
	if (json_count(list) > AGENT_EXEC_WORDS_MAX)
		return "is too long";
	JSON_FOR_EACH_ITEM(it, list)
		if (!json_str(it) || strlen(json_str(it)) != it->count)
			return "must be a list of texts";
	return NULL;
}

void guest_action_exec(struct vm_worker *w, struct http_request *req, const char *more)
{
	const struct json *command, *environment, *input;
	const char *problem;
	struct err err = ERR_INIT;
	struct json *body;
	char *bytes = NULL;
	size_t size = 0;
	int64_t timeout_s;

	if (json_parse(&req->arena, req->body, req->body_size, NULL, &body, &err) < 0) {
		vm_answer_status(
			req, 400, "BadRequest", "Can not unmarshal Request body: %s", err.msg);
		return;
	}
	command = json_get(body, "command");
	environment = json_get(body, "environment");
	input = json_get(body, "stdinBase64");
	timeout_s = json_int_or(json_get(body, "timeoutSeconds"), 30);
	problem = words_problem(command);
	if (!problem && !json_count(command))
		problem = "Required value";
	if (problem) {
		vm_answer_status(req, 400, "BadRequest", "command: %s", problem);
		return;
	}
	problem = words_problem(environment);
	if (problem) {
		vm_answer_status(req, 400, "BadRequest", "environment: %s", problem);
		return;
	}
	if (input && (!json_str(input) ||
			     base64_decode(&req->arena, (struct str){input->s, input->count},
				     &bytes, &size) < 0 ||
			     size > AGENT_EXEC_INPUT_MAX_BYTES)) {
		vm_answer_status(req, 400, "BadRequest",
			"stdinBase64: must be at most %u bytes in base64",
			AGENT_EXEC_INPUT_MAX_BYTES);
		return;
	}
	if (timeout_s < 1 || timeout_s > AGENT_EXEC_TIMEOUT_MAX_S) {
		vm_answer_status(req, 400, "BadRequest", "timeoutSeconds: must be between 1 and %d",
			AGENT_EXEC_TIMEOUT_MAX_S);
		return;
	}
	if (!has_agent(w, req))
		return;
	agent_exec_start(&(struct agent_exec_options){
		.clock = w->m->node->clock,
		.link = w->m->agents,
		.domain = &w->domain,
		.command = command,
		.environment = environment,
		.input = bytes,
		.input_size = size,
		.timeout_s = (unsigned)timeout_s,
		.patience_s = EXEC_PATIENCE_S,
		.done = exec_done,
		.user = req,
	});
}
