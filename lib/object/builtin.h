/* builtin.h - data that api/ compiles into the binary. */
#pragma once

#include <stddef.h>

extern const unsigned char builtin_kinds[]; /* the bundle of api/kinds, JSON */
extern const size_t builtin_kinds_size;
