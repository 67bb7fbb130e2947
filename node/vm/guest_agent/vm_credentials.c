#include "node/vm/guest_agent/vm_credentials.h"

#include <stdio.h>

#include "node/vm/guest_agent/credentials.h"

/* Several changes at a time are one. */
#define SETTLE_MS 300
#define RETRY_MS 15000

struct vm_credentials {
	struct vm_credentials_options o;
	struct arena arena; /* spec */
	struct json *spec, *secrets;
	char *uid;
	uv_timer_t timer;
	struct pod_refs_fetch *fetch;
	/* TELLING: values of Secrets live no longer than that. */
	struct arena values;
	struct credential todo[CREDENTIALS_MAX];
	int count, at;
	struct agent_call *call;
	struct agent_exec *program; /* in place of a call */
	struct err failed;	    /* the first of this round */
	bool again;		    /* something changed meanwhile */
	bool told, ok;
	char message[600];
	bool destroyed;
};

static void tell_next(struct vm_credentials *c);

static void report(struct vm_credentials *c, bool ok, const char *message)
{
	if (c->told && c->ok == ok && streq(c->message, message))
		return;
	c->told = true;
	c->ok = ok;
	snprintf(c->message, sizeof(c->message), "%s", message);
	utf8_repair(c->message, strlen(c->message));
	c->o.told(c->o.user, ok, c->message);
}

/* What an earlier agent of the node told holds until it is known to be so. */
static void tell_offline(struct vm_credentials *c)
{
	if (guest_agent_known(c->o.agent))
		report(c, false, "Guest agent is offline");
}

static void on_timer(uv_timer_t *t);

static void later(struct vm_credentials *c, unsigned ms)
{
	uv_timer_start(&c->timer, on_timer, ms, 0);
}

static void round_ended(struct vm_credentials *c)
{
	struct err failed = c->failed;
	/* libvirt went away, or has not found the guest's channel yet: that says nothing. */
	bool unasked = agent_unasked(failed.code) || failed.code == -ENOTCONN;

	arena_finish(&c->values);
	c->count = c->at = 0;
	if (c->again)
		later(c, SETTLE_MS);
	else if (failed.code)
		later(c, RETRY_MS);
	c->again = false;
	c->failed = ERR_INIT;
	if (!unasked)
		report(c, !failed.code, failed.msg);
}

static void set_ended(struct vm_credentials *c, const struct err *err)
{
	const struct credential *done = &c->todo[c->at++];

	if (err && !c->failed.code)
		err_set(&c->failed, err->code,
			done->keys ? "Error encountered writing ssh pub key access credentials for "
				     "user [%s]: %s"
				   : "Error encountered setting password for user [%s]: %s",
			done->user, err->msg);
	tell_next(c);
}

static void set(void *user, const struct json *value, const struct err *err)
{
	struct vm_credentials *c = user;

	c->call = NULL;
	set_ended(c, value ? NULL : err);
}

static void program_ended(void *user, const struct agent_exec_result *r, const struct err *err)
{
	struct vm_credentials *c = user;
	struct err mine = ERR_INIT;

	c->program = NULL;
	if (r && r->exit_code != 0) {
		err_set(&mine, -EREMOTEIO, "su ended with exit code %d: %.300s", r->exit_code,
			r->err);
		err = &mine;
	}
	set_ended(c, r && r->exit_code == 0 ? NULL : err);
}

static void set_by_program(struct vm_credentials *c, const struct credential *next)
{
	const char *input;
	const struct json *command = credentials_keys_program(&c->values, next, &input);

	c->program = guest_agent_exec(c->o.agent, &(struct agent_exec_options){
							  .command = command,
							  .input = input,
							  .input_size = strlen(input),
							  .done = program_ended,
							  .user = c,
						  });
}

static void tell_next(struct vm_credentials *c)
{
	const struct credential *next = &c->todo[c->at];

	if (c->at == c->count) {
		round_ended(c);
		return;
	}
	if (next->keys && credentials_need_program(
				  guest_agent_fact(c->o.agent, &c->values, AGENT_FACT_INFO))) {
		set_by_program(c, next);
		return;
	}
	c->call = guest_agent_call(c->o.agent,
		&(struct agent_command){
			.name = next->command, .arguments = next->arguments, .timeout_s = 20},
		set, c);
}

static const struct json *secret(void *user, const char *name)
{
	return pod_refs_secret(user, name);
}

static void fetched(void *user, struct pod_refs *refs, const struct err *err)
{
	struct vm_credentials *c = user;
	int n;

	c->fetch = NULL;
	if (!refs) {
		c->failed = *err;
		round_ended(c);
		return;
	}
	c->again |= ref_watches_saw(c->o.watches, c->uid, refs);
	n = credentials_read(&c->values, c->spec, secret, refs, c->todo, &c->failed);
	pod_refs_destroy(refs);
	c->count = MAX(n, 0);
	tell_next(c);
}

static void on_timer(uv_timer_t *t)
{
	struct vm_credentials *c = t->data;

	if (c->fetch || c->call || c->program) {
		c->again = true;
		return;
	}
	if (!guest_agent_present(c->o.agent)) {
		tell_offline(c);
		return; /* its coming calls here again */
	}
	c->failed = ERR_INIT;
	c->fetch = pod_refs_fetch(c->o.node, c->secrets, POD_REFS_PULL, NULL, fetched, c);
}

void vm_credentials_changed(struct vm_credentials *c)
{
	bool present;

	if (!c || c->destroyed)
		return;
	present = guest_agent_present(c->o.agent);
	if (!present)
		tell_offline(c);
	else
		later(c, SETTLE_MS);
}

struct vm_credentials *vm_credentials_create(const struct vm_credentials_options *o)
{
	struct vm_credentials *c;

	if (!credentials_wanted(o->spec))
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->o = *o;
	c->spec = json_new_object(&c->arena);
	json_set(&c->arena, c->spec, "accessCredentials",
		json_copy(&c->arena, json_get(o->spec, "accessCredentials")));
	c->secrets = credentials_secrets(&c->arena, c->spec);
	c->uid = xstrdup(o->uid);
	json_path_set(&c->arena, c->secrets, "metadata.namespace",
		json_new_string(&c->arena, o->namespace));
	json_path_set(&c->arena, c->secrets, "metadata.uid", json_new_string(&c->arena, o->uid));
	uv_timer_init(o->node->loop, &c->timer);
	c->timer.data = c;
	ref_watches_add(o->watches, c->uid, c->secrets, POD_REFS_PULL);
	later(c, 1);
	return c;
}

bool vm_credentials_state(const struct vm_credentials *c, bool *ret_ok, const char **ret_message)
{
	if (!c || !c->told)
		return false;
	*ret_ok = c->ok;
	*ret_message = c->message;
	return true;
}

static void freed(uv_handle_t *h)
{
	struct vm_credentials *c = h->data;

	arena_finish(&c->arena);
	arena_finish(&c->values);
	free(c->uid);
	free(c);
}

void vm_credentials_destroy(struct vm_credentials *c)
{
	if (!c || c->destroyed)
		return;
	c->destroyed = true;
	pod_refs_fetch_cancel(TAKE_PTR(c->fetch));
	agent_call_cancel(TAKE_PTR(c->call));
	agent_exec_cancel(TAKE_PTR(c->program));
	ref_watches_drop(c->o.watches, c->uid);
	uv_close((uv_handle_t *)&c->timer, freed);
}
