#include "node/net/policy/policies.h"

#include <netinet/in.h>

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/table.h"
#include "node/net/netd/links.h"
#include "node/net/policy/policy_pods.h"

#define RETRY_MS 2000
#define TOO_LARGE_RETRY_MS 30000
#define TICK_MS 1000
#define IDLE_TICK_MS 10000
#define ADMIT_PATIENCE_NS (10 * NS_PER_S)
/* An API that is not hanok's may have no machines: its refusal is looked at after this. One that is
 * slow is waited for: without its answer guests would lose their rules. */
#define MACHINES_PATIENCE_NS (5 * NS_PER_S)
#define UNUSED_NS (30 * NS_PER_S) /* then peers are watched no more */
#define PENDING_MAX 10000
#define NEVER UINT64_MAX

enum { PODS, MACHINES, NAMESPACES, PEER_KINDS };

/* A pod or machine of this node. */
struct local {
	struct object *object;
	bool gone;     /* it has no object any more */
	bool admitted; /* its addresses are those below, not what its status says */
	size_t address_count;
	struct net_address addresses[POLICY_POD_ADDRESSES_MAX];
};

struct policy_admission {
	struct list link;
	uint64_t needs; /* the message that netd must have taken; NEVER = a full one, first */
	int64_t since_ns;
	policy_admitted *done;
	void *user;
};

struct sent {
	uint32_t serial;
	uint64_t number;
};

/*            netd asks for everything          all first lists are in: all is sent
 *   STALE ---------------------------> WANTED ------------------------------------> LIVE
 *     ^                                 ^ |                                          |
 *     |          netd is gone           | +-- refused: a pause                       |
 *     +---------------------------------+--------------------------------------------+
 */
enum state { STALE, WANTED, LIVE };

struct policies {
	struct node *node;
	struct netd_client *netd;
	struct policy_map *map;
	struct ports *ports;
	struct informer *policies, *peers[PEER_KINDS];
	struct table locals;  /* uid -> struct local */
	struct table remotes; /* uid of a pod or machine of another node -> ourselves */
	bool listed[2];	      /* pods, machines of this node */
	enum state state;
	bool released;	     /* all policies and pods of the first lists were compared */
	bool bridge_asked;   /* the last full message was for the family bridge too */
	bool bridge_refused; /* the kernel can't judge what passes between ports of a bridge */
	struct net_range ranges[2];
	size_t range_count;
	VEC(struct net_address) dns; /* of all nodes */
	netd_policy_ops pending;     /* elements that come, not sent yet */
	VEC(struct sent) sent;	     /* unanswered */
	uint64_t last_number, answered, full_number;
	int64_t wanted_since_ns, used_ns;
	struct list admissions;
	char *problem; /* why the kernel has not what it should; NULL = it has */
	uv_timer_t retry, tick;
};

static int64_t now_of(const struct policies *p)
{
	return p->node->clock->mono_ns(p->node->clock);
}

static void wake(struct policies *p, uint64_t ms);

/* ---- messages ---- */

static void problem(struct policies *p, const char *text)
{
	if (streq(text, p->problem))
		return;
	if (text)
		log_warn("network policies are not in place", "problem", text, NULL);
	else
		log_info("network policies are in place", NULL);
	free(p->problem);
	p->problem = text ? xstrdup(text) : NULL;
}

static bool send_now(struct policies *p, const netd_policy_ops *ops)
{
	uint32_t serial = netd_client_send(
		p->netd, NETD_POLICY, ops->items, ops->count * sizeof(*ops->items));

	if (!serial)
		return false;
	VEC_PUSH(&p->sent, ((struct sent){serial, ++p->last_number}));
	return true;
}

static void flush(struct policies *p)
{
	if (p->pending.count && p->state == LIVE && !send_now(p, &p->pending))
		p->state = STALE; /* netd is gone: policies_resync will come */
	VEC_FINISH(&p->pending);
}

static bool only_new_elements(const netd_policy_ops *ops)
{
	for (size_t i = 0; i < ops->count; i++)
		if (ops->items[i].type != NETD_POLICY_ELEMENT || ops->items[i].remove)
			return false;
	return true;
}

/* Elements that only come wait for others of this turn of the loop; the rest goes at once. */
static void send_ops(struct policies *p, netd_policy_ops *ops)
{
	if (p->state == LIVE && ops->count && only_new_elements(ops) &&
		p->pending.count < PENDING_MAX) {
		for (size_t i = 0; i < ops->count; i++)
			VEC_PUSH(&p->pending, ops->items[i]);
		wake(p, 0);
	} else if (p->state == LIVE && ops->count) {
		flush(p);
		if (p->state == LIVE && !send_now(p, ops))
			p->state = STALE;
	}
	VEC_FINISH(ops);
}

/* ---- everything ---- */

static bool synced(const struct policies *p, int kind)
{
	return !p->peers[kind] || informer_synced(p->peers[kind]);
}

/* First lists, without which too little would be isolated, or nobody let through. */
static bool have_all(struct policies *p)
{
	const struct informer *machines = p->node->machines;
	bool patient = now_of(p) - p->wanted_since_ns < MACHINES_PATIENCE_NS;

	if (!informer_synced(p->policies) || !p->listed[PODS] || !synced(p, PODS) ||
		!synced(p, NAMESPACES))
		return false;
	if (!p->listed[MACHINES] && (patient || (machines && !informer_absent(machines))))
		return false;
	return synced(p, MACHINES) || informer_absent(p->peers[MACHINES]);
}

static void group_range(const char *first, const char *last, struct policy_range *ret)
{
	if (net_address_parse(first, &ret->first) < 0 || net_address_parse(last, &ret->last) < 0)
		abort();
}

static void set_host(struct policies *p)
{
	struct policy_range group[8];
	size_t n = 0;
	bool bridged = links_sysctl("/proc/sys/net/bridge/bridge-nf-call-iptables", "1");
	bool bridged6 = links_sysctl("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "1");
	bool ipv6 = access("/proc/sys/net/ipv6", F_OK) == 0;

	group_range("224.0.0.0", "239.255.255.255", &group[n++]);
	group_range("255.255.255.255", "255.255.255.255", &group[n++]);
	group_range("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &group[n++]);
	group_range("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &group[n++]);
	for (size_t i = 0; i < p->range_count; i++) {
		const struct net_range *r = &p->ranges[i];

		if (r->address.family != AF_INET || r->prefix > 30)
			continue;
		group[n].first = net_address_plus(&r->address,
			r->prefix ? (uint32_t)((UINT64_C(1) << (32 - r->prefix)) - 1) : UINT32_MAX);
		group[n].last = group[n].first;
		n++;
	}
	if ((!bridged || (ipv6 && !bridged6)) && p->bridge_refused)
		log_warn("this kernel judges nothing that passes between two ports of a bridge: "
			 "network policies do not hold between pods of this node",
			"do", "load the module br_netfilter or nf_conntrack_bridge", NULL);
	struct net_address own[ARRAY_LEN(p->ranges)];
	for (size_t i = 0; i < p->range_count; i++)
		own[i] = net_address_plus(&p->ranges[i].address, 1);
	policy_map_set_own(p->map, own, p->range_count);
	p->bridge_asked = (!bridged || (ipv6 && !bridged6)) && !p->bridge_refused;
	policy_map_set_host(p->map, p->bridge_asked, group, n);
}

static void on_retry(uv_timer_t *t);

static void full_sync(struct policies *p)
{
	netd_policy_ops ops = {0};

	if (p->state != WANTED || uv_is_active((uv_handle_t *)&p->retry) || !have_all(p))
		return;
	set_host(p);
	policy_map_all(p->map, &ops);
	VEC_FINISH(&p->pending);
	if (ops.count > NETD_MESSAGE_MAX_BYTES / sizeof(*ops.items)) {
		/* netd would not get it, and nobody would ask for it again. */
		problem(p, "network policies need more elements than are offered");
		uv_timer_start(&p->retry, on_retry, TOO_LARGE_RETRY_MS, 0);
	} else if (send_now(p, &ops)) {
		p->state = LIVE;
		p->full_number = p->last_number;
		LIST_FOR_EACH(a, &p->admissions, struct policy_admission, link)
			if (a->needs == NEVER)
				a->needs = p->last_number;
	} else {
		p->state = STALE;
	}
	VEC_FINISH(&ops);
}

static void on_retry(uv_timer_t *t)
{
	full_sync(t->data);
}

static void begin_anew(struct policies *p)
{
	p->state = WANTED;
	p->wanted_since_ns = now_of(p);
	LIST_FOR_EACH(a, &p->admissions, struct policy_admission, link)
		a->needs = NEVER;
	wake(p, 0);
}

void policies_stale(struct policies *p)
{
	p->state = STALE;
	p->sent.count = 0;
	ports_stale(p->ports);
	VEC_FINISH(&p->pending);
	LIST_FOR_EACH(a, &p->admissions, struct policy_admission, link)
		a->needs = NEVER;
}

void policies_resync(struct policies *p, const struct net_range *ranges, size_t count)
{
	p->range_count = MIN(count, ARRAY_LEN(p->ranges));
	for (size_t i = 0; i < p->range_count; i++)
		p->ranges[i] = ranges[i];
	uv_timer_stop(&p->retry);
	p->bridge_refused = false; /* a module may have been loaded since */
	ports_resync(p->ports);
	begin_anew(p);
	full_sync(p);
}

/* Not what a kernel without these rules for bridges says: with another try they may be taken. */
static bool unrelated_to_bridge(int code)
{
	return code == -ENOMEM || code == -ENOBUFS || code == -EINTR || code == -EAGAIN ||
	       code == -E2BIG || code == -EMSGSIZE || code == -EPERM;
}

static void refused(struct policies *p, uint64_t number, int code, const char *text)
{
	bool again = number == p->full_number;

	/* An incremental change may be refused because the table is not what we thought. */
	if (p->state != LIVE || number < p->full_number)
		return;
	if (again) {
		problem(p, text);
		/* What passes by IP is judged at least. */
		if (p->bridge_asked && !p->bridge_refused && !unrelated_to_bridge(code)) {
			p->bridge_refused = true;
			again = false;
		}
	} else {
		log_warn("netd refused changes of network policies", "error", text, NULL);
	}
	if (again)
		uv_timer_start(&p->retry, on_retry, RETRY_MS, 0);
	begin_anew(p);
	full_sync(p);
}

bool policies_result(struct policies *p, uint32_t serial, int code, const char *text)
{
	uint64_t number;

	if (ports_result(p->ports, serial, code, text))
		return true;
	if (!p->sent.count || p->sent.items[0].serial != serial)
		return false;
	number = p->sent.items[0].number;
	VEC_REMOVE(&p->sent, 0);
	p->answered = number;
	if (code < 0) {
		refused(p, number, code, text);
		return true;
	}
	if (number == p->full_number)
		problem(p, NULL);
	wake(p, 0);
	return true;
}

/* ---- peers ---- */

static void tell_problem(struct policies *p, const struct object *o, const struct policy *policy)
{
	if (policy->problem)
		client_event(p->node->client, o, NULL, "Warning", "PolicyNotFullyApplied", "%s%s",
			policy->problem, policy->problem_count > 1 ? " (and there are more)" : "");
}

static void consider_peers(struct policies *p);

static void policy_changed(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct policies *p = user;
	const struct object *o = new ? new : old;
	struct policy *policy = new ? policy_create(object_doc(new, &a)) : NULL;
	netd_policy_ops ops = {0};

	policy_map_set_policy(p->map, o->namespace, o->name, policy, &ops);
	if (policy && policy_map_applies(p->map, o->namespace, o->name))
		tell_problem(p, o, policy);
	send_ops(p, &ops);
	consider_peers(p);
}

static void tell_problems(struct policies *p)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **list;
	size_t count = informer_list(p->policies, NULL, &a, &list);

	for (size_t i = 0; i < count; i++) {
		if (!policy_map_applies(p->map, list[i]->namespace, list[i]->name))
			continue;
		struct policy *policy = policy_create(object_doc(list[i], &a));
		tell_problem(p, list[i], policy);
		policy_destroy(policy);
	}
}

/* What is known now is compared at once. */
static void release(struct policies *p)
{
	netd_policy_ops ops = {0};

	if (!informer_synced(p->policies) || !p->listed[PODS])
		return;
	if (!p->released) {
		p->released = true;
		policy_map_release(p->map, &ops);
		VEC_FINISH(&ops); /* the kernel gets everything, later */
		tell_problems(p);
	}
	consider_peers(p);
}

static void first_list(void *user)
{
	struct policies *p = user;

	release(p);
	full_sync(p);
}

static void peer_changed(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct policies *p = user;
	const struct object *o = new ? new : old;
	struct policy_pod pod;
	netd_policy_ops ops = {0};

	/* Those of this node are told by their managers. */
	if (new && !streq(policy_pod_node(&a, new), p->node->name) &&
		policy_pod_read(&a, new, &pod) && pod.address_count &&
		!table_get(&p->locals, new->uid)) {
		table_set(&p->remotes, o->uid, p);
		policy_map_set_pod(p->map, &pod, &ops);
	} else if (table_remove(&p->remotes, o->uid)) {
		policy_map_remove_pod(p->map, o->uid, &ops);
	}
	send_ops(p, &ops);
}

static void namespace_changed(void *user, const struct object *old, const struct object *new)
{
	static const struct object_label none[1];
	struct policies *p = user;
	const struct object *o = new ? new : old;
	netd_policy_ops ops = {0};

	policy_map_set_namespace(p->map, o->name,
		!new		   ? NULL
		: new->label_count ? new->labels
				   : none,
		new ? new->label_count : 0, &ops);
	send_ops(p, &ops);
}

static void watch(struct policies *p, int kind)
{
	static const struct informer_handler on_peer = {.changed = peer_changed,
						     .synced = first_list},
					     on_namespace = {.changed = namespace_changed,
						     .synced = first_list};
	static const char *const kinds[PEER_KINDS][3] = {{"", "v1", "Pod"},
		{"kubevirt.io", "v1", "VirtualMachineInstance"}, {"", "v1", "Namespace"}};
	struct informer *i;

	if (p->peers[kind])
		return;
	i = p->peers[kind] = informer_create(p->node->client,
		kind_by_name(p->node->kinds, kinds[kind][0], kinds[kind][1], kinds[kind][2]), NULL,
		NULL, NULL);
	if (kind != NAMESPACES)
		informer_set_keep(i, policy_pod_digest);
	informer_add_handler(i, kind == NAMESPACES ? &on_namespace : &on_peer, p);
	informer_start(i);
}

static void forget_remotes(struct policies *p)
{
	for (struct table_iter i = table_iterate(&p->remotes); table_next(&i);) {
		netd_policy_ops ops = {0};

		policy_map_remove_pod(p->map, i.key, &ops);
		send_ops(p, &ops);
		table_remove(&p->remotes, i.key);
	}
	table_finish(&p->remotes);
}

static void forget_namespaces(struct policies *p)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **list;
	size_t count = informer_list(p->peers[NAMESPACES], NULL, &a, &list);

	for (size_t i = 0; i < count; i++)
		namespace_changed(p, list[i], NULL);
}

/* Starts what is needed, ends what has not been for a while. */
static void consider_peers(struct policies *p)
{
	bool pods = policy_map_needs_pods(p->map);
	bool namespaces = policy_map_needs_namespaces(p->map);

	if (pods) {
		watch(p, PODS);
		watch(p, MACHINES);
	}
	if (namespaces)
		watch(p, NAMESPACES);
	if (pods || namespaces)
		p->used_ns = now_of(p);
	if ((p->peers[PODS] || p->peers[NAMESPACES]) && !uv_is_active((uv_handle_t *)&p->tick))
		wake(p, TICK_MS);
}

static void let_go_of_peers(struct policies *p)
{
	if (policy_map_needs_pods(p->map) || policy_map_needs_namespaces(p->map) ||
		now_of(p) - p->used_ns < UNUSED_NS)
		return;
	if (p->peers[NAMESPACES])
		forget_namespaces(p);
	forget_remotes(p);
	for (int i = 0; i < PEER_KINDS; i++)
		informer_destroy(TAKE_PTR(p->peers[i]));
}

/* ---- the cluster's DNS ---- */

static char *dns_uid(const struct net_address *a)
{
	char text[NET_ADDRESS_TEXT];

	return xasprintf("dns %s", net_address_format(a, text));
}

static void set_dns(struct policies *p, const struct net_address *a)
{
	static const struct object_label labels[] = {{"k8s-app", "kube-dns"}};
	static const struct policy_port_name ports[] = {
		{"dns", IPPROTO_UDP, 53}, {"dns-tcp", IPPROTO_TCP, 53}};
	_cleanup_(free_p) char *uid = dns_uid(a);
	struct policy_pod pod = {
		.uid = uid,
		.ns = "kube-system",
		.labels = labels,
		.label_count = ARRAY_LEN(labels),
		.addresses = a,
		.address_count = 1,
		.ports = ports,
		.port_count = ARRAY_LEN(ports),
	};
	netd_policy_ops ops = {0};

	policy_map_set_pod(p->map, &pod, &ops);
	send_ops(p, &ops);
}

void policies_set_dns(struct policies *p, const struct net_address *addresses, size_t count)
{
	struct table now = {0};

	if (count == p->dns.count &&
		(!count || memcmp(addresses, p->dns.items, count * sizeof(*addresses)) == 0))
		return;
	for (size_t i = 0; i < count; i++) {
		_cleanup_(free_p) char *uid = dns_uid(&addresses[i]);

		table_set(&now, uid, p);
		set_dns(p, &addresses[i]);
	}
	for (size_t i = 0; i < p->dns.count; i++) {
		_cleanup_(free_p) char *uid = dns_uid(&p->dns.items[i]);
		netd_policy_ops ops = {0};

		if (!table_get(&now, uid))
			policy_map_remove_pod(p->map, uid, &ops);
		send_ops(p, &ops);
	}
	table_finish(&now);
	p->dns.count = 0;
	for (size_t i = 0; i < count; i++)
		VEC_PUSH(&p->dns, addresses[i]);
}

/* ---- pods and machines of this node ---- */

static void show(struct policies *p, const char *uid, const struct local *l)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct policy_pod pod;
	netd_policy_ops ops = {0};

	if (!l->object || !policy_pod_read(&a, l->object, &pod)) {
		policy_map_remove_pod(p->map, uid, &ops);
	} else {
		pod.local = true;
		pod.gone |= l->gone;
		if (l->admitted) {
			pod.addresses = l->addresses;
			pod.address_count = l->address_count;
		}
		/* A watch of all pods may have told it before it was this node's. */
		table_remove(&p->remotes, uid);
		policy_map_set_pod(p->map, &pod, &ops);
	}
	send_ops(p, &ops);
	consider_peers(p);
}

static struct local *local_at(struct policies *p, const char *uid)
{
	struct local *l = table_get(&p->locals, uid);

	if (!l) {
		l = xcalloc(1, sizeof(*l));
		table_set(&p->locals, uid, l);
	}
	return l;
}

static void mark_gone(struct policies *p, const char *uid)
{
	struct local *l = table_get(&p->locals, uid);

	if (!l)
		return;
	l->gone = true;
	show(p, uid, l);
}

void policies_changed(struct policies *p, const struct object *old, const struct object *new)
{
	struct local *l;

	if (old && (!new || !streq(old->uid, new->uid)))
		mark_gone(p, old->uid);
	if (!new)
		return;
	l = local_at(p, new->uid);
	object_unref(l->object);
	l->object = object_ref((struct object *)(uintptr_t) new);
	show(p, new->uid, l);
}

void policies_ended(struct policies *p, const char *uid)
{
	struct local *l = table_remove(&p->locals, uid);
	netd_policy_ops ops = {0};

	ports_remove(p->ports, uid);
	if (!l)
		return;
	object_unref(l->object);
	free(l);
	policy_map_remove_pod(p->map, uid, &ops);
	send_ops(p, &ops);
	consider_peers(p);
}

void policies_listed(struct policies *p, bool machines)
{
	p->listed[machines ? MACHINES : PODS] = true;
	release(p);
	full_sync(p);
}

/* ---- admission ---- */

static void admit_end(struct policy_admission *a, const struct err *err)
{
	policy_admitted *done = a->done;
	void *user = a->user;

	list_remove(&a->link);
	free(a);
	done(user, err);
}

struct policy_admission *policies_admit(struct policies *p, const char *uid,
	const struct net_port *port, const struct net_address *addresses, size_t count,
	policy_admitted *done, void *user)
{
	struct policy_admission *a;
	struct local *l = local_at(p, uid);

	l->admitted = true;
	l->address_count = MIN(count, (size_t)POLICY_POD_ADDRESSES_MAX);
	for (size_t i = 0; i < l->address_count; i++)
		l->addresses[i] = addresses[i];
	if (port)
		ports_set(p->ports, uid, port, l->addresses, l->address_count);
	show(p, uid, l);
	flush(p);
	if (!done)
		return NULL;
	a = xcalloc(1, sizeof(*a));
	a->needs = p->state == LIVE ? p->last_number : NEVER;
	a->since_ns = now_of(p);
	a->done = done;
	a->user = user;
	list_append(&p->admissions, &a->link);
	wake(p, 0);
	return a;
}

void policies_admit_cancel(struct policy_admission *a)
{
	if (!a)
		return;
	list_remove(&a->link);
	free(a);
}

static const char *why_not(const struct policies *p)
{
	if (p->problem)
		return p->problem;
	if (p->state == STALE)
		return "netd is being started";
	if (p->state == WANTED)
		return "policies and pods have not been listed yet";
	return "netd has not answered yet";
}

/* A callback may cancel any other one, so the list is begun anew after each. */
static void tick(struct policies *p)
{
	bool again;

	flush(p);
	full_sync(p);
	do {
		again = false;
		LIST_FOR_EACH(a, &p->admissions, struct policy_admission, link) {
			struct err err = ERR_INIT;

			if (p->state == LIVE && a->needs <= p->answered) {
				admit_end(a, NULL);
			} else if (now_of(p) - a->since_ns >= ADMIT_PATIENCE_NS) {
				err_set(&err, -EAGAIN, "network policies are not in place: %s",
					why_not(p));
				admit_end(a, &err);
			} else {
				continue;
			}
			again = true;
			break;
		}
	} while (again);
	let_go_of_peers(p);
}

static void on_tick(uv_timer_t *t)
{
	struct policies *p = t->data;

	tick(p);
	if (!list_empty(&p->admissions) || p->state == WANTED || p->peers[PODS] ||
		p->peers[NAMESPACES])
		if (!uv_is_active((uv_handle_t *)&p->tick))
			uv_timer_start(&p->tick, on_tick,
				list_empty(&p->admissions) && p->state != WANTED ? IDLE_TICK_MS
										 : TICK_MS,
				0);
}

static void wake(struct policies *p, uint64_t ms)
{
	uv_timer_start(&p->tick, on_tick, ms, 0);
}

/* ---- life ---- */

struct policies *policies_create(struct node *n, struct netd_client *netd)
{
	static const struct informer_handler on_policy = {
		.changed = policy_changed, .synced = first_list};
	struct policies *p = xcalloc(1, sizeof(*p));

	p->node = n;
	p->netd = netd;
	p->map = policy_map_create();
	policy_map_hold(p->map);
	p->ports = ports_create(n->loop, netd);
	list_init(&p->admissions);
	uv_timer_init(n->loop, &p->retry);
	uv_timer_init(n->loop, &p->tick);
	p->retry.data = p->tick.data = p;
	p->policies = informer_create(n->client,
		kind_by_name(n->kinds, "networking.k8s.io", "v1", "NetworkPolicy"), NULL, NULL,
		NULL);
	informer_add_handler(p->policies, &on_policy, p);
	informer_start(p->policies);
	return p;
}

static void tick_closed(uv_handle_t *h)
{
	free(h->data);
}

static void retry_closed(uv_handle_t *h)
{
	struct policies *p = h->data;

	uv_close((uv_handle_t *)&p->tick, tick_closed);
}

struct ports *policies_ports(struct policies *p)
{
	return p->ports;
}

void policies_destroy(struct policies *p)
{
	if (!p)
		return;
	informer_destroy(p->policies);
	for (int i = 0; i < PEER_KINDS; i++)
		informer_destroy(p->peers[i]);
	LIST_FOR_EACH(a, &p->admissions, struct policy_admission, link) {
		list_remove(&a->link);
		free(a);
	}
	for (struct table_iter i = table_iterate(&p->locals); table_next(&i);) {
		struct local *l = i.value;

		object_unref(l->object);
		free(l);
	}
	table_finish(&p->locals);
	table_finish(&p->remotes);
	policy_map_destroy(p->map);
	ports_destroy(p->ports);
	VEC_FINISH(&p->dns);
	VEC_FINISH(&p->pending);
	VEC_FINISH(&p->sent);
	free(p->problem);
	uv_timer_stop(&p->tick);
	uv_close((uv_handle_t *)&p->retry, retry_closed);
}
