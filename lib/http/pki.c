/* The cluster's own certificate authority: ECDSA P-256, SHA-256, X.509 v3 (RFC 5280). */
#include "lib/http/tls.h"

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "lib/base/buf.h"

/* Certificates begin this much in the past, for clocks that are behind ours. */
#define BACKDATE_S 300

static void x509_free_p(X509 **x)
{
	X509_free(*x);
}

static void key_free_p(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static void bio_free_p(BIO **b)
{
	BIO_free(*b);
}

static int pki_err(struct err *err, const char *what)
{
	unsigned long e = ERR_peek_last_error();
	const char *reason = e ? ERR_reason_error_string(e) : NULL;
	ERR_clear_error();
	return err_set(err, -EINVAL, "%s: %s", what, reason ? reason : "failed");
}

static char *bio_text(BIO *b)
{
	char *p = NULL;
	long size = BIO_get_mem_data(b, &p);
	return xstrndup(p, (size_t)size);
}

static int to_pem(X509 *cert, EVP_PKEY *key, char **ret_cert, char **ret_key, struct err *err)
{
	_cleanup_(bio_free_p) BIO *c = BIO_new(BIO_s_mem());
	_cleanup_(bio_free_p) BIO *k = BIO_new(BIO_s_secmem());
	if (!c || !k || PEM_write_bio_X509(c, cert) != 1 ||
		PEM_write_bio_PrivateKey(k, key, NULL, NULL, 0, NULL, NULL) != 1)
		return pki_err(err, "write the certificate");
	*ret_cert = bio_text(c);
	*ret_key = bio_text(k);
	return 0;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (!e)
		return false;
	bool ok = X509_add_ext(cert, e, -1) == 1;
	X509_EXTENSION_free(e);
	return ok;
}

static bool add_name(X509_NAME *name, int nid, const char *value)
{
	return X509_NAME_add_entry_by_NID(
		       name, nid, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0) == 1;
}

/* A random positive serial number of 127 bits. */
static bool set_serial(X509 *cert)
{
	BIGNUM *n = BN_new();
	bool ok = n && BN_rand(n, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
		  BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;
	BN_free(n);
	return ok;
}

/* What every certificate has: version, serial, times, subject and key. */
static X509 *begin_certificate(const char *cn, const char *const *orgs, int days, EVP_PKEY *key)
{
	X509 *cert = X509_new();
	if (!cert)
		return NULL;
	X509_NAME *name = X509_get_subject_name(cert);
	bool ok = X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
		  X509_gmtime_adj(X509_getm_notBefore(cert), -BACKDATE_S) &&
		  X509_time_adj_ex(X509_getm_notAfter(cert), days, 0, NULL) &&
		  X509_set_pubkey(cert, key) == 1;
	for (; ok && orgs && *orgs; orgs++)
		ok = add_name(name, NID_organizationName, *orgs);
	if (!ok || !add_name(name, NID_commonName, cn)) {
		X509_free(cert);
		return NULL;
	}
	return cert;
}

int pki_make_ca(const char *cn, int days, char **ret_cert_pem, char **ret_key_pem, struct err *err)
{
	_cleanup_(key_free_p) EVP_PKEY *key = EVP_EC_gen("P-256");
	if (!key)
		return pki_err(err, "make a key");
	_cleanup_(x509_free_p) X509 *cert = begin_certificate(cn, NULL, days, key);
	if (!cert)
		return pki_err(err, "make a CA certificate");
	bool ok = X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1 &&
		  add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE") &&
		  add_extension(cert, cert, NID_key_usage,
			  "critical,digitalSignature,keyCertSign,cRLSign") &&
		  add_extension(cert, cert, NID_subject_key_identifier, "hash") &&
		  X509_sign(cert, key, EVP_sha256()) > 0;
	if (!ok)
		return pki_err(err, "make a CA certificate");
	return to_pem(cert, key, ret_cert_pem, ret_key_pem, err);
}

static bool add_alt_name(GENERAL_NAMES *names, int type, const char *value)
{
	GENERAL_NAME *n = a2i_GENERAL_NAME(NULL, NULL, NULL, type, value, 0);
	if (!n)
		return false;
	if (sk_GENERAL_NAME_push(names, n) > 0)
		return true;
	GENERAL_NAME_free(n);
	return false;
}

static bool add_alt_names(X509 *cert, const struct pki_request *req)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	bool ok = names != NULL;
	for (const char *const *p = req->dns_names; ok && p && *p; p++)
		ok = add_alt_name(names, GEN_DNS, *p);
	for (const char *const *p = req->ips; ok && p && *p; p++)
		ok = add_alt_name(names, GEN_IPADD, *p);
	if (ok && sk_GENERAL_NAME_num(names) > 0)
		ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
	sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
	return ok;
}

int pki_issue(const char *ca_cert_pem, const char *ca_key_pem, const struct pki_request *req,
	char **ret_cert_pem, char **ret_key_pem, struct err *err)
{
	_cleanup_(bio_free_p) BIO *cb = BIO_new_mem_buf(ca_cert_pem, -1);
	_cleanup_(bio_free_p) BIO *kb = BIO_new_mem_buf(ca_key_pem, -1);
	_cleanup_(x509_free_p) X509 *ca = cb ? PEM_read_bio_X509(cb, NULL, NULL, "") : NULL;
	_cleanup_(key_free_p) EVP_PKEY *ca_key =
		kb ? PEM_read_bio_PrivateKey(kb, NULL, NULL, "") : NULL;
	if (!ca || !ca_key)
		return pki_err(err, "read the CA");
	if (X509_check_private_key(ca, ca_key) != 1)
		return pki_err(err, "the CA's key is not that of its certificate");
	_cleanup_(key_free_p) EVP_PKEY *key = EVP_EC_gen("P-256");
	if (!key)
		return pki_err(err, "make a key");
	_cleanup_(x509_free_p) X509 *cert = begin_certificate(req->cn, req->orgs, req->days, key);
	if (!cert)
		return pki_err(err, "make a certificate");
	const char *usage = req->server_auth && req->client_auth ? "serverAuth,clientAuth"
			    : req->server_auth			 ? "serverAuth"
								 : "clientAuth";
	bool ok = X509_set_issuer_name(cert, X509_get_subject_name(ca)) == 1 &&
		  add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE") &&
		  add_extension(cert, ca, NID_key_usage, "critical,digitalSignature") &&
		  add_extension(cert, ca, NID_ext_key_usage, usage) &&
		  add_extension(cert, ca, NID_subject_key_identifier, "hash") &&
		  add_extension(cert, ca, NID_authority_key_identifier, "keyid") &&
		  add_alt_names(cert, req) && X509_sign(cert, ca_key, EVP_sha256()) > 0;
	if (!ok)
		return pki_err(err, "make a certificate");
	return to_pem(cert, key, ret_cert_pem, ret_key_pem, err);
}
