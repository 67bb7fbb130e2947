/* disk_dir.h - a persistent disk of a virtual machine is a directory: that of a claim's volume, or
 * of a snapshot. In it is either
 *
 *   disk.img      always raw, whatever is in it: KubeVirt's convention; users and others make it
 * or
 *   disk.json     {"top":"UUID.qcow2","size":BYTES}: which of the layers beside it is the top one
 *   UUID.qcow2    layers, each on top of the one that its header names
 *
 * disk.json is written last, and by rename: a directory with neither has no whole disk, and nobody
 * uses what else is there (".new-..." is being made, or was). disk.json comes before disk.img.
 *
 * The top is the only layer that is written (0600). Those below are frozen (0444) and may be hard
 * links to files that other directories have too: one with st_nlink > 1 is never written, merged
 * into or renamed. So a directory goes as a whole, and the data with its last link.
 *
 * A layer's format is told by its name, never by its content, and its header is not trusted: a
 * backing file must be a plain name in the same directory, of a format that is said.
 *
 * All functions block for as long as a few small files take. */
#pragma once

#include "node/disk/qcow2_header.h"

#define DISK_LAYERS_MAX 64
#define DISK_IMAGE_NAME "disk.img"
#define DISK_RECORD_NAME "disk.json"
#define DISK_NEW_PREFIX ".new-"
/* Of the guest that goes on with this disk; used once. In a snapshot it stands among directories
 * that have volumes' names, which have no dot. */
#define DISK_MEMORY_NAME "guest.memory"

struct disk_layer {
	const char *path;   /* absolute */
	const char *name;   /* in the directory */
	const char *format; /* "raw" | "qcow2" */
	bool frozen;	    /* not to be written, nor given to another owner */
};

/* Strings are in the arena. */
struct disk_chain {
	struct disk_layer layers[DISK_LAYERS_MAX]; /* [0] = the top */
	size_t count;
	int64_t size_bytes; /* that the guest sees */
};

/* The disk in `dir`. -ENOENT: no whole disk is there; else the disk is not fit for use, and why. */
int disk_dir_read(
	struct arena *a, const char *dir, struct disk_chain *ret, struct err *err) _must_check_;
/* From this layer on downwards, whether it is shared or not; NULL = from the one that disk.json
 * names, as in the directory of a snapshot. */
int disk_dir_read_layer(struct arena *a, const char *dir, const char *layer, struct disk_chain *ret,
	struct err *err) _must_check_;
/* Makes `top` (a layer's name, all of whose layers are whole and in place) the disk, durably: files
 * are synced before. An older disk.json is replaced. */
int disk_dir_publish(
	const char *dir, const char *top, int64_t size_bytes, struct err *err) _must_check_;
/* Of a regular file with one name, itself: whoever sees the directory may have put a link to
 * another file in its place. */
int disk_dir_set_owner(const char *path, uint32_t owner, mode_t mode, struct err *err) _must_check_;
/* A name for a file that is being made, and for the layer that it becomes. */
void disk_dir_new_name(char ret_new[64], char ret_layer[64]);
/* Removes what an agent that was killed left half-made. Not while anything is being made there. */
void disk_dir_sweep(const char *dir);
/* The same, but for names that begin with `keep` (".new-UID"). */
void disk_dir_sweep_but(const char *dir, const char *keep);
/* Only names that begin with `prefix` (".new-UID"): whatever else is being made there. */
void disk_dir_sweep_of(const char *dir, const char *prefix);
/* Removes layers that nobody named: of a directory without a disk, where an agent was killed when
 * all but disk.json was there. */
void disk_dir_sweep_layers(const char *dir);
/* Of a layer's name: "qcow2", "raw"; NULL = it is none. */
const char *disk_layer_format(const char *name);
/* Whether a text is a layer's name: UUID.qcow2 or UUID.raw (the lowest, once a disk.img), lower
 * case. */
bool disk_layer_name_ok(const char *name);
