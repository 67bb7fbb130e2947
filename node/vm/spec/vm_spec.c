#include "node/vm/spec/spec_internal.h"

#include <stdio.h>

/* Asked for, and not given by this agent: better said than silently left out. */
/* Encrypted memory: of the kinds that there are, none is given. */
static int refuse_launch_security(const struct json *spec, struct err *err)
{
	const struct json *security = json_path(spec, "domain.launchSecurity");
	static const struct {
		const char *field, *what;
	} kinds[] = {{"sev", "AMD SEV"}, {"snp", "AMD SEV-SNP"}, {"tdx", "Intel TDX"}};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (json_is(json_get(security, kinds[i].field), JSON_OBJECT))
			return err_set(err, -EOPNOTSUPP,
				"spec.domain.launchSecurity.%s: guests with encrypted memory (%s) "
				"are not supported by this node agent",
				kinds[i].field, kinds[i].what);
	return 0;
}

static int refuse_unsupported(const struct json *spec, struct err *err)
{
	static const char *const fields[] = {
		"domain.devices.clientPassthrough",
		"domain.devices.downwardMetrics",
		"domain.devices.filesystems",
		"domain.firmware.acpi.msdmNameRef",
	};

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const struct json *v = json_path(spec, fields[i]);

		if (!v || json_is(v, JSON_NULL) || (json_is(v, JSON_BOOL) && !v->b) ||
			(json_is(v, JSON_ARRAY) && !json_count(v)))
			continue;
		return err_set(
			err, -EOPNOTSUPP, "spec.%s is not supported by this node agent", fields[i]);
	}
	return 0;
}

int vm_spec_read(struct arena *a, const struct json *vmi, struct vm_spec *ret, struct err *err)
{
	const struct json *spec = json_get(vmi, "spec"), *domain = json_get(spec, "domain");
	struct vm_spec s = {
		.object = vmi,
		.namespace = json_path_str(vmi, "metadata.namespace"),
		.name = json_path_str(vmi, "metadata.name"),
		.uid = json_path_str(vmi, "metadata.uid"),
	};
	const char *arch = json_str(json_get(spec, "architecture"));
	int r;

	if (!s.namespace || !s.name || !s.uid || !domain)
		return err_set(err, -EINVAL,
			"not a VirtualMachineInstance: metadata or spec.domain missing");
	snprintf(s.domain_name, sizeof(s.domain_name), "%s_%s", s.namespace, s.name);
	s.hostname = json_str(json_get(spec, "hostname"));
	if (!s.hostname || !*s.hostname)
		s.hostname = arena_memdup(a, s.name, MIN(strcspn(s.name, "."), (size_t)63));
	if (!spec_plain_word(s.hostname))
		return err_set(err, -EINVAL, "spec.hostname: '%s' is not a host name", s.hostname);
	if (arch && *arch && !streq(arch, "amd64"))
		return err_set(err, -EOPNOTSUPP,
			"spec.architecture: '%s' is not supported by this node "
			"agent",
			arch);
	s.machine = json_path_str(domain, "machine.type");
	if (!s.machine || !*s.machine)
		s.machine = "q35";
	if (!spec_plain_word(s.machine))
		return err_set(err, -EINVAL, "spec.domain.machine.type: '%s' is not a machine type",
			s.machine);
	s.reboot_terminates = streq(json_str(json_get(domain, "rebootPolicy")), "Terminate");
	s.grace_s = json_path_int(spec, "terminationGracePeriodSeconds", VM_GRACE_DEFAULT_S);
	if (s.grace_s < 0 || s.grace_s > 86400 * 7)
		return err_set(err, -EINVAL,
			"spec.terminationGracePeriodSeconds: must be between 0 and a "
			"week");
	s.start_paused = streq(json_str(json_get(spec, "startStrategy")), "Paused");
	/* Features before firmware: Secure Boot switches smm on. */
	if ((r = refuse_unsupported(spec, err)) < 0 ||
		(r = refuse_launch_security(spec, err)) < 0 ||
		(r = spec_read_cpu(a, vmi, &s, err)) < 0 ||
		(r = spec_read_memory(vmi, &s, err)) < 0 ||
		(r = spec_read_features(domain, &s, err)) < 0 ||
		(r = spec_read_firmware(a, domain, &s, err)) < 0 ||
		(r = spec_read_devices(vmi, &s, err)) < 0 ||
		(r = spec_read_disks(spec, &s, err)) < 0 ||
		(r = spec_read_interfaces(spec, &s, err)) < 0 ||
		(r = spec_read_iothreads(vmi, &s, err)) < 0 ||
		(r = spec_read_io_limits(vmi, &s, err)) < 0)
		return r;
	spec_set_queues(&s);
	*ret = s;
	return 0;
}
