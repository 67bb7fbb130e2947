#include "node/net/policy/policy_ops.h"

#include <netinet/in.h>

static bool family_ok(uint32_t family)
{
	return family == AF_INET || family == AF_INET6;
}

static bool proto_ok(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

static bool set_ok(uint8_t set, uint32_t family)
{
	return set == NETD_SET_PORTS
		       ? family == 0
		       : set >= NETD_SET_PEERS && set <= NETD_SET_NAMED && family_ok(family);
}

static bool range_ok(const struct netd_policy_op *op)
{
	return net_address_is_valid(&op->address) && net_address_is_valid(&op->last) &&
	       op->address.family == op->family && op->last.family == op->family &&
	       memcmp(op->address.bytes, op->last.bytes, sizeof(op->last.bytes)) <= 0;
}

static int check_element(const struct netd_policy_op *op, struct err *err)
{
	bool single = op->set == NETD_SET_PEERS || op->set == NETD_SET_NAMED;

	if (!set_ok(op->set, op->family))
		return err_set(err, -EINVAL, "kind of set %u, family %u", op->set, op->family);
	if (single && (op->address.family != op->family || !net_address_is_unicast(&op->address)))
		return err_set(err, -EINVAL, "peer is not a unicast address");
	if (op->set == NETD_SET_RANGES && !range_ok(op))
		return err_set(err, -EINVAL, "not a range of addresses");
	if ((op->set == NETD_SET_PORTS || op->set == NETD_SET_NAMED) && !proto_ok(op->proto))
		return err_set(err, -EINVAL, "protocol %u", op->proto);
	if (op->set == NETD_SET_PORTS && op->port > op->last_port)
		return err_set(err, -EINVAL, "ports %u to %u", op->port, op->last_port);
	if (op->set == NETD_SET_NAMED && !op->port)
		return err_set(err, -EINVAL, "port 0");
	/* Sets of ranges are made once and never changed. */
	if (op->remove && !single)
		return err_set(err, -EINVAL, "a range can't be removed");
	return 0;
}

static int check_allow(const struct netd_policy_op *op, struct err *err)
{
	bool peers_ok = op->set == 0 ? op->peers == 0
				     : (op->set == NETD_SET_PEERS || op->set == NETD_SET_RANGES) &&
					       op->peers != 0;
	bool ports_ok = op->ports_set == 0 ? op->ports == 0
					   : (op->ports_set == NETD_SET_PORTS ||
						     op->ports_set == NETD_SET_NAMED) &&
						     op->ports != 0;
	bool needs_family = op->set != 0 || op->ports_set == NETD_SET_NAMED;

	if (!peers_ok || !ports_ok || (needs_family ? !family_ok(op->family) : op->family != 0))
		return err_set(err, -EINVAL, "rule with peers %u of kind %u, ports %u of kind %u",
			op->peers, op->set, op->ports, op->ports_set);
	return 0;
}

int netd_check_policy_op(const struct netd_policy_op *op, struct err *err)
{
	if (op->type < NETD_POLICY_RESET || op->type > NETD_POLICY_FORGET || op->remove > 1 ||
		op->bridge > 1 || op->zero || op->direction > POLICY_EGRESS)
		return err_set(err, -EINVAL, "policy operation %u is not known", op->type);
	if (op->type >= NETD_POLICY_SET_NEW && op->type <= NETD_POLICY_ISOLATE && !op->id)
		return err_set(err, -EINVAL, "no number");
	switch ((enum netd_policy_type)op->type) {
	case NETD_POLICY_SET_NEW:
	case NETD_POLICY_SET_DELETE:
		return set_ok(op->set, op->family)
			       ? 0
			       : err_set(err, -EINVAL, "kind of set %u, family %u", op->set,
					 op->family);
	case NETD_POLICY_ELEMENT:
		return check_element(op, err);
	case NETD_POLICY_ALLOW:
		return check_allow(op, err);
	case NETD_POLICY_JUMP:
		return op->peers ? 0 : err_set(err, -EINVAL, "jump to nowhere");
	case NETD_POLICY_ISOLATE:
	case NETD_POLICY_SELF:
	case NETD_POLICY_OWN:
	case NETD_POLICY_FORGET:
		return net_address_is_unicast(&op->address)
			       ? 0
			       : err_set(err, -EINVAL, "not a unicast address");
	case NETD_POLICY_GROUP:
		if (!family_ok(op->family) || op->remove || !range_ok(op))
			return err_set(err, -EINVAL, "not a range of addresses");
		return 0;
	case NETD_POLICY_RESET:
	case NETD_POLICY_CLEAR:
	case NETD_POLICY_CHAIN_NEW:
	case NETD_POLICY_CHAIN_EMPTY:
	case NETD_POLICY_CHAIN_DELETE:
	case NETD_POLICY_DROP:
		break;
	}
	return 0;
}
