#include "node/net/netd/conntrack.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "lib/base/vec.h"

/* One direction of a connection, as the kernel gives it. */
struct tuple {
	struct net_address src, dst;
	uint16_t src_port, dst_port;
	uint8_t proto;
};

struct search {
	const struct netd_op **ops;		    /* these, by port and address; or */
	const struct netd_op **fronts, **endpoints; /* what does not fit these; or */
	size_t front_count, endpoint_count;
	const struct net_address *addresses;
	size_t count;
	VEC(struct tuple) found; /* original directions */
};

#define FOR_EACH_NESTED(a, nest)                                                                   \
	for ((a) = mnl_attr_get_payload(nest);                                                     \
		mnl_attr_ok((a), (int)((char *)mnl_attr_get_payload(nest) +                        \
					 mnl_attr_get_payload_len(nest) - (char *)(a)));           \
		(a) = mnl_attr_next(a))

static void copy(const struct nlattr *a, void *to, size_t size)
{
	if (mnl_attr_get_payload_len(a) == size)
		memcpy(to, mnl_attr_get_payload(a), size);
}

static void copy_address(const struct nlattr *a, struct net_address *to)
{
	size_t size = mnl_attr_get_payload_len(a);

	if (size != 4 && size != 16)
		return;
	*to = (struct net_address){.family = size == 4 ? AF_INET : AF_INET6};
	memcpy(to->bytes, mnl_attr_get_payload(a), size);
}

static struct tuple read_tuple(const struct nlattr *nest)
{
	struct tuple t = {0};
	const struct nlattr *part, *a;

	FOR_EACH_NESTED(part, nest)
	{
		FOR_EACH_NESTED(a, part)
		{
			int type = mnl_attr_get_type(a);

			if (mnl_attr_get_type(part) == CTA_TUPLE_IP) {
				if (type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC)
					copy_address(a, &t.src);
				else if (type == CTA_IP_V4_DST || type == CTA_IP_V6_DST)
					copy_address(a, &t.dst);
			} else if (mnl_attr_get_type(part) == CTA_TUPLE_PROTO) {
				if (type == CTA_PROTO_NUM)
					copy(a, &t.proto, sizeof(t.proto));
				else if (type == CTA_PROTO_SRC_PORT)
					copy(a, &t.src_port, sizeof(t.src_port));
				else if (type == CTA_PROTO_DST_PORT)
					copy(a, &t.dst_port, sizeof(t.dst_port));
			}
		}
	}
	return t;
}

static int compare(uint16_t port, const struct net_address *address, const struct netd_op *op)
{
	if (port != op->port)
		return port < op->port ? -1 : 1;
	if (address->family != op->address.family)
		return address->family < op->address.family ? -1 : 1;
	return memcmp(address->bytes, op->address.bytes, sizeof(address->bytes));
}

static int by_front(const void *a, const void *b)
{
	const struct netd_op *x = *(const struct netd_op *const *)a;

	return compare(x->port, &x->address, *(const struct netd_op *const *)b);
}

/* One of the ops of that front end concerns what was led to the sender of the replies. */
static bool concerns(const struct search *s, const struct net_address *front, uint16_t port,
	const struct tuple *reply)
{
	size_t from = 0, to = s->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (compare(port, front, s->ops[middle]) > 0)
			from = middle + 1;
		else
			to = middle;
	}
	for (; from < s->count && compare(port, front, s->ops[from]) == 0; from++) {
		const struct netd_op *op = s->ops[from];

		if (!op->to.family || (net_address_eq(&reply->src, &op->to) &&
					      ntohs(reply->src_port) == op->to_port))
			return true;
	}
	return false;
}

static bool op_concerns(const struct search *s, const struct tuple *orig, const struct tuple *reply)
{
	struct net_address any = {.family = orig->dst.family};
	uint16_t port = ntohs(orig->dst_port);

	return orig->proto == IPPROTO_UDP &&
	       (concerns(s, &orig->dst, port, reply) || concerns(s, &any, port, reply));
}

static int by_endpoint(const void *a, const void *b)
{
	const struct netd_op *x = *(const struct netd_op *const *)a;
	const struct netd_op *y = *(const struct netd_op *const *)b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	if (x->to_port != y->to_port)
		return x->to_port < y->to_port ? -1 : 1;
	return memcmp(&x->to, &y->to, sizeof(x->to));
}

static bool leads_to(const struct search *s, uint32_t group, const struct tuple *reply)
{
	struct netd_op op = {.group = group, .to = reply->src, .to_port = ntohs(reply->src_port)};
	const struct netd_op *key = &op;

	return group &&
	       bsearch(&key, s->endpoints, s->endpoint_count, sizeof(*s->endpoints), by_endpoint);
}

static const struct netd_op *front_at(
	const struct search *s, const struct net_address *address, uint16_t port)
{
	struct netd_op op = {.address = *address, .port = port};
	const struct netd_op *key = &op;
	const struct netd_op **found =
		bsearch(&key, s->fronts, s->front_count, sizeof(*s->fronts), by_front);

	return found ? *found : NULL;
}

static bool is_stale(const struct search *s, const struct tuple *orig, const struct tuple *reply)
{
	struct net_address any = {.family = orig->dst.family};
	uint16_t port = ntohs(orig->dst_port);
	bool translated =
		!net_address_eq(&orig->dst, &reply->src) || orig->dst_port != reply->src_port;
	const struct netd_op *front;

	if (orig->proto != IPPROTO_UDP)
		return false;
	front = front_at(s, &orig->dst, port);
	/* What was not translated at a node's port may be the node's own. */
	if (!front && translated)
		front = front_at(s, &any, port);
	return front && !leads_to(s, front->group, reply) && !leads_to(s, front->inside, reply);
}

static bool is_of(const struct net_address *a, const struct tuple *orig, const struct tuple *reply)
{
	return net_address_eq(&orig->src, a) || net_address_eq(&orig->dst, a) ||
	       net_address_eq(&reply->src, a) || net_address_eq(&reply->dst, a);
}

static int see(const struct nlmsghdr *h, void *user)
{
	struct search *s = user;
	const struct nlattr *a = mnl_nlmsg_get_payload_offset(h, sizeof(struct nfgenmsg));
	struct tuple orig = {0}, reply = {0};

	for (; mnl_attr_ok(a, (int)((char *)mnl_nlmsg_get_payload_tail(h) - (char *)a));
		a = mnl_attr_next(a)) {
		if (mnl_attr_get_type(a) == CTA_TUPLE_ORIG)
			orig = read_tuple(a);
		else if (mnl_attr_get_type(a) == CTA_TUPLE_REPLY)
			reply = read_tuple(a);
	}
	bool found =
		s->ops ? op_concerns(s, &orig, &reply) : s->fronts && is_stale(s, &orig, &reply);
	for (size_t i = 0; s->addresses && i < s->count && !found; i++)
		found = is_of(&s->addresses[i], &orig, &reply);
	if (found)
		VEC_PUSH(&s->found, orig);
	return MNL_CB_OK;
}

static struct nlmsghdr *message(char *room, int type, int flags, uint8_t family)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(room);
	struct nfgenmsg *g;

	h->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->nfgen_family = family;
	g->version = NFNETLINK_V0;
	return h;
}

static void forget(struct mnl_socket *nl, char *room, const struct tuple *t)
{
	struct nlmsghdr *h = message(room, IPCTNL_MSG_CT_DELETE, 0, (uint8_t)t->dst.family);
	struct nlattr *tuple = mnl_attr_nest_start(h, CTA_TUPLE_ORIG), *part;
	bool v6 = t->dst.family == AF_INET6;
	size_t size = net_address_size(&t->dst);

	part = mnl_attr_nest_start(h, CTA_TUPLE_IP);
	mnl_attr_put(h, v6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC, size, t->src.bytes);
	mnl_attr_put(h, v6 ? CTA_IP_V6_DST : CTA_IP_V4_DST, size, t->dst.bytes);
	mnl_attr_nest_end(h, part);
	part = mnl_attr_nest_start(h, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(h, CTA_PROTO_NUM, t->proto);
	mnl_attr_put_u16(h, CTA_PROTO_SRC_PORT, t->src_port);
	mnl_attr_put_u16(h, CTA_PROTO_DST_PORT, t->dst_port);
	mnl_attr_nest_end(h, part);
	mnl_attr_nest_end(h, tuple);
	/* Gone already is as good. */
	(void)!mnl_socket_sendto(nl, h, h->nlmsg_len);
}

static int search(struct search *s)
{
	struct mnl_socket *nl;
	char room[16384];
	int r = 0;

	nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		r = -errno;
	if (r == 0) {
		struct nlmsghdr *h = message(room, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC);

		r = mnl_socket_sendto(nl, h, h->nlmsg_len) < 0 ? -errno : 1;
	}
	while (r > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(nl, room, sizeof(room));

		r = n < 0 ? -errno : mnl_cb_run(room, (size_t)n, 0, 0, see, s);
	}
	for (size_t i = 0; i < s->found.count; i++)
		forget(nl, room, &s->found.items[i]);
	if (r == 0)
		r = (int)s->found.count;
	VEC_FINISH(&s->found);
	if (nl)
		mnl_socket_close(nl);
	return r;
}

int conntrack_forget(const struct netd_op *ops, size_t count)
{
	struct search s = {.count = 0};
	int r;

	if (!count)
		return 0;
	s.ops = xcalloc(count, sizeof(const struct netd_op *));
	for (size_t i = 0; i < count; i++)
		if (ops[i].type == NETD_FORGET)
			s.ops[s.count++] = &ops[i];
	qsort(s.ops, s.count, sizeof(*s.ops), by_front);
	r = s.count ? search(&s) : 0;
	free(s.ops);
	return r;
}

int conntrack_forget_stale(const struct netd_op *ops, size_t count)
{
	struct search s = {.count = 0};
	int r;

	s.fronts = xcalloc(count + 1, sizeof(*s.fronts));
	s.endpoints = xcalloc(count + 1, sizeof(*s.endpoints));
	for (size_t i = 0; i < count; i++)
		if (ops[i].type == NETD_FRONT && ops[i].proto == IPPROTO_UDP && !ops[i].remove)
			s.fronts[s.front_count++] = &ops[i];
		else if (ops[i].type == NETD_ENDPOINT && !ops[i].remove)
			s.endpoints[s.endpoint_count++] = &ops[i];
	qsort(s.fronts, s.front_count, sizeof(*s.fronts), by_front);
	qsort(s.endpoints, s.endpoint_count, sizeof(*s.endpoints), by_endpoint);
	r = s.front_count ? search(&s) : 0;
	free(s.fronts);
	free(s.endpoints);
	return r;
}

int conntrack_forget_addresses(const struct net_address *list, size_t count)
{
	struct search s = {.addresses = list, .count = count};

	return count ? search(&s) : 0;
}
