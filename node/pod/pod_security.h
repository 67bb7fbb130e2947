/* pod_security.h - security contexts of a pod and its containers in the runtime's words. Pure. */
#pragma once

#include "node/cri/cri.h"
#include "lib/json/json.h"

/* The container's own setting, else the pod's; NULL = nobody says. */
const struct json *security_setting(
	const struct json *pod, const struct json *container, const char *name);

/* Who the image says it runs as. */
struct image_user {
	int64_t uid;	  /* -1 = not known as a number */
	const char *name; /* "" or NULL = none */
};
/* runAsNonRoot: -EPERM with Kubernetes' words when the container would be root, or can't be told.
 */
int security_check_user(const struct json *pod, const struct json *container,
	const struct image_user *image, struct err *err) _must_check_;

struct security_rules {
	const char *seccomp_dir;		  /* where Localhost profiles are */
	bool seccomp_default;			  /* RuntimeDefault for who says nothing */
	const Cri__UserNamespace *user_namespace; /* hostUsers false; NULL = the host's users */
};
/* namespaces: what the sandbox's and the containers' options have in common. */
Cri__NamespaceOption *security_namespaces(
	struct arena *a, const struct json *pod, const struct security_rules *rules);
Cri__LinuxSandboxSecurityContext *security_of_sandbox(
	struct arena *a, const struct json *pod, const struct security_rules *rules);
Cri__LinuxContainerSecurityContext *security_of_container(struct arena *a, const struct json *pod,
	const struct json *container, const struct image_user *image,
	const struct security_rules *rules);
/* A Localhost seccomp profile that is not there: -ENOENT with its path. */
int security_check_seccomp(const struct json *pod, const struct json *container,
	const struct security_rules *rules, struct err *err) _must_check_;
/* The profile that a container asks for, by the field or, as before 1.30, by the pod's annotation
 * container.apparmor.security.beta.kubernetes.io/NAME; "" = none. "runtime/default",
 * "localhost/NAME" or "unconfined". */
const char *security_apparmor(
	struct arena *a, const struct json *pod, const struct json *container);
