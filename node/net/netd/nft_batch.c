#include "node/net/netd/nft_batch.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

/* A list attribute's length is 16 bits; an element of ours takes at most about 120 bytes. */
#define ELEMENTS_PER_MESSAGE 400

struct nft_socket {
	struct mnl_socket *nl;
	uint32_t serial;
};

/* Kernel objects that the ops go to. The order is that of the messages in a transaction: nothing
 * refers to what a later one adds. */
enum target {
	TO_HAIRPIN,
	TO_ENDPOINTS,
	TO_STICKY_SLOTS,
	TO_STICKY_ENDPOINTS,
	TO_REMEMBER,
	TO_GROUPS,
	TO_SOURCES,
	TO_FIREWALLED,
	TO_SERVICES,
	TO_SERVICES_INSIDE,
	TO_NODE_PORTS,
	TO_NODE_PORTS_INSIDE,
	TO_NO_ENDPOINTS,
	TO_NO_ENDPOINT_NODE_PORTS,
	TO_HOST_PORTS,
	TO_HOST_ADDRESS_PORTS,
	TARGET_COUNT,
};
static const struct {
	const char *name;
	enum netd_part part; /* who flushes it */
} targets[TARGET_COUNT] = {
	{"hairpin", NETD_SERVICES},
	{"endpoints", NETD_SERVICES},
	{"sticky_slots", NETD_SERVICES},
	{"sticky_endpoints", NETD_SERVICES},
	{"remember", NETD_SERVICES},
	{"groups", NETD_SERVICES},
	{"sources", NETD_SERVICES},
	{"firewalled", NETD_SERVICES},
	{"services", NETD_SERVICES},
	{"services_inside", NETD_SERVICES},
	{"node_ports", NETD_SERVICES},
	{"node_ports_inside", NETD_SERVICES},
	{"no_endpoints", NETD_SERVICES},
	{"no_endpoint_node_ports", NETD_SERVICES},
	{"host_ports", NETD_HOST_PORTS},
	{"host_address_ports", NETD_HOST_PORTS},
};

int nft_socket_open(struct nft_socket **ret, struct err *err)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	int size = 4 << 20;

	if (!nl)
		return err_errno(err, -errno, "open a netlink socket");
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		int r = -errno;

		mnl_socket_close(nl);
		return err_errno(err, r, "bind a netlink socket");
	}
	/* Errors of a large batch all have to fit; a full queue would hide them. */
	if (setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	*ret = xcalloc(1, sizeof(**ret));
	(*ret)->nl = nl;
	return 0;
}

void nft_socket_close(struct nft_socket *s)
{
	if (!s)
		return;
	mnl_socket_close(s->nl);
	free(s);
}

static struct nlmsghdr *put_header(struct buf *out, uint16_t type, uint16_t flags, uint8_t family,
	uint16_t res_id, uint32_t seq)
{
	struct nlmsghdr *h;
	struct nfgenmsg *g;

	/* Room for the largest message, so that attributes can be put without moving it. */
	buf_reserve(out, 65536 + 1024);
	h = mnl_nlmsg_put_header(out->data + out->size);
	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h->nlmsg_seq = seq;
	g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->nfgen_family = family;
	g->version = NFNETLINK_V0;
	g->res_id = htons(res_id);
	return h;
}

static void end_message(struct buf *out, const struct nlmsghdr *h)
{
	out->size += MNL_ALIGN(h->nlmsg_len);
	out->data[out->size] = '\0';
}

/* A key or value of several fields: each begins at a multiple of four bytes. */
struct fields {
	uint8_t bytes[64];
	uint32_t size;
};

static void add_field(struct fields *f, const void *p, size_t size)
{
	memcpy(f->bytes + f->size, p, size);
	f->size += (uint32_t)MNL_ALIGN(size);
}

static void add_address(struct fields *f, const struct net_address *a)
{
	add_field(f, a->bytes, net_address_size(a));
}

static void put_value(struct nlmsghdr *h, uint16_t attribute, const struct fields *f)
{
	struct nlattr *nest = mnl_attr_nest_start(h, attribute);

	mnl_attr_put(h, NFTA_DATA_VALUE, f->size, f->bytes);
	mnl_attr_nest_end(h, nest);
}

static void put_verdict(struct nlmsghdr *h, int32_t code, const char *chain)
{
	struct nlattr *data = mnl_attr_nest_start(h, NFTA_SET_ELEM_DATA);
	struct nlattr *verdict = mnl_attr_nest_start(h, NFTA_DATA_VERDICT);

	mnl_attr_put_u32(h, NFTA_VERDICT_CODE, htonl((uint32_t)code));
	mnl_attr_put_strz(h, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(h, verdict);
	mnl_attr_nest_end(h, data);
}

/* Marks and chosen numbers are in host byte order. */
static void key_of(enum target t, const struct netd_op *op, struct fields *f)
{
	uint16_t port = htons(op->port);
	uint32_t slot = op->slot, endpoint = op->group | (slot + 1);

	switch (t) {
	case TO_HAIRPIN:
		add_address(f, &op->to);
		add_address(f, &op->to);
		break;
	case TO_ENDPOINTS:
	case TO_STICKY_SLOTS:
		add_field(f, &op->group, 4);
		add_field(f, &slot, 4);
		break;
	case TO_STICKY_ENDPOINTS:
		add_field(f, &endpoint, 4);
		break;
	case TO_GROUPS:
	case TO_REMEMBER:
		add_field(f, &op->group, 4);
		break;
	case TO_SERVICES:
	case TO_SERVICES_INSIDE:
	case TO_NO_ENDPOINTS:
	case TO_FIREWALLED:
	case TO_SOURCES:
	case TO_HOST_ADDRESS_PORTS:
		add_address(f, &op->address);
		add_field(f, &op->proto, 1);
		add_field(f, &port, 2);
		if (t == TO_SOURCES)
			add_address(f, &op->to);
		break;
	case TO_NODE_PORTS:
	case TO_NODE_PORTS_INSIDE:
	case TO_NO_ENDPOINT_NODE_PORTS:
	case TO_HOST_PORTS:
		add_field(f, &op->proto, 1);
		add_field(f, &port, 2);
		break;
	case TARGET_COUNT:
		break;
	}
}

/* The last key of a range of sources; the other fields are what they are. */
static void key_end_of(const struct netd_op *op, struct fields *f)
{
	struct netd_op last = *op;

	for (uint32_t bit = op->to_prefix; bit < net_address_size(&op->to) * 8; bit++)
		last.to.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	key_of(TO_SOURCES, &last, f);
}

static void put_data(struct nlmsghdr *h, enum target t, const struct netd_op *op)
{
	struct fields to = {.size = 0};
	uint16_t port = htons(op->to_port);
	uint32_t mark = 0;
	char chain[32];

	switch (t) {
	case TO_ENDPOINTS:
	case TO_STICKY_ENDPOINTS:
	case TO_HOST_PORTS:
	case TO_HOST_ADDRESS_PORTS:
		add_address(&to, &op->to);
		add_field(&to, &port, 2);
		break;
	case TO_STICKY_SLOTS:
		mark = op->group | ((uint32_t)op->slot + 1);
		break;
	case TO_SERVICES:
	case TO_NODE_PORTS:
		mark = op->group;
		break;
	case TO_SERVICES_INSIDE:
	case TO_NODE_PORTS_INSIDE:
		mark = op->inside;
		break;
	case TO_GROUPS:
		netd_chain_name(chain, op->seconds != 0, op->slot_count);
		put_verdict(h, NFT_GOTO, chain);
		return;
	case TO_REMEMBER:
		snprintf(chain, sizeof(chain), "remember-%u", op->seconds);
		put_verdict(h, NFT_JUMP, chain);
		return;
	case TO_NO_ENDPOINTS:
	case TO_NO_ENDPOINT_NODE_PORTS:
		put_verdict(h, NFT_GOTO, op->verdict == NETD_DROP ? "discard" : "refuse");
		return;
	case TO_HAIRPIN:
	case TO_FIREWALLED:
	case TO_SOURCES:
	case TARGET_COUNT:
		return;
	}
	if (mark)
		add_field(&to, &mark, 4);
	put_value(h, NFTA_SET_ELEM_DATA, &to);
}

static bool goes_to(const struct netd_op *op, enum target t)
{
	bool any = netd_any_address(&op->address);

	switch (t) {
	case TO_HAIRPIN:
		return op->type == NETD_HAIRPIN;
	case TO_ENDPOINTS:
		return op->type == NETD_ENDPOINT && !op->seconds;
	case TO_STICKY_SLOTS:
	case TO_STICKY_ENDPOINTS:
		return op->type == NETD_ENDPOINT && op->seconds;
	case TO_REMEMBER:
		return op->type == NETD_GROUP && op->seconds;
	case TO_GROUPS:
		return op->type == NETD_GROUP;
	case TO_SERVICES:
		return op->type == NETD_FRONT && !any && op->verdict == NETD_TRANSLATE;
	case TO_SERVICES_INSIDE:
		return op->type == NETD_FRONT && !any && op->inside;
	case TO_NODE_PORTS:
		return op->type == NETD_FRONT && any && op->verdict == NETD_TRANSLATE;
	case TO_NODE_PORTS_INSIDE:
		return op->type == NETD_FRONT && any && op->inside;
	case TO_NO_ENDPOINTS:
		return op->type == NETD_FRONT && !any && op->verdict != NETD_TRANSLATE;
	case TO_NO_ENDPOINT_NODE_PORTS:
		return op->type == NETD_FRONT && any && op->verdict != NETD_TRANSLATE;
	case TO_FIREWALLED:
		return op->type == NETD_FIREWALL;
	case TO_SOURCES:
		return op->type == NETD_SOURCE;
	case TO_HOST_PORTS:
		return op->type == NETD_HOST_PORT && any;
	case TO_HOST_ADDRESS_PORTS:
		return op->type == NETD_HOST_PORT && !any;
	case TARGET_COUNT:
		break;
	}
	return false;
}

/* Adds messages for all ops of one target, either those that remove or those that add. */
static void put_elements(struct buf *out, const struct netd_op *ops, size_t count, enum target t,
	uint32_t family, bool remove, uint32_t *seq)
{
	struct nlmsghdr *h = NULL;
	struct nlattr *list = NULL;
	unsigned in_message = 0;

	for (size_t i = 0; i < count; i++) {
		const struct netd_op *op = &ops[i];
		struct fields key = {.size = 0};
		struct nlattr *element;

		if (op->remove != remove || op->address.family != family || !goes_to(op, t))
			continue;
		if (!h) {
			h = put_header(out,
				(uint16_t)(NFNL_SUBSYS_NFTABLES << 8 |
					   (remove ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM)),
				remove ? 0 : NLM_F_CREATE, (uint8_t)family, 0, (*seq)++);
			mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, NETD_TABLE);
			mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, targets[t].name);
			list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
			in_message = 0;
		}
		key_of(t, op, &key);
		element = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
		put_value(h, NFTA_SET_ELEM_KEY, &key);
		if (t == TO_SOURCES) {
			struct fields end = {.size = 0};

			key_end_of(op, &end);
			put_value(h, NFTA_SET_ELEM_KEY_END, &end);
		}
		if (!remove)
			put_data(h, t, op);
		mnl_attr_nest_end(h, element);
		if (++in_message == ELEMENTS_PER_MESSAGE) {
			mnl_attr_nest_end(h, list);
			end_message(out, h);
			h = NULL;
		}
	}
	if (h) {
		mnl_attr_nest_end(h, list);
		end_message(out, h);
	}
}

static void put_flush(struct buf *out, enum target t, uint32_t family, uint32_t *seq)
{
	struct nlmsghdr *h = put_header(out, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELSETELEM, 0,
		(uint8_t)family, 0, (*seq)++);

	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, NETD_TABLE);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, targets[t].name);
	end_message(out, h);
}

/* The kernel works a batch off inside sendmsg: whatever it has to say is there when that returns.
 */
static int read_errors(struct nft_socket *s, uint32_t first, uint32_t after, struct err *err)
{
	char room[16384];
	int result = 0;

	for (;;) {
		ssize_t n = recv(mnl_socket_get_fd(s->nl), room, sizeof(room), MSG_DONTWAIT);
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return result;
		if (n <= 0)
			return result ? result
				      : err_errno(err, n ? -errno : -EIO, "read from nf_tables");
		for (struct nlmsghdr *h = (struct nlmsghdr *)room; mnl_nlmsg_ok(h, left);
			h = mnl_nlmsg_next(h, &left)) {
			const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

			if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq < first ||
				h->nlmsg_seq >= after || !e->error || result)
				continue;
			result = err_errno(err, e->error, "change nf_tables");
		}
	}
}

struct nlmsghdr *nft_message(
	struct buf *out, uint16_t type, uint16_t flags, uint8_t family, uint32_t *seq)
{
	return put_header(
		out, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, family, 0, (*seq)++);
}

void nft_message_end(struct buf *out, const struct nlmsghdr *h)
{
	end_message(out, h);
}

uint32_t nft_batch_begin(struct nft_socket *s, struct buf *out)
{
	uint32_t seq = s->serial + 1;

	end_message(out,
		put_header(out, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, seq++));
	return seq;
}

int nft_batch_commit(struct nft_socket *s, struct buf *out, uint32_t seq, struct err *err)
{
	uint32_t first = s->serial + 1;
	struct sockaddr_nl to = {.nl_family = AF_NETLINK};
	struct iovec iov;
	struct msghdr msg = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &iov, .msg_iovlen = 1};
	int size;

	end_message(out,
		put_header(out, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, seq++));
	s->serial = seq;
	size = (int)MIN(out->size * 2 + 65536, (size_t)INT32_MAX);
	if (setsockopt(mnl_socket_get_fd(s->nl), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) <
		0)
		setsockopt(mnl_socket_get_fd(s->nl), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	iov = (struct iovec){out->data, out->size};
	if (sendmsg(mnl_socket_get_fd(s->nl), &msg, 0) < 0)
		return err_errno(err, -errno, "send %zu bytes to nf_tables", out->size);
	return read_errors(s, first, seq, err);
}

/* What occurs in a batch: each target costs a walk over the ops. */
struct outline {
	bool target[TARGET_COUNT][2][2]; /* [target][family][remove] */
};
static const uint32_t families[2] = {AF_INET, AF_INET6};

static void outline(const struct netd_op *ops, size_t count, struct outline *ret)
{
	for (size_t i = 0; i < count; i++) {
		unsigned f = ops[i].address.family == AF_INET6;

		if (ops[i].type == NETD_FLUSH || ops[i].type == NETD_FORGET)
			continue;
		for (int t = 0; t < TARGET_COUNT; t++)
			if (goes_to(&ops[i], (enum target)t))
				ret->target[t][f][ops[i].remove] = true;
	}
}

int nft_apply(struct nft_socket *s, const struct netd_op *ops, size_t count, unsigned tables,
	struct err *err)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	uint32_t first = nft_batch_begin(s, &out), seq = first;
	struct outline o = {.target = {{{false}}}};

	outline(ops, count, &o);
	for (size_t i = 0; i < count; i++)
		for (int t = TARGET_COUNT - 1; ops[i].type == NETD_FLUSH && t >= 0; t--)
			for (unsigned f = 0; ops[i].part == targets[t].part && f < 2; f++)
				if (tables & 1u << f)
					put_flush(&out, (enum target)t, families[f], &seq);
	for (unsigned f = 0; f < 2; f++) {
		for (int t = TARGET_COUNT - 1; t >= 0; t--)
			if (o.target[t][f][true])
				put_elements(
					&out, ops, count, (enum target)t, families[f], true, &seq);
		for (int t = 0; t < TARGET_COUNT; t++)
			if (o.target[t][f][false])
				put_elements(
					&out, ops, count, (enum target)t, families[f], false, &seq);
	}
	if (seq == first)
		return 0; /* nothing for the kernel's tables */
	return nft_batch_commit(s, &out, seq, err);
}

int nft_table_exists(struct nft_socket *s, uint8_t family, const char *name, struct err *err)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	uint32_t seq = ++s->serial;
	struct nlmsghdr *h = put_header(
		&out, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, NLM_F_ACK, family, 0, seq);
	int r;

	mnl_attr_put_strz(h, NFTA_TABLE_NAME, name);
	end_message(&out, h);
	if (mnl_socket_sendto(s->nl, out.data, out.size) < 0)
		return err_errno(err, -errno, "ask nf_tables");
	r = read_errors(s, seq, seq + 1, err);
	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}
