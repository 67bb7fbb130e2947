#include "node/vm/vm_nfs.h"

#include "node/vm/live/live.h"
#include "node/vm/vm_internal.h"

static bool is_same(const struct nfs_place *a, const struct nfs_place *b)
{
	return streq(a->server, b->server) && streq(a->path, b->path);
}

static bool may_share(const struct vm_disk *a, const struct vm_disk *b)
{
	return (a->readonly && b->readonly) || (a->shareable && b->shareable);
}

/* What is known of a guest that is over, or has yet to be prepared, says nothing of who writes. */
static bool may_write(const struct vm_worker *w)
{
	int state = w->core.sm.state;

	if (state == VM_CLEAN || state == VM_RELEASED)
		return false;
	return state != VM_WAITING || w->core.domain == VM_DOMAIN_UNKNOWN ||
	       vm_core_alive(&w->core);
}

/* Whether a volume of the worker's guest is the file at `place`. A guest that was adopted does not
 * know where its disks are: its claims do. */
static bool leads_to(struct node *n, const struct vm_worker *w, const struct vm_disk *other,
	const char *claim, const char *ns, const struct nfs_place *place)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct claim_place found;
	const char *reason;

	if (other->volume != VM_VOLUME_CLAIM)
		return false;
	if (other->nfs)
		return is_same(other->nfs, place);
	/* Two that are to get the same disk while they run must not wait for each other. */
	if (other->path || w->core.sm.state == VM_PREPARING ||
		(vm_core_alive(&w->core) && vm_live_lacks(w, other->name)))
		return false;
	if (claim_place_find(n->disks, &a, w->spec.namespace, other->claim, &found, &reason, NULL) <
		0)
		return streq(other->claim, claim) && streq(w->spec.namespace, ns);
	return found.nfs && is_same(found.nfs, place);
}

static int check_worker(struct node *n, const struct vm_worker *w, const struct vm_spec *s,
	const struct vm_disk *d, const struct nfs_place *place, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	bool own = streq(w->uid, s->uid), names = false;

	if (!own && !may_write(w))
		return 0;
	if (!own && (!w->object || !w->has_spec))
		return err_set(err, -EBUSY,
			"volume '%s': it is not known yet which disks %s has, and nothing keeps "
			"two guests from writing to %s",
			d->name, w->core.sm.label, nfs_url(&a, place, DISK_IMAGE_NAME));
	for (size_t i = 0; i < w->spec.disk_count; i++) {
		const struct vm_disk *other = &w->spec.disks[i];

		if (other == d || !leads_to(n, w, other, d->claim, s->namespace, place))
			continue;
		names = true;
		if (own && !may_share(other, d))
			return err_set(err, -EBUSY,
				"volume '%s': %s is the disk of volume '%s', too", d->name,
				nfs_url(&a, place, DISK_IMAGE_NAME), other->name);
		if (!may_share(other, d))
			return err_set(err, -EBUSY,
				"volume '%s': PVC %s/%s is in use by VirtualMachineInstance %s%s%s",
				d->name, s->namespace, d->claim,
				streq(w->spec.namespace, s->namespace) ? "" : w->spec.namespace,
				streq(w->spec.namespace, s->namespace) ? "" : "/", w->spec.name);
	}
	if (!own && !names && vm_live_has(w, nfs_url(&a, place, NULL)))
		return err_set(err, -EBUSY,
			"volume '%s': VirtualMachineInstance %s has not let %s go yet", d->name,
			w->spec.name, nfs_url(&a, place, DISK_IMAGE_NAME));
	return 0;
}

static int check_alone(struct node *n, const struct vm_spec *s, const struct vm_disk *d,
	const struct nfs_place *place, struct err *err)
{
	int r = 0;

	if (!n->vms)
		return 0;
	if (!informer_synced(n->vms->instances))
		return err_set(err, -EBUSY,
			"volume '%s': the virtual machines of this node are not known yet",
			d->name);
	for (struct table_iter i = table_iterate(&n->vms->workers); r == 0 && table_next(&i);)
		r = check_worker(n, i.value, s, d, place, err);
	return r;
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
	r = check_alone(n, s, d, place->nfs, err);
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

void vm_nfs_let_go(struct vm_manager *m)
{
	for (struct table_iter i = table_iterate(&m->workers); table_next(&i);) {
		struct vm_worker *w = i.value;

		if (w->core.sm.state != VM_WAITING || w->core.busy ||
			!streq(w->problem_reason, VM_NFS_IN_USE))
			continue;
		w->core.retry_at_ns = 0;
		vm_worker_step(w);
	}
}
