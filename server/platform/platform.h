/* platform.h - what the platform of virtual machines says of itself, to the API and in the KubeVirt
 * and CDI objects: which versions of KubeVirt and CDI its kinds and paths are those of, and which
 * settings of a KubeVirt object it follows. Pure. */
#pragma once

#include "lib/json/json.h"

/* Of KubeVirt's API: clients compare it with their own. "v1.6.0+hanok-...". */
const char *platform_kubevirt_version(void);
const char *platform_cdi_version(void);
/* Of this host's processor, as Kubernetes names it: "amd64" | "arm64". */
const char *platform_architecture(void);

/* The settings below spec.configuration of a KubeVirt object that nothing here follows, as
 * "migrations, network.binding"; NULL = there is none. Empty ones do not count. */
const char *platform_ignored_settings(struct arena *a, const struct json *configuration);
