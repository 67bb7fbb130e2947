/* sign.h - a certificate from a request, by the cluster's certificate authority. */
#pragma once

#include "server/controllers/certificates/request.h"

struct csr_terms {
	const struct json *usages; /* of the API object: "client auth", ... */
	int64_t duration_s;
	int64_t now_ns; /* wall */
};

/* -EINVAL for a usage that there is not, or when the authority is no good. PEM, malloc'd. The
 * certificate never outlives the authority's. */
int csr_sign(const char *ca_cert_pem, const char *ca_key_pem, const struct csr_request *r,
	const struct csr_terms *terms, char **ret_pem, struct err *err) _must_check_;
