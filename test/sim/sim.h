/* sim.h - one simulated cluster: a fake API server, nodes, the control loops and the scheduler, all
 * on one virtual clock, driven by one seed. */
#pragma once

/* cmocka.h needs these first */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/controllers/controllers.h"
#include "server/scheduler/scheduler.h"
#include "test/sim/fake_node.h"

struct sim {
	struct sim_clock clock;
	struct random random;
	struct kind_registry *kinds;
	struct fake_api *api;
	struct fake_nodes *nodes;
	struct client *controllers_client, *scheduler_client;
	struct controllers *controllers;
	struct scheduler *scheduler;
	uint64_t seed;
};

/* list: as controllers_create has it. The namespace "default" exists. */
void sim_begin(struct sim *s, uint64_t seed, const char *list, bool with_scheduler);
void sim_end(struct sim *s);
/* Loses, repeats, delays, reorders and refuses from now on; or stops doing so. */
void sim_faults(struct sim *s, bool on);
void sim_run_ms(struct sim *s, int64_t ms);
/* Runs until the condition holds; fails the test with its name and the seed after max_ms. */
typedef bool sim_condition(struct sim *s);
void sim_until_named(struct sim *s, sim_condition *condition, const char *name, int64_t max_ms);
#define sim_until(s, condition, max_ms) sim_until_named(s, condition, #condition, max_ms)
/* The condition holds at every step of this time. */
void sim_holds_named(struct sim *s, sim_condition *condition, const char *name, int64_t ms);
#define sim_holds(s, condition, ms) sim_holds_named(s, condition, #condition, ms)
/* Runs a test for several seeds. */
#define SIM_SEEDS 6
#define sim_for_seeds(seed) for (uint64_t seed = 1; seed <= SIM_SEEDS; seed++)

/* Reading the store. */
size_t sim_count(struct sim *s, const char *kind);
struct json *sim_doc(
	struct sim *s, struct arena *a, const char *kind, const char *name); /* in "default" */
int64_t sim_int(
	struct sim *s, const char *kind, const char *name, const char *path, int64_t fallback);
bool sim_text_is(
	struct sim *s, const char *kind, const char *name, const char *path, const char *text);
bool sim_condition_is(struct sim *s, const char *kind, const char *name, const char *type,
	const char *status, const char *reason /* NULL = any */);
