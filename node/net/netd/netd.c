#include "node/net/netd/netd.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "node/net/netd/conntrack.h"
#include "node/net/net.h"
#include "node/net/netd/network_rules.h"
#include "node/net/netd/nft_rules.h"
#include "node/net/netd/policy_batch.h"
#include "node/net/netd/port_guard.h"
#include "node/net/netd/server_rules.h"

#define SOCKET_FD 3
#define TABLE_CHECK_MS 15000
#define FORGET_MS 100 /* connections to be forgotten are gathered so long at most */

struct netd {
	struct nft_socket *nft;
	struct netd_config config;
	unsigned tables; /* NFT_TABLE_*: config came and these were made */
	struct policy_tables policies;
	bool guard;    /* the table of ports is there */
	bool networks; /* that of networks of the node's own too */
	bool servers;  /* that of servers too */
	bool networks_known,
		servers_known; /* all of them were told; else the kernel may have more */
	VEC(struct netd_network) network_list;
	VEC(struct netd_server) server_list;
	bool emptied; /* a table was made anew, by the configuration under way */
	bool lost_told;
	int64_t check_ns;	    /* when the tables are looked for again, however busy it is */
	VEC(uint32_t) remembered;   /* seconds that have a chain */
	VEC(struct netd_op) forget; /* of type NETD_FORGET, done but for these */
	int64_t forget_ns;	    /* they wait no longer */
};

static int64_t now_ns(void)
{
	struct clock *c = clock_system();

	return c->mono_ns(c);
}

/* All that netd, and the nft it starts, may ever do is to change the network. */
static void drop_privileges(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {{0}};

	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (cap != CAP_NET_ADMIN)
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	d[0].effective = d[0].permitted = 1u << CAP_NET_ADMIN;
	if (syscall(SYS_capset, &h, d) < 0)
		log_warn(
			"netd keeps more privileges than it needs", "error", strerror(errno), NULL);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static int read_all(int fd, void *p, size_t size)
{
	for (char *at = p; size;) {
		ssize_t n = read(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EPIPE;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

static int write_all(int fd, const void *p, size_t size)
{
	for (const char *at = p; size;) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

static int answer(uint32_t type, uint32_t serial, int code, const char *text)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	struct netd_header h = {
		.size = (uint32_t)strlen(text), .type = type, .serial = serial, .code = code};

	buf_add(&out, &h, sizeof(h));
	buf_add_str(&out, text);
	return write_all(SOCKET_FD, out.data, out.size);
}

/* Gives nft(8) a ruleset on its standard input. */
static int run_nft(const struct buf *rules, struct err *err)
{
	static char *const argv[] = {"nft", "-f", "-", NULL};
	static char *const env[] = {"PATH=/usr/sbin:/sbin:/usr/bin:/bin", "LANG=C", NULL};
	posix_spawn_file_actions_t actions;
	char said[512] = "";
	int in[2], out[2], r, status;
	size_t have = 0;
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) < 0)
		return err_errno(err, -errno, "pipe to nft");
	if (pipe2(out, O_CLOEXEC) < 0) {
		r = -errno;
		close(in[0]);
		close(in[1]);
		return err_errno(err, r, "pipe from nft");
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], 0);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	posix_spawn_file_actions_adddup2(&actions, out[1], 2);
	posix_spawn_file_actions_addclose(&actions, SOCKET_FD);
	r = -posix_spawnp(&pid, "nft", &actions, NULL, argv, env);
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	close(out[1]);
	if (r < 0) {
		close(in[1]);
		close(out[0]);
		return err_errno(err, r, "start nft (Debian package nftables)");
	}
	/* nft reads all of its input before it says anything. */
	r = write_all(in[1], rules->data, rules->size);
	close(in[1]);
	for (;;) {
		char more[512];
		ssize_t n = read(out[0], more, sizeof(more));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		n = MIN(n, (ssize_t)(sizeof(said) - 1 - have));
		memcpy(said + have, more, (size_t)n);
		have += (size_t)n;
	}
	said[have] = '\0';
	close(out[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		said[strcspn(said, "\n")] = '\0';
		return err_set(err, -EIO, "nft: %s", *said ? said : "failed without saying why");
	}
	return r;
}

static void delete_table(struct buf *out, uint32_t family)
{
	const char *name = family == AF_INET6 ? "ip6" : "ip";

	buf_printf(
		out, "add table %s " NETD_TABLE "\ndelete table %s " NETD_TABLE "\n", name, name);
}

static int make_table(struct netd *d, const struct netd_config *c, const struct net_range *nets,
	uint32_t family, struct err *err)
{
	_cleanup_(buf_finish) struct buf rules = BUF_INIT, fresh = BUF_INIT;
	struct err again = ERR_INIT;
	int r;

	netd_ruleset_write(&rules, c, nets, family, NET_BRIDGE);
	r = run_nft(&rules, err);
	if (r < 0) {
		/* A table of another version has maps of another shape: make it anew, in one step.
		 */
		delete_table(&fresh, family);
		buf_add(&fresh, rules.data, rules.size);
		if (run_nft(&fresh, &again) < 0)
			return r;
		log_info("the table was made anew", "because", err ? err->msg : "", NULL);
		d->emptied = true;
	}
	r = nft_pick_rules(d->nft, family, err);
	for (size_t i = 0; r == 0 && i < d->remembered.count; i++)
		r = nft_remember_rule(d->nft, family, d->remembered.items[i], err);
	return r;
}

/* A kernel without rules for bridges can do everything else. */
static void make_guard(struct netd *d, const struct netd_config *c, const struct net_range *nets)
{
	_cleanup_(buf_finish) struct buf rules = BUF_INIT, fresh = BUF_INIT;
	struct err err = ERR_INIT;
	bool was = d->guard;

	port_guard_write(&rules, c, nets);
	d->guard = true;
	if (run_nft(&rules, &err) == 0)
		return;
	buf_add_str(&fresh, "add table bridge " NETD_PORTS_TABLE
			    "\ndelete table bridge " NETD_PORTS_TABLE "\n");
	buf_add(&fresh, rules.data, rules.size);
	d->guard = run_nft(&fresh, &err) == 0;
	if (d->guard)
		d->emptied = true;
	else if (was || !d->tables)
		log_warn("this kernel has no rules for ports of bridges: pods and machines can use "
			 "each "
			 "other's addresses",
			"error", err.msg, NULL);
}

static int apply_config(struct netd *d, const char *body, size_t size, struct err *err)
{
	const struct netd_config *c = (const struct netd_config *)body;
	const struct net_range *nets = (const struct net_range *)(c + 1);
	int r = netd_check_config(c, size, err);
	unsigned tables = 0;

	d->emptied = false;
	if (r == 0 && c->v4.pods.address.family) {
		r = make_table(d, c, nets, AF_INET, err);
		tables |= NFT_TABLE_IP4;
	}
	if (r == 0 && c->v6.pods.address.family) {
		r = make_table(d, c, nets, AF_INET6, err);
		tables |= NFT_TABLE_IP6;
	}
	if (r < 0)
		return r;
	make_guard(d, c, nets);
	/* One from a time when the cluster had that family too. */
	for (unsigned f = 0; f < 2; f++) {
		uint32_t family = f ? AF_INET6 : AF_INET;
		_cleanup_(buf_finish) struct buf rules = BUF_INIT;

		if (tables & 1u << f ||
			nft_table_exists(d->nft, (uint8_t)family, NETD_TABLE, NULL) != 1)
			continue;
		delete_table(&rules, family);
		(void)!run_nft(&rules, NULL);
	}
	d->config = *c;
	d->tables = tables;
	d->lost_told = false;
	return d->emptied ? NETD_EMPTIED : 0;
}

/* Each time for which a client may be remembered is a chain; they are few in any cluster. */
static int ensure_remembered(struct netd *d, uint32_t seconds, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < d->remembered.count; i++)
		if (d->remembered.items[i] == seconds)
			return 0;
	for (unsigned f = 0; r == 0 && f < 2; f++)
		if (d->tables & 1u << f)
			r = nft_remember_rule(d->nft, f ? AF_INET6 : AF_INET, seconds, err);
	if (r == 0)
		VEC_PUSH(&d->remembered, seconds);
	return r;
}

static int apply_ops(struct netd *d, const char *body, size_t size, struct err *err)
{
	const struct netd_op *ops = (const struct netd_op *)body;
	size_t count = size / sizeof(*ops);

	if (!d->tables)
		return err_set(err, -EINVAL, "operations before the configuration");
	if (size % sizeof(*ops))
		return err_set(err, -EINVAL, "operations of the wrong size");
	for (size_t i = 0; i < count; i++) {
		int r = netd_check_op(&ops[i], &d->config, err);

		if (r == 0 && ops[i].type == NETD_GROUP && ops[i].seconds && !ops[i].remove)
			r = ensure_remembered(d, ops[i].seconds, err);
		if (r < 0)
			return err_context(err, r, "operation %zu", i);
	}
	int r = nft_apply(d->nft, ops, count, d->tables, err);
	bool whole = count && ops[0].type == NETD_FLUSH && ops[0].part == NETD_SERVICES &&
		     size + sizeof(*ops) <= NETD_MESSAGE_MAX_BYTES; /* else more of it comes */

	if (r == 0 && whole && conntrack_forget_stale(ops, count) < 0)
		log_warn("old translations of UDP stay until they time out", NULL);

	for (size_t i = 0; r == 0 && i < count; i++) {
		if (ops[i].type != NETD_FORGET)
			continue;
		if (!d->forget.count)
			d->forget_ns = now_ns() + FORGET_MS * NS_PER_MS;
		VEC_PUSH(&d->forget, ops[i]);
	}
	return r;
}

static bool more_comes(void)
{
	struct pollfd p = {.fd = SOCKET_FD, .events = POLLIN};

	return poll(&p, 1, 0) > 0 && p.revents & POLLIN;
}

/* One walk over all connections for the changes of many messages: it is the walk that costs. */
static void forget_gathered(struct netd *d, bool now)
{
	if (!d->forget.count || (!now && now_ns() < d->forget_ns && more_comes()))
		return;
	if (conntrack_forget(d->forget.items, d->forget.count) < 0)
		log_warn("old translations of UDP stay until they time out", NULL);
	VEC_FINISH(&d->forget);
}

static int apply_policies(struct netd *d, const char *body, size_t size, struct err *err)
{
	const struct netd_policy_op *ops = (const struct netd_policy_op *)body;
	VEC(struct net_address) forget = {0};
	int r;

	if (size % sizeof(*ops))
		return err_set(err, -EINVAL, "policy operations of the wrong size");
	r = policy_apply(d->nft, &d->policies, NET_BRIDGE, ops, size / sizeof(*ops), err);

	for (size_t i = 0; r == 0 && i < size / sizeof(*ops); i++)
		if (ops[i].type == NETD_POLICY_FORGET)
			VEC_PUSH(&forget, ops[i].address);
	if (conntrack_forget_addresses(forget.items, forget.count) < 0)
		log_warn("connections of a pod that is gone are known until they time out", NULL);
	VEC_FINISH(&forget);
	return r;
}

static int apply_ports(struct netd *d, const char *body, size_t size, bool replace, struct err *err)
{
	const struct netd_port *ports = (const struct netd_port *)body;

	if (size % sizeof(*ports))
		return err_set(err, -EINVAL, "ports of the wrong size");
	return d->guard ? port_guard_apply(
				  d->nft, &d->config, ports, size / sizeof(*ports), replace, err)
			: 0;
}

static int make_servers(struct netd *d, struct err *err)
{
	_cleanup_(buf_finish) struct buf rules = BUF_INIT;
	int r;

	server_rules_write(&rules, &(struct server_rules){
					   .servers = d->server_list.items,
					   .server_count = d->server_list.count,
					   .more_servers = !d->servers_known,
					   .bridge = NET_BRIDGE,
					   .networks = d->network_list.items,
					   .network_count = d->network_list.count,
					   .more_networks = !d->networks_known,
				   });
	r = run_nft(&rules, err);
	if (r == 0)
		d->servers = d->server_list.count || !d->servers_known;
	return r;
}

static int apply_networks(struct netd *d, const char *body, size_t size, struct err *err)
{
	const struct netd_network *list = (const struct netd_network *)body;
	_cleanup_(buf_finish) struct buf rules = BUF_INIT;
	size_t count = size / sizeof(*list);
	int r;

	if (size % sizeof(*list))
		return err_set(err, -EINVAL, "networks of the wrong size");
	for (size_t i = 0; i < count; i++) {
		r = netd_check_network(&list[i], err);
		if (r < 0)
			return err_context(err, r, "network %zu", i);
	}
	network_rules_write(&rules, list, count);
	r = run_nft(&rules, err);
	if (r < 0)
		return r;
	VEC_FINISH(&d->network_list);
	d->networks = false;
	for (size_t i = 0; i < count; i++) {
		VEC_PUSH(&d->network_list, list[i]);
		d->networks |= list[i].kind != NETD_GIVEN;
	}
	d->networks_known = true;
	return d->servers ? make_servers(d, err) : 0;
}

static int apply_servers(
	struct netd *d, const char *body, size_t size, bool replace, struct err *err)
{
	const struct netd_server *list = (const struct netd_server *)body;
	size_t count = size / sizeof(*list);

	if (size % sizeof(*list) || count > NETD_SERVERS_MAX)
		return err_set(err, -EINVAL, "servers of the wrong size");
	for (size_t i = 0; i < count; i++) {
		int r = netd_check_server(&list[i], err);

		if (r < 0)
			return err_context(err, r, "server %zu", i);
	}
	VEC_FINISH(&d->server_list);
	for (size_t i = 0; i < count; i++)
		VEC_PUSH(&d->server_list, list[i]);
	d->servers_known = replace;
	return make_servers(d, err);
}

static int serve_one(struct netd *d)
{
	struct netd_header h;
	struct err err = ERR_INIT;
	_cleanup_(free_p) char *body = NULL;
	int r = read_all(SOCKET_FD, &h, sizeof(h));

	if (r < 0)
		return r;
	if (h.size > NETD_MESSAGE_MAX_BYTES)
		return -EMSGSIZE;
	body = xmalloc(h.size + 1);
	r = read_all(SOCKET_FD, body, h.size);
	if (r < 0)
		return r;
	if (h.type == NETD_CONFIG)
		r = apply_config(d, body, h.size, &err);
	else if (h.type == NETD_OPS)
		r = apply_ops(d, body, h.size, &err);
	else if (h.type == NETD_POLICY)
		r = apply_policies(d, body, h.size, &err);
	else if (h.type == NETD_PORTS || h.type == NETD_PORTS_MORE)
		r = apply_ports(d, body, h.size, h.type == NETD_PORTS, &err);
	else if (h.type == NETD_NETWORKS)
		r = apply_networks(d, body, h.size, &err);
	else if (h.type == NETD_SERVERS || h.type == NETD_SERVERS_MORE)
		r = apply_servers(d, body, h.size, h.type == NETD_SERVERS, &err);
	else
		r = err_set(&err, -EINVAL, "message %u is not known", h.type);
	/* A change that finds no table is a sign: the agent would only try it again. */
	if (r == -ENOENT)
		d->check_ns = 0;
	forget_gathered(d, false);
	return answer(NETD_RESULT, h.serial, r, err.msg);
}

/* Somebody else's "flush ruleset" takes our tables along; the agent then gives everything again. */
static int check_tables(struct netd *d)
{
	bool lost;

	d->check_ns = now_ns() + TABLE_CHECK_MS * NS_PER_MS;
	if (!d->tables || d->lost_told)
		return 0;
	lost = policy_tables_exist(d->nft, &d->policies, NULL) == 0 ||
	       (d->guard && port_guard_exists(d->nft) == 0) ||
	       (d->networks && nft_table_exists(d->nft, AF_INET, NETD_NETWORKS_TABLE, NULL) == 0) ||
	       (d->servers && server_rules_exist(d->nft) == 0);
	for (unsigned f = 0; f < 2; f++)
		if (d->tables & 1u << f)
			lost |= nft_table_exists(
					d->nft, f ? AF_INET6 : AF_INET, NETD_TABLE, NULL) == 0;
	if (!lost)
		return 0;
	d->lost_told = true;
	return answer(NETD_LOST, 0, -ENOENT, "the table " NETD_TABLE " was removed");
}

int netd_main(int argc, char **argv)
{
	struct netd d = {0};
	struct pollfd p = {.fd = SOCKET_FD, .events = POLLIN};
	struct err err = ERR_INIT;
	int r = 0;

	if (argc > 1) {
		fprintf(stderr,
			"usage: hanok netd\n\nPart of `hanok node`, which starts it; takes no "
			"arguments.\n");
		return 2;
	}
	if (fcntl(SOCKET_FD, F_GETFD) < 0) {
		fprintf(stderr,
			"hanok netd: descriptor 3 is not open: it is `hanok node` that starts this "
			"role\n");
		return 2;
	}
	fcntl(SOCKET_FD, F_SETFD, FD_CLOEXEC);
	signal(SIGINT, SIG_IGN); /* the agent says when it is over: by closing the socket */
	signal(SIGPIPE, SIG_IGN);
	drop_privileges();
	if (nft_socket_open(&d.nft, &err) < 0) {
		log_error("netd can't work", "error", err.msg, NULL);
		return 1;
	}
	while (r == 0) {
		int64_t left = MAX(d.check_ns - now_ns(), INT64_C(0));
		int n = poll(&p, 1, (int)(left / NS_PER_MS) + 1);

		if (n < 0 && errno != EINTR)
			r = -errno;
		else if (n > 0)
			r = serve_one(&d);
		if (r == 0 && now_ns() >= d.check_ns)
			r = check_tables(&d);
	}
	forget_gathered(&d, true);
	nft_socket_close(d.nft);
	VEC_FINISH(&d.remembered);
	VEC_FINISH(&d.network_list);
	VEC_FINISH(&d.server_list);
	if (r != -EPIPE)
		log_error("netd stops", "error", strerror(-r), NULL);
	return r == -EPIPE ? 0 : 1;
}
