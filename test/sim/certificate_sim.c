#include "test/sim/sim.h"

#include "lib/http/tls.h"

#define REQUESTS 12

static void create_request(struct sim *s, int n, const char *request, const char *conditions)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'certificates.k8s.io/v1','kind':'CertificateSigningRequest',"
		"'metadata':{'name':'r%d'},'spec':{'signerName':'%s','request':'%s','usages':["
		"'client auth']},'status':{'conditions':[%s]}}",
		n,
		n % 4 == 3 ? "kubernetes.io/kubelet-serving"
			   : "kubernetes.io/kube-apiserver-client",
		request, conditions);
}

/* By openssl: CN=x, signed by its own key. */
static const char request[] =
	"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIR01HNENBUUF3RERFS01BZ0dBMVVF"
	"QXd3QmVEQlpNQk1HQnlxR1NNNDlBZ0VHQ0NxR1NNNDlBd0VIQTBJQQpCQi9kSzY1d1BZbjdsZDVHb1lV"
	"NUNBMzBNOXNLZDRwS1doN2twRDhDSWhCci8wbUFnQ3RuaTZ0bVQzK04wNWhJClV1d21COHhxWUpaalBB"
	"cS9GNjVMNngyZ0FEQUtCZ2dxaGtqT1BRUURBZ05JQURCRkFpRUFobklZWVVNMHJpRkEKU1FoTk1aL2Ja"
	"Z2Zvc3k1bmozWitCV2lLa2FoVjE0a0NJR1JTQXdlT255Zng3SkJJTTh1THM1RzdZZ2pMdVBRNgp6Q0xw"
	"ZXZCMStTei8KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==";

static bool decided(struct sim *s)
{
	for (int n = 0; n < REQUESTS; n++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		char *name = arena_printf(&a, "r%d", n);
		struct json *doc = sim_doc(s, &a, "CertificateSigningRequest", name);
		bool issued = json_path_str(doc, "status.certificate") != NULL;
		bool failed = sim_condition_is(s, "CertificateSigningRequest", name, "Failed",
			"True", "SignerValidationFailure");
		if (issued != (n % 4 < 2) || failed != (n % 4 == 3))
			return false;
	}
	return true;
}

static bool all_gone(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	return fake_api_list(s->api, "CertificateSigningRequest", NULL, &a, &all) == 0;
}

static size_t certificates_changed;
static void on_change(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	if (!old || !new || !streq(new->kind->kind, "CertificateSigningRequest"))
		return;
	const char *was = json_path_str(object_doc(old, &a), "status.certificate"),
		   *is = json_path_str(object_doc(new, &a), "status.certificate");
	certificates_changed += was && !streq(was, is);
}

/* Of four requests two are approved, one is denied, and one is not what its signer gives. Each is
 * signed once; in the end all go. */
static void test_signs_and_cleans(void **state)
{
	_cleanup_(free_p) char *certificate = NULL;
	_cleanup_(free_p) char *key = NULL;
	assert_int_equal(pki_make_ca("test", 20000, &certificate, &key, NULL), 0);
	sim_for_seeds(seed)
	{
		struct sim s;
		static const char list[] = "csrsigning,csrcleaner";
		sim_begin(&s, seed, list, false);
		controllers_destroy(s.controllers);
		struct cluster_ca ca = {certificate, key};
		s.controllers = controllers_create(s.controllers_client, list, &ca, NULL);
		certificates_changed = 0;
		fake_api_on_change(s.api, on_change, &s);
		sim_faults(&s, true);
		char now[TIME_RFC3339_ROOM];
		time_format_rfc3339(s.clock.clock.wall_ns(&s.clock.clock), now);
		for (int n = 0; n < REQUESTS; n++) {
			_cleanup_(free_p) char *condition =
				xasprintf("{'type':'%s','status':'True','lastUpdateTime':'%s'}",
					n % 4 == 2 ? "Denied" : "Approved", now);
			create_request(&s, n, request, condition);
		}
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, decided, 400000);
		assert_int_equal(certificates_changed, 0);
		sim_until(&s, all_gone, 3 * 3600000);
		sim_end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_signs_and_cleans)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
