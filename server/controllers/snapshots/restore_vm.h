/* restore_vm.h - what a restore makes out of what a snapshot has written down. Pure. */
#pragma once

#include "server/controllers/snapshots/parts.h"

/* Name of the claim that a volume's disk is restored to: the override's; with volumeRestorePolicy
 * InPlace the old claim's; with PrefixTargetName TARGET-VOLUME; else restore-UID-VOLUME. In the
 * arena. */
const char *restore_claim_name(
	struct arena *a, const struct json *restore, const char *volume, const char *old_claim);
/* status.restores of all volumes but memory dumps: volumeName, persistentVolumeClaim,
 * volumeSnapshotName, and dataVolumeName for those of the machine's templates. */
struct json *restore_list(struct arena *a, const struct json *restore, const struct json *content);
/* The claim of one of these, without an owner. mode: DISK_MODE_ANNOTATION's value, NULL = default.
 */
struct json *restore_claim(struct arena *a, const struct json *restore, const struct json *content,
	const struct json *item, const char *mode);
/* The machine as it will be. target NULL = a new one, halted.
 *
 * A content may have been written by anybody in its namespace. asked: dataVolumeTemplates (an
 * array) whose writers were asked for their rights; another one that would take a disk out of
 * another namespace becomes a copy of the snapshot's, or is an error where the snapshot has none of
 * it. */
int restore_machine(struct arena *a, const struct json *restore, const struct json *content,
	const struct json *target, const struct json *asked, struct json **ret,
	struct err *err) _must_check_;
/* A DataVolume that finds its claim whole. */
struct json *restore_data_volume(
	struct arena *a, const struct json *restore, const struct json *template);
/* "NAME-UID": what annotation LAST_RESTORE_ANNOTATION says. */
const char *restore_mark(struct arena *a, const struct json *restore);
