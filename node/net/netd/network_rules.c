#include "node/net/netd/network_rules.h"

static void write_forward(struct buf *out, const struct netd_network *n, const char *range)
{
	const char *b = n->bridge;

	if (n->kind == NETD_GIVEN)
		return;
	if (n->kind == NETD_ISOLATED) {
		buf_printf(out,
			"\t\tiifname \"%s\" oifname != \"%s\" drop\n"
			"\t\toifname \"%s\" iifname != \"%s\" drop\n",
			b, b, b, b);
		return;
	}
	buf_printf(out,
		"\t\tiifname \"%s\" oifname != \"%s\" ip saddr != %s drop\n"
		"\t\toifname \"%s\" iifname != \"%s\" ct state established,related accept\n"
		"\t\toifname \"%s\" iifname != \"%s\" ct status dnat accept\n"
		"\t\toifname \"%s\" iifname != \"%s\" reject with icmp type admin-prohibited\n",
		b, b, range, b, b, b, b, b, b);
}

void network_rules_write(struct buf *out, const struct netd_network *list, size_t count)
{
	char range[NET_ADDRESS_TEXT + 4];
	bool some = false;

	buf_add_str(out,
		"add table ip " NETD_NETWORKS_TABLE "\ndelete table ip " NETD_NETWORKS_TABLE "\n");
	for (size_t i = 0; i < count; i++)
		some |= list[i].kind != NETD_GIVEN;
	if (!some)
		return;
	buf_add_str(out, "table ip " NETD_NETWORKS_TABLE " {\n\tchain forward {\n"
			 "\t\ttype filter hook forward priority filter; policy accept;\n");
	for (size_t i = 0; i < count; i++)
		write_forward(out, &list[i], net_range_format(&list[i].range, range));
	buf_add_str(out, "\t}\n\tchain input {\n"
			 "\t\ttype filter hook input priority filter; policy accept;\n");
	for (size_t i = 0; i < count; i++)
		if (list[i].kind == NETD_ISOLATED)
			buf_printf(out,
				"\t\tiifname \"%s\" udp dport 67 accept\n"
				"\t\tiifname \"%s\" drop\n",
				list[i].bridge, list[i].bridge);
	buf_add_str(out, "\t}\n\tchain postrouting {\n"
			 "\t\ttype nat hook postrouting priority srcnat; policy accept;\n");
	for (size_t i = 0; i < count; i++) {
		if (list[i].kind != NETD_NAT)
			continue;
		net_range_format(&list[i].range, range);
		buf_printf(out,
			"\t\tip saddr %s ip daddr != %s oifname != \"%s\" masquerade\n"
			/* A guest that comes to its neighbour by a port of the node. */
			"\t\tip saddr %s ip daddr %s ct status dnat masquerade\n",
			range, range, list[i].bridge, range, range);
	}
	buf_add_str(out, "\t}\n}\n");
}
