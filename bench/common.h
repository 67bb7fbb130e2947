/* common.h - what the measuring programs share. They print one figure a line, "SIDE VALUE" (SIDE:
 * hanok or peer), for bench/lib.sh to sum up; whatever fails ends the program with a message. */
#pragma once

#include <uv.h>

#include "lib/base/err.h"
#include "lib/http/stream.h"

_noreturn_ void bench_die(const char *fmt, ...) _printf_(1, 2);
/* Ends the program unless r is 0 or more. */
void bench_must(int r, const struct err *err, const char *what);

int64_t bench_now_ns(void); /* monotonic */
/* CPU time that a process has used so far, all threads; 0 when it is gone. */
int64_t bench_cpu_ns(pid_t pid);
double bench_resident_mib(pid_t pid); /* 0 when it is gone */

/* Runs the loop until *done is set or seconds are over, which ends the program: `what` never came.
 */
void bench_wait(uv_loop_t *loop, const bool *done, unsigned seconds, const char *what);

/* Whole file, malloc'd and NUL-terminated. */
char *bench_read_file(const char *path, size_t *ret_size);
/* "PID[,PID...]": how many, at most max. */
size_t bench_pids(const char *text, pid_t *ret, size_t max);
/* Positive number or the program ends. */
unsigned bench_number(const char *text, const char *what);

/* Durations, to ask for shares of: p99 is bench_share(s, 0.99). */
struct bench_samples {
	double *items;
	size_t count, room;
};
void bench_samples_add(struct bench_samples *s, double value);
double bench_share(struct bench_samples *s, double share); /* sorts; 0 when empty */
void bench_samples_finish(struct bench_samples *s);
