/* placement_rules.c - the rule table. docs/placement.md shows the same numbers (placement_test.c
 * compares them). */
#include "lib/placement/placement.h"

#define SMALL_BYTES (256 << 20)
#define LARGE_BYTES ((int64_t)8 << 30)

static const char *criticality(const struct placement_facts *f)
{
	return f->criticality;
}

static const char *load(const struct placement_facts *f)
{
	return f->load;
}

static const char *sensitivity(const struct placement_facts *f)
{
	return f->sensitivity;
}

static const char *latency(const struct placement_facts *f)
{
	return f->latency;
}

static const char *legacy(const struct placement_facts *f)
{
	return f->legacy ? "yes" : "no";
}

static const char *privileges(const struct placement_facts *f)
{
	return f->privileged ? "privileged" : "none";
}

/* Twice as many at the top as at the bottom is more than what a rollout adds. */
static const char *elasticity(const struct placement_facts *f)
{
	return f->replicas_max >= 2 * MAX(f->replicas_min, 1) ? "range" : "fixed";
}

static const char *footprint(const struct placement_facts *f)
{
	if (f->memory_bytes > 0 && f->memory_bytes < SMALL_BYTES)
		return "small";
	return f->memory_bytes >= LARGE_BYTES ? "large" : "medium";
}

static const char *state(const struct placement_facts *f)
{
	return f->durable ? "durable" : "none";
}

static const char *stability(const struct placement_facts *f)
{
	return f->restarts ? "restarts" : "calm";
}

const struct placement_criterion_class placement_criteria[PLACEMENT_CRITERIA] = {
	{"criticality", 40, criticality,
		{{"mission-critical", 10, 2,
			 "the organisation's survival depends on it, so isolation, security and "
			 "stability come first"},
			{"standard", 5, 5, "neither side is asked for"},
			{"best-effort", 2, 8,
				"nobody minds when it is away, so the lighter form "
				"will do"}}},
	{"load", 30, load,
		{{"steady", 5, 5, "neither side is asked for"},
			{"variable", 1, 10,
				"its load swings, and containers come and go within seconds"},
			{"scheduled", 2, 8,
				"its load comes at known times, and containers cost nothing "
				"between them"}}},
	{"dataSensitivity", 20, sensitivity,
		{{"public", 4, 7,
			 "its data may be seen by anyone, so a shared kernel does no "
			 "harm"},
			{"internal", 5, 5, "neither side is asked for"},
			{"confidential", 8, 3,
				"its data would do harm in the wrong hands, and a hypervisor is "
				"the "
				"stronger wall"},
			{"restricted", 10, 1,
				"its data must not leak at any price, and a hypervisor is the "
				"stronger wall"}}},
	{"legacy", 20, legacy,
		{{"yes", 10, 2,
			 "it expects a whole machine, and would have to be reworked for "
			 "containers"},
			{"no", 5, 6, "nothing in it has to be reworked for containers"}}},
	{"privileges", 25, privileges,
		{{"privileged", 10, 1,
			 "it wants powers over its kernel, which behind a hypervisor is its own"},
			{"none", 5, 5, "neither side is asked for"}}},
	{"elasticity", 15, elasticity,
		{{"range", 2, 9,
			 "the number of replicas follows the load, which containers do "
			 "quickly"},
			{"fixed", 5, 5, "neither side is asked for"}}},
	{"footprint", 10, footprint,
		{{"small", 3, 8, "a guest's own kernel would take more memory than it does"},
			{"medium", 5, 5, "neither side is asked for"},
			{"large", 7, 5,
				"beside its memory a guest's overhead is small, and the "
				"memory can be reserved"}}},
	{"state", 10, state,
		{{"durable", 7, 4, "its disks stay attached to it, wherever it is started again"},
			{"none", 5, 5, "neither side is asked for"}}},
	{"latencyClass", 10, latency,
		{{"low", 3, 8, "each request would pay for virtual network and disk devices"},
			{"normal", 5, 5, "neither side is asked for"},
			{"relaxed", 6, 5, "what virtual devices cost does not matter"}}},
	{"stability", 10, stability,
		{{"restarts", 7, 4,
			 "it ends by itself again and again: its faults are better "
			 "contained"},
			{"calm", 5, 5, "neither side is asked for"}}},
};
