/* Other programs' and images' words to the node: listings of layers, qemu-img, CNI plugins,
 * registries' configuration, and what netd is told. The first byte chooses. */
#include <arpa/inet.h>

#include "node/net/lease.h"
#include "node/net/netd/netd_proto.h"
#include "node/vm/image/container_disks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void listing(const char *text)
{
	struct tar_choice c;

	tar_choose(text, NULL, &c);
	if (*c.name && (strchr(c.name, '\\') || strchr(c.name, '\n') || c.size < 0))
		abort();
	tar_choose(text, "/boot/vmlinuz", &c);
	if (*c.name && !str_has_suffix(c.name, "boot/vmlinuz"))
		abort();
}

static void config(const uint8_t *data, size_t size)
{
	struct buf rules = BUF_INIT, copy = BUF_INIT;
	const struct netd_config *c;

	buf_add(&copy, data, size); /* aligned */
	c = (const struct netd_config *)copy.data;
	if (size >= sizeof(*c) && netd_check_config(c, size, NULL) == 0) {
		const struct net_range *nets = (const struct net_range *)(c + 1);

		if (c->v4.pods.address.family)
			netd_ruleset_write(&rules, c, nets, AF_INET, "hanok0");
		if (c->v6.pods.address.family)
			netd_ruleset_write(&rules, c, nets, AF_INET6, "hanok0");
		if (strlen(rules.data) != rules.size)
			abort();
	}
	buf_finish(&rules);
	buf_finish(&copy);
}

static void ops(const uint8_t *data, size_t size)
{
	struct netd_config c = {.net_count = 0};

	if (net_range_parse("10.244.0.0/24", &c.v4.pods) < 0 ||
		net_range_parse("fd00:10:244::/64", &c.v6.pods) < 0)
		abort();
	for (size_t at = 0; at + sizeof(struct netd_op) <= size; at += sizeof(struct netd_op)) {
		struct netd_op op;

		memcpy(&op, data + at, sizeof(op));
		if (netd_check_op(&op, &c, NULL) < 0 || op.type == NETD_FLUSH)
			continue;
		if (!net_address_is_valid(&op.address))
			abort();
		if (op.type == NETD_FRONT && !netd_any_address(&op.address) &&
			op.address.family == AF_INET && op.address.bytes[0] == 127)
			abort();
		if (op.type == NETD_ENDPOINT &&
			(op.to.family != op.address.family || !net_address_is_unicast(&op.to)))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text, host[300], address[16];
	int64_t bytes;

	if (!size)
		return 0;
	text = xstrndup((const char *)data + 1, size - 1);
	switch (data[0] % 6) {
	case 0:
		listing(text);
		break;
	case 1:
		if (disk_info_check(text, strlen(text), &bytes, NULL) == 0 && bytes <= 0)
			abort();
		break;
	case 2:
		if (lease_read_answer(text, strlen(text), address, NULL) == 0 && !*address)
			abort();
		break;
	case 3:
		hosts_toml_insecure(text);
		image_registry(text, host, sizeof(host));
		if (!*host && *text && *text != '/')
			abort();
		break;
	case 4:
		config(data + 1, size - 1);
		break;
	case 5:
		ops(data + 1, size - 1);
		break;
	}
	free(text);
	return 0;
}
