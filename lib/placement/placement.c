#include "lib/placement/placement.h"

#include <inttypes.h>

static const char *const names[] = {"", "VirtualMachine", "Container"};

const char *placement_isolation_name(enum placement_isolation i)
{
	return names[i];
}

enum placement_isolation placement_isolation_from_name(const char *name)
{
	if (streq(name, "VirtualMachine"))
		return PLACEMENT_VIRTUAL_MACHINE;
	return streq(name, "Container") ? PLACEMENT_CONTAINER : PLACEMENT_NEITHER;
}

/* Weights. */

struct placement_weights placement_default_weights(void)
{
	struct placement_weights w;
	for (size_t i = 0; i < PLACEMENT_CRITERIA; i++)
		w.of[i] = placement_criteria[i].weight;
	return w;
}

static size_t criterion_index(const char *name)
{
	size_t i = 0;
	while (i < PLACEMENT_CRITERIA && !streq(placement_criteria[i].name, name))
		i++;
	return i;
}

static const char *criterion_names(struct arena *a)
{
	const char *all = "";
	for (size_t i = 0; i < PLACEMENT_CRITERIA; i++)
		all = arena_printf(a, "%s%s%s", all, i ? ", " : "", placement_criteria[i].name);
	return all;
}

struct placement_weights placement_weights_of_config(
	struct arena *a, const struct json *data, struct json **ret_problems)
{
	struct placement_weights w = placement_default_weights();
	struct json *problems = NULL;
	JSON_FOR_EACH_MEMBER(m, data) {
		const char *text = json_str_or(m->value, "");
		size_t i = criterion_index(m->name);
		int64_t weight;
		const char *problem = NULL;
		if (i == PLACEMENT_CRITERIA)
			problem = arena_printf(a, "there is no criterion '%s'; there are %s",
				m->name, criterion_names(a));
		else if (parse_i64(str_from(text), &weight) < 0 || weight < 0 ||
			 weight > PLACEMENT_WEIGHT_MAX)
			problem = arena_printf(a,
				"%s: '%.40s' is no weight: a whole number from 0 to %d is", m->name,
				text, PLACEMENT_WEIGHT_MAX);
		else
			w.of[i] = weight;
		if (!problem)
			continue;
		if (!problems)
			problems = json_new_array(a);
		json_push(a, problems, json_new_string(a, problem));
	}
	*ret_problems = problems;
	return w;
}

/* Constraints. */

static void exclude(struct placement_decision *d, enum placement_isolation side, const char *name,
	const char *reason)
{
	d->constraints[d->constraint_count++] = (struct placement_constraint){name, side, reason};
}

static void constrain(
	struct arena *a, struct placement_decision *d, const struct placement_facts *f)
{
	const enum placement_isolation machine = PLACEMENT_VIRTUAL_MACHINE,
				       container = PLACEMENT_CONTAINER;
	if (!streq(f->os, "linux"))
		exclude(d, container, arena_printf(a, "os %s", f->os),
			"containers share the host's Linux kernel");
	if (f->own_kernel)
		exclude(d, container, "kernel of its own", "containers share the host's kernel");
	if (f->modules)
		exclude(d, container, "kernel modules",
			arena_printf(a,
				"it loads %s, and containers may not change the host's kernel",
				f->modules));
	if (streq(f->isolation, "strict"))
		exclude(d, container, "isolation strict",
			"it must not share a kernel, as containers do");
	if (f->machine_only)
		exclude(d, container, "virtual machine's parts", f->machine_only);
	if (!f->has_image)
		exclude(d, container, "no OCI image", "spec.image is what containers run");
	if (!f->has_disk)
		exclude(d, machine, "no bootable disk",
			"spec.disk is what a virtual machine boots");
	if (f->container_only)
		exclude(d, machine, "container's parts", f->container_only);
}

const struct placement_constraint *placement_excluded(
	const struct placement_decision *d, enum placement_isolation side)
{
	for (size_t i = 0; i < d->constraint_count; i++)
		if (d->constraints[i].excludes == side)
			return &d->constraints[i];
	return NULL;
}

/* What does not go together. */
static struct json *contradictions(
	struct arena *a, const struct placement_decision *d, const struct placement_facts *f)
{
	struct json *all = json_new_array(a);
	const struct placement_constraint *no_container =
						  placement_excluded(d, PLACEMENT_CONTAINER),
					  *no_machine =
						  placement_excluded(d, PLACEMENT_VIRTUAL_MACHINE);
	if (no_container && no_machine)
		json_push(a, all,
			json_new_printf(a,
				"%s rules out containers (%s), %s rules out virtual "
				"machines (%s)",
				no_container->name, no_container->reason, no_machine->name,
				no_machine->reason));
	if (f->replicas_max > f->replicas_min && streq(f->load, "steady"))
		json_push(a, all,
			json_new_printf(a,
				"the load is said to be steady, and yet the number of replicas is "
				"to follow it from %" PRId64 " to %" PRId64,
				f->replicas_min, f->replicas_max));
	if (streq(f->criticality, "best-effort") && streq(f->sensitivity, "restricted"))
		json_push(a, all,
			json_new_string(a,
				"its data is restricted, and yet its criticality is best-effort"));
	if (f->odd)
		json_push(a, all, json_new_string(a, f->odd));
	return all;
}

/* Reasons. */

static int64_t lead(const struct placement_criterion *c, enum placement_isolation side)
{
	int64_t difference = c->weight * (c->machine - c->container);
	return side == PLACEMENT_VIRTUAL_MACHINE ? difference : -difference;
}

static struct json *reasons(
	struct arena *a, const struct placement_decision *d, const struct placement_facts *f)
{
	struct json *all = json_new_array(a);
	enum placement_isolation side = d->isolation;
	bool told[PLACEMENT_CRITERIA] = {0};
	for (size_t i = 0; i < d->constraint_count; i++) {
		const struct placement_constraint *c = &d->constraints[i];
		if (c->excludes != side)
			json_push(a, all, json_new_printf(a, "%s: %s", c->name, c->reason));
	}
	if (side == PLACEMENT_NEITHER)
		return all;
	bool forced = json_count(all) > 0;
	if (forced && d->preferred != side)
		json_push(a, all,
			json_new_printf(a,
				"profile: by itself it would ask for a %s (%" PRId64
				" points to %" PRId64 ")",
				placement_isolation_name(d->preferred),
				MAX(d->machine_score, d->container_score),
				MIN(d->machine_score, d->container_score)));
	for (;;) {
		size_t best = PLACEMENT_CRITERIA;
		for (size_t i = 0; i < PLACEMENT_CRITERIA; i++)
			if (!told[i] && lead(&d->criteria[i], side) > 0 &&
				(best == PLACEMENT_CRITERIA ||
					lead(&d->criteria[i], side) >
						lead(&d->criteria[best], side)))
				best = i;
		if (best == PLACEMENT_CRITERIA)
			break;
		told[best] = true;
		json_push(a, all,
			json_new_printf(a, "%s %s: %s", d->criteria[best].name,
				d->criteria[best].value, d->criteria[best].reason));
	}
	if (!json_count(all))
		json_push(
			a, all, json_new_string(a, "lighter: nothing asks for a virtual machine"));
	if (side == PLACEMENT_VIRTUAL_MACHINE && f->replicas_max > f->replicas_min)
		json_push(a, all,
			json_new_printf(a,
				"range: maxReplicas %" PRId64
				" has no effect in virtual machines; there are as many as "
				"minReplicas (%" PRId64 ")",
				f->replicas_max, f->replicas_min));
	return all;
}

struct placement_decision placement_decide(
	struct arena *a, const struct placement_facts *f, const struct placement_weights *weights)
{
	struct placement_decision d = {0};
	for (size_t i = 0; i < PLACEMENT_CRITERIA; i++) {
		const struct placement_criterion_class *c = &placement_criteria[i];
		const struct placement_rule *rule = c->rules;
		const char *value = c->value(f);
		while (rule[1].value && !streq(rule->value, value))
			rule++;
		d.criteria[i] = (struct placement_criterion){c->name, rule->value, weights->of[i],
			rule->machine, rule->container, rule->reason};
		d.machine_score += weights->of[i] * rule->machine;
		d.container_score += weights->of[i] * rule->container;
	}
	d.preferred = d.machine_score > d.container_score ? PLACEMENT_VIRTUAL_MACHINE
							  : PLACEMENT_CONTAINER;
	constrain(a, &d, f);
	d.isolation = !placement_excluded(&d, d.preferred) ? d.preferred
		      : !placement_excluded(&d, placement_other(d.preferred))
			      ? placement_other(d.preferred)
			      : PLACEMENT_NEITHER;
	d.reasons = reasons(a, &d, f);
	d.contradictions = contradictions(a, &d, f);
	return d;
}
