/* binder.h - the two halves of the PersistentVolume binder: claims look for volumes
 * (binder_claims.c), volumes look after their claims (binder_volumes.c). Each step is one write and
 * may be the last one before a crash; the other half, or the next turn, goes on from there. */
#pragma once

#include "server/controllers/controller.h"
#include "server/controllers/storage/volume_match.h"

#define BINDER_RESYNC_MS 15000

struct binder {
	struct client *client;
	struct loop *claims_loop, *volumes_loop;
	struct informer *claims, *volumes, *classes, *nodes;
};

void binder_reconcile_claim(struct sync *s);
void binder_reconcile_volume(struct sync *s);
void binder_tell(struct binder *b, const struct object *about, const char *type, const char *reason,
	const char *fmt, ...) _printf_(5, 6);
