#include "server/controllers/certificates/request.h"

#include <limits.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "server/controllers/meta.h"

#define NODES_GROUP "system:nodes"
#define NODE_PREFIX "system:node:"
#define YEAR_S (365 * 86400)
#define DURATION_MIN_S 600
#define DECIDED_KEPT_NS (3600 * NS_PER_S)
#define PENDING_KEPT_NS (86400 * NS_PER_S)

#define CLIENT "kubernetes.io/kube-apiserver-client"
#define NODE_CLIENT "kubernetes.io/kube-apiserver-client-kubelet"
#define NODE_SERVING "kubernetes.io/kubelet-serving"
#define LEGACY "kubernetes.io/legacy-unknown"

/* ---- reading ---- */

static char *text_of(struct arena *a, const X509_NAME_ENTRY *entry)
{
	unsigned char *text = NULL;
	int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(entry));
	char *copy = size >= 0 && !memchr(text, 0, (size_t)size)
			     ? arena_memdup(a, text, (size_t)size)
			     : NULL;
	OPENSSL_free(text);
	return copy;
}

static int read_subject(struct arena *a, struct csr_request *r, struct err *err)
{
	const X509_NAME *subject = X509_REQ_get_subject_name(r->x509);
	int count = X509_NAME_entry_count(subject);
	const char **organizations = arena_alloc(a, ((size_t)count + 1) * sizeof(char *));
	size_t organization_count = 0;
	bool has_name = false;
	r->common_name = "";
	for (int n = 0; n < count; n++) {
		const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, n);
		int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
		if (nid != NID_commonName && nid != NID_organizationName)
			continue;
		char *text = text_of(a, entry);
		if (!text)
			return err_set(err, -EBADMSG, "the request's subject is no text");
		/* Who reads the first of several names and who reads the last must not see two
		 * different users. */
		if (nid == NID_commonName && has_name)
			return err_set(err, -EBADMSG, "the request's subject has two common names");
		has_name |= nid == NID_commonName;
		if (nid == NID_commonName)
			r->common_name = text;
		else
			organizations[organization_count++] = text;
	}
	organizations[organization_count] = NULL;
	r->organizations = organizations;
	return 0;
}

static int read_names(struct csr_request *r, struct err *err)
{
	STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(r->x509);
	int critical = -1;
	r->names = X509V3_get_d2i(extensions, NID_subject_alt_name, &critical, NULL);
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
	if (!r->names && critical != -1) /* there twice, or unreadable */
		return err_set(err, -EBADMSG, "the request's subjectAltName can't be read");
	for (int n = 0; n < sk_GENERAL_NAME_num(r->names); n++)
		switch (sk_GENERAL_NAME_value(r->names, n)->type) {
		case GEN_DNS:
			r->dns_count++;
			break;
		case GEN_EMAIL:
			r->email_count++;
			break;
		case GEN_IPADD:
			r->ip_count++;
			break;
		case GEN_URI:
			r->uri_count++;
			break;
		default:
			return err_set(err, -EBADMSG,
				"the request's subjectAltName has a name that is no DNS name, "
				"address, URI or email address");
		}
	return 0;
}

void csr_request_finish(struct csr_request *r)
{
	X509_REQ_free(r->x509);
	GENERAL_NAMES_free(r->names);
	*r = (struct csr_request){0};
}

int csr_request_parse(struct arena *a, const char *base64, struct csr_request *ret, struct err *err)
{
	struct csr_request r = {0};
	char *text;
	size_t size;
	if (base64_decode(a, str_from(base64), &text, &size) < 0 || size > INT_MAX)
		return err_set(err, -EBADMSG, "the request is no base64");
	BIO *in = BIO_new_mem_buf(text, (int)size);
	r.x509 = in ? PEM_read_bio_X509_REQ(in, NULL, NULL, "") : NULL;
	BIO_free(in);
	int e = r.x509 ? 0 : err_set(err, -EBADMSG, "PEM block type must be CERTIFICATE REQUEST");
	EVP_PKEY *key = r.x509 ? X509_REQ_get0_pubkey(r.x509) : NULL;
	if (e == 0 && (!key || X509_REQ_verify(r.x509, key) != 1))
		e = err_set(err, -EBADMSG, "the request is not signed by its own key");
	if (e == 0)
		e = read_subject(a, &r, err);
	if (e == 0)
		e = read_names(&r, err);
	ERR_clear_error();
	if (e < 0)
		csr_request_finish(&r);
	else
		*ret = r;
	return e;
}

/* ---- rules ---- */

static bool has_usage(const struct json *spec, const char *usage)
{
	JSON_FOR_EACH_ITEM(u, json_get(spec, "usages"))
		if (streq(json_str(u), usage))
			return true;
	return false;
}

/* Only these, the last one for certain. */
static bool only_usages(const struct json *spec, const char *needed)
{
	JSON_FOR_EACH_ITEM(u, json_get(spec, "usages")) {
		const char *text = json_str(u);
		if (!streq(text, "digital signature") && !streq(text, "key encipherment") &&
			!streq(text, needed))
			return false;
	}
	return has_usage(spec, needed);
}

static bool node_usages(const struct json *spec, const char *needed)
{
	return only_usages(spec, needed) && has_usage(spec, "digital signature");
}

static const char *usages_problem(
	struct arena *a, const struct json *spec, bool met, const char *needed)
{
	return met ? NULL
		   : arena_printf(a,
			     "usages did not match [digital signature key encipherment %s]: %s",
			     needed, json_text(a, json_get(spec, "usages")));
}

static const char *node_subject_problem(const struct csr_request *r)
{
	if (!streq(r->organizations[0], NODES_GROUP) || r->organizations[1])
		return "subject organization is not system:nodes";
	if (r->email_count)
		return "Email subjectAltNames are not allowed";
	if (r->uri_count)
		return "URI subjectAltNames are not allowed";
	if (!str_has_prefix(r->common_name, NODE_PREFIX))
		return "subject common name does not begin with 'system:node:'";
	return NULL;
}

static const char *node_client_problem(
	struct arena *a, const struct csr_request *r, const struct json *spec)
{
	const char *problem = node_subject_problem(r);
	if (problem)
		return problem;
	if (r->dns_count)
		return "DNS subjectAltNames are not allowed";
	if (r->ip_count)
		return "IP subjectAltNames are not allowed";
	return usages_problem(a, spec, node_usages(spec, "client auth"), "client auth");
}

static const char *node_serving_problem(
	struct arena *a, const struct csr_request *r, const struct json *spec)
{
	const char *problem = node_subject_problem(r);
	if (problem)
		return problem;
	if (!r->dns_count && !r->ip_count)
		return "DNS or IP subjectAltName is required";
	return usages_problem(a, spec, node_usages(spec, "server auth"), "server auth");
}

bool csr_signer_known(const char *signer)
{
	static const char *const known[] = {CLIENT, NODE_CLIENT, NODE_SERVING, LEGACY};
	for (size_t n = 0; n < ARRAY_LEN(known); n++)
		if (streq(signer, known[n]))
			return true;
	return false;
}

const char *csr_signer_problem(
	struct arena *a, const char *signer, const struct csr_request *r, const struct json *spec)
{
	if (streq(signer, CLIENT))
		return usages_problem(a, spec, only_usages(spec, "client auth"), "client auth");
	if (streq(signer, NODE_CLIENT))
		return node_client_problem(a, r, spec);
	if (streq(signer, NODE_SERVING))
		return node_serving_problem(a, r, spec);
	return streq(signer, LEGACY) ? NULL : "the signer is not one of the cluster's own";
}

const char *csr_node_permission(const struct csr_request *r, const struct json *spec)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	if (!streq(json_str(json_get(spec, "signerName")), NODE_CLIENT) ||
		node_client_problem(&a, r, spec))
		return NULL;
	return streq(json_str(json_get(spec, "username")), r->common_name) ? "selfnodeclient"
									   : "nodeclient";
}

int64_t csr_duration_s(const struct json *spec)
{
	int64_t wanted_s = json_int_or(json_get(spec, "expirationSeconds"), YEAR_S);
	return MAX(MIN(wanted_s, (int64_t)YEAR_S), (int64_t)DURATION_MIN_S);
}

/* ---- cleaning ---- */

static bool certificate_is_over(struct arena *a, const char *base64, int64_t now_ns)
{
	char *text;
	size_t size;
	if (base64_decode(a, str_from(base64), &text, &size) < 0 || size > INT_MAX)
		return false;
	BIO *in = BIO_new_mem_buf(text, (int)size);
	X509 *x = in ? PEM_read_bio_X509(in, NULL, NULL, "") : NULL;
	time_t now = (time_t)(now_ns / NS_PER_S);
	bool over = x && X509_cmp_time(X509_get0_notAfter(x), &now) < 0;
	X509_free(x);
	BIO_free(in);
	ERR_clear_error();
	return over;
}

bool csr_is_stale(const struct json *doc, int64_t now_ns)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *conditions = json_path(doc, "status.conditions");
	const char *certificate = json_str_or(json_path(doc, "status.certificate"), "");
	bool decided = false;
	JSON_FOR_EACH_ITEM(c, conditions) {
		const char *type = json_str_or(json_get(c, "type"), "");
		int64_t age_ns = now_ns - meta_time_ns(json_get(c, "lastUpdateTime"));
		bool ends = streq(type, "Denied") || streq(type, "Failed") ||
			    (streq(type, "Approved") && certificate[0]);
		decided |= ends || streq(type, "Approved");
		if (ends && age_ns > DECIDED_KEPT_NS)
			return true;
	}
	if (certificate[0] && certificate_is_over(&a, certificate, now_ns))
		return true;
	return !decided && !certificate[0] &&
	       now_ns - meta_time_ns(json_path(doc, "metadata.creationTimestamp")) >
		       PENDING_KEPT_NS;
}
