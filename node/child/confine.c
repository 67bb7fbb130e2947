#include "node/child/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "lib/base/str.h"

enum { NOT_CONFINED = 126, NOT_STARTED = 127 };

static int failed(const char *what, const char *of)
{
	fprintf(stderr, "hanok confine: %s '%s': %s\n", what, of, strerror(errno));
	return NOT_CONFINED;
}

static int enter_network(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		return failed("enter network", path);
	close(fd);
	return 0;
}

/* Files differ for this program alone. */
static int own_mounts(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return failed("own mounts below", "/");
	return 0;
}

static int put_file(const char *source, const char *target)
{
	if (access(source, F_OK) < 0)
		return failed("find", source);
	if (mount(source, target, NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
		return failed("put a file in the place of", target);
	return 0;
}

int confine_main(int argc, char **argv)
{
	bool mounts = false, network = false;
	int r = 0, i = 1;

	while (r == 0 && i < argc && !streq(argv[i], "--")) {
		if (streq(argv[i], "--network") && i + 1 < argc) {
			r = enter_network(argv[i + 1]);
			network = true;
			i += 2;
		} else if (streq(argv[i], "--file") && i + 2 < argc) {
			r = mounts ? 0 : own_mounts();
			mounts = true;
			if (r == 0)
				r = put_file(argv[i + 1], argv[i + 2]);
			i += 3;
		} else {
			break;
		}
	}
	if (r)
		return r;
	if (!network || i + 1 >= argc || !streq(argv[i], "--")) {
		fprintf(stderr,
			"usage: hanok confine --network NAMESPACE [--file SOURCE TARGET]... -- "
			"PROGRAM [ARGUMENT]...\n\nPart of `hanok node`, which starts programs by "
			"it.\n");
		return 2;
	}
	execvp(argv[i + 1], argv + i + 1);
	fprintf(stderr, "hanok confine: start '%s': %s\n", argv[i + 1], strerror(errno));
	return NOT_STARTED;
}
