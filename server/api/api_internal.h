/* api_internal.h - what the files of server/api share: the request, its answer, and the steps of
 * the verbs. One request is one struct api_request in its own arena; a verb ends it by exactly one
 * api_respond*(), api_fail(), or by taking over the HTTP request (watches, streams). */
#pragma once

#include "lib/base/list.h"
#include "lib/base/random.h"
#include "lib/object/patch.h"
#include "server/api/allocator.h"
#include "server/api/api.h"
#include "server/api/auth/user.h"
#include "server/api/requests/deadline.h"
#include "server/api/hooks/hooks.h"
#include "server/api/machines/mac_pool.h"
#include "server/api/requests/inflight.h"
#include "server/api/documents/metrics.h"
#include "server/api/requests/negotiate.h"
#include "server/api/requests/query.h"
#include "server/api/requests/router.h"

struct admission;

/* Of the aggregated documents, "" while not known. */
#define DISCOVERY_ETAG_ROOM 32
struct discovery_etags {
	uint64_t generation;		      /* of the registry, plus one */
	char text[2][2][DISCOVERY_ETAG_ROOM]; /* [core][v2] */
};

struct api {
	struct api_options options;
	uv_loop_t *loop;
	struct kind_registry *kinds;
	struct cache *cache;
	struct clock *clock;
	struct random random;
	SSL_CTX *proxy_tls;	 /* to pods that are asked by https; NULL until one is */
	struct random audit_ids; /* no secrets: cheap */
	const struct kind *namespaces, *nodes, *pods, *definitions;
	struct ip_range service_range, pod_range;
	struct ip service_range6, pod_range6; /* prefix 0 = IPv4 alone */
	struct mac_pool *macs;
	struct allocator service_ips, service_ips6, node_ports, pod_subnets;
	struct metrics metrics;
	void (*more_metrics)(void *user, struct buf *out);
	void *more_metrics_user;
	struct inflight inflight;
	struct deadlines *deadlines; /* NULL = of no request any more */
	struct openapi *openapi;
	struct discovery_etags discovery_etags;
	struct custom_resources *custom_resources;
	struct admission *admission;
	struct auth *auth;
	struct api_usage *usage;
	struct list watches;	  /* struct watch.all */
	struct list sliced_lists; /* struct sliced_list.link */
	bool ready, stopping, backup_under_way;
};

struct api_request {
	struct api *api;
	struct arena *arena;
	const char *method, *path;
	struct query query;
	const char *accept, *content_type, *user_agent, *if_none_match; /* NULL when absent */
	const char *body;
	size_t body_size;
	struct api_user user;
	struct http_request *http; /* NULL: from this process, no streams */
	int64_t started_ns;
	/* Gives the whole answer to whoever asked. Called once; the request is gone after it. */
	void (*respond)(struct api_request *req, int code, const char *content_type,
		const char *extra, const struct http_part *parts, size_t count);
	void *caller;

	/* Requests by HTTP that were not answered at once (deadline.h). */
	struct list deadline;
	uint64_t timeout_ms; /* wanted by the client; 0 = none */
	uint64_t ends_ms;    /* loop time */
	bool late;	     /* answered with 504 */

	struct route route;
	const struct kind *kind; /* of route.resource; NULL for paths that are no resources */
	const struct kind_subresource *subresource; /* NULL = the object itself */
	struct accept wanted;
	struct status st;
	struct json *warnings; /* array of strings, NULL while empty */

	/* Writes. */
	bool dry_run;
	bool apply; /* server-side apply: the result has its managedFields */
	enum field_validation field_validation;
	const struct kind *awaits; /* refused for want of one that may appear (admission_wait) */
	bool waited;
	struct quota_charge *charge; /* what it reserved of quotas, likewise; NULL = nothing */
	struct mac_claim *macs;	     /* likewise MAC addresses */
	struct claim *claims; /* what this request took from allocators, settled with its outcome */
};

/* Entry: routes and answers. */
void api_handle(struct api_request *req);

/* Answers (respond.c). */
void api_respond_text(struct api_request *req, int code, const char *content_type,
	const char *extra, const char *text, size_t size);
void api_respond_doc(struct api_request *req, int code, const struct json *doc);
/* In the form the client asked for: the object's bytes, a Table, or metadata only. */
void api_respond_object(struct api_request *req, int code, const struct object *o);
/* As above, for a document that is not stored (dry runs, scales). */
void api_respond_unstored(
	struct api_request *req, int code, const struct kind *kind, struct json *doc);
void api_respond_parts(struct api_request *req, int code, const char *content_type,
	const char *extra, const struct http_part *parts, size_t count);
/* 200, piece by piece (http.h); `large`: to be compressed if the client takes that. */
void api_respond_source(struct api_request *req, const char *content_type,
	const struct http_source *source, bool large);
void api_http_respond_source(struct api_request *req, const char *content_type,
	const struct http_source *source, bool large);
/* In the metrics, unless another answer was. */
void api_count_answer(struct api_request *req, int code);
/* `extra` with the headers that every answer by HTTP has; in the arena. */
const char *api_http_headers(struct api_request *req, const char *extra);
void api_fail(struct api_request *req); /* answers req->st, which is filled */
/* Fails with 405 / 404 in upstream's words. */
void api_fail_method(struct api_request *req);
void api_fail_unknown_resource(struct api_request *req);
void api_warn(struct api_request *req, const char *text);
void api_warnings_cut(struct api_request *req, size_t count); /* the first ones stay */
const char *api_warning_headers(struct api_request *req);     /* NULL = none */
int64_t api_now_ns(const struct api_request *req);	      /* wall clock */

/* The verbs: one file each. */
void api_discovery(struct api_request *req);
void api_openapi(struct api_request *req);
void api_health(struct api_request *req);
void api_metrics(struct api_request *req);
void api_version(struct api_request *req);
#define API_BACKUP_PATH "/hanok/backup"
bool api_backup(struct api_request *req); /* false: not its path */
void api_backup_cancel(struct api *api);
void api_get(struct api_request *req);
void api_list(struct api_request *req);
void api_watch(struct api_request *req);
void api_create_object(struct api_request *req);
void api_update(struct api_request *req);
void api_patch(struct api_request *req);
void api_delete(struct api_request *req);
void api_delete_collection(struct api_request *req);
void api_scale(struct api_request *req);
void api_bind(struct api_request *req);
void api_evict(struct api_request *req);
void api_node_stream(struct api_request *req);	   /* log, exec, attach, portforward */
void api_virtual_machine(struct api_request *req); /* subresources.kubevirt.io */

/* Common to the writing verbs (write.c). Negative with req->st filled. */
int write_options(struct api_request *req, const char *options_kind) _must_check_;
/* dryRun of DeleteOptions in a body; 422 for what is not "All". */
int write_dry_run_of_body(struct api_request *req, const struct json *options) _must_check_;
/* The body as a document of the kind: checked, defaulted, pruned. */
int write_decode(struct api_request *req, const struct kind *kind, struct json **ret) _must_check_;
/* The stored form of a document that `checked` (kind->checked_as) completed and checked. The
 * document may be changed. */
struct blob *write_stored_form(
	struct api_request *req, const struct kind *checked, struct json *doc);
/* The namespace exists and takes new objects. */
int write_check_namespace(
	struct api_request *req, const struct kind *kind, const char *name) _must_check_;
/* From here to api_respond: what came out of cache_write. */
void write_fail_store(struct api_request *req, int r, const struct err *err);
void write_settle(struct api_request *req, bool committed); /* claims */
/* True when nothing keeps an object that is being deleted. */
bool write_may_vanish(const struct kind *kind, const struct json *doc);

/* A change of one existing object; shared by PUT, PATCH and the subresources. `change` gets the
 * present document and returns the wanted one, both as `kind` has them; `result` is as
 * kind->checked_as has it. */
struct update {
	struct api_request *req;
	const struct kind *kind;
	const char *namespace, *name;
	/* "" the object, "status", "scale", ... : what may change. Of the request's own memory:
	 * what a custom kind says may be replaced while the change waits. */
	const char *part;
	int (*change)(struct update *u, const struct json *present, struct json **ret);
	/* For create_on_update and nothing there: NULL = 404. */
	int (*absent)(struct update *u, struct json **ret);
	void (*reply)(
		struct update *u, int code, struct object *o, struct json *doc); /* NULL = object */
	struct json *body; /* of PUT and PATCH */
	void *user;
	/* set inside */
	struct json *result;
	bool created, nothing;
	size_t warnings; /* that were there before it ran */
};
void update_run(struct update *u);
/* Checks and completes a wanted document against the present one (present NULL: creation), both as
 * the kind's checked_as has them. */
int update_complete(struct update *u, const struct json *present, struct json *doc) _must_check_;
int create_complete(struct api_request *req, const struct kind *kind, const char *namespace,
	struct json *doc) _must_check_;

/* Lists and watches (list_options.c). */
struct list_options {
	struct selector labels, fields;
	const char *resource_version; /* NULL when absent or "" */
	uint64_t revision;	      /* of resource_version; 0 when absent */
	const char *match;	      /* resourceVersionMatch or NULL */
	uint64_t limit;
	const char *continue_token;
	bool watch, allow_bookmarks, send_initial;
	int64_t timeout_s; /* 0 = none given */
};
int list_options_parse(struct api_request *req, struct list_options *ret) _must_check_;
/* Tokens that name no revision: what follows is shown as it is then. */
#define CONTINUE_IN_PRESENT UINT64_MAX
const char *continue_encode(struct arena *a, uint64_t revision, const char *ns, const char *name);
int continue_decode(struct api_request *req, const char *token, uint64_t *ret_revision,
	const char **ret_ns, const char **ret_name) _must_check_;
/* Objects newer than what readers can see are asked for: 504 in upstream's words. */
int status_too_new(struct api_request *req, uint64_t wanted);

/* Lists and maps of metadata that are empty are not there, as in Kubernetes (metadata.c). */
void metadata_drop_empty(struct json *meta);
/* Validation of metadata (metadata.c). */
void metadata_validate(struct field_errors *e, const struct kind *k, const struct json *doc);
void metadata_validate_update(struct field_errors *e, const struct kind *k, const struct json *doc,
	const struct json *old);
