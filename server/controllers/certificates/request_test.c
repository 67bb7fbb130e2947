#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/http/tls.h"
#include "server/controllers/certificates/sign.h"

#define NOW_NS (INT64_C(1798761600) * NS_PER_S) /* 2027-01-01 */

/* ' stands for ". */
static struct json *parse(struct arena *a, const char *text)
{
	char *copy = arena_strdup(a, text);
	struct json *doc;
	for (char *p = copy; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	assert_int_equal(json_parse(a, copy, strlen(copy), NULL, &doc, NULL), 0);
	return doc;
}

/* A request: names are "DNS:x,IP:1.2.3.4" or NULL; several common names have a bar between. */
static char *make_request(
	struct arena *a, const char *cn, const char *const *orgs, const char *names)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509_REQ *req = X509_REQ_new();
	X509_NAME *subject = X509_REQ_get_subject_name(req);
	for (; orgs && *orgs; orgs++)
		X509_NAME_add_entry_by_txt(
			subject, "O", MBSTRING_UTF8, (const unsigned char *)*orgs, -1, -1, 0);
	struct str rest = cn ? str_from(cn) : (struct str){0}, one;
	while (cn && str_split(&rest, '|', &one))
		X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
			(const unsigned char *)one.p, (int)one.size, -1, 0);
	if (names) {
		STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
		sk_X509_EXTENSION_push(
			list, X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names));
		X509_REQ_add_extensions(req, list);
		sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
	}
	X509_REQ_set_pubkey(req, key);
	assert_true(X509_REQ_sign(req, key, EVP_sha256()) > 0);
	BIO *out = BIO_new(BIO_s_mem());
	PEM_write_bio_X509_REQ(out, req);
	char *p = NULL;
	long size = BIO_get_mem_data(out, &p);
	char *text = base64_encode(a, p, (size_t)size);
	BIO_free(out);
	X509_REQ_free(req);
	EVP_PKEY_free(key);
	return text;
}

static const char *const nodes[] = {"system:nodes", NULL}, *const others[] = {"a", NULL},
			 *const two[] = {"system:nodes", "system:masters", NULL};

#define CLIENT "kubernetes.io/kube-apiserver-client"
#define SERVING "kubernetes.io/kubelet-serving"

static void test_rules(void **state)
{
	static const char node_usages[] = "'digital signature','client auth'",
			  serving_usages[] = "'digital signature','key encipherment','server auth'";
	static const struct {
		const char *signer, *cn, *const *orgs, *names, *usages, *problem;
	} cases[] = {
		{CLIENT, "jane", others, NULL, "'client auth'", NULL},
		{CLIENT, "jane", others, NULL, node_usages, NULL},
		{CLIENT, "jane", others, NULL, "'digital signature'", "usages did not match"},
		{CLIENT, "jane", others, NULL, "'client auth','server auth'",
			"usages did not match"},
		{CLIENT "-kubelet", "system:node:n1", nodes, NULL, node_usages, NULL},
		{CLIENT "-kubelet", "system:node:n1", two, NULL, node_usages,
			"subject organization is not system:nodes"},
		{CLIENT "-kubelet", "system:node:n1", NULL, NULL, node_usages,
			"subject organization is not system:nodes"},
		{CLIENT "-kubelet", "n1", nodes, NULL, node_usages,
			"subject common name does not begin with 'system:node:'"},
		{CLIENT "-kubelet", "system:node:n1", nodes, "DNS:n1", node_usages,
			"DNS subjectAltNames are not allowed"},
		{CLIENT "-kubelet", "system:node:n1", nodes, "IP:10.0.0.1", node_usages,
			"IP subjectAltNames are not allowed"},
		{CLIENT "-kubelet", "system:node:n1", nodes, "URI:https://x", node_usages,
			"URI subjectAltNames are not allowed"},
		{CLIENT "-kubelet", "system:node:n1", nodes, NULL, "'client auth'",
			"usages did not match"},
		{CLIENT "-kubelet", "system:node:n1", nodes, NULL, serving_usages,
			"usages did not match"},
		{SERVING, "system:node:n1", nodes, "DNS:n1,IP:10.0.0.1", serving_usages, NULL},
		{SERVING, "system:node:n1", nodes, NULL, serving_usages,
			"DNS or IP subjectAltName is required"},
		{SERVING, "system:node:n1", nodes, "DNS:n1,email:a@b.c", serving_usages,
			"Email subjectAltNames are not allowed"},
		{SERVING, "system:node:n1", nodes, "DNS:n1", node_usages, "usages did not match"},
		{"kubernetes.io/legacy-unknown", "any", others, NULL, "'any'", NULL},
		{"example.com/own", "any", others, NULL, "'any'", "the signer is not"},
	};
	for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		struct csr_request r;
		struct json *spec = parse(&a, arena_printf(&a, "{'usages':[%s]}", cases[n].usages));
		char *text = make_request(&a, cases[n].cn, cases[n].orgs, cases[n].names);
		assert_int_equal(csr_request_parse(&a, text, &r, NULL), 0);
		const char *problem = csr_signer_problem(&a, cases[n].signer, &r, spec);
		if (!cases[n].problem)
			assert_null(problem);
		else if (!problem || !str_has_prefix(problem, cases[n].problem))
			fail_msg(
				"%zu: %s, not %s", n, problem ? problem : "fine", cases[n].problem);
		csr_request_finish(&r);
	}
}

/* Who reads the first name and who reads the last must not see two users. */
static void test_two_common_names(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct csr_request r;
	char *text = make_request(&a, "system:kube-controller-manager|system:node:n1", nodes, NULL);
	assert_true(csr_request_parse(&a, text, &r, NULL) < 0);
}

static void test_node_permission(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	static const struct {
		const char *signer, *user, *permission;
	} cases[] = {{CLIENT "-kubelet", "system:node:n1", "selfnodeclient"},
		{CLIENT "-kubelet", "system:bootstrap:abcdef", "nodeclient"},
		{CLIENT, "system:node:n1", NULL}};
	struct csr_request r;
	assert_int_equal(
		csr_request_parse(&a, make_request(&a, "system:node:n1", nodes, NULL), &r, NULL),
		0);
	for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
		const char *is = csr_node_permission(
			&r, parse(&a, arena_printf(&a,
					      "{'signerName':'%s','username':'%s','usages':["
					      "'digital signature','client auth']}",
					      cases[n].signer, cases[n].user)));
		assert_true(streq(is, cases[n].permission));
	}
	csr_request_finish(&r);
}

static void test_bad_requests(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct csr_request r;
	char *good = make_request(&a, "x", others, NULL), *pem;
	size_t size;
	assert_int_equal(base64_decode(&a, str_from(good), &pem, &size), 0);
	assert_int_equal(csr_request_parse(&a, "", &r, NULL), -EBADMSG);
	assert_int_equal(csr_request_parse(&a, "!", &r, NULL), -EBADMSG);
	for (size_t cut = 0; cut < size; cut += 7)
		if (csr_request_parse(&a, base64_encode(&a, pem, cut), &r, NULL) == 0)
			csr_request_finish(&r); /* the last newline may be missing */
	/* One bit: the signature no longer holds, or nothing can be read. */
	for (size_t at = 40; at + 40 < size; at += 11) {
		char *copy = arena_memdup(&a, pem, size);
		copy[at] = copy[at] == 'A' ? 'B' : 'A';
		if (copy[at] != pem[at])
			assert_int_equal(
				csr_request_parse(&a, base64_encode(&a, copy, size), &r, NULL),
				-EBADMSG);
	}
}

static time_t time_of(const ASN1_TIME *t)
{
	struct tm tm;
	assert_int_equal(ASN1_TIME_to_tm(t, &tm), 1);
	return timegm(&tm);
}

static void test_signs(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(free_p) char *ca_cert = NULL;
	_cleanup_(free_p) char *ca_key = NULL;
	_cleanup_(free_p) char *other_cert = NULL;
	_cleanup_(free_p) char *other_key = NULL;
	_cleanup_(free_p) char *pem = NULL;
	assert_int_equal(pki_make_ca("test", 3650, &ca_cert, &ca_key, NULL), 0);
	assert_int_equal(pki_make_ca("other", 3650, &other_cert, &other_key, NULL), 0);
	struct csr_request r;
	assert_int_equal(
		csr_request_parse(&a,
			make_request(&a, "system:node:n1", nodes, "DNS:n1,IP:10.0.0.1"), &r, NULL),
		0);
	int64_t now_ns = (int64_t)time(NULL) * NS_PER_S;
	struct csr_terms terms = {
		.usages = parse(&a, "['server auth','digital signature','signing','client auth']"),
		.duration_s = 3600,
		.now_ns = now_ns};
	struct err err = ERR_INIT;
	assert_int_equal(csr_sign(ca_cert, ca_key, &r, &terms, &pem, &err), 0);

	BIO *in = BIO_new_mem_buf(pem, -1), *ca_in = BIO_new_mem_buf(ca_cert, -1);
	X509 *x = PEM_read_bio_X509(in, NULL, NULL, NULL),
	     *ca = PEM_read_bio_X509(ca_in, NULL, NULL, NULL);
	assert_int_equal(X509_verify(x, X509_get0_pubkey(ca)), 1);
	assert_int_equal(X509_check_ca(x), 0);
	assert_int_equal(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE);
	assert_int_equal(X509_get_extended_key_usage(x), XKU_SSL_SERVER | XKU_SSL_CLIENT);
	assert_int_equal(X509_check_host(x, "n1", 0, 0, NULL), 1);
	assert_int_equal(X509_check_ip_asc(x, "10.0.0.1", 0), 1);
	/* The whole time that was asked for, and a little before. */
	assert_int_equal(time_of(X509_get0_notAfter(x)), now_ns / NS_PER_S + 3600);
	assert_int_equal(time_of(X509_get0_notBefore(x)), now_ns / NS_PER_S - 300);
	X509_free(x);
	BIO_free(in);

	/* Never longer than the authority. */
	free(TAKE_PTR(pem));
	terms.duration_s = INT64_C(20) * 365 * 86400;
	assert_int_equal(csr_sign(ca_cert, ca_key, &r, &terms, &pem, &err), 0);
	in = BIO_new_mem_buf(pem, -1);
	x = PEM_read_bio_X509(in, NULL, NULL, NULL);
	assert_int_equal(time_of(X509_get0_notAfter(x)), time_of(X509_get0_notAfter(ca)));
	X509_free(x);
	BIO_free(in);
	X509_free(ca);
	BIO_free(ca_in);

	free(TAKE_PTR(pem));
	assert_int_equal(csr_sign(ca_cert, other_key, &r, &terms, &pem, &err), -EINVAL);
	terms.usages = parse(&a, "['nonsense']");
	assert_int_equal(csr_sign(ca_cert, ca_key, &r, &terms, &pem, &err), -EINVAL);
	csr_request_finish(&r);
}

static void test_duration(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	assert_int_equal(csr_duration_s(parse(&a, "{}")), 365 * 86400);
	assert_int_equal(csr_duration_s(parse(&a, "{'expirationSeconds':86400}")), 86400);
	assert_int_equal(csr_duration_s(parse(&a, "{'expirationSeconds':1}")), 600);
	assert_int_equal(csr_duration_s(parse(&a, "{'expirationSeconds':99999999}")), 365 * 86400);
}

static void test_stale(void **state)
{
	static const struct {
		const char *created, *type, *updated, *certificate;
		bool stale;
	} cases[] = {
		{"2026-12-31T01:00:00Z", NULL, NULL, "", false},
		{"2026-12-30T23:00:00Z", NULL, NULL, "", true},
		{"2026-12-31T23:00:00Z", "Denied", "2026-12-31T23:30:00Z", "", false},
		{"2026-12-31T20:00:00Z", "Denied", "2026-12-31T22:30:00Z", "", true},
		{"2026-12-31T20:00:00Z", "Failed", "2026-12-31T22:30:00Z", "", true},
		/* Approved, and not signed yet: others may be at it. */
		{"2026-12-20T20:00:00Z", "Approved", "2026-12-31T20:30:00Z", "", false},
		{"2026-12-31T20:00:00Z", "Approved", "2026-12-31T22:30:00Z", "eA==", true},
		{"2026-12-31T20:00:00Z", "Approved", "2026-12-31T23:30:00Z", "eA==", false},
	};
	for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		char *condition = cases[n].type
					  ? arena_printf(&a,
						    "{'type':'%s','status':'True','lastUpdateTime':"
						    "'%s'}",
						    cases[n].type, cases[n].updated)
					  : "";
		struct json *doc = parse(&a,
			arena_printf(&a,
				"{'metadata':{'creationTimestamp':'%s'},'status':{'certificate':"
				"'%s','conditions':[%s]}}",
				cases[n].created, cases[n].certificate, condition));
		assert_int_equal(csr_is_stale(doc, NOW_NS), cases[n].stale);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_two_common_names),
		cmocka_unit_test(test_node_permission),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_signs),
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_stale),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
