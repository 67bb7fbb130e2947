#include "node/vm/host/host_check.h"

#include <stdio.h>

static const char *accelerator(const struct host_caps *caps)
{
	return caps->kvm ? "KVM" : "emulation, since it has no usable KVM";
}

/* "a, b, c" for a message; long lists are cut. */
static const char *listed(const char *const *list, char *room, size_t size)
{
	size_t used = 0;

	room[0] = '\0';
	for (size_t i = 0; list && list[i]; i++) {
		int n = snprintf(room + used, size - used, "%s%s", i ? ", " : "", list[i]);

		if (n < 0 || used + (size_t)n + 4 >= size) {
			snprintf(room + used, size - used, "...");
			break;
		}
		used += (size_t)n;
	}
	return room;
}

static int check_cpu(const struct host_caps *caps, const struct vm_spec *s, struct err *err)
{
	const char *model = s->cpu_model;
	char room[400];

	if (caps->cpus_max && spec_cpu_count(s) > caps->cpus_max)
		return err_set(err, -EOPNOTSUPP,
			"spec.domain.cpu: %u CPUs, but a machine can have at most %u on this host",
			spec_cpu_count(s), caps->cpus_max);
	if (!model || streq(model, "host-model"))
		return 0;
	if (streq(model, "host-passthrough"))
		return caps->host_passthrough
			       ? 0
			       : err_set(err, -EOPNOTSUPP,
					 "spec.domain.cpu.model: host-passthrough is not available "
					 "on "
					 "this host (guests run by %s); use host-model",
					 accelerator(caps));
	if (host_caps_has(caps->cpu_models, model))
		return 0;
	return err_set(err, -EOPNOTSUPP,
		"spec.domain.cpu.model: '%s' is not available on this host (guests run by %s); it "
		"has %s",
		model, accelerator(caps), listed(caps->cpu_models, room, sizeof(room)));
}

static int check_firmware(const struct host_caps *caps, const struct vm_spec *s, struct err *err)
{
	const struct vm_firmware *f = &s->firmware;

	if (!host_caps_machine(caps, s->machine))
		return err_set(err, -EOPNOTSUPP,
			"spec.domain.machine.type: '%s' is not supported by QEMU on this host; use "
			"q35 or pc",
			s->machine);
	if (f->efi && !caps->efi)
		return err_set(err, -EOPNOTSUPP,
			"spec.domain.firmware.bootloader.efi: there is no UEFI firmware on this "
			"host; install the package ovmf");
	if (f->secure_boot && !caps->secure_boot)
		return err_set(err, -EOPNOTSUPP,
			"spec.domain.firmware.bootloader.efi.secureBoot: there is no firmware with "
			"Secure Boot on this host; install the package ovmf, or set secureBoot: "
			"false");
	if (f->tpm && !caps->tpm)
		return err_set(err, -EOPNOTSUPP,
			"spec.domain.devices.tpm: there is no TPM emulator on this host; install "
			"the packages swtpm and swtpm-tools");
	return 0;
}

static int check_features(const struct host_caps *caps, const struct vm_spec *s, struct err *err)
{
	const struct vm_features *f = &s->features;
	char room[300];

	if (f->hyperv_passthrough && !caps->kvm)
		return err_set(err, -EOPNOTSUPP,
			"spec.domain.features.hypervPassthrough needs KVM; guests run by %s",
			accelerator(caps));
	for (size_t i = 0; i < VM_HYPERV_COUNT; i++)
		if (f->hyperv[i] == VM_ON && !caps->kvm &&
			!host_caps_has(caps->hyperv, vm_hyperv_names[i].libvirt))
			return err_set(err, -EOPNOTSUPP,
				"spec.domain.features.hyperv.%s is not available on this host "
				"(guests run by %s); it has %s",
				vm_hyperv_names[i].field, accelerator(caps),
				listed(caps->hyperv, room, sizeof(room)));
	return 0;
}

static int check_memory(const struct host_caps *caps, const struct vm_spec *s, struct err *err)
{
	if (s->memory.locked && !caps->lock_memory)
		return err_set(err, -EOPNOTSUPP,
			"%s: memory can't be locked on this host: the agent's limit of locked "
			"memory "
			"(ulimit -l) is not unlimited",
			s->cpu_tuning.realtime ? "spec.domain.cpu.realtime"
					       : "spec.domain.memory.reservedOverhead.memLock");
	if (s->memory.swap_bytes >= 0 && !caps->lock_memory)
		return err_set(err, -EOPNOTSUPP,
			"metadata.annotations[" MACHINE_SWAP_ANNOTATION
			"]: libvirt can't limit memory on this host without CAP_SYS_RESOURCE");
	if (s->memory.swap_bytes >= 0 && !caps->swap_limit)
		return err_set(err, -EOPNOTSUPP,
			"metadata.annotations[" MACHINE_SWAP_ANNOTATION
			"]: the kernel of this host does not account swap (swapaccount=1)");
	return 0;
}

static int check_devices(const struct host_caps *caps, const struct vm_spec *s, struct err *err)
{
	const struct vm_devices *d = &s->devices;
	char room[200];

	if (d->video && !host_caps_has(caps->videos, d->video))
		return err_set(err, -EOPNOTSUPP,
			"spec.domain.devices.video.type: '%s' is not available on this host; it "
			"has "
			"%s",
			d->video, listed(caps->videos, room, sizeof(room)));
	if (d->vsock && !caps->vsock)
		return err_set(err, -EOPNOTSUPP,
			"spec.domain.devices.autoattachVSOCK is not available on this host: "
			"/dev/vhost-vsock is missing (kernel module vhost_vsock)");
	for (size_t i = 0; i < d->panic_count; i++)
		if (streq(d->panic[i], "pvpanic") && caps->libvirt_version < 9001000)
			return err_set(err, -EOPNOTSUPP,
				"spec.domain.devices.panicDevices[%zu].model: pvpanic needs "
				"libvirt "
				"9.1; use isa",
				i);
	for (size_t i = 0; i < s->disk_count; i++)
		if (s->disks[i].discard_granularity && caps->libvirt_version < 10002000)
			return err_set(err, -EOPNOTSUPP,
				"disk '%s': blockSize.custom.discardGranularity needs libvirt 10.2",
				s->disks[i].name);
	return 0;
}

int host_check(const struct host_caps *caps, const struct vm_spec *s, struct err *err)
{
	int r;

	if (!caps->known)
		return 0;
	if ((r = check_cpu(caps, s, err)) < 0 || (r = check_firmware(caps, s, err)) < 0 ||
		(r = check_features(caps, s, err)) < 0 || (r = check_memory(caps, s, err)) < 0 ||
		(r = check_devices(caps, s, err)) < 0)
		return r;
	return 0;
}
