/* local_removal.h - takes directories of released volumes away so that nobody who changes his mind
 * in time loses data: what is being removed is first put aside, then the PersistentVolume is
 * deleted, but only as it was seen, and only when the server has done that, the files go.
 *
 *   DIR/NAME --rename--> DIR/.removing-NAME --volume deleted--> files removed
 *                          | the volume has changed meanwhile (it is to be kept, for one)
 *                          v
 *                        DIR/NAME again
 *
 * What an agent that was killed left put aside is taken up by the next scan. */
#pragma once

#include "lib/client/informer.h"
#include "node/node.h"

struct local_removals;
/* again: something did not work, or is to be looked at anew. */
struct local_removals *local_removals_create(struct node *n, const char *directory,
	struct informer *volumes, void (*again)(void *user), void *user);
void local_removals_destroy(struct local_removals *l); /* NULL allowed */
/* `volume` as it is is to go. Nothing happens when that is under way. */
void local_removals_begin(struct local_removals *l, const struct object *volume);
/* A directory that never had a volume, and never will: it goes behind what file work of its path
 * has yet to end. */
void local_removals_drop(struct local_removals *l, const char *name);
/* Looks through the directory: goes on with what was put aside, removes what was half made for
 * claims that are gone, and tells of directories that have had no volume for an hour; those stay.
 */
void local_removals_scan(struct local_removals *l);
