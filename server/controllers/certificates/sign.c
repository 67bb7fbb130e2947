#include "server/controllers/certificates/sign.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"

/* Clocks that are behind see a certificate begin this much earlier; one that is good for less than
 * SHORT_S loses nothing by it. */
#define BACKDATE_S 300
#define SHORT_S (8 * 3600)

/* As OpenSSL's configuration names them (x509v3_config). */
static const struct {
	const char *usage, *key_usage, *extended;
} usages[] = {
	{"signing", "digitalSignature", NULL},
	{"digital signature", "digitalSignature", NULL},
	{"content commitment", "nonRepudiation", NULL},
	{"key encipherment", "keyEncipherment", NULL},
	{"key agreement", "keyAgreement", NULL},
	{"data encipherment", "dataEncipherment", NULL},
	{"cert sign", "keyCertSign", NULL},
	{"crl sign", "cRLSign", NULL},
	{"encipher only", "encipherOnly", NULL},
	{"decipher only", "decipherOnly", NULL},
	{"any", NULL, "anyExtendedKeyUsage"},
	{"server auth", NULL, "serverAuth"},
	{"client auth", NULL, "clientAuth"},
	{"code signing", NULL, "codeSigning"},
	{"email protection", NULL, "emailProtection"},
	{"s/mime", NULL, "emailProtection"},
	{"ipsec end system", NULL, "ipsecEndSystem"},
	{"ipsec tunnel", NULL, "ipsecTunnel"},
	{"ipsec user", NULL, "ipsecUser"},
	{"timestamping", NULL, "timeStamping"},
	{"ocsp signing", NULL, "OCSPSigning"},
	{"microsoft sgc", NULL, "msSGC"},
	{"netscape sgc", NULL, "nsSGC"},
};

/* "serverAuth,clientAuth"; NULL = none. */
static char *usage_list(struct arena *a, const struct json *wanted, bool extended)
{
	bool used[ARRAY_LEN(usages)] = {0};
	char *list = NULL;
	JSON_FOR_EACH_ITEM(u, wanted)
		for (size_t n = 0; n < ARRAY_LEN(usages); n++)
			used[n] |= streq(json_str(u), usages[n].usage);
	for (size_t n = 0; n < ARRAY_LEN(usages); n++) {
		const char *name = extended ? usages[n].extended : usages[n].key_usage;
		bool again = false;
		for (size_t m = 0; m < n; m++)
			again |= used[m] &&
				 streq(extended ? usages[m].extended : usages[m].key_usage, name);
		if (used[n] && name && !again)
			list = list ? arena_printf(a, "%s,%s", list, name) : arena_strdup(a, name);
	}
	return list;
}

static bool usages_known(const struct json *wanted)
{
	JSON_FOR_EACH_ITEM(u, wanted) {
		bool known = false;
		for (size_t n = 0; n < ARRAY_LEN(usages); n++)
			known |= streq(json_str(u), usages[n].usage);
		if (!known)
			return false;
	}
	return true;
}

static bool add_extension(X509 *x, X509 *ca, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, ca, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool ok = e && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	return ok;
}

static bool set_serial(X509 *x)
{
	BIGNUM *n = BN_new();
	bool ok = n && BN_rand(n, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
		  BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;
	BN_free(n);
	return ok;
}

static bool set_times(X509 *x, const X509 *ca, const struct csr_terms *terms)
{
	time_t now = (time_t)(terms->now_ns / NS_PER_S), begin = now - BACKDATE_S;
	time_t end = (terms->duration_s < SHORT_S ? now : begin) + terms->duration_s;
	if (!ASN1_TIME_set(X509_getm_notBefore(x), begin))
		return false;
	if (X509_cmp_time(X509_get0_notAfter(ca), &end) < 0)
		return X509_set1_notAfter(x, X509_get0_notAfter(ca)) == 1;
	return ASN1_TIME_set(X509_getm_notAfter(x), end) != NULL;
}

static bool fill(X509 *x, X509 *ca, const struct csr_request *r, const struct csr_terms *terms)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	char *key_usage = usage_list(&a, terms->usages, false),
	     *extended = usage_list(&a, terms->usages, true);
	/* A name that says whose it is when the subject does not is critical (RFC 5280 4.2.1.6). */
	int critical = X509_NAME_entry_count(X509_REQ_get_subject_name(r->x509)) == 0;
	return X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
	       set_times(x, ca, terms) &&
	       X509_set_subject_name(x, X509_REQ_get_subject_name(r->x509)) == 1 &&
	       X509_set_issuer_name(x, X509_get_subject_name(ca)) == 1 &&
	       X509_set_pubkey(x, X509_REQ_get0_pubkey(r->x509)) == 1 &&
	       (!key_usage || add_extension(x, ca, NID_key_usage,
				      arena_printf(&a, "critical,%s", key_usage))) &&
	       (!extended || add_extension(x, ca, NID_ext_key_usage, extended)) &&
	       add_extension(x, ca, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(x, ca, NID_authority_key_identifier, "keyid") &&
	       (sk_GENERAL_NAME_num(r->names) <= 0 ||
		       X509_add1_ext_i2d(x, NID_subject_alt_name, r->names, critical,
			       X509V3_ADD_DEFAULT) == 1);
}

static char *to_pem(X509 *x)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *text = NULL, *p = NULL;
	if (out && PEM_write_bio_X509(out, x) == 1) {
		long size = BIO_get_mem_data(out, &p);
		text = xstrndup(p, (size_t)size);
	}
	BIO_free(out);
	return text;
}

int csr_sign(const char *ca_cert_pem, const char *ca_key_pem, const struct csr_request *r,
	const struct csr_terms *terms, char **ret_pem, struct err *err)
{
	BIO *cert_in = BIO_new_mem_buf(ca_cert_pem, -1), *key_in = BIO_new_mem_buf(ca_key_pem, -1);
	X509 *ca = cert_in ? PEM_read_bio_X509(cert_in, NULL, NULL, "") : NULL, *x = X509_new();
	EVP_PKEY *key = key_in ? PEM_read_bio_PrivateKey(key_in, NULL, NULL, "") : NULL;
	time_t now = (time_t)(terms->now_ns / NS_PER_S);
	int e = 0;
	if (!usages_known(terms->usages))
		e = err_set(err, -EINVAL, "the request names an unknown usage");
	else if (!ca || !key || !x || X509_check_private_key(ca, key) != 1)
		e = err_set(err, -EINVAL, "the certificate authority and its key do not fit");
	else if (X509_cmp_time(X509_get0_notAfter(ca), &now) < 0)
		e = err_set(err, -EINVAL,
			"refusing to sign a certificate that expired in the past: the "
			"certificate authority's time is over");
	else if (!fill(x, ca, r, terms) ||
		 X509_sign(x, key, EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256()) <= 0 ||
		 !(*ret_pem = to_pem(x)))
		e = err_set(err, -EINVAL, "the certificate could not be made: %s",
			ERR_peek_last_error() ? ERR_reason_error_string(ERR_peek_last_error())
					      : "no reason given");
	X509_free(x);
	X509_free(ca);
	EVP_PKEY_free(key);
	BIO_free(cert_in);
	BIO_free(key_in);
	ERR_clear_error();
	return e;
}
