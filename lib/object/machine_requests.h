/* machine_requests.h - what a virtual machine asks of its node: the scheduler places by it, and the
 * node counts by it. Pure. */
#pragma once

#include "lib/json/json.h"

/* What a machine takes besides its guest's memory: QEMU itself and its devices, page tables, and
 * the code cache where the processor is emulated. */
#define MACHINE_OVERHEAD_BYTES (INT64_C(96) << 20)
#define MACHINE_GUEST_DEFAULT_BYTES (INT64_C(256) << 20)

/* Of a VirtualMachineInstance's spec; each between 0 and 2^48.
 * CPU: what the machine asks for, or its vCPUs: whole ones when they are its own, else a tenth each
 * (KubeVirt's cpuAllocationRatio). */
int64_t machine_request_cpu_milli(const struct json *spec);
/* The guest's own memory. */
int64_t machine_guest_bytes(const struct json *spec);
/* The guest's and what is added; with huge pages the guest's comes out of these. */
int64_t machine_request_memory_bytes(const struct json *spec);

/* One of several. */
struct machine_request {
	const char *uid;
	int64_t cpu_milli, memory_bytes;
};
