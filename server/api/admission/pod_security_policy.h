/* pod_security_policy.h - Kubernetes' "Pod Security Standards": what a pod may be at the levels
 * baseline and restricted, as each minor version of Kubernetes has it. Pure. */
#pragma once

#include <limits.h>

#include "lib/json/json.h"

enum pod_security_level {
	POD_SECURITY_PRIVILEGED, /* anything goes */
	POD_SECURITY_BASELINE,
	POD_SECURITY_RESTRICTED,
};

#define POD_SECURITY_LATEST INT_MAX

struct pod_security_policy {
	enum pod_security_level level;
	int minor; /* n of v1.n, or POD_SECURITY_LATEST */
};

/* "privileged" ..., "v1.n" or "latest". -EINVAL for other texts. */
int pod_security_level_parse(const char *text, enum pod_security_level *ret) _must_check_;
int pod_security_version_parse(const char *text, int *ret_minor) _must_check_;
/* "baseline:latest", "restricted:v1.25" */
char *pod_security_policy_text(struct arena *a, struct pod_security_policy p);

/* What is wrong with a pod of these annotations and this spec: "privileged, hostPort" and, with
 * the details, "privileged (container \"c\" must not set securityContext.privileged=true), ...".
 * True when nothing is. */
bool pod_security_allows(struct arena *a, struct pod_security_policy p,
	const struct json *annotations, const struct json *spec, const char **ret_reasons,
	const char **ret_details);
