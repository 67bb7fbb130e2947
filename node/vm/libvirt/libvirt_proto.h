/* libvirt_proto.h - libvirt's RPC on the wire, the part the agent speaks: packing and unpacking, no
 * I/O.
 *
 * A packet is a 32-bit length (of everything, itself included), a header of six 32-bit words, and a
 * payload in XDR (RFC 4506): big-endian, every item padded to four bytes. Described at
 * https://libvirt.org/kbase/internals/rpc.html; procedure numbers and layouts are those of program
 * 0x20008086 version 1, which only ever grows (see docs/decisions/0002-libvirt-rpc.md).
 *
 * All input comes from another process: readers check every size and go "bad" instead of running
 * over. */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/err.h"

#define LIBVIRT_PROGRAM 0x20008086u
#define LIBVIRT_QEMU_PROGRAM 0x20008087u /* what only the QEMU driver has */
#define LIBVIRT_KEEPALIVE_PROGRAM 0x6b656570u
#define LIBVIRT_PACKET_MIN_BYTES 28u /* length word and header */
#define LIBVIRT_PACKET_MAX_BYTES                                                                   \
	((4u << 20) + 4096) /* a text has 4 MiB at most; libvirt allows 32 */
#define LIBVIRT_UUID_BYTES 16

/* Procedures. */
enum libvirt_proc {
	LIBVIRT_CONNECT_OPEN = 1,
	LIBVIRT_CONNECT_CLOSE = 2,
	LIBVIRT_CONNECT_GET_CAPABILITIES = 7,
	LIBVIRT_DOMAIN_GET_XML_DESC = 14,
	LIBVIRT_DOMAIN_GET_INFO = 16,
	LIBVIRT_DOMAIN_LOOKUP_BY_UUID = 24,
	LIBVIRT_DOMAIN_REBOOT = 27,
	LIBVIRT_DOMAIN_RESUME = 28,
	LIBVIRT_DOMAIN_SUSPEND = 34,
	LIBVIRT_AUTH_LIST = 66,
	LIBVIRT_DOMAIN_IS_PERSISTENT = 151,
	LIBVIRT_CONNECT_GET_LIB_VERSION = 157,
	LIBVIRT_DOMAIN_ATTACH_DEVICE_FLAGS = 160,
	LIBVIRT_DOMAIN_DETACH_DEVICE_FLAGS = 161,
	LIBVIRT_DOMAIN_GET_JOB_INFO = 163,
	LIBVIRT_DOMAIN_ABORT_JOB = 164,
	LIBVIRT_DOMAIN_UPDATE_DEVICE_FLAGS = 174,
	LIBVIRT_DOMAIN_MANAGED_SAVE = 182,
	LIBVIRT_DOMAIN_HAS_MANAGED_SAVE_IMAGE = 183,
	LIBVIRT_DOMAIN_MANAGED_SAVE_REMOVE = 184,
	LIBVIRT_DOMAIN_SNAPSHOT_CREATE_XML = 185,
	LIBVIRT_DOMAIN_CREATE_WITH_FLAGS = 196,
	LIBVIRT_DOMAIN_SET_VCPUS_FLAGS = 199,
	LIBVIRT_DOMAIN_OPEN_CONSOLE = 201,
	LIBVIRT_DOMAIN_SET_MEMORY_FLAGS = 204,
	LIBVIRT_DOMAIN_SCREENSHOT = 211,
	LIBVIRT_DOMAIN_GET_STATE = 212,
	LIBVIRT_DOMAIN_UNDEFINE_FLAGS = 231,
	LIBVIRT_DOMAIN_RESTORE_FLAGS = 233,
	LIBVIRT_DOMAIN_DESTROY_FLAGS = 234,
	LIBVIRT_DOMAIN_GET_BLOCK_JOB_INFO = 238,
	LIBVIRT_DOMAIN_RESET = 245,
	LIBVIRT_DOMAIN_BLOCK_RESIZE = 251,
	LIBVIRT_DOMAIN_SHUTDOWN_FLAGS = 258,
	LIBVIRT_DOMAIN_GET_DISK_ERRORS = 263,
	LIBVIRT_CONNECT_LIST_ALL_DOMAINS = 273,
	LIBVIRT_DOMAIN_BLOCK_COMMIT = 290,
	LIBVIRT_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY = 316,
	LIBVIRT_DOMAIN_EVENT_CALLBACK_LIFECYCLE = 318,
	LIBVIRT_DOMAIN_EVENT_CALLBACK_REBOOT = 319,
	LIBVIRT_DOMAIN_EVENT_CALLBACK_WATCHDOG = 321,
	LIBVIRT_DOMAIN_EVENT_CALLBACK_IO_ERROR_REASON = 324,
	LIBVIRT_DOMAIN_EVENT_CALLBACK_CONTROL_ERROR = 325,
	LIBVIRT_DOMAIN_EVENT_CALLBACK_BALLOON_CHANGE = 331,
	LIBVIRT_DOMAIN_EVENT_CALLBACK_DEVICE_REMOVED = 333,
	LIBVIRT_DOMAIN_EVENT_BLOCK_JOB_2 = 339,
	LIBVIRT_DOMAIN_CORE_DUMP_WITH_FORMAT = 334,
	LIBVIRT_CONNECT_GET_DOMAIN_CAPABILITIES = 342,
	LIBVIRT_CONNECT_GET_ALL_DOMAIN_STATS = 344,
	LIBVIRT_DOMAIN_EVENT_CALLBACK_TUNABLE = 346,
	LIBVIRT_DOMAIN_EVENT_CALLBACK_AGENT_LIFECYCLE = 348,
	LIBVIRT_DOMAIN_DEFINE_XML_FLAGS = 350,
	LIBVIRT_DOMAIN_EVENT_CALLBACK_DEVICE_ADDED = 354,
	LIBVIRT_DOMAIN_EVENT_CALLBACK_DEVICE_REMOVAL_FAILED = 367,
	LIBVIRT_DOMAIN_EVENT_CALLBACK_METADATA_CHANGE = 379,
	LIBVIRT_DOMAIN_EVENT_BLOCK_THRESHOLD = 385,
	LIBVIRT_DOMAIN_MANAGED_SAVE_GET_XML_DESC = 388,
	/* Of LIBVIRT_QEMU_PROGRAM: its own number above this bit. */
	LIBVIRT_OF_QEMU = 1 << 16,
	LIBVIRT_QEMU_DOMAIN_MONITOR_COMMAND = LIBVIRT_OF_QEMU | 1,
	LIBVIRT_QEMU_DOMAIN_AGENT_COMMAND = LIBVIRT_OF_QEMU | 3,
};

enum libvirt_packet_type {
	LIBVIRT_CALL = 0,
	LIBVIRT_REPLY = 1,
	LIBVIRT_MESSAGE = 2, /* events, keepalive */
	LIBVIRT_STREAM = 3,
};

enum libvirt_packet_status { LIBVIRT_OK = 0, LIBVIRT_ERROR = 1, LIBVIRT_CONTINUE = 2 };

/* Values that callers name. From libvirt's public headers. */
enum {
	LIBVIRT_ERR_OPERATION_FAILED = 9,
	LIBVIRT_ERR_NO_DOMAIN = 42,
	LIBVIRT_ERR_OPERATION_INVALID = 55,
	LIBVIRT_ERR_AGENT_UNRESPONSIVE = 86, /* not connected, or no answer in time */
	LIBVIRT_ERR_AGENT_UNSYNCED = 91,
	LIBVIRT_ERR_AGENT_COMMAND_TIMEOUT = 103,
};
enum libvirt_lifecycle {
	LIBVIRT_EVENT_DEFINED,
	LIBVIRT_EVENT_UNDEFINED,
	LIBVIRT_EVENT_STARTED,
	LIBVIRT_EVENT_SUSPENDED,
	LIBVIRT_EVENT_RESUMED,
	LIBVIRT_EVENT_STOPPED,
	LIBVIRT_EVENT_SHUTDOWN,
	LIBVIRT_EVENT_PMSUSPENDED,
	LIBVIRT_EVENT_CRASHED,
};
enum libvirt_domain_state {
	LIBVIRT_STATE_NONE,
	LIBVIRT_STATE_RUNNING,
	LIBVIRT_STATE_BLOCKED,
	LIBVIRT_STATE_PAUSED,
	LIBVIRT_STATE_SHUTDOWN, /* the guest is on its way down */
	LIBVIRT_STATE_SHUTOFF,
	LIBVIRT_STATE_CRASHED,
	LIBVIRT_STATE_PMSUSPENDED,
};
enum libvirt_shutoff_reason {
	LIBVIRT_SHUTOFF_UNKNOWN, /* also: defined and never started */
	LIBVIRT_SHUTOFF_SHUTDOWN,
	LIBVIRT_SHUTOFF_DESTROYED,
	LIBVIRT_SHUTOFF_CRASHED,
	LIBVIRT_SHUTOFF_MIGRATED,
	LIBVIRT_SHUTOFF_SAVED,
	LIBVIRT_SHUTOFF_FAILED,
	LIBVIRT_SHUTOFF_FROM_SNAPSHOT,
	LIBVIRT_SHUTOFF_DAEMON, /* libvirtd decided that it is gone */
};
enum libvirt_paused_reason {
	LIBVIRT_PAUSED_UNKNOWN,
	LIBVIRT_PAUSED_USER,
	LIBVIRT_PAUSED_MIGRATION,
	LIBVIRT_PAUSED_SAVE,
	LIBVIRT_PAUSED_DUMP,
	LIBVIRT_PAUSED_IOERROR,
	LIBVIRT_PAUSED_WATCHDOG,
	LIBVIRT_PAUSED_FROM_SNAPSHOT,
	LIBVIRT_PAUSED_SHUTTING_DOWN,
	LIBVIRT_PAUSED_SNAPSHOT,
	LIBVIRT_PAUSED_CRASHED,
};
enum { LIBVIRT_DESTROY_GRACEFUL = 1, LIBVIRT_CONSOLE_FORCE = 1 };
/* Of shutdown and reboot. */
enum { LIBVIRT_SHUTDOWN_ACPI = 1, LIBVIRT_SHUTDOWN_AGENT = 2 };
enum { LIBVIRT_BLOCK_COMMIT_RELATIVE = 8 }; /* of virDomainBlockCommit */
/* Of a snapshot that is made. */
enum {
	LIBVIRT_SNAPSHOT_NO_METADATA = 4,
	LIBVIRT_SNAPSHOT_DISK_ONLY = 16,
	LIBVIRT_SNAPSHOT_REUSE_EXT = 32,
	LIBVIRT_SNAPSHOT_ATOMIC = 128,
	LIBVIRT_SNAPSHOT_LIVE = 256,
};
enum { LIBVIRT_DISK_ERROR_UNSPEC = 1, LIBVIRT_DISK_ERROR_NO_SPACE = 2 };
/* Managed save, snapshot and checkpoint metadata: nothing of a deleted VMI may stay. NVRAM stays
 * where it is, in a directory of ours, and so does the memory of a TPM that is persistent. */
enum { LIBVIRT_UNDEFINE_ALL = 1 | 2 | 8 | 16 };
enum { LIBVIRT_CREATE_PAUSED = 1 };
enum { LIBVIRT_RESTORE_PAUSED = 4 };
/* Of the XML of a domain: with secrets; as it will be started; without what only this libvirt says.
 */
enum { LIBVIRT_XML_SECURE = 1, LIBVIRT_XML_INACTIVE = 2, LIBVIRT_XML_MIGRATABLE = 8 };
/* What a change is for; FORCE: a CD-ROM's tray opens although the guest locked it. */
enum { LIBVIRT_AFFECT_LIVE = 1, LIBVIRT_DEVICE_FORCE = 4 };
/* The command is one for people, and so is its answer. */
enum { LIBVIRT_QEMU_MONITOR_HUMAN = 1 };
/* Of virDomainJobType: nothing that lasts (a save, a dump, a snapshot of memory) is under way. */
enum { LIBVIRT_JOB_NONE = 0 };

struct libvirt_header {
	uint32_t program, version;
	int32_t procedure;
	uint32_t type, serial, status;
};

struct libvirt_domain {
	char name[384]; /* cut when longer; the UUID is what identifies */
	uint8_t uuid[LIBVIRT_UUID_BYTES];
	int32_t id; /* -1 when not running */
};

struct libvirt_error {
	int32_t code; /* virErrorNumber */
	char message[768];
};

/* Packing: begin writes a length to be filled in by end. */
void libvirt_packet_begin(struct buf *out, const struct libvirt_header *h);
void libvirt_packet_end(struct buf *out, size_t start /* out->size before begin */);
void xdr_put_u32(struct buf *out, uint32_t v);
void xdr_put_u64(struct buf *out, uint64_t v);
void xdr_put_string(struct buf *out, const char *s);
void xdr_put_optional_string(struct buf *out, const char *s); /* NULL = absent */
void xdr_put_domain(struct buf *out, const struct libvirt_domain *d);

/* Unpacking. After a failure `bad` stays true and everything reads as zero. */
struct xdr_reader {
	const uint8_t *p;
	size_t left;
	bool bad;
};
struct xdr_reader xdr_reader_of(const void *p, size_t size);
uint32_t xdr_get_u32(struct xdr_reader *r);
uint64_t xdr_get_u64(struct xdr_reader *r);
/* A view into the packet; not NUL-terminated. */
const char *xdr_get_string(struct xdr_reader *r, size_t *ret_size);
bool xdr_get_optional(struct xdr_reader *r); /* the presence word of a pointer */
/* A string with its NUL and as valid UTF-8, cut to the room. */
void xdr_get_text(struct xdr_reader *r, char *ret, size_t room);
void xdr_get_domain(struct xdr_reader *r, struct libvirt_domain *ret);
void xdr_get_error(struct xdr_reader *r, struct libvirt_error *ret);

/* Looks at the start of received bytes: 0 = more are needed, > 0 = size of the first packet with
 * its header in *ret and payload in *ret_payload, -EBADMSG = not this protocol. */
ssize_t libvirt_packet_parse(const void *p, size_t size, struct libvirt_header *ret,
	struct xdr_reader *ret_payload, struct err *err) _must_check_;

/* "c4a5...-...": 36 characters. -EINVAL when it isn't a UUID. */
int libvirt_uuid_parse(const char *text, uint8_t ret[LIBVIRT_UUID_BYTES]) _must_check_;
void libvirt_uuid_format(const uint8_t uuid[LIBVIRT_UUID_BYTES], char ret[37]);
