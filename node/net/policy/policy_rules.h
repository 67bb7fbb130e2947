/* policy_rules.h - a NetworkPolicy (networking.k8s.io/v1) read into what can be compiled: ranges of
 * addresses without their exceptions, ports joined, selectors parsed. Pure.
 *
 * A rule allows. One that can't be had (too large, or not understood) is left out, so that nothing
 * is allowed by mistake, and `problem` says so. */
#pragma once

#include "lib/json/json.h"
#include "lib/object/selector.h"
#include "node/net/policy/policy_ops.h"

/* Of one rule, after joining what overlaps or touches. */
#define POLICY_RANGES_MAX 10000
#define POLICY_PORTS_MAX 1000
#define POLICY_NAMES_MAX 100
#define POLICY_SELECTORS_MAX 250
/* Of one policy: rules as written, and peers times ports, which the kernel goes through. */
#define POLICY_RULES_MAX 1000
#define POLICY_STEPS_MAX 4000

struct policy_range {
	struct net_address first, last; /* of one family */
};

struct policy_port_range {
	uint8_t proto;
	uint16_t first, last;
};

/* A named port: of a rule, or of a pod with its number. */
struct policy_port_name {
	const char *name;
	uint8_t proto;
	uint16_t port;
};

/* Pods by labels. */
struct policy_group {
	const char *ns;	     /* of this namespace; NULL: see below */
	bool all_namespaces; /* else those with these labels */
	struct selector namespaces;
	struct selector pods;
	bool local; /* only pods of this node are wanted */
};

struct policy_rule {
	bool any_peer;
	struct policy_group *groups;
	size_t group_count;
	struct policy_range *ranges; /* ascending, apart; IPv4 first */
	size_t range_count, range4_count;
	bool any_port;
	struct policy_port_range *ports; /* ascending, apart */
	size_t port_count;
	struct policy_port_name *names; /* port 0 */
	size_t name_count;
};

struct policy {
	struct arena arena;
	const char *ns, *name;
	struct selector pods;
	bool isolates[2]; /* by enum policy_direction */
	struct policy_rule *rules[2];
	size_t rule_count[2];
	const char *problem; /* the first; NULL = none */
	unsigned problem_count;
};

/* doc: the object. Never fails: see above. */
struct policy *policy_create(const struct json *doc);
void policy_destroy(struct policy *p); /* NULL allowed */

/* 0: not a protocol that policies know. NULL is TCP. */
uint8_t policy_protocol(const char *name);
