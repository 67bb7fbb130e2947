/* policy_state.h - the inside of a policy_map, which two files share:
 *
 *   policy_map.c    what is known: pods, namespaces, policies, who is isolated by what
 *   policy_sets.c   what that is in the kernel: sets of peers and ports, and the rules of one
 * policy
 */
#pragma once

#include "lib/base/table.h"
#include "node/net/policy/policy_map.h"

#define GROUP_MAX 8
#define OWN_MAX 4

/* What a transaction is made of, in the order in which the kernel takes it: nothing is used before
 * it is there, or gone before its last use. */
enum phase {
	SETS_NEW,
	ELEMENTS_OUT,
	ELEMENTS_IN,
	CHAINS_NEW,
	RULES,
	ISOLATE_OUT,
	ISOLATE_IN,
	CHAINS_GONE,
	SETS_GONE,
	LAST,
	PHASE_COUNT,
};

/* In the kernel, for as long as rules look into it. */
struct set {
	char *key; /* in m->sets */
	unsigned refs;
	uint8_t kind;
	uint32_t id[2]; /* IPv4, IPv6; of PORTS the first alone */
	struct arena arena;
	struct policy_group group;	/* PEERS, NAMED: pods that are in it */
	struct policy_port_name port;	/* NAMED */
	const struct policy_rule *rule; /* RANGES, PORTS: a copy of these parts */
};

struct compiled {
	uint32_t chain; /* 0: no pod here is selected by it */
	unsigned refs;	/* chains of pods that jump to it */
	bool stale;	/* the policy is another one since */
	VEC(struct set *) sets;
};

struct known_policy {
	struct policy *policy;
	uint32_t serial; /* keeps lists of policies in one order */
	struct compiled in[2];
};

struct namespace
{
	char *name;
	bool known; /* its labels are */
	struct arena arena;
	const struct object_label *labels;
	size_t label_count;
	VEC(struct known_policy *) policies;
};

/* Of all pods that the same policies select. */
struct pod_chain {
	char *key; /* in m->chains */
	uint32_t id;
	unsigned refs; /* addresses */
	enum policy_direction direction;
	VEC(struct known_policy *) policies;
};

struct pod {
	struct arena arena;
	struct policy_pod is;
};

struct address {
	struct net_address is;
	VEC(struct pod *) pods; /* who says to have it; newest last */
	struct pod_chain *chains[2];
	bool local; /* in m->local */
};

struct policy_map {
	bool bridge;
	struct policy_range group[GROUP_MAX];
	size_t group_count;
	struct net_address own[OWN_MAX];
	size_t own_count;
	struct table namespaces, pods, addresses, policies, sets, chains;
	VEC(struct set *) dynamic; /* PEERS and NAMED */
	VEC(struct address *) local;
	size_t isolated[2]; /* addresses by family, in either direction */
	uint32_t last_id, last_serial;
	bool v6;      /* sets of IPv6 are kept too: an isolated pod has such an address */
	bool there;   /* the kernel has tables */
	bool rebuild; /* this change can't be said as a difference */
	bool held;    /* nobody is isolated before policy_map_release */
	netd_policy_ops phases[PHASE_COUNT];
};

static inline void policy_say(struct policy_map *m, enum phase p, struct netd_policy_op op)
{
	VEC_PUSH(&m->phases[p], op);
}

static inline uint32_t policy_family(int f)
{
	return f ? AF_INET6 : AF_INET;
}

/* `n` is what is known of the namespace `ns`; NULL = nothing. */
bool policy_namespace_matches(
	const struct policy_group *g, const char *ns, const struct namespace *n);
/* `p` may be NULL. */
bool policy_is_peer(const struct policy_map *m, const struct policy_group *g, const struct pod *p);
/* Of several that say to have the address; NULL = nobody. */
struct pod *policy_owner(const struct address *a);

/* The elements that `now` has in the set at this address, and `was` had not. */
void policy_say_elements(struct policy_map *m, enum phase phase, const struct set *s,
	const struct net_address *address, const struct pod *now, const struct pod *was);
/* The set itself, with all that is in it. */
void policy_say_set(struct policy_map *m, const struct set *s);
void policy_say_chain(struct policy_map *m, enum phase phase, uint8_t type, uint32_t id);
void policy_set_free(struct set *s);

/* The policy's chain in this direction, with its rules and sets, for one more that jumps to it, or
 * for one less. */
void policy_compile(struct policy_map *m, struct known_policy *k, enum policy_direction d);
void policy_compiled_drop(struct policy_map *m, struct known_policy *k, enum policy_direction d);
/* A chain that is in use, with its rules, as to a kernel that has neither. */
void policy_say_compiled(struct policy_map *m, struct known_policy *k, enum policy_direction d);
/* The policy changed while pods stayed with it. */
void policy_compile_again(struct policy_map *m, struct known_policy *k, enum policy_direction d);
