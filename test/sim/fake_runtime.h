/* fake_runtime.h - a container runtime in memory for simulations, on a virtual clock: it stands in
 * for lib/grpc itself, so everything above a channel is the real thing. A program that links it has
 * no other gRPC.
 *
 * What a container does is its args: ["exit", CODE, MS] ends by itself; ["stubborn"] ends only when
 * it is killed; anything else runs until it is asked to end. ExecSync answers with the code that
 * its second word is: ["exit", "1"]. */
#pragma once

#include "lib/base/clock.h"
#include "api/proto/cri.pb-c.h"

enum fake_answer {
	FAKE_RIGHT,
	FAKE_HANG,     /* no answer within the call's time limit */
	FAKE_FAIL,     /* an error, without effect */
	FAKE_NONSENSE, /* no metadata, unknown ids, everything twice, empty messages */
	FAKE_NOTHING,  /* empty lists; a sandbox without an address */
};

struct fake_runtime;
struct fake_runtime *fake_runtime_create(struct clock *clock);
void fake_runtime_destroy(struct fake_runtime *f);
/* Asked before each call. method: "RunPodSandbox"; pod: its name where the call is about one, else
 * "". NULL = always right. */
void fake_runtime_script(struct fake_runtime *f,
	enum fake_answer (*script)(void *user, const char *method, const char *pod), void *user);
/* How many there are that were ever made, and that run now, of a pod. */
unsigned fake_runtime_sandboxes(struct fake_runtime *f, const char *pod, bool ready_only);
unsigned fake_runtime_containers(struct fake_runtime *f, const char *pod, bool running_only);
/* The host was switched off: everything that ran has ended, with 255. */
void fake_runtime_crash(struct fake_runtime *f);
