#include "node/disk/lend.h"

#include <fcntl.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "node/child/child.h"

#define MODE_TOP 0600
#define MODE_FROZEN 0444

bool disk_is_lent(const struct stat *st)
{
	return st->st_uid >= CHILD_USERS_FIRST && st->st_uid < CHILD_USERS_FIRST + CHILD_USERS;
}

static int open_layer(const char *path, struct stat *st, struct err *err)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return err_errno(err, -errno, "open '%s'", path);
	if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode)) {
		close(fd);
		return err_set(err, -EINVAL, "'%s' is not a regular file", path);
	}
	return fd;
}

int disk_lend(const struct disk_chain *chain, uid_t user, bool write, struct err *err)
{
	bool own = true;

	for (size_t i = 0; i < chain->count; i++) {
		const struct disk_layer *l = &chain->layers[i];
		struct stat st;
		_cleanup_(close_p) int fd = open_layer(l->path, &st, err);

		if (fd < 0)
			return fd;
		own = own && st.st_nlink == 1;
		if (st.st_mode & S_IROTH && !(write && own))
			continue;
		if (!own)
			return err_set(err, -EACCES,
				"'%s' has other names, and is not for everybody to read", l->path);
		if (fchown(fd, user, user) < 0 || fchmod(fd, l->frozen ? 0644 : MODE_TOP) < 0)
			return err_errno(err, -errno, "change owner of '%s'", l->path);
	}
	return 0;
}

void disk_take_back(const struct disk_chain *chain)
{
	for (size_t i = 0; i < chain->count; i++) {
		const struct disk_layer *l = &chain->layers[i];
		struct stat st;
		_cleanup_(close_p) int fd = open_layer(l->path, &st, NULL);

		/* Killed in between it is still seen to be lent. */
		if (fd >= 0 && disk_is_lent(&st) &&
			(fchmod(fd, l->frozen ? MODE_FROZEN : MODE_TOP) < 0 ||
				fchown(fd, 0, 0) < 0))
			log_warn(
				"a layer of a disk stays with another user", "path", l->path, NULL);
	}
}

void disk_take_back_in(const char *dir)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct disk_chain chain;

	if (disk_dir_read(&a, dir, &chain, NULL) == 0)
		disk_take_back(&chain);
}
