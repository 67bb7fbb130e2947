/* event_memory.h - what a client said lately by client_event, so that a repeated event raises a
 * count instead of making a new object. Inside lib/client only. */
#pragma once

struct event_memory;
void event_memory_destroy(struct event_memory *m); /* NULL allowed */
