/* data_volume_plan.h - what the DataVolume loop decides: the claim that a DataVolume wants, its
 * phase while there is nothing to fill, and what is noted on the claim. Pure.
 *
 * (Containerized Data Importer, cdi.kubevirt.io/v1beta1: phases, conditions, annotations and events
 * are CDI's.) */
#pragma once

#include "lib/json/json.h"
#include "lib/object/object.h"

#include "lib/base/err.h"

#define DV_PREPOPULATED "cdi.kubevirt.io/storage.prePopulated"
#define DV_SELECTED_NODE "volume.kubernetes.io/selected-node"

struct dv_state {
	const char *phase;
	const char *bound_status, *bound_reason, *bound_message;
	const char *event_type, *event, *message; /* event NULL = none; of entering the phase */
};

/* Succeeded or Failed. */
bool data_volume_is_over(const struct json *doc);
/* The claim shall be bound before anything runs with it. */
bool data_volume_binds_at_once(const struct json *doc);
/* The claim to be made. -EINVAL: what is wrong with spec. */
int data_volume_claim(struct arena *a, const struct object *dv, const struct json *doc,
	struct json **ret, struct err *err) _must_check_;

/* What spec.storage leaves open is as the first of a StorageProfile's claimPropertySets has it that
 * agrees with what it says. sets NULL = nobody knows. */
void data_volume_fit(struct arena *a, struct json *doc, const struct json *sets);

/* The namespace that spec.source.pvc or snapshot names; home = its own. */
const char *data_volume_source_namespace(const struct json *doc, const char *home);
/* The claim that spec.source.pvc names, in the DataVolume's namespace; NULL = another source. */
const char *data_volume_source_claim(const struct json *doc);
/* Makes `claim` (to be made) a copy of what spec.source.pvc or snapshot names; `source` is the
 * claim of the former. 0 also for other sources. -EINVAL: what is wrong with spec. */
int data_volume_clone(struct arena *a, const struct object *dv, const struct json *doc,
	const struct json *source, struct json *claim, struct err *err) _must_check_;
/* The claim comes from somebody else, whole (a restore): none is made. */
bool data_volume_is_prepopulated(const struct json *doc);
/* A whole claim of this DataVolume that nobody controls: it becomes the DataVolume's. */
bool data_volume_may_adopt(const struct json *doc, const struct json *claim);

/* The DataVolume for a claim that asks for an upload itself, and that nobody fills or has filled;
 * NULL = it does not. */
struct json *data_volume_for_upload(
	struct arena *a, const struct object *claim, const struct json *doc);
/* It was made so, for this claim. */
bool data_volume_is_of_claim(const struct json *doc, const struct object *claim);

void data_volume_no_claim(struct dv_state *ret);
/* A claim of the name that is not the DataVolume's. */
void data_volume_foreign_claim(
	struct arena *a, const struct json *doc, const struct json *claim, struct dv_state *ret);
/* waits: the claim's class binds when the first consumer comes. False: the phase is somebody else's
 * business now. */
bool data_volume_with_claim(struct arena *a, const struct json *doc, const struct json *claim,
	bool waits, struct dv_state *ret);

/* The members of status that follow from `state`. */
struct json *data_volume_status(
	struct arena *a, const struct json *doc, const struct dv_state *state, int64_t now_ns);
/* Adds annotations of the claim that are not as they should be; false = all are. */
bool data_volume_claim_notes(
	struct arena *a, const struct json *doc, const struct json *claim, struct json *patch);
