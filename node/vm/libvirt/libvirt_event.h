/* libvirt_event.h - what libvirtd tells of its domains without being asked: the events that the
 * agent subscribes to, unpacked. Numbers of events and details are libvirt's
 * (https://libvirt.org/html/libvirt-libvirt-domain.html, virDomainEventID). */
#pragma once

#include "node/vm/libvirt/libvirt_proto.h"

enum libvirt_event_id {
	LIBVIRT_EVENT_ID_LIFECYCLE = 0,
	LIBVIRT_EVENT_ID_REBOOT = 1,
	LIBVIRT_EVENT_ID_WATCHDOG = 3,
	LIBVIRT_EVENT_ID_IO_ERROR_REASON = 6,
	LIBVIRT_EVENT_ID_CONTROL_ERROR = 7,
	LIBVIRT_EVENT_ID_BALLOON_CHANGE = 13,
	LIBVIRT_EVENT_ID_DEVICE_REMOVED = 15,
	LIBVIRT_EVENT_ID_BLOCK_JOB_2 = 16,
	LIBVIRT_EVENT_ID_TUNABLE = 17,
	LIBVIRT_EVENT_ID_AGENT_LIFECYCLE = 18,
	LIBVIRT_EVENT_ID_DEVICE_ADDED = 19,
	LIBVIRT_EVENT_ID_DEVICE_REMOVAL_FAILED = 22,
	LIBVIRT_EVENT_ID_METADATA_CHANGE = 23,
	LIBVIRT_EVENT_ID_BLOCK_THRESHOLD = 24,
};

/* Details of the lifecycle's events that callers name. */
enum { LIBVIRT_DEFINED_ADDED, LIBVIRT_DEFINED_UPDATED, LIBVIRT_DEFINED_RENAMED };
enum { LIBVIRT_UNDEFINED_REMOVED, LIBVIRT_UNDEFINED_RENAMED };
enum { LIBVIRT_STARTED_BOOTED = 0, LIBVIRT_STARTED_RESTORED = 2 };
enum {
	LIBVIRT_SUSPENDED_PAUSED = 0,
	LIBVIRT_SUSPENDED_IOERROR = 2,
	LIBVIRT_SUSPENDED_WATCHDOG = 3,
	LIBVIRT_SUSPENDED_RESTORED = 4,
};
enum {
	LIBVIRT_STOPPED_SHUTDOWN = 0,
	LIBVIRT_STOPPED_DESTROYED = 1,
	LIBVIRT_STOPPED_CRASHED = 2,
	LIBVIRT_STOPPED_SAVED = 4,
	LIBVIRT_STOPPED_FAILED = 5,
};
enum { LIBVIRT_CRASHED_PANICKED = 0 };
/* Actions of the watchdog, and of an I/O error. */
enum {
	LIBVIRT_WATCHDOG_NONE,
	LIBVIRT_WATCHDOG_PAUSE,
	LIBVIRT_WATCHDOG_RESET,
	LIBVIRT_WATCHDOG_POWEROFF,
	LIBVIRT_WATCHDOG_SHUTDOWN,
	LIBVIRT_WATCHDOG_DEBUG,
	LIBVIRT_WATCHDOG_INJECTNMI,
};
enum { LIBVIRT_IO_ERROR_NONE, LIBVIRT_IO_ERROR_PAUSE, LIBVIRT_IO_ERROR_REPORT };
/* States of the guest agent's channel. */
enum { LIBVIRT_AGENT_CONNECTED = 1, LIBVIRT_AGENT_DISCONNECTED = 2 };

struct libvirt_event {
	enum libvirt_event_id id;
	struct libvirt_domain domain;
	/* Lifecycle: enum libvirt_lifecycle. Watchdog, I/O error: the action. Agent: its state.
	 * Block job: its type. Metadata: which. */
	int what;
	int detail;	  /* lifecycle: as above; agent: the reason; block job: its status */
	uint64_t bytes;	  /* balloon: the guest's memory now; block threshold: the threshold */
	char device[128]; /* alias of a device; target of a block job or threshold; "" = none */
	char path[512];	  /* I/O error: the disk's file; metadata: the namespace */
	char reason[64];  /* I/O error: "enospc", or "" */
};

/* Which events are subscribed to; the first must be had, others a libvirt may not know. */
extern const enum libvirt_event_id libvirt_event_ids[];
extern const size_t libvirt_event_id_count;

/* False: no event, or none that is known, or it can't be read. */
bool libvirt_event_read(int32_t proc, struct xdr_reader payload, struct libvirt_event *ret);
