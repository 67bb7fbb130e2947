/* CertificateApproval, CertificateSigning, CertificateSubjectRestriction: who decides on requests
 * for certificates, who signs them, and what may not be requested. Requests of this process are not
 * asked. */
#include "server/api/admission/admission_internal.h"
#include "server/api/auth/auth.h"
#include "server/api/hooks/certificate_pem.h"

#define GROUP "certificates.k8s.io"
#define CLIENT_SIGNER "kubernetes.io/kube-apiserver-client"

static bool is_request(const struct admission_review *r)
{
	return streq(r->kind->group, GROUP) && streq(r->kind->plural, "certificatesigningrequests");
}

static const char *signer_of(const struct json *doc)
{
	return json_str_or(json_path(doc, "spec.signerName"), "");
}

static bool may(const struct admission_review *r, const char *verb, const char *signer)
{
	struct access x = {.user = &r->req->user,
		.is_resource = true,
		.namespace = "",
		.group = GROUP,
		.version = "*",
		.resource = "signers",
		.subresource = "",
		.name = signer};
	access_set_verb(&x, verb);
	return auth_allows(r->req->api, &x);
}

/* The signer by its name, or all of its domain ("example.com/" and a star). */
static bool may_for_signer(const struct admission_review *r, const char *verb)
{
	const char *signer = signer_of(r->old);
	int domain = (int)strcspn(signer, "/");
	return !r->req->http || may(r, verb, signer) ||
	       may(r, verb, arena_printf(r->req->arena, "%.*s/*", domain, signer));
}

static int check_approval(const struct admission_review *r)
{
	if (!is_request(r) || !streq(r->part, "approval") || may_for_signer(r, "approve"))
		return 0;
	return admission_forbid(r, "user not permitted to approve requests with signerName \"%s\"",
		signer_of(r->old));
}

static bool same(const struct admission_review *r, const char *path)
{
	return json_equal(json_path(r->doc, path), json_path(r->old, path));
}

static int check_signing(const struct admission_review *r)
{
	if (!is_request(r) || !streq(r->part, "status") ||
		(same(r, "status.certificate") && same(r, "status.conditions")) ||
		may_for_signer(r, "sign"))
		return 0;
	return admission_forbid(
		r, "user not permitted to sign requests with signerName \"%s\"", signer_of(r->old));
}

static int check_subject(const struct admission_review *r)
{
	const char *request = json_str_or(json_path(r->doc, "spec.request"), "");
	if (!is_request(r) || r->operation != ADMISSION_CREATE || *r->part ||
		!streq(signer_of(r->doc), CLIENT_SIGNER) ||
		!certificate_request_has_organization(r->req->arena, request, GROUP_MASTERS))
		return 0;
	return admission_forbid(
		r, "use of %s signer with %s group is not allowed", CLIENT_SIGNER, GROUP_MASTERS);
}

const struct admission_plugin admission_certificate_approval = {
	.name = "CertificateApproval",
	.validate = check_approval,
};

const struct admission_plugin admission_certificate_signing = {
	.name = "CertificateSigning",
	.validate = check_signing,
};

const struct admission_plugin admission_certificate_subject_restriction = {
	.name = "CertificateSubjectRestriction",
	.validate = check_subject,
};
