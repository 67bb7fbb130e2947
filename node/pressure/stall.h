/* stall.h - the kernel tells when processes wait for memory (pressure stall information,
 * Documentation/accounting/psi.rst), whatever the version of control groups: a reason to look at
 * once and not at the next tick. */
#pragma once

#include <uv.h>

struct stall;
/* NULL where the kernel has no such thing (no CONFIG_PSI, or psi=0), or does not let us. */
struct stall *stall_create(uv_loop_t *loop, void (*stalled)(void *user), void *user);
void stall_destroy(struct stall *s); /* NULL allowed */
