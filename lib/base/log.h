/* log.h - logs to stderr, one line an event: logfmt by default, JSON by log_set_json(true).
 *
 *     log_info("pod started", "pod", name, "node", node, NULL);
 *
 * Arguments after the message are key, value pairs of C strings, ended by NULL; a NULL value is
 * written as "". Secrets never go into a log. Line: time=... level=info msg="..." k=v.
 * One write(2) a line, so lines of several threads do not mix. */
#pragma once

#include "lib/base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level level); /* default LOG_INFO */
void log_set_json(bool json);
int log_level_parse(const char *s, enum log_level *ret) _must_check_; /* debug info warn error */
void log_event(enum log_level level, const char *msg, ...) __attribute__((sentinel));

#define log_debug(...) log_event(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_event(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_event(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_event(LOG_ERROR, __VA_ARGS__)

const char *log_i64(char room[24], int64_t n); /* formats into room and returns it */
