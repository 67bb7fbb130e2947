#include "node/net/nft_batch.h"

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
	TO_NODE_PORT_ENDPOINTS,
	TO_SERVICE_AFFINITY,
	TO_NODE_PORT_AFFINITY,
	TO_SERVICES,
	TO_NODE_PORTS,
	TARGET_COUNT,
};
static const char *const target_names[TARGET_COUNT] = {
	"hairpin",
	"endpoints",
	"node_port_endpoints",
	"service_affinity",
	"node_port_affinity",
	"services",
	"node_ports",
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
	uint8_t bytes[32];
	uint32_t size;
};

static void add_field(struct fields *f, const void *p, uint32_t size)
{
	memcpy(f->bytes + f->size, p, size);
	f->size += MNL_ALIGN(size);
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

static void key_of(enum target t, const struct netd_op *op, struct fields *f)
{
	uint16_t port = htons(op->port);
	uint32_t slot = op->slot; /* marks are in host byte order */

	if (t == TO_HAIRPIN) {
		add_field(f, &op->to_address, 4);
		add_field(f, &op->to_address, 4);
		return;
	}
	if (t == TO_SERVICES || t == TO_ENDPOINTS || t == TO_SERVICE_AFFINITY)
		add_field(f, &op->address, 4);
	add_field(f, &op->proto, 1);
	add_field(f, &port, 2);
	if (t == TO_ENDPOINTS || t == TO_NODE_PORT_ENDPOINTS)
		add_field(f, &slot, 4);
}

static void put_data(struct nlmsghdr *h, enum target t, const struct netd_op *op)
{
	struct fields to = {.size = 0};
	uint16_t port = htons(op->to_port);
	char chain[32];

	switch (t) {
	case TO_ENDPOINTS:
	case TO_NODE_PORT_ENDPOINTS:
		add_field(&to, &op->to_address, 4);
		add_field(&to, &port, 2);
		put_value(h, NFTA_SET_ELEM_DATA, &to);
		break;
	case TO_SERVICES:
	case TO_NODE_PORTS:
		netd_chain_name(chain, t == TO_NODE_PORTS, op->affinity != 0, op->slot);
		put_verdict(h, NFT_GOTO, chain);
		break;
	case TO_SERVICE_AFFINITY:
	case TO_NODE_PORT_AFFINITY:
		snprintf(chain, sizeof(chain), "remember-%u", op->affinity);
		put_verdict(h, NFT_JUMP, chain);
		break;
	case TO_HAIRPIN:
	case TARGET_COUNT:
		break;
	}
}

static bool goes_to(const struct netd_op *op, enum target t)
{
	switch (t) {
	case TO_HAIRPIN:
		return op->type == NETD_HAIRPIN;
	case TO_ENDPOINTS:
		return op->type == NETD_ENDPOINT;
	case TO_NODE_PORT_ENDPOINTS:
		return op->type == NETD_NODE_PORT_ENDPOINT;
	case TO_SERVICES:
		return op->type == NETD_SERVICE;
	case TO_NODE_PORTS:
		return op->type == NETD_NODE_PORT;
	case TO_SERVICE_AFFINITY:
		return op->type == NETD_SERVICE && op->affinity;
	case TO_NODE_PORT_AFFINITY:
		return op->type == NETD_NODE_PORT && op->affinity;
	case TARGET_COUNT:
		break;
	}
	return false;
}

/* Adds messages for all ops of one target, either those that remove or those that add. */
static void put_elements(struct buf *out, const struct netd_op *ops, size_t count, enum target t,
	bool remove, uint32_t *seq)
{
	struct nlmsghdr *h = NULL;
	struct nlattr *list = NULL;
	unsigned in_message = 0;

	for (size_t i = 0; i < count; i++) {
		const struct netd_op *op = &ops[i];
		struct fields key = {.size = 0};
		struct nlattr *element;

		if (op->remove != remove || !goes_to(op, t))
			continue;
		if (!h) {
			h = put_header(out,
				(uint16_t)(NFNL_SUBSYS_NFTABLES << 8 |
					   (remove ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM)),
				remove ? 0 : NLM_F_CREATE, NFPROTO_IPV4, 0, (*seq)++);
			mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, NETD_TABLE);
			mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, target_names[t]);
			list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
			in_message = 0;
		}
		key_of(t, op, &key);
		element = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
		put_value(h, NFTA_SET_ELEM_KEY, &key);
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

static void put_flush(struct buf *out, enum target t, uint32_t *seq)
{
	struct nlmsghdr *h = put_header(
		out, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELSETELEM, 0, NFPROTO_IPV4, 0, (*seq)++);

	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, NETD_TABLE);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, target_names[t]);
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

int nft_apply(struct nft_socket *s, const struct netd_op *ops, size_t count, struct err *err)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	uint32_t seq = nft_batch_begin(s, &out);

	for (size_t i = 0; i < count; i++)
		if (ops[i].type == NETD_FLUSH)
			for (int t = TARGET_COUNT - 1; t >= 0; t--)
				put_flush(&out, (enum target)t, &seq);
	for (int t = TARGET_COUNT - 1; t >= 0; t--)
		put_elements(&out, ops, count, (enum target)t, true, &seq);
	for (int t = 0; t < TARGET_COUNT; t++)
		put_elements(&out, ops, count, (enum target)t, false, &seq);
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
