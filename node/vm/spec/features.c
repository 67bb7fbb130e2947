#include "node/vm/spec/spec_internal.h"

/* A TCG guest keeps translated code; QEMU's own default of a gigabyte would dwarf the guest. */
#define TCG_CACHE_MIB 32

static bool feature_enabled(const struct json *features, const char *name, bool fallback)
{
	const struct json *f = json_get(features, name);

	return f ? json_bool_or(json_get(f, "enabled"), true) : fallback;
}

int spec_read_features(const struct json *domain, struct vm_spec *s, struct err *err)
{
	const struct json *features = json_get(domain, "features");

	s->acpi = feature_enabled(features, "acpi", true);
	s->apic = feature_enabled(features, "apic", true);
	s->smm = feature_enabled(features, "smm", false);
	s->timezone = json_path_str(domain, "clock.timezone");
	s->clock_offset_s = json_path_int(domain, "clock.utc.offsetSeconds", 0);
	return 0;
}

void xml_write_features(struct xml *x, const struct vm_spec *s, const struct domain_host *host)
{
	xml_add(x, "  <features>\n");
	if (s->acpi)
		xml_add(x, "    <acpi/>\n");
	if (s->apic)
		xml_add(x, "    <apic/>\n");
	if (s->smm)
		xml_add(x, "    <smm state='on'/>\n");
	if (!host->kvm)
		xml_add(x, "    <tcg>\n      <tb-cache unit='MiB'>%lld</tb-cache>\n    </tcg>\n",
			(long long)TCG_CACHE_MIB);
	xml_add(x, "  </features>\n");
}

void xml_write_clock(struct xml *x, const struct vm_spec *s)
{
	if (s->timezone && *s->timezone)
		xml_add(x, "  <clock offset='timezone' timezone='%s'/>\n", s->timezone);
	else if (s->clock_offset_s)
		xml_add(x, "  <clock offset='variable' adjustment='%lld' basis='utc'/>\n",
			(long long)s->clock_offset_s);
	else
		xml_add(x, "  <clock offset='utc'/>\n");
}
