/* waiters.h - machines that wait for objects of other kinds: "whoever asked for KEY is looked at
 * again when KEY changes". An entry lives until that; whoever still waits then is entered anew. */
#pragma once

#include "lib/base/table.h"
#include "server/controllers/loop.h"

struct waiters {
	struct loop *loop;
	struct table keys; /* -> struct waiting */
};

void waiters_finish(struct waiters *w);
void waiters_add(struct waiters *w, const char *key, const struct object *who);
void waiters_wake(struct waiters *w, const char *key);
