/* claim_users.c - a volume's directory is a pod's or a guest's, not both at once: a process that is
 * root in a container could put a link to another file of the host where QEMU, and those who give
 * it its files, look for a disk. */
#include "node/disk/disks_internal.h"
#include "node/pod/pod_manager.h"
#include "node/volume/claim_volume.h"

struct search {
	const char *namespace, *claim;
	struct err *err;
	int result;
};

static void look_at_pod(void *user, const struct pod_here *p)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct search *s = user;
	const struct json *pod;

	/* One without volumes yet is told that the guest has them. */
	if (s->result < 0 || !p->has_volumes || (p->ended && p->stopped) ||
		!streq(p->object->namespace, s->namespace))
		return;
	pod = object_doc(p->object, &a);
	JSON_FOR_EACH_ITEM(v, json_path(pod, "spec.volumes"))
		if (streq(claim_volume_name(&a, pod, v), s->claim))
			s->result = err_set(s->err, -EBUSY, "PVC %s/%s is in use by pod %s",
				s->namespace, s->claim, p->object->name);
}

/* What runs of pods that were deleted by force while no agent looked. */
static int check_left_pods(struct node *n, const char *ns, const char *claim, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct claim_place place;
	const char *reason;

	if (claim_place_find(n->disks, &a, ns, claim, &place, &reason, NULL) < 0 ||
		!place.directory || !pod_manager_left_with(n->pods, place.directory))
		return 0;
	return err_set(
		err, -EBUSY, "PVC %s/%s is in use by a pod that is being removed", ns, claim);
}

int disks_check_pods(struct node *n, const char *ns, const char *claim, struct err *err)
{
	struct search s = {.namespace = ns, .claim = claim, .err = err};

	if (!n->pods)
		return 0;
	if (!pod_manager_synced(n->pods))
		return err_set(err, -EBUSY, "the pods of this node are not known yet");
	pod_manager_walk(n->pods, look_at_pod, &s);
	return s.result < 0 ? s.result : check_left_pods(n, ns, claim, err);
}

int disks_check_held(struct node *n, const char *ns, const char *claim, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct disks *d = n->disks;
	struct claim_place place;
	const char *reason;

	if (claim_place_find(d, &a, ns, claim, &place, &reason, NULL) < 0 || !place.directory)
		return 0;
	if (disks_held(d, place.directory))
		return err_set(
			err, -EBUSY, "its disk is being copied, or its layers are worked on");
	if (disks_directory_in_use(d, ns, place.directory))
		return err_set(err, -EBUSY,
			"a virtual machine has not let it go yet, or those of this node are not "
			"known yet");
	return 0;
}
