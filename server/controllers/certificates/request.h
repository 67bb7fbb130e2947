/* request.h - what a CertificateSigningRequest asks for, and which of it Kubernetes' own signers
 * give (API reference: "Certificate Signing Requests", Kubernetes signers). Pure but for OpenSSL's
 * parsing; the request is hostile input. */
#pragma once

#include <openssl/x509v3.h>

#include "lib/json/json.h"

struct csr_request {
	X509_REQ *x509;
	const char *common_name;	  /* "" when there is none */
	const char *const *organizations; /* NULL-terminated */
	GENERAL_NAMES *names;		  /* subjectAltName; NULL = none */
	unsigned dns_count, email_count, ip_count, uri_count;
};

/* spec.request: PEM in base64. -EBADMSG when it can't be read. */
int csr_request_parse(
	struct arena *a, const char *base64, struct csr_request *ret, struct err *err) _must_check_;
void csr_request_finish(struct csr_request *r);

/* Is this one of the signers that are built in? */
bool csr_signer_known(const char *signer);
/* Why the signer does not give it, in upstream's words; NULL = it may be signed. `spec` is the
 * API object's. */
const char *csr_signer_problem(
	struct arena *a, const char *signer, const struct csr_request *r, const struct json *spec);
/* A node's request for its own client certificate: which subresource permits to have it approved
 * automatically ("selfnodeclient" when the node itself asks, "nodeclient" for others). NULL = no
 * such request. */
const char *csr_node_permission(const struct csr_request *r, const struct json *spec);

/* Seconds that a certificate is good for; `spec` may ask for less than a year. */
int64_t csr_duration_s(const struct json *spec);

/* A request that nobody needs any more: issued, denied or failed an hour ago, undecided for a day,
 * or its certificate's time is over. */
bool csr_is_stale(const struct json *doc, int64_t now_ns);
