#include "server/data_dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "lib/base/log.h"

int data_dir_lock(const char *directory, int *ret_fd, struct err *err)
{
	if (mkdir(directory, 0700) < 0 && errno != EEXIST)
		return err_errno(err, -errno, "create data directory '%s'", directory);
	_cleanup_(free_p) char *path = xasprintf("%s/lock", directory);
	_cleanup_(close_p) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, -errno, "open '%s'", path);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		char pid[24];
		int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
		if (ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)n, 0) != n)
			log_debug("process id not noted", "path", path, NULL);
		*ret_fd = fd;
		fd = -1;
		return 0;
	}
	char owner[24] = "";
	ssize_t n = pread(fd, owner, sizeof(owner) - 1, 0);
	owner[n > 0 ? strcspn(owner, "\n") : 0] = '\0';
	return err_set(err, -EBUSY,
		"data directory '%s' is in use by another hanok server%s%s: stop that one first, "
		"or give this one its own --data",
		directory, *owner ? ", process " : "", owner);
}
