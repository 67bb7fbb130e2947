/* quantity.h - resource.Quantity: "100m", "1.5Gi", "2e3". Kept exact in nano units. */
#pragma once

#include "lib/json/json.h"

struct quantity {
	__int128 nano; /* value times 1e9 */
};

int quantity_parse(const char *text, struct quantity *ret) _must_check_; /* -EINVAL, -ERANGE */
int64_t quantity_value(struct quantity q);	 /* rounded up to units, clamped to int64 */
int64_t quantity_milli_value(struct quantity q); /* rounded up to 1/1000, clamped */
/* Shorthand: JSON string or number at the path; fallback when absent or bad. */
int64_t quantity_json_milli(const struct json *v, int64_t fallback);
int64_t quantity_json_value(const struct json *v, int64_t fallback);
/* Canonical text as Kubernetes writes it, in the suffix family of the input ("1536Mi" stays
 * binary). */
char *quantity_canonical(struct arena *a, const char *text); /* NULL when bad */
/* Canonical text of a computed amount, in the decimal ("1500m", "2k") or binary ("3Gi") family. */
char *quantity_text(struct arena *a, struct quantity q, bool binary);
bool quantity_is_binary(const char *text); /* "1Gi"; false when bad */
char *quantity_format_bytes(
	struct arena *a, int64_t bytes); /* "16384Ki" style as node status has it */
