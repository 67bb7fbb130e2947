/* net_call.c - an address for a VM from the pods' range: given out by CNI's host-local, known to
 * DHCP and to network policies before anybody is told. */
#include <stdio.h>

#include "lib/base/log.h"
#include "node/child/child.h"
#include "node/net/dhcp.h"
#include "node/net/lease.h"
#include "node/net/net_internal.h"
#include "node/net/policy/policies.h"
#include "node/net/tap_name.h"

struct net_call {
	struct list link;
	struct node_net *net;
	char *id, *mac, *hostname, *options;
	char *machine; /* that has kept an address, or is to keep it; NULL */
	char *wanted;  /* an address that would be liked; NULL = any, or it was not to be had */
	bool adding, releasing_first;
	bool runs; /* the guest does already */
	char address[16];
	struct child *child;
	struct policy_admission *admission;
	uv_timer_t timer;
	net_lease_done *done; /* NULL when cancelled or not wanted */
	void *user;
};

static void call_free(uv_handle_t *h)
{
	struct net_call *c = h->data;

	free(c->id);
	free(c->mac);
	free(c->hostname);
	free(c->options);
	free(c->wanted);
	free(c->machine);
	free(c);
}

void net_calls_cancel_all(struct node_net *net)
{
	LIST_FOR_EACH(c, &net->calls, struct net_call, link) {
		list_remove(&c->link);
		child_cancel(c->child);
		policies_admit_cancel(c->admission);
		uv_close((uv_handle_t *)&c->timer, call_free);
	}
}

static void run_plugin(struct net_call *c, const char *command);
static void call_start(uv_timer_t *t);

/* The last thing a call does. */
static void finish(struct net_call *c, const struct err *err)
{
	struct node_net *net = c->net;
	struct net_lease lease = {
		.address = err || !c->adding ? "" : c->address,
		.prefix = net->pods.prefix,
		.gateway = net->gateway,
	};

	list_remove(&c->link);
	LIST_FOR_EACH(next, &net->calls, struct net_call, link) {
		if (streq(next->id, c->id)) {
			uv_timer_start(&next->timer, call_start, 0, 0);
			break;
		}
	}
	if (c->done)
		c->done(c->user, &lease, err);
	else if (err)
		log_warn("address of a VM", "id", c->id, "error", err->msg, NULL);
	uv_close((uv_handle_t *)&c->timer, call_free);
}

/* A guest must not send or get anything before network policies know its address. */
static void admitted(void *user, const struct err *err)
{
	struct net_call *c = user;

	c->admission = NULL;
	finish(c, err);
}

static void admit(struct net_call *c)
{
	_cleanup_(free_p) char *uid = xstrdup(c->id);
	char *interface = strrchr(uid, '-');
	struct net_address address;
	struct net_port port = {.name = ""};
	bool known;

	if (!interface || net_address_parse(c->address, &address) < 0) {
		finish(c, NULL);
		return;
	}
	*interface = '\0';
	net_tap_name(uid, port.name);
	/* A guest that an earlier version started has a port of another name. */
	known = ports_read_mac(c->mac, port.mac) == 0 && (!c->runs || if_nametoindex(port.name));
	c->admission = policies_admit(
		c->net->policies, uid, known ? &port : NULL, &address, 1, admitted, c);
}

static void have_address(struct net_call *c)
{
	struct err err = ERR_INIT;

	if (dhcp_add(c->net->dhcp, c->id, c->mac, c->address, c->hostname, c->options, &err) < 0)
		finish(c, &err);
	else
		admit(c);
}

static void plugin_done(void *user, const struct child_result *r, const struct err *failure)
{
	struct net_call *c = user;
	struct err err = ERR_INIT;

	c->child = NULL;
	if (failure && c->wanted && c->adding && !c->releasing_first) {
		free(TAKE_PTR(c->wanted)); /* somebody has it now */
		run_plugin(c, "ADD");
	} else if (failure) {
		/* CNI plugins explain themselves in JSON on standard output. */
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		struct json *doc = NULL;
		const char *text;

		if (json_parse(&a, r->out, r->out_size, NULL, &doc, NULL) < 0)
			doc = NULL;
		text = json_str(json_get(doc, "msg"));
		err_set(&err, failure->code, "host-local: %s", text ? text : failure->msg);
		finish(c, &err);
	} else if (c->releasing_first) {
		c->releasing_first = false;
		run_plugin(c, "ADD");
	} else if (!c->adding) {
		finish(c, NULL);
	} else if (lease_read_answer(r->out, r->out_size, c->address, &err) < 0) {
		finish(c, &err);
	} else {
		have_address(c);
	}
}

static void run_plugin(struct net_call *c, const char *command)
{
	_cleanup_(buf_finish) struct buf input = BUF_INIT;
	char path[256], command_env[32], id_env[300], path_env[300], args_env[48] = "CNI_ARGS=";
	const char *directory = lease_plugin("host-local", path, sizeof(path));
	const char *argv[] = {path, NULL};
	const char *env[] = {command_env, id_env, "CNI_NETNS=/proc/self/ns/net", "CNI_IFNAME=eth0",
		path_env, args_env, NULL};

	snprintf(command_env, sizeof(command_env), "CNI_COMMAND=%s", command);
	snprintf(id_env, sizeof(id_env), "CNI_CONTAINERID=%s", c->id);
	snprintf(path_env, sizeof(path_env), "CNI_PATH=%s", directory ? directory : "");
	if (c->wanted && streq(command, "ADD"))
		snprintf(args_env, sizeof(args_env), "CNI_ARGS=IP=%s", c->wanted);
	lease_write_ipam(&input, c->net->cidr);
	c->child = child_run(&(struct child_options){
		.loop = c->net->node->loop,
		.argv = argv,
		.env = env,
		.input = input.data,
		.input_size = input.size,
		.done = plugin_done,
		.user = c,
	});
}

/* Whoever had it first keeps it: frames of the other one would be dropped at its port. */
static bool mac_is_taken(const struct net_call *c, struct err *err)
{
	_cleanup_(free_p) char *uid = xstrdup(c->id);
	char *interface = strrchr(uid, '-');
	const char *other;
	uint8_t mac[6];

	if (interface)
		*interface = '\0';
	if (c->runs || ports_read_mac(c->mac, mac) < 0)
		return false;
	other = ports_owner_of_mac(policies_ports(c->net->policies), mac, uid);
	if (!other)
		return false;
	err_set(err, -EEXIST,
		"MAC address %s belongs to another pod or machine of this node (uid %s)", c->mac,
		other);
	return true;
}

static void call_start(uv_timer_t *t)
{
	struct net_call *c = t->data;
	struct err err = ERR_INIT;
	struct net_address in;

	/* What was asked about this id before is done first; its end starts this one. */
	LIST_FOR_EACH(earlier, &c->net->calls, struct net_call, link) {
		if (earlier == c)
			break;
		if (streq(earlier->id, c->id))
			return;
	}
	if (!c->adding) {
		if (c->net->dhcp)
			dhcp_remove(c->net->dhcp, c->id);
		if (c->machine && lease_keep(CNI_STORE, c->id, c->machine) == 0) {
			finish(c, NULL);
			return;
		}
		if (!*c->net->cidr || lease_find(CNI_STORE, c->id, c->address) < 0)
			finish(c, NULL); /* it has none */
		else
			run_plugin(c, "DEL");
		return;
	}
	if (mac_is_taken(c, &err)) {
		finish(c, &err);
		return;
	}
	if (!*c->net->cidr || !c->net->dhcp) {
		err_set(&err, -EAGAIN, "the node's network is not ready: %s",
			c->net->problems[PART_RANGE]   ? c->net->problems[PART_RANGE]
			: c->net->problems[PART_LINKS] ? c->net->problems[PART_LINKS]
						       : "it is being set up");
		finish(c, &err);
		return;
	}
	if (lease_find(CNI_STORE, c->id, c->address) < 0 &&
		(!c->machine || lease_kept_take(CNI_STORE, c->machine, c->id, c->address) < 0)) {
		run_plugin(c, "ADD");
	} else if (net_address_parse(c->address, &in) == 0 && net_range_has(&c->net->pods, &in)) {
		have_address(c);
	} else {
		c->releasing_first = true; /* from a range that the node had before */
		run_plugin(c, "DEL");
	}
}

static struct net_call *call_new(
	struct node_net *net, const char *id, net_lease_done *done, void *user)
{
	struct net_call *c = xcalloc(1, sizeof(*c));

	c->net = net;
	c->id = xstrdup(id);
	c->done = done;
	c->user = user;
	uv_timer_init(net->node->loop, &c->timer);
	c->timer.data = c;
	uv_timer_start(&c->timer, call_start, 0, 0);
	list_append(&net->calls, &c->link);
	return c;
}

struct net_call *net_lease_add(struct node_net *net, const char *id, const char *machine,
	const char *wanted, const char *mac, const char *hostname,
	const struct dhcp_resolvers *resolvers, bool runs, net_lease_done *done, void *user)
{
	struct net_call *c = call_new(net, id, done, user);
	struct net_address in;

	c->adding = true;
	c->runs = runs;
	c->machine = machine ? xstrdup(machine) : NULL;
	c->mac = xstrdup(mac);
	c->hostname = xstrdup(hostname ? hostname : "");
	c->options = dhcp_resolver_options(id, resolvers);
	c->wanted = net_address_parse(wanted, &in) == 0 && net_range_has(&net->pods, &in)
			    ? xstrdup(wanted)
			    : NULL;
	return c;
}

struct net_call *net_lease_remove(
	struct node_net *net, const char *id, const char *keep, net_lease_done *done, void *user)
{
	struct net_call *c = call_new(net, id, done, user);

	c->machine = keep ? xstrdup(keep) : NULL;
	return c;
}

void net_call_cancel(struct net_call *c)
{
	c->done = NULL;
}
