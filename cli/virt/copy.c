/* copy.c - clone, rename, delete. */
#include <stdio.h>
#include <time.h>

#include "cli/virt/virt.h"

#define CLONE_GROUP "clone.kubevirt.io/v1beta1"
#define VM_GROUP "kubevirt.io/v1"
#define RENAMED_FROM "hanok.io/renamed-from"
/* The run strategy that a renamed machine is to have; away when it has it, which is the last step.
 */
#define RENAMED_STRATEGY "hanok.io/renamed-run-strategy"
#define CLONE_MODE_ANNOTATION "hanok.io/disk-clone-mode" /* "linked" | "full" */

static int until_cloned(void *user, const struct json *object, struct err *err)
{
	const char *phase = json_str_or(json_path(object, "status.phase"), "");
	if (!object)
		return err_set(err, -ENOENT, "it was deleted");
	if (streq(phase, "Failed")) {
		const char *why = "no reason was given";
		JSON_FOR_EACH_ITEM(c, json_path(object, "status.conditions")) {
			why = json_str_or(json_get(c, "message"), why);
		}
		return err_set(err, -EIO, "it failed: %s", why);
	}
	return streq(phase, "Succeeded");
}

static int clone_one(
	struct virt *v, const struct virt_target *t, const char *target, struct err *err)
{
	struct arena *a = &v->arena;
	struct json *it = json_new_object(a), *spec = json_object_at(a, it, "spec");
	const char *name = arena_printf(
		a, "clone-%s-to-%s-%llx", t->name, target, (unsigned long long)time(NULL));
	bool snapshot = virt_has(v, "from-snapshot");
	json_set_str(a, it, "apiVersion", CLONE_GROUP);
	json_set_str(a, it, "kind", "VirtualMachineClone");
	json_path_set(a, it, "metadata.name", json_new_string(a, name));
	if (virt_has(v, "full") || virt_has(v, "linked"))
		json_set_str(a, json_object_at(a, json_get(it, "metadata"), "annotations"),
			CLONE_MODE_ANNOTATION, virt_has(v, "full") ? "full" : "linked");
	struct json *source = json_object_at(a, spec, "source"),
		    *to = json_object_at(a, spec, "target");
	json_set_str(a, source, "apiGroup", snapshot ? "snapshot.kubevirt.io" : "kubevirt.io");
	json_set_str(a, source, "kind", snapshot ? "VirtualMachineSnapshot" : "VirtualMachine");
	json_set_str(a, source, "name", t->name);
	json_set_str(a, to, "apiGroup", "kubevirt.io");
	json_set_str(a, to, "kind", "VirtualMachine");
	json_set_str(a, to, "name", target);
	int64_t seconds = 300;
	int r = virt_number(v, "timeout", 1, 86400, &seconds, err);
	if (r == 0)
		r = virt_send(v, "POST",
			virt_path(v, CLONE_GROUP, t->namespace, "virtualmachineclones", NULL, NULL),
			NULL, it, NULL, err);
	if (r == 0 && !virt_has(v, "no-wait"))
		r = api_session_wait(v->session,
			virt_path(v, CLONE_GROUP, t->namespace, "virtualmachineclones", NULL, NULL),
			name, (unsigned)seconds, until_cloned, NULL, err);
	if (r < 0)
		return err_context(err, r, "clone '%s/%s' to '%s'", t->namespace, t->name, target);
	printf("virtual machine %s/%s: %s %s\n", t->namespace, target,
		virt_has(v, "no-wait") ? "is being cloned from" : "cloned from", t->name);
	return 0;
}

static int vm_clone(struct virt *v, struct err *err)
{
	int64_t count = 1;
	struct virt_target t;
	int r = virt_target(v, v->args[0], &t, err);
	if (r == 0)
		r = virt_number(v, "count", 1, 1000, &count, err);
	if (r == 0 && virt_has(v, "full") && virt_has(v, "linked"))
		r = virt_misuse(v, err, "--full or --linked, not both");
	for (int64_t i = 1; i <= count && r == 0; i++)
		r = clone_one(v, &t,
			count == 1 ? v->args[1]
				   : arena_printf(&v->arena, "%s-%lld", v->args[1], (long long)i),
			err);
	return r;
}

/* What belongs to a virtual machine by owner references: its DataVolumes, and claims. */
struct owned {
	const char *group_version, *resource;
};
static const struct owned owned_kinds[] = {
	{"cdi.kubevirt.io/v1beta1", "datavolumes"}, {"v1", "persistentvolumeclaims"}};

struct new_owner {
	const char *old_uid;
	const struct json *owner; /* NULL = none any more */
};

static int replace_owner(struct virt *v, struct json *object, void *user, struct err *err)
{
	const struct new_owner *n = user;
	struct json *metadata = json_get(object, "metadata"),
		    *list = json_get(metadata, "ownerReferences");
	for (size_t i = json_count(list); i-- > 0;)
		if (streq(json_str_or(json_get(json_at(list, i), "uid"), ""), n->old_uid)) {
			json_remove_at(list, i);
			if (n->owner)
				json_push(&v->arena, list, json_copy(&v->arena, n->owner));
		}
	if (json_count(list) == 0)
		json_remove(metadata, "ownerReferences");
	return 0;
}

static bool is_owned_by(const struct json *object, const char *uid)
{
	JSON_FOR_EACH_ITEM(o, json_path(object, "metadata.ownerReferences")) {
		if (streq(json_str_or(json_get(o, "uid"), ""), uid))
			return true;
	}
	return false;
}

static int give_disks(
	struct virt *v, const char *namespace, const struct new_owner *n, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(owned_kinds); i++) {
		const struct owned *k = &owned_kinds[i];
		struct json *list;
		int r = virt_get(v,
			virt_path(v, k->group_version, namespace, k->resource, NULL, NULL), &list,
			err);
		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		JSON_FOR_EACH_ITEM(it, json_get(list, "items")) {
			if (r == 0 && is_owned_by(it, n->old_uid))
				r = virt_update(v,
					virt_path(v, k->group_version, namespace, k->resource,
						json_path_str(it, "metadata.name"), NULL),
					replace_owner, (void *)(uintptr_t)n, err);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int until_gone(void *user, const struct json *object, struct err *err)
{
	return object == NULL;
}

/* An instance's grace period is its specification's: stop is what shortens it. */
static int shorten_grace(
	struct virt *v, const struct virt_target *t, int64_t grace_s, struct err *err)
{
	struct json *body = json_new_object(&v->arena), *instance;
	struct err none = ERR_INIT;
	if (virt_get(v,
		    virt_path(v, VM_GROUP, t->namespace, "virtualmachineinstances", t->name, NULL),
		    &instance, &none) < 0)
		return 0;
	json_set_int(&v->arena, body, "gracePeriod", grace_s);
	const char *text = json_text(&v->arena, body);
	struct api_session_request request = {.method = "PUT",
		.path = virt_sub_path(v, t, "stop"),
		.content_type = "application/json",
		.body = text,
		.body_size = strlen(text),
		.timeout_s = v->answer_s};
	struct api_session_answer answer = {0};
	int r = api_session_call(v->session, &v->arena, &request, &answer, &none);
	/* A conflict: it is over meanwhile, or was asked to stop as soon as that already. */
	if (r < 0 && answer.code != 409)
		return err_set(err, r, "%s", none.msg);
	return 0;
}

static int delete_vm(struct virt *v, const struct virt_target *t, int64_t grace_s, struct err *err)
{
	struct arena *a = &v->arena;
	struct json *options = json_new_object(a);
	bool is_machine = streq(t->resource, "virtualmachines");
	json_set_str(a, options, "apiVersion", "v1");
	json_set_str(a, options, "kind", "DeleteOptions");
	if (grace_s >= 0)
		json_set_int(a, options, "gracePeriodSeconds", grace_s);
	int64_t seconds = 300;
	int r = virt_number(v, "timeout", 1, 86400, &seconds, err);
	if (r == 0 && grace_s >= 0 && is_machine)
		r = shorten_grace(v, t, grace_s, err);
	if (r == 0)
		r = virt_send(v, "DELETE",
			virt_path(v, VM_GROUP, t->namespace, t->resource, t->name, NULL), NULL,
			options, NULL, err);
	if (r == 0 && !virt_has(v, "no-wait"))
		r = api_session_wait(v->session,
			virt_path(v, VM_GROUP, t->namespace, t->resource, NULL, NULL), t->name,
			(unsigned)seconds, until_gone, NULL, err);
	/* Its instance goes after it, when the guest is over. */
	if (r == 0 && !virt_has(v, "no-wait") && is_machine)
		r = api_session_wait(v->session,
			virt_path(v, VM_GROUP, t->namespace, "virtualmachineinstances", NULL, NULL),
			t->name, (unsigned)seconds, until_gone, NULL, err);
	return r;
}

/* Claims and DataVolumes that the machine names, whoever owns them. */
static int delete_named_disks(
	struct virt *v, const struct virt_target *t, const struct json *vm, struct err *err)
{
	JSON_FOR_EACH_ITEM(volume, json_path(vm, "spec.template.spec.volumes")) {
		const char *claim = json_path_str(volume, "persistentVolumeClaim.claimName"),
			   *dv = json_path_str(volume, "dataVolume.name");
		const struct owned *k = &owned_kinds[dv ? 0 : 1];
		if (!claim && !dv)
			continue;
		int r = virt_send(v, "DELETE",
			virt_path(v, k->group_version, t->namespace, k->resource, dv ? dv : claim,
				NULL),
			NULL, NULL, NULL, err);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

static int vm_delete(struct virt *v, struct err *err)
{
	struct virt_target t;
	unsigned used;
	int64_t grace = virt_has(v, "force") ? 0 : -1;
	struct json *vm;
	int r = virt_target_args(v, &t, &used, err);
	if (r == 0)
		r = virt_number(v, "grace-period", 0, 7 * 86400, &grace, err);
	if (r == 0 && virt_has(v, "keep-disks") && virt_has(v, "with-disks"))
		r = virt_misuse(v, err, "--keep-disks or --with-disks, not both");
	if (r == 0)
		r = virt_get(
			v, virt_path(v, VM_GROUP, t.namespace, t.resource, t.name, NULL), &vm, err);
	if (r == 0 && virt_has(v, "keep-disks")) {
		struct new_owner nobody = {json_path_str(vm, "metadata.uid") ?: "", NULL};
		r = give_disks(v, t.namespace, &nobody, err);
	}
	if (r == 0)
		r = delete_vm(v, &t, grace, err);
	if (r == 0 && virt_has(v, "with-disks"))
		r = delete_named_disks(v, &t, vm, err);
	if (r < 0)
		return err_context(err, r, "delete virtual machine '%s/%s'", t.namespace, t.name);
	virt_say(&t, virt_has(v, "keep-disks") ? "deleted, its disks are kept" : "deleted");
	return 0;
}

/* rename OLD NEW, of a stopped machine: the new one is made switched off, gets the old one's disks,
 * the old one goes, and only then may the new one run. Interrupted anywhere, the disks have an
 * owner, and saying it again goes on. */
static int set_strategy(struct virt *v, struct json *vm, void *user, struct err *err)
{
	json_set_str(&v->arena, json_get(vm, "spec"), "runStrategy", user);
	json_remove(json_path(vm, "metadata.annotations"), RENAMED_STRATEGY);
	return 0;
}

static const char *annotation(const struct json *vm, const char *name)
{
	return json_str(json_get(json_path(vm, "metadata.annotations"), name));
}

/* The machine at `path` is what an interrupted attempt made of `old_name`, not what another machine
 * of that name became long ago. */
static bool is_made(struct virt *v, const char *path, const char *old_name, struct json **ret)
{
	struct err none;
	return virt_get(v, path, ret, &none) == 0 &&
	       streq(annotation(*ret, RENAMED_FROM), old_name) &&
	       annotation(*ret, RENAMED_STRATEGY);
}

/* The node keeps these by the machine's uid, and a renamed one has another. */
static bool keeps_state(const struct json *vm)
{
	const struct json *domain = json_path(vm, "spec.template.spec.domain");
	return json_path_bool(domain, "devices.tpm.persistent", false) ||
	       json_path_bool(domain, "firmware.bootloader.efi.persistent", false);
}

static struct json *renamed(
	struct virt *v, const struct json *old, const char *name, const char *strategy)
{
	struct arena *a = &v->arena;
	struct json *it = json_new_object(a), *metadata = json_object_at(a, it, "metadata");
	json_set_str(a, it, "apiVersion", VM_GROUP);
	json_set_str(a, it, "kind", "VirtualMachine");
	json_set_str(a, metadata, "name", name);
	static const char *const kept[] = {"labels", "annotations"};
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if (json_path(old, "metadata") && json_get(json_get(old, "metadata"), kept[i]))
			json_set(a, metadata, kept[i],
				json_copy(a, json_get(json_get(old, "metadata"), kept[i])));
	/* Both are there for a while, with the same MAC addresses. */
	struct json *annotations = json_object_at(a, metadata, "annotations");
	json_set_str(a, annotations, RENAMED_FROM, json_path_str(old, "metadata.name") ?: "");
	json_set_str(a, annotations, RENAMED_STRATEGY, strategy);
	json_set(a, it, "spec", json_copy(a, json_get(old, "spec")));
	struct json *spec = json_get(it, "spec"), *domain = json_path(spec, "template.spec.domain");
	/* Its guest is the same machine. */
	if (domain && !json_path(domain, "firmware.uuid"))
		json_set_str(a, json_object_at(a, domain, "firmware"), "uuid",
			json_path_str(old, "metadata.uid") ?: "");
	json_remove(spec, "running");
	json_set_str(a, spec, "runStrategy", "Halted");
	return it;
}

static int finish_rename(struct virt *v, const struct virt_target *t, const char *path,
	const char *strategy, struct err *err)
{
	int r = virt_update(v, path, set_strategy, (void *)(uintptr_t)strategy, err);
	if (r < 0)
		return err_context(err, r, "rename virtual machine '%s/%s' to '%s'", t->namespace,
			t->name, v->args[1]);
	virt_say(t, arena_printf(&v->arena, "is called %s now", v->args[1]));
	return 0;
}

static int vm_rename(struct virt *v, struct err *err)
{
	struct arena *a = &v->arena;
	struct virt_target t;
	struct json *old, *made = NULL, *running;
	const char *name = v->args[1];
	struct err none;
	int r = virt_target(v, v->args[0], &t, err);
	if (r < 0)
		return r;
	const char *path = virt_path(v, VM_GROUP, t.namespace, "virtualmachines", name, NULL);
	r = virt_get(
		v, virt_path(v, VM_GROUP, t.namespace, "virtualmachines", t.name, NULL), &old, err);
	/* All but the last step was done. */
	if (r == -ENOENT && is_made(v, path, t.name, &made))
		return finish_rename(v, &t, path, annotation(made, RENAMED_STRATEGY), err);
	if (r < 0)
		return r;
	if (virt_get(v,
		    virt_path(v, VM_GROUP, t.namespace, "virtualmachineinstances", t.name, NULL),
		    &running, &none) == 0)
		return err_set(err, -EBUSY,
			"virtual machine '%s/%s' is running: stop it first (hanok virt stop %s)",
			t.namespace, t.name, t.name);
	if (keeps_state(old))
		return err_set(err, -EOPNOTSUPP,
			"virtual machine '%s/%s' has UEFI variables or a TPM that stay, and would "
			"lose them under another name",
			t.namespace, t.name);
	const char *strategy = json_path_str(old, "spec.runStrategy")
				       ?: json_path_bool(old, "spec.running", false) ? "Always"
										     : "Halted";
	r = virt_send(v, "POST", virt_path(v, VM_GROUP, t.namespace, "virtualmachines", NULL, NULL),
		NULL, renamed(v, old, name, strategy), &made, err);
	if (r == -EEXIST && is_made(v, path, t.name, &made))
		r = 0;
	if (r < 0)
		return err_context(err, r, "make virtual machine '%s/%s'", t.namespace, name);
	struct json *owner = json_new_object(a);
	json_set_str(a, owner, "apiVersion", VM_GROUP);
	json_set_str(a, owner, "kind", "VirtualMachine");
	json_set_str(a, owner, "name", name);
	json_set_str(a, owner, "uid", json_path_str(made, "metadata.uid") ?: "");
	json_set_bool(a, owner, "controller", true);
	json_set_bool(a, owner, "blockOwnerDeletion", true);
	struct new_owner give = {json_path_str(old, "metadata.uid") ?: "", owner};
	r = give_disks(v, t.namespace, &give, err);
	if (r == 0)
		r = delete_vm(v, &t, -1, err);
	if (r < 0)
		return err_context(err, r, "rename virtual machine '%s/%s' to '%s'", t.namespace,
			t.name, name);
	return finish_rename(v, &t, path, strategy, err);
}

#define WAIT_FLAGS                                                                                 \
	{"no-wait", 0, NULL, "return when it is asked for"},                                       \
	{                                                                                          \
		"timeout", 0, "SECONDS", "to wait; default 300"                                    \
	}
static const struct virt_flag clone_flags[] = {
	{"linked", 0, NULL, "the clone shares what neither writes; default where storage can"},
	{"full", 0, NULL, "the clone has all of its own"},
	{"count", 0, "N", "several: TARGET-1 to TARGET-N"},
	{"from-snapshot", 0, NULL, "SOURCE is a snapshot's name"}, WAIT_FLAGS, {0}};
static const struct virt_flag delete_flags[] = {
	{"keep-disks", 0, NULL, "disks that were made with it stay"},
	{"with-disks", 0, NULL, "claims and DataVolumes that it only names go too"},
	{"force", 0, NULL, "a running one is switched off"},
	{"grace-period", 0, "SECONDS", "until it is switched off"}, WAIT_FLAGS, {0}};
static const struct virt_flag rename_flags[] = {WAIT_FLAGS, {0}};

const struct virt_verb virt_copy_verbs[] = {
	{"clone", "SOURCE TARGET", 2, 2, "make another like it", vm_clone, clone_flags, false},
	{"rename|domrename", "NAME NEW", 2, 2, "give a stopped machine another name", vm_rename,
		rename_flags, false},
	{"delete|undefine", "NAME", 1, 2, "delete it, with the disks made with it", vm_delete,
		delete_flags, false},
	{0},
};
