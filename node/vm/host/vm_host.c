#include "node/vm/host/vm_host.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "node/vm/host/cluster_settings.h"
#include "node/vm/host/confinement.h"
#include "node/vm/host/cpu_pool.h"
#include "node/vm/host/host_check.h"
#include "node/vm/host/pci.h"
#include "node/vm/host/vm_state.h"
#include "node/vm/image/image_files.h"
#include "node/vm/vm_internal.h"

/* QEMU is asked for all that it can do when libvirt was just installed or changed. */
#define LEARN_MS 60000u

struct vm_host {
	struct vm_manager *m;
	struct arena arena; /* of caps */
	struct host_caps caps;
	struct libvirt_call *call;
	char *capabilities; /* the first answer, while the second is awaited */
	size_t capabilities_size;
	void (*then)(struct vm_manager *m);
	struct vm_states *states;
	struct cluster_settings *settings;
};

static void learned(struct vm_host *h)
{
	free(TAKE_PTR(h->capabilities));
	h->then(h->m);
}

static void on_domain_capabilities(void *user, const struct libvirt_reply *r)
{
	struct vm_host *h = user;
	struct xdr_reader body = r->body;
	struct host_caps caps = {
		.kvm = h->m->host.kvm, .libvirt_version = libvirt_version(h->m->libvirt)};
	struct err err = ERR_INIT;

	h->call = NULL;
	if (r->ok) {
		size_t size;
		const char *text = xdr_get_string(&body, &size);

		arena_finish(&h->arena);
		h->caps = (struct host_caps){0};
		host_caps_probe(&caps, "");
		if (!body.bad && host_caps_read(&h->arena, h->capabilities, h->capabilities_size,
					 text, size, &caps, &err) == 0)
			h->caps = caps;
		else
			log_warn("what libvirt says of the host can't be read", "error", err.msg,
				NULL);
	} else {
		log_warn("libvirt does not say what machines it can make", "error", r->message,
			NULL);
	}
	learned(h);
}

static void on_capabilities(void *user, const struct libvirt_reply *r)
{
	struct vm_host *h = user;
	struct xdr_reader body = r->body;
	_cleanup_(buf_finish) struct buf args = BUF_INIT;
	const char *text;

	h->call = NULL;
	text = r->ok ? xdr_get_string(&body, &h->capabilities_size) : NULL;
	if (!text || body.bad) {
		log_warn("libvirt does not say what the host has", "error", r->message, NULL);
		learned(h);
		return;
	}
	h->capabilities = xstrndup(text, h->capabilities_size);
	xdr_put_optional_string(&args, h->m->host.emulator);
	xdr_put_optional_string(&args, "x86_64");
	xdr_put_optional_string(&args, "q35");
	xdr_put_optional_string(&args, h->m->host.kvm ? "kvm" : "qemu");
	xdr_put_u32(&args, 0);
	h->call = libvirt_call(h->m->libvirt, LIBVIRT_CONNECT_GET_DOMAIN_CAPABILITIES, &args,
		LEARN_MS, on_domain_capabilities, h);
}

void vm_host_learn(struct vm_host *h, void (*then)(struct vm_manager *m))
{
	if (h->call)
		libvirt_call_cancel(TAKE_PTR(h->call));
	free(TAKE_PTR(h->capabilities));
	h->then = then;
	h->call = libvirt_call(h->m->libvirt, LIBVIRT_CONNECT_GET_CAPABILITIES, NULL, LEARN_MS,
		on_capabilities, h);
}

struct vm_host *vm_host_create(struct vm_manager *m)
{
	struct vm_host *h = xcalloc(1, sizeof(*h));
	_cleanup_(free_p) char *states = xasprintf("%s/vm-state", m->node->data_dir);

	h->m = m;
	host_caps_probe(&h->caps, "");
	m->host.cgroup2 = h->caps.cgroup2;
	m->host.memory_limits = h->caps.lock_memory;
	h->states = vm_states_create(m->node->loop, m->node->client,
		kind_by_name(m->node->kinds, "kubevirt.io", "v1", "VirtualMachine"), states,
		VM_TPM_DIRECTORY);
	h->settings = cluster_settings_create(m->node);
	return h;
}

void vm_host_destroy(struct vm_host *h)
{
	if (!h)
		return;
	if (h->call)
		libvirt_call_cancel(h->call);
	vm_states_destroy(h->states);
	cluster_settings_destroy(h->settings);
	free(h->capabilities);
	arena_finish(&h->arena);
	free(h);
}

const struct host_caps *vm_host_caps(const struct vm_host *h)
{
	return &h->caps;
}

int vm_host_check(const struct vm_host *h, const struct vm_spec *s, struct err *err)
{
	return host_check(&h->caps, s, err);
}

/* Pages are promised by nobody: QEMU takes them when it starts, and dies of a lack of them. */
static int check_huge_pages(const struct vm_spec *s, struct err *err)
{
	long long kib = (long long)(s->memory.page_bytes >> 10), available = 0;
	long long need = kib ? (long long)(s->memory_bytes / s->memory.page_bytes) : 0;
	_cleanup_(free_p) char *path =
		xasprintf("/sys/kernel/mm/hugepages/hugepages-%lldkB/free_hugepages", kib);
	char text[64];

	if (!kib)
		return 0;
	if (files_read(path, text, sizeof(text)) <= 0)
		return err_set(err, -EOPNOTSUPP,
			"spec.domain.memory.hugepages.pageSize: this host has no huge pages of "
			"%lld "
			"KiB",
			kib);
	if (sscanf(text, "%lld", &available) != 1 || available < need)
		return err_set(err, -ENOMEM,
			"spec.domain.memory.hugepages: the guest needs %lld pages of %lld KiB, but "
			"only %lld are free on this host",
			need, kib, available);
	return 0;
}

/* blockSize.matchVolume, and what only block devices can be. */
static int place_disk(struct vm_disk *d, struct err *err)
{
	struct stat st;
	int logical = 0;
	unsigned physical = 0;

	if (streq(d->device, "lun") && !d->is_block)
		return err_set(
			err, -EINVAL, "disk '%s': a lun needs a volume of the mode Block", d->name);
	if (!d->match_block_size || !d->path)
		return 0;
	if (d->is_block) {
		int fd = open(d->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

		if (fd < 0)
			return err_errno(err, -errno, "disk '%s': open %s", d->name, d->path);
		if (ioctl(fd, BLKSSZGET, &logical) < 0 || ioctl(fd, BLKPBSZGET, &physical) < 0)
			logical = 0;
		close(fd);
	} else if (stat(d->path, &st) == 0) {
		logical = (int)st.st_blksize;
		physical = (unsigned)st.st_blksize;
	}
	if (logical >= 512 && physical >= (unsigned)logical) {
		d->logical_block = (unsigned)logical;
		d->physical_block = physical;
	}
	return 0;
}

/* libvirt would refuse to define it, but by then the other one's TPM would be gone. */
static int check_uuid(const struct vm_host *h, const struct vm_spec *s, struct err *err)
{
	uint8_t uuid[LIBVIRT_UUID_BYTES];

	if (libvirt_uuid_parse(s->uuid, uuid) < 0)
		return 0;
	for (struct table_iter i = table_iterate(&h->m->workers); table_next(&i);) {
		const struct vm_worker *w = i.value;

		if (!streq(w->uid, s->uid) && w->core.domain != VM_DOMAIN_ABSENT &&
			w->core.domain != VM_DOMAIN_UNKNOWN && !memcmp(w->uuid, uuid, sizeof(uuid)))
			return err_set(err, -EEXIST,
				"spec.domain.firmware.uuid: another machine of this node has the "
				"domain %s",
				s->uuid);
	}
	return 0;
}

static int place_firmware(struct vm_host *h, struct vm_spec *s, struct arena *a, struct err *err)
{
	struct vm_firmware *f = &s->firmware;
	const char *home = arena_printf(a, "%s/%s", h->m->directory, s->uid), *state = NULL;

	if (f->efi_persistent || f->tpm_persistent) {
		int r = check_uuid(h, s, err);

		if (r == 0)
			r = vm_states_place(h->states, s, a, &state, err);
		if (r < 0)
			return r;
	}
	if (f->efi)
		f->nvram_file =
			arena_printf(a, "%s/nvram.fd", f->efi_persistent && state ? state : home);
	if (s->devices.serial_log)
		s->devices.serial_log_file = arena_printf(a, "%s/console.log", home);
	return 0;
}

static int place_devices(struct vm_host *h, struct vm_spec *s, struct arena *a, struct err *err)
{
	struct vm_devices *d = &s->devices;
	const char *given[VM_HOST_DEVICES_MAX + 1], **others;
	size_t count = 0, index[2] = {0, 0};

	if (!d->host_device_count)
		return 0;
	others = pci_taken(h->m->directory, s->uid, a);
	for (size_t i = 0; i < d->host_device_count; i++) {
		struct vm_host_device *p = &d->host_devices[i];
		const char *selector, *asked = arena_printf(a, "spec.domain.devices.%s[%zu]",
					      p->gpu ? "gpus" : "hostDevices", index[p->gpu]++);
		const char **taken;
		size_t n = 0;
		int r;

		while (others[n])
			n++;
		taken = arena_zalloc(a, (n + count + 1) * sizeof(*taken));
		memcpy(taken, others, n * sizeof(*taken));
		memcpy(taken + n, given, count * sizeof(*taken));
		r = cluster_settings_device(h->settings, a, asked, p->device_name, &selector, err);
		if (r < 0 || (r = pci_find("", asked, selector, taken, p->address, err)) < 0)
			return r;
		given[count++] = p->address;
	}
	return pci_record(h->m->directory, s->uid, given, count, err);
}

int64_t vm_host_confinement(const char *domain, char *ret, size_t room, bool *ret_whole)
{
	struct confinement c;
	struct err err = ERR_INIT;

	ret[0] = '\0';
	*ret_whole = false;
	if (confinement_read("", domain, &c, &err) < 0)
		return -1;
	*ret_whole = confinement_whole(&c);
	confinement_text(&c, ret, room);
	return c.uid;
}

int vm_host_place(struct vm_host *h, struct vm_spec *s, struct arena *a, const char **ret_reason,
	struct err *err)
{
	int r;

	*ret_reason = "InsufficientCPU";
	r = cpu_pool_place(&h->caps, h->m->directory, s, a, err);
	if (r < 0)
		return r;
	*ret_reason = "InsufficientMemory";
	r = check_huge_pages(s, err);
	if (r < 0)
		return r;
	*ret_reason = "DiskNotReady";
	for (size_t i = 0; i < s->disk_count; i++)
		if ((r = place_disk(&s->disks[i], err)) < 0)
			return r;
	r = place_firmware(h, s, a, err);
	if (r < 0)
		return r;
	cluster_settings_memory(h->settings, &s->memory);
	*ret_reason = "HostDeviceNotReady";
	r = place_devices(h, s, a, err);
	if (r == 0)
		*ret_reason = "InvalidSpec"; /* for what comes after */
	return r;
}
