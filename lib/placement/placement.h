/* placement.h - where an application belongs: on a hypervisor or in containers. A pure function
 * from what the application says about itself, used by the control loop, by `hanok explain
 * placement` and by `hanok advise`.
 *
 * Hard constraints come first: a side that cannot run the application is out, whatever else speaks
 * for it. Between the sides that are left decides a table of weighted rules (placement_rules.c):
 * each criterion gives either side 0 to 10 points; points times weight are added up; the larger
 * sum wins, and the container when they are equal, for it is the lighter one. docs/placement.md is
 * the manual. */
#pragma once

#include "lib/json/json.h"

enum placement_isolation { PLACEMENT_NEITHER, PLACEMENT_VIRTUAL_MACHINE, PLACEMENT_CONTAINER };
const char *placement_isolation_name(enum placement_isolation i);	  /* "VirtualMachine"; "" */
enum placement_isolation placement_isolation_from_name(const char *name); /* NULL allowed */
static inline enum placement_isolation placement_other(enum placement_isolation i)
{
	return i == PLACEMENT_CONTAINER ? PLACEMENT_VIRTUAL_MACHINE : PLACEMENT_CONTAINER;
}

/* What is known of an application. Texts are never NULL but where it says so. */
struct placement_facts {
	const char *criticality; /* mission-critical | standard | best-effort */
	const char *load;	 /* steady | variable | scheduled */
	const char *isolation;	 /* strict | shared */
	const char *sensitivity; /* public | internal | confidential | restricted */
	const char *os;		 /* linux, windows, ... */
	const char *latency;	 /* relaxed | normal | low */
	bool legacy, own_kernel;
	const char *modules; /* kernel modules that it loads, "a, b"; NULL = none */
	bool has_image, has_disk;
	/* Things that only one side can have ("volume 'settings' is a configMap"); NULL = none. */
	const char *container_only, *machine_only;
	/* Contradictions that the document shows beside those that follow from the above. */
	const char *odd;
	bool privileged;		    /* a container with powers over its kernel */
	bool durable;			    /* has disks of its own that outlive it */
	bool restarts;			    /* ends by itself again and again */
	int64_t replicas;		    /* without a range */
	int64_t replicas_min, replicas_max; /* 0, 0 = no range */
	int64_t memory_bytes;		    /* wanted by one replica; 0 = unknown */
};
/* Of an Application's spec (defaults are filled in where they are absent). Made in the arena. */
struct placement_facts placement_facts_of_application(struct arena *a, const struct json *spec);
/* The profile that annotations hanok.io/criticality, hanok.io/load, ... tell, over the defaults.
 * Values that are none count as absent: *ret_bad (NULL allowed) names them, or is NULL. */
struct placement_facts placement_facts_of_annotations(
	struct arena *a, const struct json *annotations, const char **ret_bad);

#define PLACEMENT_CRITERIA 10

/* Weights by criterion. */
#define PLACEMENT_WEIGHT_MAX 1000
struct placement_weights {
	int64_t of[PLACEMENT_CRITERIA];
};
struct placement_weights placement_default_weights(void);
/* From the data of the ConfigMap kube-system/hanok-placement: criterion -> whole number. What is
 * wrong is told in *ret_problems, a JSON array of texts (NULL = nothing is), and leaves the
 * default. data NULL = the defaults. */
struct placement_weights placement_weights_of_config(
	struct arena *a, const struct json *data, struct json **ret_problems);

struct placement_criterion {
	const char *name, *value; /* "criticality", "mission-critical" */
	int64_t weight;
	int machine, container; /* points, 0 to 10 */
	const char *reason;
};

struct placement_constraint {
	const char *name; /* "no bootable disk" */
	enum placement_isolation excludes;
	const char *reason;
};
#define PLACEMENT_CONSTRAINTS_MAX 8

struct placement_decision {
	enum placement_isolation isolation; /* PLACEMENT_NEITHER: the constraints leave none */
	enum placement_isolation preferred; /* by the scores alone */
	int64_t machine_score, container_score;
	struct placement_criterion criteria[PLACEMENT_CRITERIA];
	struct placement_constraint constraints[PLACEMENT_CONSTRAINTS_MAX];
	size_t constraint_count;
	struct json *reasons;	     /* texts "NAME VALUE: why", the weightiest first */
	struct json *contradictions; /* texts; empty = none */
};
/* Texts and lists are in the arena, or live as long as the facts. */
struct placement_decision placement_decide(struct arena *a, const struct placement_facts *facts,
	const struct placement_weights *weights);
/* The constraint that excludes this side; NULL when it may be. */
const struct placement_constraint *placement_excluded(
	const struct placement_decision *d, enum placement_isolation side);
/* As an Application's status.decision, without `time`. */
struct json *placement_decision_doc(struct arena *a, const struct placement_decision *d);
/* The table of a status.decision for people. */
void placement_print(struct buf *out, const struct json *decision);
/* What stands before the colon of the first reason: "criticality mission-critical". */
const char *placement_short_reason(struct arena *a, const struct json *decision);

/* The table's columns, for the documentation's check and for placement_decide. */
struct placement_rule {
	const char *value;
	int machine, container;
	const char *reason;
};
struct placement_criterion_class {
	const char *name;
	int64_t weight;					       /* unless overridden */
	const char *(*value)(const struct placement_facts *f); /* one of the rules' */
	struct placement_rule rules[5];			       /* ends with value NULL */
};
extern const struct placement_criterion_class placement_criteria[PLACEMENT_CRITERIA];
