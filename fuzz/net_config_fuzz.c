/* Definitions of networks: whatever is accepted keeps the promises of net_config.h. */
#include <stdlib.h>

#include "node/net/netd/network_rules.h"
#include "node/net/networks/net_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct net_config *c)
{
	struct netd_network n = {.isolated = c->kind == NET_KIND_ISOLATED, .range = c->range};
	size_t length = strlen(c->bridge);
	struct err err = ERR_INIT;

	if (!length || strchr(c->bridge, '/') || !strcmp(c->bridge, "hanok0"))
		abort();
	memcpy(n.bridge, c->bridge, length);
	if (c->kind != NET_KIND_BRIDGE && netd_check_network(&n, &err) < 0)
		abort();
	if (c->kind == NET_KIND_BRIDGE && (c->range.address.family || c->port_count))
		abort();
	if (c->range.address.family &&
		(!net_range_has(&c->range, &c->gateway) || !net_range_has(&c->range, &c->from) ||
			!net_range_has(&c->range, &c->to)))
		abort();
	for (size_t i = 0; i < c->host_count; i++)
		if (!net_range_has(&c->range, &c->hosts[i].address) ||
			net_config_host_of(c, c->hosts[i].mac) != &c->hosts[i] ||
			!net_config_is_fixed(c, &c->hosts[i].address))
			abort();
	for (size_t i = 0; i < c->port_count; i++)
		if (!c->ports[i].port || !c->ports[i].to_port ||
			!net_range_has(&c->range, &c->ports[i].to))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT;
	struct net_config c;
	struct err err = ERR_INIT;
	int r = net_config_read(&a, "ns/name", (const char *)data, size, &c, &err);

	if (r == 0)
		check(&c);
	else if ((r != -EINVAL && r != -EOPNOTSUPP) || !*err.msg)
		abort();
	arena_finish(&a);
	return 0;
}
