/* json_bench.h - what json_bench.c and its peer share. The peer's headers clash with ours. */
#pragma once

#include <stddef.h>

/* Best MB/s of `step`, which handles `size` bytes of text a call. */
double bench_measure(void (*step)(void *user), void *user, size_t size);
/* Measures json-c on the text and prints a line. */
void bench_json_c(const char *text, size_t size);
