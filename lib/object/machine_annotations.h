/* machine_annotations.h - what a VirtualMachineInstance says by annotations of hanok's own, where
 * KubeVirt's fields have no word for it: the server refuses what is malformed, the node does the
 * rest. Pure. */
#pragma once

#include "lib/json/json.h"

/* What follows a guest's panic. */
#define MACHINE_ON_CRASH_ANNOTATION "hanok.io/on-crash"
/* How much of its memory may be swapped out: a quantity of at most 64Ti. */
#define MACHINE_SWAP_ANNOTATION "hanok.io/swap-limit"
/* Limits of a disk's requests; behind it the disk's name. "iops=500,read-bytes=10Mi" */
#define MACHINE_IO_LIMITS_ANNOTATION "io-limits.hanok.io/"

/* A second; 0 = no limit, else up to 2^50. */
struct machine_io_limits {
	int64_t bytes, read_bytes, write_bytes;
	int64_t iops, read_iops, write_iops;
};

/* -EINVAL with what is wrong of the value and what may be there; not which annotation it is. */
int machine_on_crash_read(const char *text, struct err *err) _must_check_;
int machine_swap_read(const struct json *value, int64_t *ret_bytes, struct err *err) _must_check_;
int machine_io_limits_read(
	const char *text, struct machine_io_limits *ret, struct err *err) _must_check_;
