/* Requests of nodes for their own client certificates are approved when whoever asks may have that:
 * create on certificatesigningrequests/selfnodeclient for nodes that renew theirs, .../nodeclient
 * for those who join (bootstrap tokens). */
#include "server/controllers/certificates/request.h"
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"

#define GROUP "certificates.k8s.io"
#define REVIEWS "/apis/authorization.k8s.io/v1/subjectaccessreviews"

struct approving {
	struct loop *loop;
	struct informer *requests;
};

/* One sync. */
struct question {
	struct object *request;
	struct json *doc;
	const char *permission;
};

static bool is_pending(const struct json *doc)
{
	const struct json *conditions = json_path(doc, "status.conditions");
	return !condition_find(conditions, "Approved") && !condition_find(conditions, "Denied") &&
	       !json_str_or(json_path(doc, "status.certificate"), "")[0];
}

static struct json *review_of(struct arena *a, const struct json *doc, const char *permission)
{
	static const char *const user_members[][2] = {
		{"username", "user"}, {"uid", "uid"}, {"groups", "groups"}, {"extra", "extra"}};
	struct json *review = json_new_object(a), *spec = json_new_object(a),
		    *attributes = json_new_object(a);
	json_set_str(a, review, "apiVersion", "authorization.k8s.io/v1");
	json_set_str(a, review, "kind", "SubjectAccessReview");
	json_set(a, review, "spec", spec);
	for (size_t n = 0; n < ARRAY_LEN(user_members); n++) {
		struct json *v = json_get(json_get(doc, "spec"), user_members[n][0]);
		if (v)
			json_set(a, spec, user_members[n][1], v);
	}
	json_set(a, spec, "resourceAttributes", attributes);
	json_set_str(a, attributes, "group", GROUP);
	json_set_str(a, attributes, "version", "*");
	json_set_str(a, attributes, "resource", "certificatesigningrequests");
	json_set_str(a, attributes, "subresource", permission);
	json_set_str(a, attributes, "verb", "create");
	return review;
}

static void on_review(struct sync *s, const struct client_result *r, void *user)
{
	struct question *q = s->state;
	struct arena *a = &s->arena;
	struct json *review = NULL;
	if (!client_ok(r) || json_parse(a, r->body, r->body_size, NULL, &review, NULL) < 0) {
		sync_check(s, r);
		return;
	}
	if (!json_path_bool(review, "status.allowed", false)) {
		s->failed = true; /* it may be granted later: asked again, ever more rarely */
		return;
	}
	struct condition approved = {"Approved", "True", "AutoApproved",
		streq(q->permission, "selfnodeclient")
			? "Auto approving self kubelet client certificate after "
			  "SubjectAccessReview."
			: "Auto approving kubelet client certificate after SubjectAccessReview.",
		true};
	struct json *patch = json_new_object(a);
	json_path_set(a, patch, "status.conditions",
		condition_set(a, json_path(q->doc, "status.conditions"), &approved,
			loop_wall_ns(s->loop)));
	sync_patch(s, q->request, "approval", patch, NULL, NULL);
}

static void reconcile(struct sync *s)
{
	struct approving *self = s->self;
	struct object *o = informer_get(self->requests, "", s->name);
	struct json *doc = o && !o->deleting ? object_doc(o, &s->arena) : NULL;
	struct csr_request r;
	if (!doc || !is_pending(doc) ||
		csr_request_parse(
			&s->arena, json_str_or(json_path(doc, "spec.request"), ""), &r, NULL) < 0)
		return;
	struct question *q = ARENA_NEW(&s->arena, struct question);
	q->permission = csr_node_permission(&r, json_get(doc, "spec"));
	csr_request_finish(&r);
	if (!q->permission)
		return;
	s->state = q;
	q->request = sync_hold(s, o);
	q->doc = doc;
	char *body = json_text(&s->arena, review_of(&s->arena, doc, q->permission));
	struct client_request req = {
		.method = "POST", .path = REVIEWS, .body = body, .body_size = strlen(body)};
	sync_request(s, &req, on_review, NULL);
}

static void on_request(void *user, const struct object *old, const struct object *new)
{
	struct approving *self = user;
	if (new)
		loop_add_object(self->loop, new);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler handler = {.changed = on_request};
	struct approving *self = xcalloc(1, sizeof(*self));
	self->loop = loop_create(sh->client, "certificate-controller", 5, reconcile, self);
	self->requests = shared_informer(sh, GROUP, "v1", "CertificateSigningRequest");
	informer_add_handler(self->requests, &handler, self);
	return self;
}

static void start(void *user)
{
	loop_start(((struct approving *)user)->loop);
}

static void destroy(void *user)
{
	struct approving *self = user;
	loop_destroy(self->loop);
	free(self);
}

const struct controller_class certificate_approving_controller = {
	"csrapproving", create, start, destroy};
