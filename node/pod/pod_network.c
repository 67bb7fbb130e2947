/* pod_network.c - between the sandbox's having addresses and anything of the pod's running: network
 * policies must know the addresses first. */
#include "node/pod/pod_internal.h"

#include "lib/base/log.h"
#include "node/net/lease.h"
#include "node/net/policy/policies.h"

#define TELL_EACH_TRIES 10 /* seconds */

static bool runs(const struct pod_worker *w)
{
	for (size_t i = 0; i < w->view.container_count; i++)
		if (w->containers[i].cur.run == RUN_RUNNING)
			return true;
	return false;
}

static size_t addresses_of(const Cri__PodSandboxStatus *s, struct net_address *list, size_t room)
{
	size_t n = 0;

	if (!s->network)
		return 0;
	if (net_address_parse(s->network->ip, &list[n]) == 0)
		n++;
	for (size_t i = 0; i < s->network->n_additional_ips && n < room; i++)
		if (net_address_parse(s->network->additional_ips[i]->ip, &list[n]) == 0)
			n++;
	return n;
}

bool pod_network_missing(struct pod_op *op, const Cri__PodSandboxStatus *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct net_address list[ARRAY_LEN(op->addresses)];

	if (json_path_bool(pod_worker_doc(op->w, &a), "spec.hostNetwork", false) ||
		addresses_of(s, list, ARRAY_LEN(list)) || runs(op->w) ||
		op->w->sm.state >= POD_STOPPING)
		return false;
	if (++op->address_tries % TELL_EACH_TRIES == 0)
		pod_worker_event(op->w, -1, "Warning", "FailedCreatePodSandBox",
			"the container runtime gives no address of the pod's sandbox: nothing is "
			"started before network policies know it");
	return true;
}

/* Without it the pod's addresses are judged, but others could use them. */
static void find_port(struct pod_op *op, const Cri__PodSandboxStatus *s)
{
	op->port.name[0] = '\0';
	int r = ports_read_cni(PORTS_CNI_RESULTS, CNI_NETWORK, s->id, &op->port);
	if (r == -ENOENT)
		log_debug("the port of a sandbox is not known: the runtime keeps nothing "
			  "below " PORTS_CNI_RESULTS,
			"sandbox", s->id, NULL);
	else if (r < 0)
		log_warn("the port of a sandbox is not kept to its addresses: what the runtime "
			 "notes below " PORTS_CNI_RESULTS " can't be read",
			"pod", op->w->name, "namespace", op->w->ns, "sandbox", s->id, NULL);
}

static void admitted(void *user, const struct err *err);

static void ask(struct pod_op *op)
{
	op->admission = policies_admit(op->w->n->policies, op->w->uid,
		*op->port.name ? &op->port : NULL, op->addresses, op->address_count, admitted, op);
}

static void admitted(void *user, const struct err *err)
{
	struct pod_op *op = user;

	op->admission = NULL;
	if (err) {
		pod_worker_event(op->w, -1, "Warning", "FailedCreatePodSandBox", "%s", err->msg);
		ask(op);
		return;
	}
	op->network_known(op);
}

bool pod_network_wait(
	struct pod_op *op, const Cri__PodSandboxStatus *s, void (*then)(struct pod_op *op))
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (json_path_bool(pod_worker_doc(op->w, &a), "spec.hostNetwork", false))
		return false;
	op->address_count = addresses_of(s, op->addresses, ARRAY_LEN(op->addresses));
	if (!op->address_count) {
		op->w->sandbox_unread |= runs(op->w); /* the next list asks again */
		return false;
	}
	find_port(op, s);
	/* A pod of the node's own files may be what the API is made of: it does not wait for it. */
	bool first = op->w->is_static && !informer_synced(op->w->m->pods);
	if (first || runs(op->w)) {
		/* An earlier agent's: its rules are there, and nothing would be won by waiting. */
		policies_admit(op->w->n->policies, op->w->uid, *op->port.name ? &op->port : NULL,
			op->addresses, op->address_count, NULL, NULL);
		return false;
	}
	op->network_known = then;
	ask(op);
	return true;
}

void pod_network_cancel(struct pod_op *op)
{
	policies_admit_cancel(TAKE_PTR(op->admission));
}

void pod_network_ended(struct pod_worker *w)
{
	policies_ended(w->n->policies, w->uid);
}
