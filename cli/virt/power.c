/* power.c - start, stop and what lies between, saving and waking up. */
#include <stdio.h>

#include "cli/virt/virt.h"

static const struct virt_flag grace_flags[] = {
	{"grace-period", 0, "SECONDS", "until it is switched off; default: the machine's own"},
	{"force", 0, NULL, "without waiting for the guest"},
	{0},
};
static const struct virt_flag start_flags[] = {
	{"paused", 'p', NULL, "it starts, and stands still"},
	{0},
};

static int ask(struct virt *v, const char *resource, const char *sub, const char *word,
	const struct json *body, struct err *err)
{
	struct virt_target t;
	unsigned used;
	int r = virt_target_args(v, &t, &used, err);
	if (r < 0)
		return r;
	if (used < v->arg_count)
		return virt_misuse(v, err, "too many arguments");
	t.resource = resource;
	r = virt_send(v, "PUT", virt_sub_path(v, &t, sub), NULL,
		body ? body : json_new_object(&v->arena), NULL, err);
	if (r < 0)
		return err_context(err, r, "%s virtual machine '%s/%s'", sub, t.namespace, t.name);
	virt_say(&t, word);
	return 0;
}

/* {"field": seconds}; the field's name differs between stop and restart. */
static int grace(struct virt *v, const char *field, struct json **ret, struct err *err)
{
	int64_t seconds = virt_has(v, "force") ? 0 : -1;
	int r = virt_number(v, "grace-period", 0, 7 * 86400, &seconds, err);
	*ret = json_new_object(&v->arena);
	if (r == 0 && seconds >= 0)
		json_set_int(&v->arena, *ret, field, seconds);
	return r;
}

static int start(struct virt *v, struct err *err)
{
	struct json *body = json_new_object(&v->arena);
	if (virt_has(v, "paused"))
		json_set_bool(&v->arena, body, "paused", true);
	return ask(v, "virtualmachines", "start", "start requested", body, err);
}

static int stop(struct virt *v, struct err *err)
{
	struct json *body;
	int r = grace(v, "gracePeriod", &body, err);
	return r < 0 ? r : ask(v, "virtualmachines", "stop", "stop requested", body, err);
}

static int restart(struct virt *v, struct err *err)
{
	struct json *body;
	int r = grace(v, "gracePeriodSeconds", &body, err);
	return r < 0 ? r : ask(v, "virtualmachines", "restart", "restart requested", body, err);
}

#define INSTANCES "virtualmachineinstances"

static int vm_pause(struct virt *v, struct err *err)
{
	return ask(v, INSTANCES, "pause", "paused", NULL, err);
}

static int vm_unpause(struct virt *v, struct err *err)
{
	return ask(v, INSTANCES, "unpause", "goes on", NULL, err);
}

static int vm_reset(struct virt *v, struct err *err)
{
	return ask(v, INSTANCES, "reset", "was reset", NULL, err);
}

static int soft_reboot(struct virt *v, struct err *err)
{
	return ask(v, INSTANCES, "softreboot", "reboot requested", NULL, err);
}

static int save(struct virt *v, struct err *err)
{
	v->answer_s = 600; /* as long as its memory takes */
	return ask(v, INSTANCES, "save", "is being saved to disk", NULL, err);
}

static int restore(struct virt *v, struct err *err)
{
	return ask(v, INSTANCES, "restore", "is being restored", NULL, err);
}

/* autostart NAME [--disable]: whether it runs when its host does. */
static int set_strategy(struct virt *v, struct json *vm, void *user, struct err *err)
{
	struct json *spec = json_object_at(&v->arena, vm, "spec");
	json_remove(spec, "running");
	json_set_str(&v->arena, spec, "runStrategy", user);
	return 0;
}

static int autostart(struct virt *v, struct err *err)
{
	static const char *const strategies[] = {
		"Always", "RerunOnFailure", "Manual", "Halted", "Once"};
	const char *strategy =
		virt_value_or(v, "strategy", virt_has(v, "disable") ? "Manual" : "Always");
	bool known = false;
	for (size_t i = 0; i < ARRAY_LEN(strategies); i++)
		known = known || streq(strategies[i], strategy);
	if (!known)
		return virt_misuse(v, err,
			"--strategy '%s': Always, RerunOnFailure, Manual, Halted or Once",
			strategy);
	struct virt_target t;
	int r = virt_target(v, v->args[0], &t, err);
	if (r < 0)
		return r;
	r = virt_update(v,
		virt_path(v, "kubevirt.io/v1", t.namespace, "virtualmachines", t.name, NULL),
		set_strategy, (void *)(uintptr_t)strategy, err);
	if (r < 0)
		return err_context(
			err, r, "autostart of virtual machine '%s/%s'", t.namespace, t.name);
	virt_say(&t, arena_printf(&v->arena, "run strategy %s", strategy));
	return 0;
}

static int no_migration(struct virt *v, struct err *err)
{
	return err_set(err, -EOPNOTSUPP,
		"not available: a virtual machine stays on its node. Stop it and start it "
		"elsewhere (docs/virtual-machines.md, Maintenance of a node)");
}

static const struct virt_flag autostart_flags[] = {
	{"disable", 0, NULL, "it runs when it is started by hand (Manual)"},
	{"strategy", 0, "STRATEGY", "Always, RerunOnFailure, Manual, Halted or Once"},
	{0},
};

const struct virt_verb virt_power_verbs[] = {
	{"start", "NAME", 1, 2, "start a stopped virtual machine", start, start_flags, false},
	{"stop|shutdown", "NAME", 1, 2, "shut it down, or at once with --force", stop, grace_flags,
		false},
	{"restart", "NAME", 1, 2, "stop it and start it again", restart, grace_flags, false},
	{"pause|suspend", "NAME", 1, 2, "let its processors stand still", vm_pause, NULL, false},
	{"unpause|resume", "NAME", 1, 2, "let them go on", vm_unpause, NULL, false},
	{"reset", "NAME", 1, 2, "press its reset button", vm_reset, NULL, false},
	{"soft-reboot|reboot", "NAME", 1, 2, "ask the guest to reboot (guest agent, else ACPI)",
		soft_reboot, NULL, false},
	{"save", "NAME", 1, 2, "save its memory to disk and let it sleep", save, NULL, false},
	{"restore", "NAME", 1, 2, "wake it up from what was saved", restore, NULL, false},
	{"autostart", "NAME", 1, 1, "whether it runs whenever its host does", autostart,
		autostart_flags, false},
	{"migrate", "NAME", 1, 2, "not available", no_migration, NULL, true},
	{"migrate-cancel", "NAME", 1, 2, "not available", no_migration, NULL, true},
	{"evacuate-cancel", "NAME", 1, 2, "not available", no_migration, NULL, true},
	{0},
};
