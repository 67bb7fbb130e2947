/* Names of services and endpoints as records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "node/dns/dns_zone.h"
#include <arpa/inet.h>

struct fixture {
	struct arena a;
	struct dns_zone *z;
};

static const struct json *parse(struct fixture *f, const char *text)
{
	struct json *doc;

	assert_int_equal(json_parse(&f->a, text, strlen(text), NULL, &doc, NULL), 0);
	return doc;
}

static void service(struct fixture *f, const char *ns, const char *name, const char *spec)
{
	dns_zone_set_service(
		f->z, ns, name, spec ? parse(f, arena_printf(&f->a, "{\"spec\":%s}", spec)) : NULL);
}

static void slice(struct fixture *f, const char *name, const char *service_name, const char *text)
{
	dns_zone_set_slice(f->z, "default", name, service_name, text ? parse(f, text) : NULL);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->z = dns_zone_create("cluster.local");
	dns_zone_set_namespace(f->z, "default", true);
	dns_zone_set_namespace(f->z, "empty", true);
	service(f, "default", "web",
		"{\"clusterIP\":\"10.96.1.2\",\"clusterIPs\":[\"10.96.1.2\",\"fd00::12\"],"
		"\"ports\":[{\"name\":\"http\",\"port\":80},{\"name\":\"q\",\"port\":99,"
		"\"protocol\":"
		"\"UDP\"}]}");
	service(f, "default", "db",
		"{\"clusterIP\":\"None\",\"ports\":[{\"name\":\"pg\",\"port\":1}]}");
	slice(f, "db-x", "db",
		"{\"ports\":[{\"name\":\"pg\",\"port\":5432,\"protocol\":\"TCP\"}],\"endpoints\":["
		"{\"addresses\":[\"10.244.0.5\"],\"hostname\":\"db-0\",\"conditions\":{\"ready\":"
		"true}},"
		"{\"addresses\":[\"10.244.0.6\"]},"
		"{\"addresses\":[\"10.244.0.7\"],\"hostname\":\"db-2\",\"conditions\":{\"ready\":"
		"false}}]}");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	dns_zone_destroy(f->z);
	arena_finish(&f->a);
	free(f);
	return 0;
}

static const uint8_t *wire(struct arena *a, const char *name)
{
	struct str rest = str_from(name), part;
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	while (str_split(&rest, '.', &part)) {
		buf_add_char(&b, (char)part.size);
		buf_add(&b, part.p, part.size);
	}
	buf_add_char(&b, '\0');
	return (const uint8_t *)arena_memdup(a, b.data, b.size);
}

static void text_of_name(struct buf *out, const uint8_t *name)
{
	for (; *name; name += *name + 1) {
		buf_add(out, name + 1, *name);
		buf_add_char(out, '.');
	}
}

/* "A 10.96.1.2; ..." , or the verdict. */
static const char *ask(struct fixture *f, const char *name, uint16_t type)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	char text[INET6_ADDRSTRLEN];
	struct dns_found found;
	enum dns_verdict v = dns_zone_find(f->z, &f->a, wire(&f->a, name), type, &found);

	if (v != DNS_FOUND) {
		assert_int_equal(found.answer_count, 0);
		return v == DNS_OUTSIDE ? "outside" : v == DNS_NO_DATA ? "no data" : "no name";
	}
	for (size_t i = 0; i < found.answer_count; i++) {
		const struct dns_record *r = &found.answers[i];
		if (i)
			buf_add_str(&out, "; ");
		if (r->type == DNS_TYPE_A || r->type == DNS_TYPE_AAAA) {
			inet_ntop(r->type == DNS_TYPE_A ? AF_INET : AF_INET6, r->data, text,
				sizeof(text));
			buf_add_str(&out, text);
		} else if (r->type == DNS_TYPE_SRV) {
			buf_printf(&out, "%d ", r->data[4] << 8 | r->data[5]);
			text_of_name(&out, r->data + 6);
		} else if (r->type == DNS_TYPE_TXT) {
			buf_add(&out, r->data + 1, r->data[0]);
		} else {
			text_of_name(&out, r->data);
		}
	}
	if (found.extra_count)
		buf_printf(&out, " +%zu", found.extra_count);
	if (found.alias)
		buf_add_str(&out, " elsewhere");
	return arena_memdup(&f->a, out.data, out.size);
}

static void test_cluster_service(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(ask(f, "web.default.svc.cluster.local", DNS_TYPE_A), "10.96.1.2");
	assert_string_equal(ask(f, "web.default.svc.cluster.local", DNS_TYPE_AAAA), "fd00::12");
	assert_string_equal(ask(f, "web.default.svc.cluster.local", DNS_TYPE_TXT), "no data");
	assert_string_equal(ask(f, "_http._tcp.web.default.svc.cluster.local", DNS_TYPE_SRV),
		"80 web.default.svc.cluster.local. +2");
	assert_string_equal(ask(f, "_q._udp.web.default.svc.cluster.local", DNS_TYPE_SRV),
		"99 web.default.svc.cluster.local. +2");
	assert_string_equal(
		ask(f, "_http._udp.web.default.svc.cluster.local", DNS_TYPE_SRV), "no name");
	assert_string_equal(
		ask(f, "_http._tcp.web.default.svc.cluster.local", DNS_TYPE_A), "no data");
	assert_string_equal(ask(f, "_tcp.web.default.svc.cluster.local", DNS_TYPE_A), "no data");
	assert_string_equal(ask(f, "x.web.default.svc.cluster.local", DNS_TYPE_A), "no name");
}

static void test_headless(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(
		ask(f, "db.default.svc.cluster.local", DNS_TYPE_A), "10.244.0.5; 10.244.0.6");
	assert_string_equal(ask(f, "db-0.db.default.svc.cluster.local", DNS_TYPE_A), "10.244.0.5");
	assert_string_equal(
		ask(f, "10-244-0-6.db.default.svc.cluster.local", DNS_TYPE_A), "10.244.0.6");
	assert_string_equal(
		ask(f, "10-244-0-5.db.default.svc.cluster.local", DNS_TYPE_A), "no name");
	assert_string_equal(ask(f, "db-2.db.default.svc.cluster.local", DNS_TYPE_A), "no name");
	assert_string_equal(ask(f, "_pg._tcp.db.default.svc.cluster.local", DNS_TYPE_SRV),
		"5432 db-0.db.default.svc.cluster.local.; "
		"5432 10-244-0-6.db.default.svc.cluster.local. +2");
	slice(f, "db-x", "db", "{\"endpoints\":[]}");
	assert_string_equal(ask(f, "db.default.svc.cluster.local", DNS_TYPE_A), "no data");
	assert_string_equal(ask(f, "db-0.db.default.svc.cluster.local", DNS_TYPE_A), "no name");
	assert_string_equal(ask(f, "5.0.244.10.in-addr.arpa", DNS_TYPE_PTR), "outside");
	slice(f, "db-x", "db", NULL);
	service(f, "default", "db", NULL);
	assert_string_equal(ask(f, "db.default.svc.cluster.local", DNS_TYPE_A), "no name");
}

static void test_slice_before_service(void **state)
{
	struct fixture *f = *state;

	slice(f, "late-1", "late", "{\"endpoints\":[{\"addresses\":[\"10.244.0.9\"]}]}");
	assert_string_equal(ask(f, "late.default.svc.cluster.local", DNS_TYPE_A), "no name");
	assert_string_equal(ask(f, "9.0.244.10.in-addr.arpa", DNS_TYPE_PTR), "no data");
	service(f, "default", "late", "{\"clusterIP\":\"None\"}");
	assert_string_equal(ask(f, "late.default.svc.cluster.local", DNS_TYPE_A), "10.244.0.9");
	/* The slice changes hands. */
	slice(f, "late-1", "db", "{\"endpoints\":[{\"addresses\":[\"10.244.0.9\"]}]}");
	assert_string_equal(ask(f, "late.default.svc.cluster.local", DNS_TYPE_A), "no data");
	assert_string_equal(ask(f, "db.default.svc.cluster.local", DNS_TYPE_A),
		"10.244.0.5; 10.244.0.6; 10.244.0.9");
	/* A service that goes leaves its slices for the one that comes again. */
	service(f, "default", "db", NULL);
	assert_string_equal(ask(f, "db.default.svc.cluster.local", DNS_TYPE_A), "no name");
	service(f, "default", "db", "{\"clusterIP\":\"None\"}");
	assert_string_equal(ask(f, "9.0.244.10.in-addr.arpa", DNS_TYPE_PTR),
		"10-244-0-9.db.default.svc.cluster.local.");
}

static void test_alias(void **state)
{
	struct fixture *f = *state;

	service(f, "default", "out",
		"{\"type\":\"ExternalName\",\"externalName\":\"WWW.example.com.\"}");
	service(f, "default", "in",
		"{\"type\":\"ExternalName\",\"externalName\":\"web.default.svc.cluster.local\"}");
	service(f, "default", "loop",
		"{\"type\":\"ExternalName\",\"externalName\":\"loop.default.svc.cluster.local\"}");
	service(f, "default", "bad", "{\"type\":\"ExternalName\",\"externalName\":\"a..b\"}");
	assert_string_equal(
		ask(f, "out.default.svc.cluster.local", DNS_TYPE_A), "www.example.com. elsewhere");
	assert_string_equal(ask(f, "in.default.svc.cluster.local", DNS_TYPE_A),
		"web.default.svc.cluster.local.; 10.96.1.2");
	assert_string_equal(ask(f, "in.default.svc.cluster.local", DNS_TYPE_CNAME),
		"web.default.svc.cluster.local.");
	assert_string_equal(ask(f, "bad.default.svc.cluster.local", DNS_TYPE_A), "no data");
	assert_true(str_has_prefix(ask(f, "loop.default.svc.cluster.local", DNS_TYPE_A),
		"loop.default.svc.cluster.local.; loop"));
	assert_string_equal(ask(f, "x.out.default.svc.cluster.local", DNS_TYPE_A), "no name");
}

static void test_other_names(void **state)
{
	struct fixture *f = *state;
	const char *self[] = {"10.244.0.1", "fd01::1"};

	assert_string_equal(ask(f, "dns-version.cluster.local", DNS_TYPE_TXT), "1.1.0");
	assert_string_equal(ask(f, "cluster.local", DNS_TYPE_A), "no data");
	assert_string_equal(ask(f, "cluster.local", DNS_TYPE_NS), "ns.dns.cluster.local.");
	assert_string_equal(ask(f, "svc.cluster.local", DNS_TYPE_A), "no data");
	assert_string_equal(ask(f, "default.svc.cluster.local", DNS_TYPE_A), "no data");
	assert_string_equal(ask(f, "empty.svc.cluster.local", DNS_TYPE_A), "no data");
	assert_string_equal(ask(f, "nope.svc.cluster.local", DNS_TYPE_A), "no name");
	assert_string_equal(ask(f, "nope.default.svc.cluster.local", DNS_TYPE_A), "no name");
	assert_string_equal(ask(f, "other.cluster.local", DNS_TYPE_A), "no name");
	assert_string_equal(ask(f, "10-1-2-3.empty.pod.cluster.local", DNS_TYPE_A), "10.1.2.3");
	assert_string_equal(ask(f, "fd00--1.empty.pod.cluster.local", DNS_TYPE_AAAA), "fd00::1");
	assert_string_equal(ask(f, "10-1-2-3.nope.pod.cluster.local", DNS_TYPE_A), "no name");
	assert_string_equal(ask(f, "10-1-2.empty.pod.cluster.local", DNS_TYPE_A), "no name");
	assert_string_equal(ask(f, "example.com", DNS_TYPE_A), "outside");
	assert_string_equal(ask(f, "xcluster.local", DNS_TYPE_A), "outside");
	assert_string_equal(
		ask(f, "2.1.96.10.in-addr.arpa", DNS_TYPE_PTR), "web.default.svc.cluster.local.");
	assert_string_equal(ask(f, "5.0.244.10.in-addr.arpa", DNS_TYPE_PTR),
		"db-0.db.default.svc.cluster.local.");
	assert_string_equal(ask(f, "5.0.244.10.in-addr.arpa", DNS_TYPE_A), "no data");
	assert_string_equal(ask(f, "8.8.8.8.in-addr.arpa", DNS_TYPE_PTR), "outside");
	assert_string_equal(ask(f, "256.1.96.10.in-addr.arpa", DNS_TYPE_PTR), "outside");
	assert_string_equal(
		ask(f,
			"2.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f."
			"ip6.arpa",
			DNS_TYPE_PTR),
		"web.default.svc.cluster.local.");
	dns_zone_set_self(f->z, self, 2);
	assert_string_equal(ask(f, "ns.dns.cluster.local", DNS_TYPE_A), "10.244.0.1");
	assert_string_equal(ask(f, "ns.dns.cluster.local", DNS_TYPE_AAAA), "fd01::1");
	dns_zone_set_namespace(f->z, "empty", false);
	assert_string_equal(ask(f, "empty.svc.cluster.local", DNS_TYPE_A), "no name");
}

/* A label may hold any byte: none may reach into another key. */
static void test_strange_labels(void **state)
{
	static const uint8_t slash[] = "\013default/web\003svc\007cluster\005local",
			     nul[] = "\003w\0b\007default\003svc\007cluster\005local",
			     inside[] = "\002x\007\005local"; /* "cluster" is no label here */
	struct fixture *f = *state;
	struct dns_found found;

	assert_int_equal(dns_zone_find(f->z, &f->a, slash, DNS_TYPE_A, &found), DNS_NAME_ERROR);
	assert_int_equal(dns_zone_find(f->z, &f->a, nul, DNS_TYPE_A, &found), DNS_NAME_ERROR);
	assert_int_equal(dns_zone_find(f->z, &f->a, inside, DNS_TYPE_A, &found), DNS_OUTSIDE);
}

static void test_domain(void **state)
{
	char longest[300];

	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	for (size_t i = 60; i < sizeof(longest) - 1; i += 60)
		longest[i] = '.';
	assert_null(dns_zone_create(""));
	assert_null(dns_zone_create("a..b"));
	assert_null(dns_zone_create(longest));
	struct dns_zone *z = dns_zone_create("Example.ORG.");
	assert_non_null(z);
	dns_zone_destroy(z);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cluster_service, setup, teardown),
		cmocka_unit_test_setup_teardown(test_headless, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slice_before_service, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alias, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strange_labels, setup, teardown),
		cmocka_unit_test(test_domain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
