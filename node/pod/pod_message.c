/* pod_message.c - see pod_message.h. */
#include "node/pod/pod_message.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/cri/cri_log.h"

/* The last bytes of a file; a negative errno when it can't be read or is none. */
static ssize_t read_end(const char *path, char *to, size_t room)
{
	_cleanup_(close_p) int fd =
		open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	ssize_t n = pread(fd, to, room, MAX(st.st_size - (off_t)room, 0));
	return n < 0 ? -errno : n;
}

char *pod_message_read(struct arena *a, const char *path, const char *log_path)
{
	char *text = arena_alloc(a, POD_MESSAGE_MAX_BYTES + 1);
	ssize_t n = read_end(path, text, POD_MESSAGE_MAX_BYTES);

	if (n < 0 && n != -ENOENT)
		return arena_printf(a, "Error on reading termination log %s: %s", path,
			n == -EINVAL || n == -ELOOP ? "not a regular file" : strerror((int)-n));
	if (n <= 0)
		n = log_path ? (ssize_t)cri_log_tail(
				       log_path, POD_MESSAGE_LOG_LINES, text, POD_MESSAGE_LOG_BYTES)
			     : 0;
	/* Any process in the container wrote this. */
	for (ssize_t i = 0; i < n; i++)
		text[i] = text[i] ? text[i] : '?';
	utf8_repair(text, (size_t)n);
	text[n] = '\0';
	return text;
}
