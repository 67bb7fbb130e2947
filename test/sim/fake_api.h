/* fake_api.h - an API server in memory for simulations: the same documents, revisions, conflicts
 * and watches as the real one, on a virtual clock, with faults that a seed decides.
 *
 * It decodes, checks, defaults and prunes with lib/object, so what a control loop writes must be
 * valid. It knows what loops rely on: status and spec are kept apart, generation, finalizers,
 * graceful deletion of pods, propagation policies, namespaces that are going away, pods/binding. */
#pragma once

#include "lib/base/random.h"
#include "lib/client/client.h"

struct sim_clock {
	struct clock clock;
	int64_t now_ns;	  /* monotonic */
	int64_t epoch_ns; /* wall = epoch + now */
};
void sim_clock_init(struct sim_clock *c);

/* In percent. An event that is lost is followed, some time later, by the end of that watch with
 * 410, as a server does that has forgotten it. */
struct fake_faults {
	unsigned refuse;      /* requests: 500 or unreachable, without effect */
	unsigned lose_answer; /* requests: done, but the answer never comes (code 0) */
	unsigned lose_event;
	unsigned repeat_event;
	unsigned late_event;   /* overtaken by others */
	unsigned break_watch;  /* per event: the stream ends after it */
	unsigned delay_max_ms; /* of everything; 0 = 1 */
};

struct fake_api;
struct fake_api *fake_api_create(
	const struct kind_registry *kinds, struct clock *clock, struct random *random);
void fake_api_destroy(struct fake_api *f); /* after its clients */
void fake_api_set_faults(struct fake_api *f, const struct fake_faults *faults);
struct client *fake_api_client(struct fake_api *f, const char *user_agent);

/* Straight to the store, without faults: what users and nodes do in a test. */
uint64_t fake_api_revision(const struct fake_api *f);
size_t fake_api_write_count(const struct fake_api *f);
struct object *fake_api_get(struct fake_api *f, const char *kind, const char *ns, const char *name);
size_t fake_api_list(struct fake_api *f, const char *kind, const char *ns, struct arena *a,
	struct object ***ret); /* by name; ns NULL = all */
/* Creates from JSON text in which ' stands for "; defaults are filled in, status is kept. Fails the
 * test when it is refused. */
struct object *fake_api_create_text(struct fake_api *f, const char *text, ...) _printf_(2, 3);
/* Merge patch of everything, status too. */
void fake_api_patch_text(struct fake_api *f, const char *kind, const char *ns, const char *name,
	const char *patch, ...) _printf_(5, 6);
void fake_api_delete(struct fake_api *f, const char *kind, const char *ns, const char *name,
	int grace_s /* < 0 = default */, const char *policy);
/* Called after each change, with the state before and after: invariants that must hold at all
 * times. */
void fake_api_on_change(struct fake_api *f,
	void (*changed)(void *user, const struct object *old, const struct object *new),
	void *user);
