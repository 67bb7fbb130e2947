#include "node/vm/guest_agent/agent_link.h"

#include <stdio.h>

#include "lib/base/list.h"
#include "lib/base/log.h"

#define DEPTH_MAX 16
/* Beyond what libvirt allows the agent: for libvirt itself to answer. */
#define GRACE_MS 10000
/* Behind others a call may wait this long for its turn. */
#define WAIT_MAX_MS 120000

/*              its turn          answered
 *   WAITING ---------------> SENT ---------> (told, gone)
 *      |                      |
 *      +---> FAILED           +--- cancelled ---> (keeps its place until libvirt answered)
 */
struct agent_call {
	struct list link; /* in waiting, sent or failed */
	struct agent_link *l;
	struct libvirt_domain domain;
	char *text;
	unsigned timeout_s;
	bool urgent, silent;
	size_t max_bytes;
	int64_t not_before_ns, give_up_ns; /* WAITING */
	struct libvirt_call *call;
	struct err err; /* FAILED */
	agent_done *done;
	void *user;
};

struct agent_link {
	struct libvirt *libvirt;
	struct clock *clock;
	void (*up)(void *user);
	void *user;
	struct list waiting, sent, failed;
	unsigned sent_count;
	bool down; /* an attempt to connect has failed since it was up */
	bool destroyed;
	uv_timer_t timer;
};

static void arm(struct agent_link *l);

static int64_t now_of(const struct agent_link *l)
{
	return l->clock->mono_ns(l->clock);
}

static void call_free(struct agent_call *c)
{
	list_remove(&c->link);
	free(c->text);
	free(c);
}

static void tell(struct agent_call *c, const struct json *value, const struct err *err)
{
	agent_done *done = c->done;
	void *user = c->user;

	call_free(c);
	if (done)
		done(user, value, err);
}

int agent_answer_read(
	struct arena *a, const char *text, size_t size, const struct json **ret, struct err *err)
{
	const struct json_limits limits = {.depth = DEPTH_MAX, .size_bytes = AGENT_LARGE_MAX_BYTES};
	const struct json *error;
	struct json *doc;
	struct err why = ERR_INIT;
	char words[512];

	if (json_parse(a, text, size, &limits, &doc, &why) < 0)
		return err_set(
			err, -EBADMSG, "the guest agent's answer can't be read: %s", why.msg);
	error = json_get(doc, "error");
	if (json_is(error, JSON_OBJECT)) {
		snprintf(words, sizeof(words), "%s",
			json_str_or(json_get(error, "desc"), "no reason given"));
		utf8_repair(words, strlen(words));
		return err_set(err, -EREMOTEIO, "the guest agent refused: %s", words);
	}
	*ret = json_get(doc, "return");
	return *ret ? 0 : err_set(err, -EBADMSG, "the guest agent's answer has no \"return\"");
}

/* libvirt's numbers as ours. */
static int code_of(const struct libvirt_reply *r)
{
	switch (r->code) {
	case LIBVIRT_RPC_DOWN:
		return -EHOSTDOWN;
	case LIBVIRT_ERR_NO_DOMAIN:
	case LIBVIRT_ERR_OPERATION_INVALID: /* the domain is not running */
		return -ENOTCONN;
	case LIBVIRT_RPC_TIMEOUT:
	case LIBVIRT_ERR_AGENT_COMMAND_TIMEOUT:
	case LIBVIRT_ERR_AGENT_UNSYNCED:
		return -ETIMEDOUT;
	case LIBVIRT_ERR_AGENT_UNRESPONSIVE:
		return strstr(r->message, "not connected") ? -ENOTCONN : -ETIMEDOUT;
	default:
		return -EREMOTEIO;
	}
}

static void answered(void *user, const struct libvirt_reply *r)
{
	struct agent_call *c = user;
	struct agent_link *l = c->l;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct xdr_reader body = r->body;
	const struct json *value = NULL;
	struct err err = ERR_INIT;
	const char *text;
	size_t size = 0;

	c->call = NULL;
	l->sent_count--;
	if (!r->ok && c->silent && code_of(r) == -ETIMEDOUT) {
		value = json_new_object(&a);
	} else if (!r->ok) {
		err_set(&err, code_of(r), "%s", r->message);
		utf8_repair(err.msg, strlen(err.msg));
	} else {
		text = xdr_get_optional(&body) ? xdr_get_string(&body, &size) : "";
		if (body.bad)
			err_set(&err, -EBADMSG, "libvirt's answer can't be read");
		else if (size > c->max_bytes)
			err_set(&err, -E2BIG,
				"the guest agent's answer has %zu bytes, more than %zu", size,
				c->max_bytes);
		else if (!size && c->silent)
			value = json_new_object(&a);
		else if (agent_answer_read(&a, text, size, &value, &err) < 0)
			value = NULL;
	}
	tell(c, value, value ? NULL : &err);
	arm(l);
}

static bool busy(const struct agent_link *l, const struct libvirt_domain *d)
{
	LIST_FOR_EACH(c, (struct list *)&l->sent, struct agent_call, link)
		if (!memcmp(c->domain.uuid, d->uuid, sizeof(d->uuid)))
			return true;
	return false;
}

static struct agent_call *next_of(struct agent_link *l, bool urgent, int64_t now)
{
	LIST_FOR_EACH(c, &l->waiting, struct agent_call, link)
		if (c->urgent == urgent && c->not_before_ns <= now && !busy(l, &c->domain))
			return c;
	return NULL;
}

static void call_send(struct agent_call *c)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;
	struct agent_link *l = c->l;

	list_remove(&c->link);
	list_append(&l->sent, &c->link);
	l->sent_count++;
	xdr_put_domain(&args, &c->domain);
	xdr_put_string(&args, c->text);
	xdr_put_u32(&args, c->timeout_s);
	xdr_put_u32(&args, 0);
	c->call = libvirt_call(l->libvirt, LIBVIRT_QEMU_DOMAIN_AGENT_COMMAND, &args,
		/* libvirt first asks whether the agent is there, which has a limit of its own. */
		(c->timeout_s + AGENT_TIMEOUT_S) * 1000 + GRACE_MS, answered, c);
}

static void fail(struct agent_call *c, int code, const char *why)
{
	err_set(&c->err, code, "%s", why);
	list_remove(&c->link);
	list_append(&c->l->failed, &c->link);
}

/* Until one of those that wait may be due; what ends calls here anyway. */
static uint64_t pause_ms(const struct agent_link *l, int64_t now)
{
	int64_t ms = 1000;

	LIST_FOR_EACH(c, (struct list *)&l->waiting, struct agent_call, link)
		if (c->not_before_ns > now)
			ms = MIN(ms, (c->not_before_ns - now) / NS_PER_MS + 1);
	return (uint64_t)ms;
}

static void on_timer(uv_timer_t *t)
{
	struct agent_link *l = t->data;
	int64_t now = now_of(l);
	struct agent_call *c;

	LIST_FOR_EACH(w, &l->waiting, struct agent_call, link) {
		if (l->down)
			fail(w, -EHOSTDOWN, "libvirt can't be reached");
		else if (w->give_up_ns <= now)
			fail(w, -EAGAIN, "the guest agents of this node are busy");
	}
	while (!l->destroyed && !list_empty(&l->failed)) {
		struct err err;

		c = CONTAINER_OF(l->failed.next, struct agent_call, link);
		err = c->err;
		tell(c, NULL, &err);
	}
	while (!l->destroyed && libvirt_is_up(l->libvirt) && l->sent_count < AGENT_CALLS_MAX) {
		c = next_of(l, true, now);
		if (!c)
			c = next_of(l, false, now);
		if (!c)
			break;
		call_send(c);
	}
	if (!l->destroyed && !list_empty(&l->waiting))
		uv_timer_start(&l->timer, on_timer, pause_ms(l, now), 0);
}

/* From the loop, never inside a caller's call; and not 0, which would run before anything else. */
static void arm(struct agent_link *l)
{
	if (l->destroyed)
		return;
	uv_timer_start(&l->timer, on_timer, 1, 0);
}

static void link_up(void *user)
{
	struct agent_link *l = user;

	l->down = false;
	arm(l);
	l->up(l->user);
}

static void link_down(void *user, const struct err *err)
{
	struct agent_link *l = user;

	l->down = true;
	log_debug("no connection for guest agents", "error", err->msg, NULL);
	arm(l);
}

struct agent_link *agent_link_create(uv_loop_t *loop, struct clock *clock, const char *address,
	void (*up)(void *user), void *user)
{
	static const struct libvirt_handler on_libvirt = {.up = link_up, .down = link_down};
	struct agent_link *l = xcalloc(1, sizeof(*l));

	l->clock = clock;
	l->up = up;
	l->user = user;
	list_init(&l->waiting);
	list_init(&l->sent);
	list_init(&l->failed);
	uv_timer_init(loop, &l->timer);
	l->timer.data = l;
	l->libvirt = libvirt_create(loop, clock, address, &on_libvirt, l);
	return l;
}

static void freed(uv_handle_t *h)
{
	free(h->data);
}

void agent_link_destroy(struct agent_link *l)
{
	if (!l || l->destroyed)
		return;
	struct list *const all[] = {&l->waiting, &l->sent, &l->failed};
	l->destroyed = true;
	libvirt_destroy(l->libvirt); /* its calls end with it */
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		while (!list_empty(all[i])) {
			struct err err = ERR_INIT;

			err_set(&err, -ECANCELED, "the node agent is stopping");
			tell(CONTAINER_OF(all[i]->next, struct agent_call, link), NULL, &err);
		}
	uv_close((uv_handle_t *)&l->timer, freed);
}

struct agent_call *agent_call(struct agent_link *l, const struct libvirt_domain *d,
	const struct agent_command *command, agent_done *done, void *user)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *text = json_new_object(&a);
	struct agent_call *c = xcalloc(1, sizeof(*c));

	json_set_str(&a, text, "execute", command->name);
	if (command->arguments)
		json_set(&a, text, "arguments", json_copy(&a, command->arguments));
	c->l = l;
	c->domain = *d;
	c->text = xstrdup(json_text(&a, text));
	c->timeout_s = command->timeout_s ? command->timeout_s : AGENT_TIMEOUT_S;
	c->urgent = command->urgent;
	c->silent = command->silent;
	c->max_bytes = command->large ? AGENT_LARGE_MAX_BYTES : AGENT_ANSWER_MAX_BYTES;
	c->not_before_ns = now_of(l) + (int64_t)command->delay_ms * NS_PER_MS;
	c->give_up_ns = c->not_before_ns + (int64_t)WAIT_MAX_MS * NS_PER_MS;
	c->done = done;
	c->user = user;
	list_append(&l->waiting, &c->link);
	arm(l);
	return c;
}

void agent_call_cancel(struct agent_call *c)
{
	if (!c)
		return;
	/* libvirt goes on with what was sent: the place is taken until it has answered. */
	if (c->call)
		c->done = NULL;
	else
		call_free(c);
}
