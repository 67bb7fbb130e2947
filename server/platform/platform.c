#include "server/platform/platform.h"

#include <sys/utsname.h>

#include "lib/base/buf.h"

#define KUBEVIRT_VERSION "v1.6.0+hanok-" HANOK_VERSION
#define CDI_VERSION "v1.62.0+hanok-" HANOK_VERSION

const char *platform_kubevirt_version(void)
{
	return KUBEVIRT_VERSION;
}

const char *platform_cdi_version(void)
{
	return CDI_VERSION;
}

const char *platform_architecture(void)
{
	struct utsname u;
	if (uname(&u) < 0)
		return "amd64";
	return streq(u.machine, "aarch64") ? "arm64" : "amd64";
}

/* With all that is below them. Who reads them: defaults.c and rules.c of server/api/machines,
 * cluster_settings.c of the node agent, and (vmRolloutStrategy) the loop of VirtualMachines.
 * useEmulation: where there is no KVM it always is so. */
static const char *const followed[] = {
	"architectureConfiguration.amd64.emulatedMachines",
	"architectureConfiguration.amd64.machineType",
	"architectureConfiguration.arm64.emulatedMachines",
	"architectureConfiguration.arm64.machineType",
	"architectureConfiguration.defaultArchitecture",
	"cpuModel",
	"developerConfiguration.cpuAllocationRatio",
	"developerConfiguration.memoryOvercommit",
	"developerConfiguration.useEmulation",
	"evictionStrategy",
	"ksmConfiguration",
	"liveUpdateConfiguration.maxCpuSockets",
	"liveUpdateConfiguration.maxGuest",
	"liveUpdateConfiguration.maxHotplugRatio",
	"machineType",
	"memBalloonStatsPeriod",
	"permittedHostDevices.pciHostDevices",
	"virtualMachineOptions.disableFreePageReporting",
	"vmRolloutStrategy",
};

enum follow { FOLLOWED, PARTLY, IGNORED };

static enum follow follow_of(const char *path)
{
	size_t size = strlen(path);
	for (size_t i = 0; i < ARRAY_LEN(followed); i++) {
		if (streq(followed[i], path))
			return FOLLOWED;
		if (!strncmp(followed[i], path, size) && followed[i][size] == '.')
			return PARTLY;
	}
	return IGNORED;
}

static bool is_empty(const struct json *v)
{
	if (json_is(v, JSON_STRING))
		return !*json_str(v);
	if (!json_is(v, JSON_OBJECT))
		return !v || json_is(v, JSON_NULL) || (json_is(v, JSON_ARRAY) && !json_count(v));
	JSON_FOR_EACH_MEMBER(m, v)
		if (!is_empty(m->value))
			return false;
	return true;
}

static void collect(struct arena *a, struct buf *out, const struct json *settings, const char *at)
{
	JSON_FOR_EACH_MEMBER(m, settings) {
		const char *path = arena_printf(a, "%s%s%s", at, *at ? "." : "", m->name);
		enum follow f = follow_of(path);
		if (f == PARTLY && json_is(m->value, JSON_OBJECT))
			collect(a, out, m->value, path);
		else if (f != FOLLOWED && !is_empty(m->value))
			buf_printf(out, "%s%s", out->size ? ", " : "", path);
	}
}

const char *platform_ignored_settings(struct arena *a, const struct json *configuration)
{
	_cleanup_(buf_finish) struct buf all = BUF_INIT;
	collect(a, &all, configuration, "");
	return all.size ? arena_strdup(a, all.data) : NULL;
}
