/* live_status.c - what an instance's status says of changes under way. */
#include "node/vm/live/live_internal.h"

const struct live_try *live_try_find(const struct vm_live *l, const struct live_step *s)
{
	for (size_t i = 0; i < l->try_count; i++)
		if (l->tries[i].kind == s->kind && streq(l->tries[i].name, s->name))
			return &l->tries[i];
	return NULL;
}

static const struct live_opening *opening_of(const struct vm_live *l, const char *name)
{
	for (size_t i = 0; i < l->opening_count; i++)
		if (streq(l->openings[i].name, name))
			return &l->openings[i];
	return NULL;
}

static void volume_fact(const struct vm_live *l, const struct vm_disk *d, struct arena *a,
	struct vm_volume_fact *ret)
{
	const struct live_disk *has = live_domain_disk(&l->now, d->name);
	const struct live_opening *o = opening_of(l, d->name);
	const char *problem = NULL;

	for (size_t i = 0; i < l->try_count; i++)
		if (streq(l->tries[i].name, d->name) && *l->tries[i].problem)
			problem = l->tries[i].problem;
	*ret = (struct vm_volume_fact){
		.name = arena_strdup(a, d->name), .target = arena_strdup(a, d->target)};
	if (has && *has->source) {
		ret->phase = "Ready";
		ret->reason = "VolumeReady";
		ret->message =
			arena_printf(a, "Successfully attach hotplugged volume %s to VM", d->name);
	} else if (d->path) {
		ret->phase = "AttachedToNode";
		ret->reason = problem ? "HotplugFailed" : "VolumeMountedToPod";
		ret->message = arena_strdup(
			a, problem ? problem
				   : arena_printf(a, "Volume %s is being attached", d->name));
	} else {
		ret->phase = "Pending";
		ret->reason = problem ? "HotplugFailed" : "PVCNotReady";
		ret->message = arena_strdup(a, problem		? problem
					       : o && *o->waits ? o->waits
								: "PVC is in phase Pending");
	}
}

void vm_live_facts(const struct vm_worker *w, struct arena *a, struct vm_facts *f)
{
	const struct vm_live *l = w->live;
	struct vm_volume_fact *list;

	if (!l || !l->known || !f->alive)
		return;
	list = arena_zalloc(a, sizeof(*list) * (VM_DISKS_MAX + LIVE_DISKS_MAX));
	for (size_t i = 0; i < w->spec.disk_count; i++)
		if (w->spec.disks[i].hotpluggable)
			volume_fact(l, &w->spec.disks[i], a, &list[f->volume_count++]);
	/* What is on its way out. */
	for (size_t i = 0; i < l->now.disk_count; i++) {
		bool wanted = false;

		for (size_t k = 0; k < w->spec.disk_count; k++)
			wanted |= streq(w->spec.disks[k].name, l->now.disks[i].name);
		if (!wanted)
			list[f->volume_count++] = (struct vm_volume_fact){
				.name = arena_strdup(a, l->now.disks[i].name),
				.target = arena_strdup(a, l->now.disks[i].target),
				.phase = "Detaching",
				.leaves = true,
				.reason = "VolumeDetaching",
				.message = arena_printf(
					a, "Volume %s is being detached", l->now.disks[i].name)};
	}
	for (size_t i = 0; i < l->plan.count; i++) {
		const struct live_step *s = &l->plan.steps[i];
		const struct live_try *t = live_try_find(l, s);
		bool memory = s->kind == LIVE_MEMORY || s->kind == LIVE_MODULE;

		f->vcpus_change |= s->kind == LIVE_VCPUS;
		f->memory_change |= memory;
		f->memory_failed |= memory && t && *t->problem;
	}
	f->volumes = list;
	f->vcpus_now = l->now.vcpus;
	/* What the balloon told last may be of the time before there were modules. */
	if (l->now.modules || !f->memory_now_bytes)
		f->memory_now_bytes = (uint64_t)l->now.current_bytes;
}
