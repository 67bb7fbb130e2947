#include "node/vm/vm_nfs.h"

#include "node/vm/vm_internal.h"

static const struct vm_disk *claim_disk_of(
	const struct vm_worker *w, const struct vm_spec *s, const struct vm_disk *d)
{
	if (!w->has_spec || !streq(w->spec.namespace, s->namespace) || streq(w->spec.uid, s->uid))
		return NULL;
	for (size_t i = 0; i < w->spec.disk_count; i++) {
		const struct vm_disk *other = &w->spec.disks[i];

		/* Its path is known: it has it. One that was adopted does not know its paths. */
		if (other->volume == VM_VOLUME_CLAIM && streq(other->claim, d->claim) &&
			(other->path || vm_core_alive(&w->core)))
			return other;
	}
	return NULL;
}

static int check_alone(
	struct node *n, const struct vm_spec *s, const struct vm_disk *d, struct err *err)
{
	if (!n->vms)
		return 0;
	for (struct table_iter i = table_iterate(&n->vms->workers); table_next(&i);) {
		const struct vm_worker *w = i.value;
		const struct vm_disk *other = claim_disk_of(w, s, d);

		if (other && !(other->readonly && d->readonly) &&
			!(other->shareable && d->shareable))
			return err_set(err, -EBUSY,
				"volume '%s': PVC %s/%s is in use by VirtualMachineInstance %s",
				d->name, s->namespace, d->claim, w->spec.name);
	}
	return 0;
}

int vm_nfs_take(struct node *n, const struct vm_spec *s, struct vm_disk *d, struct arena *a,
	const struct claim_place *place, struct err *err)
{
	int r = 0;

	if (d->ephemeral)
		return err_set(err, -EOPNOTSUPP,
			"volume '%s': an ephemeral volume needs a claim with a directory of this "
			"node, and PVC %s/%s is on an NFS server",
			d->name, s->namespace, d->claim);
	d->readonly |= place->nfs->read_only;
	r = check_alone(n, s, d, err);
	if (r < 0)
		return r;
	d->nfs = place->nfs;
	d->nfs_file = DISK_IMAGE_NAME;
	d->path = nfs_url(a, place->nfs, DISK_IMAGE_NAME);
	d->format = "raw";
	/* QEMU's client reports a full file system, and all else, as an error of its own: the guest
	 * waits with any of them until the disk can be written (control/space.c). */
	if (!d->error_policy)
		d->error_policy = "stop";
	return 0;
}
