/* Approved certificate requests for the cluster's own signers are signed by the cluster's
 * certificate authority. */
#include "lib/base/log.h"
#include "server/controllers/certificates/sign.h"
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"

struct signing {
	struct loop *loop;
	struct informer *requests;
	const struct cluster_ca *ca;
};

static bool to_be_signed(const struct json *doc)
{
	const struct json *conditions = json_path(doc, "status.conditions");
	return condition_is(conditions, "Approved", "True") &&
	       !condition_is(conditions, "Denied", "True") &&
	       !condition_is(conditions, "Failed", "True") &&
	       !json_str_or(json_path(doc, "status.certificate"), "")[0] &&
	       csr_signer_known(json_path_str(doc, "spec.signerName"));
}

static void refuse(
	struct sync *s, const struct object *o, const struct json *doc, const char *problem)
{
	struct json *status = json_new_object(&s->arena);
	struct condition failed = {"Failed", "True", "SignerValidationFailure", problem, true};
	json_set(&s->arena, status, "conditions",
		condition_set(&s->arena, json_path(doc, "status.conditions"), &failed,
			loop_wall_ns(s->loop)));
	sync_status(s, o, doc, status, NULL, NULL);
}

static void sign(
	struct sync *s, const struct object *o, const struct json *doc, const struct csr_request *r)
{
	struct signing *self = s->self;
	const struct json *spec = json_get(doc, "spec");
	struct csr_terms terms = {.usages = json_get(spec, "usages"),
		.duration_s = csr_duration_s(spec),
		.now_ns = loop_wall_ns(s->loop)};
	struct err err = ERR_INIT;
	_cleanup_(free_p) char *pem = NULL;
	if (csr_sign(self->ca->certificate, self->ca->key, r, &terms, &pem, &err) < 0) {
		log_warn("certificate request is not signed", "request", o->name, "message",
			err.msg, NULL);
		s->failed = true;
		return;
	}
	struct json *status = json_new_object(&s->arena);
	json_set_str(&s->arena, status, "certificate", base64_encode(&s->arena, pem, strlen(pem)));
	sync_status(s, o, doc, status, NULL, NULL);
}

static void reconcile(struct sync *s)
{
	struct signing *self = s->self;
	struct object *o = informer_get(self->requests, "", s->name);
	struct json *doc = o && !o->deleting ? object_doc(o, &s->arena) : NULL;
	struct csr_request r;
	struct err err = ERR_INIT;
	if (!doc || !to_be_signed(doc))
		return;
	sync_hold(s, o);
	if (csr_request_parse(
		    &s->arena, json_str_or(json_path(doc, "spec.request"), ""), &r, &err) < 0) {
		refuse(s, o, doc, err.msg);
		return;
	}
	const char *problem = csr_signer_problem(
		&s->arena, json_path_str(doc, "spec.signerName"), &r, json_get(doc, "spec"));
	if (problem)
		refuse(s, o, doc, problem);
	else
		sign(s, o, doc, &r);
	csr_request_finish(&r);
}

static void on_request(void *user, const struct object *old, const struct object *new)
{
	struct signing *self = user;
	if (new && self->ca->key)
		loop_add_object(self->loop, new);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler handler = {.changed = on_request};
	struct signing *self = xcalloc(1, sizeof(*self));
	self->loop = loop_create(sh->client, "certificate-controller", 5, reconcile, self);
	self->requests =
		shared_informer(sh, "certificates.k8s.io", "v1", "CertificateSigningRequest");
	self->ca = &sh->ca;
	informer_add_handler(self->requests, &handler, self);
	return self;
}

static void start(void *user)
{
	loop_start(((struct signing *)user)->loop);
}

static void destroy(void *user)
{
	struct signing *self = user;
	loop_destroy(self->loop);
	free(self);
}

const struct controller_class certificate_signing_controller = {
	"csrsigning", create, start, destroy};
