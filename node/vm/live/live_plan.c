#include "node/vm/live/live_plan.h"

#include <stdio.h>
#include <string.h>

#define MODULE_BYTES (INT64_C(128) << 20)

static struct live_step *add(struct live_plan *p, enum live_kind kind, const char *name)
{
	struct live_step *s = &p->steps[p->count++];

	*s = (struct live_step){.kind = kind, .name = name};
	return s;
}

static const struct vm_disk *wanted_disk(const struct vm_spec *s, const char *name)
{
	for (size_t i = 0; i < s->disk_count; i++)
		if (streq(s->disks[i].name, name))
			return &s->disks[i];
	return NULL;
}

static const struct vm_interface *wanted_interface(const struct vm_spec *s, const char *name)
{
	for (size_t i = 0; i < s->interface_count; i++)
		if (streq(s->interfaces[i].name, name))
			return &s->interfaces[i];
	return NULL;
}

/* A disk's top layer changes with a snapshot; its directory stays. */
static bool same_place(const char *a, const char *b)
{
	const char *end_a = strrchr(a, '/'), *end_b = strrchr(b, '/');

	if (streq(a, b))
		return true;
	return end_a && end_b && end_a != a && end_a - a == end_b - b &&
	       !strncmp(a, b, (size_t)(end_a - a)) && !str_has_prefix(a, "/dev/");
}

static bool may_be_changed(const struct vm_disk *d)
{
	return streq(d->device, "cdrom") &&
	       (d->volume == VM_VOLUME_NONE || d->volume == VM_VOLUME_CLAIM);
}

bool live_plan_wants_path(const struct vm_disk *d, const struct live_domain *now)
{
	return !d->path && d->volume == VM_VOLUME_CLAIM &&
	       (!live_domain_disk(now, d->name) || may_be_changed(d));
}

static void plan_disks(
	const struct vm_spec *want, const struct live_domain *now, struct live_plan *p)
{
	bool scsi = now->scsi;

	for (size_t i = 0; i < now->disk_count; i++)
		if (!wanted_disk(want, now->disks[i].name))
			add(p, LIVE_DISK_DETACH, now->disks[i].name)->old_disk = &now->disks[i];
	for (size_t i = 0; i < want->disk_count; i++) {
		const struct vm_disk *d = &want->disks[i];
		const struct live_disk *has = live_domain_disk(now, d->name);
		struct live_step *s;

		if (has) {
			bool differs = d->path ? !*has->source || !same_place(has->source, d->path)
					       : d->volume == VM_VOLUME_NONE && *has->source;

			if (!may_be_changed(d) || !differs)
				continue;
			s = add(p, LIVE_MEDIUM, d->name);
			s->old_disk = has;
		} else {
			if (!d->path && d->volume != VM_VOLUME_NONE)
				continue;
			if (streq(d->bus, "scsi") && !scsi)
				add(p, LIVE_CONTROLLER, d->name);
			scsi |= streq(d->bus, "scsi");
			s = add(p, LIVE_DISK_ATTACH, d->name);
		}
		s->disk = d;
	}
}

static void plan_interfaces(
	const struct vm_spec *want, const struct live_domain *now, struct live_plan *p)
{
	for (size_t i = 0; i < now->interface_count; i++)
		if (!wanted_interface(want, now->interfaces[i].name))
			add(p, LIVE_NIC_DETACH, now->interfaces[i].name)->old_interface =
				&now->interfaces[i];
	for (size_t i = 0; i < want->interface_count; i++) {
		const struct vm_interface *n = &want->interfaces[i];
		const struct live_interface *has = live_domain_interface(now, n->name);
		struct live_step *s;

		if (has && has->link_down == n->link_down)
			continue;
		/* One on the pods' network has an address to be had first: only at the start. */
		if (!has && !n->network)
			continue;
		s = add(p, has ? LIVE_LINK : LIVE_NIC_ATTACH, n->name);
		s->interface = n;
		s->old_interface = has;
	}
}

void live_plan_make(
	const struct vm_spec *want, const struct live_domain *now, struct live_plan *ret)
{
	unsigned vcpus = want->sockets * want->cores * want->threads;

	ret->count = 0;
	plan_disks(want, now, ret);
	plan_interfaces(want, now, ret);
	if (now->balloon && now->current_bytes &&
		want->memory_bytes / 1024 != now->current_bytes / 1024 &&
		want->memory_bytes <= now->memory_bytes)
		add(ret, LIVE_MEMORY, "")->bytes = want->memory_bytes;
	/* Linux takes memory in blocks of 128 MiB. */
	if (want->memory_bytes > now->memory_bytes && now->memory_bytes &&
		want->memory_bytes <= now->most_bytes)
		add(ret, LIVE_MODULE, "")->bytes =
			(want->memory_bytes - now->memory_bytes + MODULE_BYTES - 1) / MODULE_BYTES *
			MODULE_BYTES;
	if (vcpus > now->vcpus && vcpus <= now->vcpus_max)
		add(ret, LIVE_VCPUS, "")->count = vcpus;
}

bool live_plan_has_room(const struct live_domain *now, unsigned count, const char *said)
{
	static const char name[] = "gen code size";
	const long long region_least = 2 << 20, mib = 1 << 20;
	const char *line = strstr(said, name);
	long long used, room, regions;

	if (!line || sscanf(line + sizeof(name) - 1, "%lld/%lld", &used, &room) != 2 || used < 0 ||
		room < mib || used > room)
		return true;
	/* As QEMU reckons it: of at least 2 MiB where that makes more than processors, and at most
	 * eight times as many. A few pages of the room are between them. */
	room = (room + mib - 1) / mib * mib;
	regions = room / region_least;
	regions = regions <= now->vcpus_max ? now->vcpus_max : MIN(regions, 8ll * now->vcpus_max);
	/* Full ones, and one that each processor is filling. One more may be taken meanwhile. */
	return used / (room / regions) + count + 1 <= regions;
}

static bool taken(const struct vm_spec *want, const struct live_domain *now, const char *target)
{
	for (size_t i = 0; i < now->target_count; i++)
		if (streq(now->targets[i], target))
			return true;
	for (size_t i = 0; i < want->disk_count; i++)
		if (streq(want->disks[i].target, target))
			return true;
	return false;
}

void live_plan_targets(struct vm_spec *want, const struct live_domain *now)
{
	for (size_t i = 0; i < want->disk_count; i++) {
		struct vm_disk *d = &want->disks[i];
		const struct live_disk *has = live_domain_disk(now, d->name);

		snprintf(d->target, sizeof(d->target), "%.7s", has ? has->target : "");
	}
	for (size_t i = 0; i < want->disk_count; i++) {
		struct vm_disk *d = &want->disks[i];

		for (unsigned n = 0; !*d->target && n < 52; n++) {
			char target[8];

			snprintf(target, sizeof(target), "%s%s%c",
				streq(d->bus, "virtio") ? "vd" : "sd", n >= 26 ? "a" : "",
				'a' + (int)(n % 26));
			if (!taken(want, now, target))
				memcpy(d->target, target, sizeof(target));
		}
	}
}

void live_step_words(const struct live_step *s, char *ret, size_t room)
{
	static const char *const verbs[LIVE_KINDS] = {
		[LIVE_MEMORY] = "change the guest's memory",
		[LIVE_MODULE] = "plug in memory",
		[LIVE_VCPUS] = "plug in processors",
		[LIVE_CONTROLLER] = "plug in a SCSI controller for disk",
		[LIVE_DISK_ATTACH] = "attach disk",
		[LIVE_DISK_DETACH] = "detach disk",
		[LIVE_MEDIUM] = "change the medium of CD-ROM drive",
		[LIVE_NIC_ATTACH] = "attach interface",
		[LIVE_NIC_DETACH] = "detach interface",
		[LIVE_LINK] = "change the link of interface",
	};

	if (*s->name)
		snprintf(ret, room, "%s '%s'", verbs[s->kind], s->name);
	else
		snprintf(ret, room, "%s", verbs[s->kind]);
}
