/* What ports say to netd, and what CNI's library keeps about an interface. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>

#include "node/net/ports.h"
#include "node/net/tap_name.h"

static uint32_t serial;
static struct {
	uint32_t type;
	size_t count;
	struct netd_port ports[8];
} said;

uint32_t netd_client_send(struct netd_client *c, enum netd_message type, const void *p, size_t size)
{
	said.type = type;
	said.count = size / sizeof(*said.ports);
	assert_true(said.count <= ARRAY_LEN(said.ports));
	if (size)
		memcpy(said.ports, p, size);
	return ++serial;
}

static struct net_address ip(const char *text)
{
	struct net_address a;

	assert_int_equal(net_address_parse(text, &a), 0);
	return a;
}

static void run(uv_loop_t *loop)
{
	memset(&said, 0, sizeof(said));
	uv_run(loop, UV_RUN_NOWAIT);
	uv_run(loop, UV_RUN_NOWAIT);
}

static void changes_of_a_turn_are_one_message(void **state)
{
	struct net_port port = {"veth1", {2, 0, 0, 0, 0, 1}}, other = {"veth2", {2, 0, 0, 0, 0, 2}};
	struct net_address a[2] = {ip("10.244.0.2"), ip("fd00::2")}, b = ip("10.244.0.3");
	struct ports *p;
	uv_loop_t loop;
	struct err err = ERR_INIT;

	assert_int_equal(uv_loop_init(&loop), 0);
	p = ports_create(&loop, NULL);
	ports_set(p, "a", &port, a, 2);
	run(&loop);
	assert_int_equal(said.type, 0); /* netd is not there */
	ports_resync(p);
	ports_set(p, "b", &other, &b, 1);
	run(&loop);
	assert_int_equal(said.type, NETD_PORTS_MORE);
	assert_int_equal(said.count, 3);
	for (size_t i = 0; i < said.count; i++) {
		assert_int_equal(netd_check_port(&said.ports[i], &err), 0);
		assert_string_equal(said.ports[i].name,
			net_address_eq(&said.ports[i].address, &b) ? "veth2" : "veth1");
	}
	assert_false(ports_result(p, serial + 1, 0, ""));
	assert_true(ports_result(p, serial, 0, ""));
	ports_set(p, "b", &other, &b, 1);
	run(&loop);
	assert_int_equal(said.type, 0); /* nothing new */
	ports_remove(p, "a");
	run(&loop);
	assert_int_equal(said.count, 1);
	ports_stale(p);
	ports_remove(p, "b");
	run(&loop);
	assert_int_equal(said.type, 0);
	ports_destroy(p);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static int read_result(const char *text, struct net_port *ret)
{
	char directory[] = "/tmp/hanok-ports.XXXXXX", path[64];
	int fd, r;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/hanok-abc-eth0", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	r = ports_read_cni(directory, "hanok", "abc", ret);
	unlink(path);
	rmdir(directory);
	return r;
}

static void the_port_of_a_sandbox(void **state)
{
	static const uint8_t mac[6] = {0x62, 0x4b, 0x1d, 0xd1, 0x1b, 0x6f};
	struct net_port p = {.name = ""};

	assert_int_equal(read_result("{\"kind\":\"cniCacheV1\",\"result\":{\"interfaces\":["
				     "{\"mac\":\"0a:2f:23:07:72:ba\",\"name\":\"hanok0\"},"
				     "{\"mac\":\"fa:9e:fb:c7:b9:d8\",\"name\":\"veth53585f9a\"},"
				     "{\"mac\":\"62:4b:1d:d1:1b:6f\",\"name\":\"eth0\","
				     "\"sandbox\":\"/run/netns/x\"}]}}",
				 &p),
		0);
	assert_string_equal(p.name, "veth53585f9a");
	assert_memory_equal(p.mac, mac, 6);
	assert_int_equal(read_result("{", &p), -EBADMSG);
	assert_int_equal(
		read_result("{\"result\":{\"interfaces\":[{\"name\":\"hanok0\"}]}}", &p), -EBADMSG);
	assert_int_equal(read_result("{\"result\":{\"interfaces\":[{\"name\":\"a name that is far "
				     "too long\"},{\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\","
				     "\"sandbox\":\"x\"}]}}",
				 &p),
		-EBADMSG);
	/* Whatever a pod has for annotations. */
	size_t many = 3u << 20;
	char *notes = malloc(many + 1);
	assert_non_null(notes);
	memset(notes, 'x', many);
	notes[many] = '\0';
	char *large =
		xasprintf("{\"capabilityArgs\":{\"notes\":\"%s\"},\"result\":{\"interfaces\":["
			  "{\"name\":\"veth7\"},{\"name\":\"eth0\",\"mac\":"
			  "\"62:4b:1d:d1:1b:6f\",\"sandbox\":\"x\"}]}}",
			notes);
	memset(&p, 0, sizeof(p));
	assert_int_equal(read_result(large, &p), 0);
	assert_string_equal(p.name, "veth7");
	free(large);
	free(notes);
	assert_int_equal(ports_read_cni("/nowhere", "hanok", "abc", &p), -ENOENT);
}

static void names_and_addresses(void **state)
{
	struct netd_port ok = {.name = "veth1", .mac = {2, [5] = 1}, .address = ip("10.244.0.2")};
	struct netd_port p = ok;
	struct err err = ERR_INIT;
	char a[IFNAMSIZ], b[IFNAMSIZ];
	uint8_t mac[6];

	assert_int_equal(netd_check_port(&p, &err), 0);
	p.name[0] = '\0';
	assert_int_equal(netd_check_port(&p, &err), -EINVAL);
	memset(p.name, 'x', sizeof(p.name));
	assert_int_equal(netd_check_port(&p, &err), -EINVAL);
	p = ok;
	p.name[10] = 'x'; /* something behind the end */
	assert_int_equal(netd_check_port(&p, &err), -EINVAL);
	p = ok;
	p.mac[0] = 3; /* of many */
	assert_int_equal(netd_check_port(&p, &err), -EINVAL);
	p = ok;
	p.address = ip("224.0.0.1");
	assert_int_equal(netd_check_port(&p, &err), -EINVAL);
	assert_int_equal(ports_read_mac("02:00:00:00:00", mac), -EINVAL);
	assert_int_equal(ports_read_mac("02:00:00:00:00:01x", mac), -EINVAL);
	assert_int_equal(ports_read_mac(NULL, mac), -EINVAL);
	net_tap_name("2f0c3d1e-0000-0000-0000-000000000001", a);
	net_tap_name("2f0c3d1e-0000-0000-0000-000000000002", b);
	assert_int_equal(strlen(a), 14);
	assert_string_not_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_of_a_turn_are_one_message),
		cmocka_unit_test(the_port_of_a_sandbox),
		cmocka_unit_test(names_and_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
