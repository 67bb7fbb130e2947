/* admission_internal.h - what the plugins share. A plugin is one file. */
#pragma once

#include "lib/base/listing.h"
#include "lib/base/table.h"
#include "server/api/admission/admission.h"

typedef int admission_step(const struct admission_review *r);

struct admission_plugin {
	const char *name;			    /* upstream's */
	bool off;				    /* unless enabled by option */
	admission_step *mutate, *validate, *remove; /* the last for deletions */
};

extern const struct admission_plugin admission_claim_resize, admission_default_storage_class,
	admission_default_toleration_seconds, admission_deny_service_external_ips,
	admission_limit_ranger, admission_pod_security, admission_priority, admission_runtime_class,
	admission_resource_quota, admission_service_account, admission_storage_protection,
	admission_taint_nodes_by_condition, admission_placement;

extern const struct admission_plugin admission_certificate_approval, admission_certificate_signing,
	admission_certificate_subject_restriction, admission_default_ingress_class,
	admission_node_volumes, admission_node_contents, admission_node_pods;

/* Kinds that plugins ask for, looked up once; NULL where the kind is not served. */
struct admission_kinds {
	const struct kind *limit_ranges, *claims, *volumes, *service_accounts, *services;
	const struct kind *priority_classes, *runtime_classes, *storage_classes;
	const struct kind *instances; /* of virtual machines */
};

/* What a virtual machine instance's priority class comes to: an annotation (priority.c). */
#define ADMISSION_PRIORITY "hanok.io/priority"

/* Which priority class is the default; found again when the classes change (priority.c). */
struct priority;
struct priority_default {
	struct arena arena;
	bool known;
	uint64_t version;	      /* of the classes, as cache_version has it */
	const struct priority *found; /* NULL = none is */
};

/* The accounts of all quotas (resource_quota.c). */
struct quota_book;
struct quota_book *quota_book_create(struct api *api);
void quota_book_close(struct quota_book *book);
void quota_book_destroy(struct quota_book *book);

void admission_waits_end(struct admission *a); /* all of them, now (wait.c) */

struct admission {
	struct api *api;
	struct admission_kinds kinds;
	struct priority_default priority_default;
	struct quota_book *quotas;
	struct list waits; /* struct admission_wait */
	/* Of the plugins in use, NULL-terminated. */
	admission_step **mutate, **validate, **remove;
};

static inline struct admission *admission_of(const struct admission_review *r)
{
	return r->req->api->admission;
}

/* 403 `pods "x" is forbidden: DETAIL`. */
int admission_forbid(const struct admission_review *r, const char *fmt, ...) _printf_(2, 3);

/* Messages of one review: one is told as it is, several as "[a, b]". */
struct admission_errors {
	struct arena *arena;
	struct listing list;
};
void admission_error(struct admission_errors *e, const char *fmt, ...) _printf_(2, 3);
/* Ends the errors, too. */
int admission_refuse(const struct admission_review *r, struct admission_errors *e);

static inline bool admission_is_pod(const struct admission_review *r)
{
	return r->kind == r->req->api->pods;
}
