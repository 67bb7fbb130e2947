/* old_process.h - processes that an earlier agent left: known by a number in a file, which may be
 * anybody's by now. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Sends the signal if that process is called `program` (the last part of argv[0]) and its command
 * line has `word`; false when it is another one, or none. What is looked at is what is signalled,
 * even if the number is given anew meanwhile. */
bool old_process_signal(pid_t pid, const char *program, const char *word, int sig);
