/* spec_internal.h - what the subjects of a virtual machine share: each file (cpu.c, memory.c,
 * disks.c
 * ...) reads its part of the VMI into struct vm_spec and writes its part of the domain XML. Nobody
 * outside this room includes this. */
#pragma once

#include "node/vm/spec/domain_xml.h"
#include "node/vm/spec/xml.h"

/* ---- reading: 0, or -EINVAL / -EOPNOTSUPP with the field's name ---- */

int spec_read_cpu(
	struct arena *a, const struct json *vmi, struct vm_spec *s, struct err *err) _must_check_;
int spec_read_memory(const struct json *vmi, struct vm_spec *s, struct err *err) _must_check_;
int spec_read_firmware(struct arena *a, const struct json *domain, struct vm_spec *s,
	struct err *err) _must_check_;
/* features, clock */
int spec_read_features(const struct json *domain, struct vm_spec *s, struct err *err) _must_check_;
int spec_read_devices(const struct json *vmi, struct vm_spec *s, struct err *err) _must_check_;
int spec_read_disks(const struct json *spec, struct vm_spec *s, struct err *err) _must_check_;
int spec_read_interfaces(const struct json *spec, struct vm_spec *s, struct err *err) _must_check_;
/* Block sizes, tray, thread of one disk. */
int spec_read_disk_tuning(const struct json *disk, const struct json *target, const char *field,
	struct vm_disk *d, struct err *err) _must_check_;
void spec_set_queues(struct vm_spec *s); /* when all devices are known */
/* After disks: which threads serve them, how fast they may be. */
int spec_read_iothreads(const struct json *vmi, struct vm_spec *s, struct err *err) _must_check_;
int spec_read_io_limits(const struct json *vmi, struct vm_spec *s, struct err *err) _must_check_;
/* What a disk's bytes come from: one of spec.volumes; `field` names it in errors. */
int spec_read_volume(const struct json *volume, const char *field, struct vm_disk *d,
	struct err *err) _must_check_;

/* ---- writing ---- */

void xml_write_cpu(struct xml *x, const struct vm_spec *s, const struct domain_host *host);
void xml_write_memory(struct xml *x, const struct vm_spec *s, const struct domain_host *host);
void xml_write_firmware(struct xml *x, const struct vm_spec *s); /* sysinfo, os */
void xml_write_features(struct xml *x, const struct vm_spec *s, const struct domain_host *host);
void xml_write_clock(struct xml *x, const struct vm_spec *s);
void xml_write_vcpu(struct xml *x, const struct vm_spec *s); /* vcpu, iothreads */
void xml_write_cputune(struct xml *x, const struct vm_spec *s, const struct domain_host *host);
void xml_write_numatune(struct xml *x, const struct vm_spec *s);
void xml_write_tpm(struct xml *x, const struct vm_spec *s);
void xml_write_disk_driver(struct xml *x, const struct vm_disk *d); /* attributes */
void xml_write_disk_tuning(struct xml *x, const struct vm_disk *d);
void xml_write_io_limits(struct xml *x, const struct machine_io_limits *l);
void xml_write_devices(struct xml *x, const struct vm_spec *s, const struct domain_host *host);
void xml_write_disk(struct xml *x, const struct vm_spec *s, const struct vm_disk *d);
void xml_write_interface(struct xml *x, const struct vm_spec *s, const struct vm_interface *i,
	const struct domain_host *host);
void xml_write_disks(struct xml *x, const struct vm_spec *s);
void xml_write_interfaces(struct xml *x, const struct vm_spec *s, const struct domain_host *host);

/* ---- spec_common.c ---- */

bool spec_one_of(const char *s, const char *const *list); /* the list ends with NULL */
/* Names that end up in XML attributes and file names must stay plain. */
bool spec_plain_word(const char *s);
/* Names of disks and interfaces also become libvirt aliases, which allow less. NULL allowed. */
bool spec_device_name(const char *s);
/* The item with that name; NULL. */
const struct json *spec_named(const struct json *list, const char *name);
/* A path inside an image: absolute, no "..", so that it means the same everywhere. */
bool spec_image_path_ok(const char *p);
int spec_read_image(const struct json *source, const char *field, struct vm_image *ret,
	struct err *err) _must_check_;

/* ---- here and there ---- */

bool spec_is_i440fx(const char *machine); /* "pc", "pc-i440fx-7.2" */
/* The guest must see a NUMA cell, since memory can be added only to one (memory.c). */
bool spec_needs_numa_cell(const struct vm_spec *s);
/* Of an emulated guest. */
int64_t spec_tcg_cache_bytes(const struct vm_spec *s);
const char *spec_virtio_model(const struct vm_spec *s); /* "virtio" | "virtio-transitional" */
