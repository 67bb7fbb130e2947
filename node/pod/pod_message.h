/* pod_message.h - what a container says of its end (terminationMessagePath and -Policy). */
#pragma once

#include "lib/base/str.h"

/* Upstream's limits: of the file the last 4 KiB, of the log 80 lines of together 2 KiB; all
 * containers of a pod share 12 KiB of its status. */
enum {
	POD_MESSAGE_MAX_BYTES = 4096,
	POD_MESSAGE_LOG_BYTES = 2048,
	POD_MESSAGE_LOG_LINES = 80,
	POD_MESSAGES_MAX_BYTES = 12288,
};

/* The file's end; of a file that is empty, if log_path is not NULL, the end of the log. Valid UTF-8
 * without NUL bytes, in the arena; "" when there is nothing. What the container may have put in the
 * file's place (a link, a pipe) is not followed, which is told. */
char *pod_message_read(struct arena *a, const char *path, const char *log_path);
