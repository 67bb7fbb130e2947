/* job_ttl.h - when a finished job goes by itself. Pure. */
#pragma once

#include "lib/json/json.h"

int64_t job_expires_ns(const struct json *job); /* wall; INT64_MAX = never */
