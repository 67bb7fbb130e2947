/* layers.h - what is done to the layers of a disk (disk_dir.h) besides writing the top one:
 *
 *	freeze	the top becomes one more frozen layer, an empty one goes on top of it
 *	link	all frozen layers from one on downwards get into another directory: a snapshot, or a
 *		clone with a top of its own
 *	merge	what only this disk has becomes one layer again, once its snapshots are gone
 *	tidy	files that no step has finished, or nobody refers to any more, go
 *
 * Nothing keeps books on who uses a layer: a link in the other directory does. Each operation may
 *end at any step, by a kill or a power failure, and leaves a whole disk that shows what it showed;
 * disk.json, or the rename of a directory, is the step that makes it true. What is left over goes
 *with the next tidy.
 *
 * Everything here blocks for a few small files and their fsync. The directories may be seen by
 *pods, whose processes are somebody else's: no link is followed, and what is linked is the file
 *that was looked at. */
#pragma once

#include "node/disk/disk_dir.h"

/* Makes a new, empty layer above the disk's top, which no disk.json names yet. ret_name: its name.
 */
int layers_add(const char *dir, char ret_name[64], struct err *err) _must_check_;
/* `top` (a layer made by layers_add) is the disk's top from now on, what is below is frozen.
 * Whoever writes the disk must write `top` before anything is linked. Again is harmless. */
int layers_switch(const char *dir, const char *top, struct err *err) _must_check_;
/* Both at once, for a disk that nobody writes. A disk whose top is empty is left as it is, and
 * ret_frozen names the layer below. */
int layers_freeze(const char *dir, char ret_frozen[64], struct err *err) _must_check_;

/* Makes the directory `to` (its parent is there, it is not) with links to `layer` and all below it,
 * whole or not at all. with_top: and an empty one above, to be written; size_bytes: of that disk,
 * 0 = as it was. -EXDEV: another file system, on which nothing can be linked; -EMLINK. */
int layers_link(const char *from, const char *layer, const char *to, bool with_top,
	int64_t size_bytes, struct err *err) _must_check_;

/* A clone (with_top), and a link to the file `memory` beside it, called DISK_MEMORY_NAME: what a
 * guest had in memory when its disk was `layer`. No such file: without it. */
int layers_link_memory(const char *from, const char *layer, const char *to, int64_t size_bytes,
	const char *memory, struct err *err) _must_check_;
/* A guest's memory is loaded by libvirt and QEMU as it is: only what this agent had saved may be,
 * not a file of that name which somebody put into a directory before it was a disk's. What was
 * saved says so in an attribute of the file (trusted.*), which containers can't set; links have it,
 * too. No such file: nothing is done. -EOPNOTSUPP: the file system keeps no attributes. */
int layers_memory_mark(const char *path, struct err *err) _must_check_;
bool layers_memory_marked(const char *path);
/* Nothing has been written to the top since it was put on the layers below. */
bool layers_untouched(const struct disk_chain *chain);

/* How many layers from the top on are in no other directory, the top included. 0 = the disk is not
 * there. */
size_t layers_own(const struct disk_chain *chain);
/* Removes what is left over from before: not while the directory is worked on. Layers of `chain`
 * stay, frozen ones get their mode. */
void layers_tidy(const char *dir, const struct disk_chain *chain);

/* Whether there is something for it to remove: layers that are not in the chain. What was merged
 * while nobody was there to say so leaves such. */
bool layers_untidy(const char *dir, const struct disk_chain *chain);

/* For tests: called between any two steps, may not return. NULL in a program. */
extern void (*layers_step)(const char *what);
