/* protobuf_table.h - the message table that api/wirec.c makes of api/proto/kubernetes.txt. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum proto_type {
	PROTO_STRING,
	PROTO_BYTES,
	PROTO_INT, /* int32, int64 */
	PROTO_BOOL,
	PROTO_DOUBLE,
	PROTO_MESSAGE,
};

enum proto_flags {
	PROTO_REPEATED = 1,
	PROTO_MAP = 2,	  /* type is of the values */
	PROTO_INLINE = 4, /* members belong to the outer message */
	PROTO_KEEP = 8,	  /* zero is a value */
};

/* Messages whose JSON form is no object. */
enum proto_form {
	PROTO_PLAIN,
	PROTO_TIME,
	PROTO_MICRO_TIME,
	PROTO_DURATION,
	PROTO_QUANTITY,
	PROTO_INT_OR_STRING,
	PROTO_RAW,  /* bytes of JSON */
	PROTO_LIST, /* the only field, a list */
};

struct proto_field {
	uint16_t number;
	uint16_t name;	  /* offset in proto_names */
	uint16_t message; /* of PROTO_MESSAGE */
	uint8_t type, flags;
};

struct proto_message {
	uint16_t first, count; /* in proto_fields, sorted by number */
	uint8_t form;
};

struct proto_root {
	uint16_t api_version, kind; /* offsets in proto_names */
	uint16_t message;
};

extern const char proto_names[];
extern const struct proto_field proto_fields[];
extern const struct proto_message proto_messages[];
extern const struct proto_root proto_roots[];
extern const size_t proto_root_count;
