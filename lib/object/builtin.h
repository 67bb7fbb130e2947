/* builtin.h - data that api/ compiles into the binary. */
#pragma once

#include <stddef.h>

extern const unsigned char builtin_kinds[]; /* the bundle of api/kinds, JSON */
extern const size_t builtin_kinds_size;
extern const unsigned char builtin_client_kinds[]; /* a smaller one for clients, api/kindc.c */
extern const size_t builtin_client_kinds_size;
