/* Other programs' and images' words to the node: listings of layers, qemu-img, CNI plugins,
 * registries' configuration, and what netd is told. The first byte chooses. */
#include <arpa/inet.h>

#include "node/net/lease.h"
#include "node/net/netd_proto.h"
#include "node/vm/container_disks.h"

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
		netd_ruleset_write(&rules, c, (const struct netd_net *)(c + 1), "hanok0");
		if (strlen(rules.data) != rules.size)
			abort();
	}
	buf_finish(&rules);
	buf_finish(&copy);
}

static void ops(const uint8_t *data, size_t size)
{
	struct netd_config c = {
		.pods = {htonl(0x0af40000), 24}, .services = {htonl(0x0a600000), 16}};

	for (size_t at = 0; at + sizeof(struct netd_op) <= size; at += sizeof(struct netd_op)) {
		struct netd_op op;

		memcpy(&op, data + at, sizeof(op));
		if (netd_check_op(&op, &c, NULL) < 0)
			continue;
		if ((op.type == NETD_SERVICE || op.type == NETD_ENDPOINT) &&
			!netd_net_has(&c.services, op.address))
			abort();
		if (!op.remove && op.type == NETD_ENDPOINT &&
			op.to_address == htonl(INADDR_LOOPBACK))
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
