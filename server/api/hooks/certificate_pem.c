#include "server/api/hooks/certificate_pem.h"

#include <limits.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "lib/base/str.h"

/* One block of a PEM text. */
struct block {
	char *type, *header;
	unsigned char *data;
	long size;
};

static bool next_block(BIO *in, struct block *ret)
{
	*ret = (struct block){0};
	bool found = PEM_read_bio(in, &ret->type, &ret->header, &ret->data, &ret->size) == 1;
	ERR_clear_error();
	return found;
}

static void block_finish(struct block *b)
{
	OPENSSL_free(b->type);
	OPENSSL_free(b->header);
	OPENSSL_free(b->data);
}

static BIO *open_text(struct arena *a, const char *base64)
{
	char *text;
	size_t size;
	if (base64_decode(a, str_from(base64), &text, &size) < 0 || size > INT_MAX)
		return NULL;
	return BIO_new_mem_buf(text, (int)size);
}

static const char *signature_problem(X509_REQ *request)
{
	EVP_PKEY *key = X509_REQ_get0_pubkey(request);
	if (!key)
		return "x509: unknown public key algorithm";
	if (X509_REQ_verify(request, key) == 1)
		return NULL;
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
		return "crypto/rsa: verification error";
	case EVP_PKEY_EC:
		return "x509: ECDSA verification failure";
	case EVP_PKEY_ED25519:
		return "x509: Ed25519 verification failure";
	default:
		return "x509: cannot verify signature: algorithm unimplemented";
	}
}

static const char *request_problem(const struct block *b)
{
	const unsigned char *p = b->data;
	if (!streq(b->type, "CERTIFICATE REQUEST"))
		return "PEM block type must be CERTIFICATE REQUEST";
	X509_REQ *request = d2i_X509_REQ(NULL, &p, b->size);
	const char *problem = !request		       ? "x509: malformed certificate request"
			      : p != b->data + b->size ? "asn1: syntax error: trailing data"
						       : signature_problem(request);
	X509_REQ_free(request);
	ERR_clear_error();
	return problem;
}

const char *certificate_request_problem(struct arena *a, const char *base64)
{
	struct block b;
	BIO *in = open_text(a, base64);
	const char *problem = "PEM block type must be CERTIFICATE REQUEST";
	if (in && next_block(in, &b)) {
		problem = request_problem(&b);
		block_finish(&b);
	}
	BIO_free(in);
	return problem;
}

static bool has_organization(const X509_REQ *request, const char *name)
{
	const X509_NAME *subject = X509_REQ_get_subject_name(request);
	size_t size = strlen(name);
	for (int i = -1; (i = X509_NAME_get_index_by_NID(subject, NID_organizationName, i)) >= 0;) {
		const ASN1_STRING *v = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i));
		unsigned char *text = NULL;
		int n = ASN1_STRING_to_UTF8(&text, v);
		bool same = n >= 0 && (size_t)n == size && memcmp(text, name, size) == 0;
		OPENSSL_free(text);
		if (same)
			return true;
	}
	return false;
}

bool certificate_request_has_organization(struct arena *a, const char *base64, const char *name)
{
	struct block b;
	BIO *in = open_text(a, base64);
	bool found = false;
	if (in && next_block(in, &b)) {
		const unsigned char *p = b.data;
		X509_REQ *request = d2i_X509_REQ(NULL, &p, b.size);
		found = request && has_organization(request, name);
		X509_REQ_free(request);
		ERR_clear_error();
		block_finish(&b);
	}
	BIO_free(in);
	return found;
}

static const char *certificate_problem(struct arena *a, const struct block *b)
{
	const unsigned char *p = b->data;
	if (!streq(b->type, "CERTIFICATE"))
		return arena_printf(
			a, "only CERTIFICATE PEM blocks are allowed, found \"%.64s\"", b->type);
	if (*b->header)
		return "no PEM block headers are permitted";
	X509 *certificate = d2i_X509(NULL, &p, b->size);
	const char *problem =
		!certificate || p != b->data + b->size ? "x509: malformed certificate" : NULL;
	X509_free(certificate);
	ERR_clear_error();
	return problem;
}

const char *certificates_problem(struct arena *a, const char *base64)
{
	const char *problem = NULL;
	size_t count = 0;
	struct block b;
	BIO *in = open_text(a, base64);
	while (in && !problem && next_block(in, &b)) {
		problem = certificate_problem(a, &b);
		block_finish(&b);
		count++;
	}
	BIO_free(in);
	return count ? problem : "must contain at least one CERTIFICATE PEM block";
}
