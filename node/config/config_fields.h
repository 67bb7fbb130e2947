/* config_fields.h - KubeletConfiguration's fields as data: reading and /configz both go by it. */
#pragma once

#include <stddef.h>

#include "node/node_config.h"

enum field_type {
	FIELD_BOOL,
	FIELD_INT,
	FIELD_NUMBER,	/* whole number into a double */
	FIELD_STRING,	/* any; `choices` may limit it */
	FIELD_LIST,	/* of strings */
	FIELD_DURATION, /* "5m0s" into ms */
	FIELD_BYTES,	/* quantity */
	FIELD_IPS,	/* list of addresses */
	FIELD_SYSCTLS,	/* list of patterns (sysctls.h) */
	/* These know their place in struct node_config themselves. */
	FIELD_MODE, /* authorization.mode into always_allow */
	FIELD_EVICTION_HARD,
	FIELD_EVICTION_SOFT,
	FIELD_EVICTION_GRACE,
	FIELD_EVICTION_RECLAIM,
	FIELD_RESERVED,
	FIELD_TAINTS,
	FIELD_LABELS,
	FIELD_SHUTDOWN_STEPS,
};

struct field {
	const char *path; /* dotted */
	enum field_type type;
	bool zero_is_default; /* 0, "0s" or "" mean what is there already, as Kubernetes has it */
	size_t offset;	      /* in struct node_config */
	int64_t min, max;     /* of numbers; of durations in ms; of bytes */
	const char *choices;  /* "a|b" */
};

extern const struct field config_fields[];
extern const size_t config_field_count;

/* Paths of Kubernetes' that are accepted and not used; a path stands for all below it. NULL at the
 * end. */
extern const char *const config_unused[];

extern const char *const config_signal_names[SIGNAL_COUNT];
