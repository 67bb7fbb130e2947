/* signals.c - see signals.h. */
#include "node/pressure/signals.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* A small file of the kernel as text; false when it can't be read. */
static bool read_text(const char *root, const char *path, char *ret, size_t room)
{
	_cleanup_(free_p) char *full = xasprintf("%s%s", root, path);
	_cleanup_(close_p) int fd = open(full, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, room - 1);

	if (n < 0)
		return false;
	ret[n] = '\0';
	return true;
}

/* "NAME: 12 kB" or "NAME 12" at the beginning of a line; -1 = not there. */
static int64_t number_of(const char *text, const char *name)
{
	size_t size = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, size) == 0 && (line[size] == ':' || line[size] == ' '))
			return strtoll(line + size + 1, NULL, 10);
	}
	return -1;
}

int64_t host_memory_available(const char *root, int64_t *ret_capacity)
{
	char meminfo[8192], usage[64], stat[8192];

	if (!read_text(root, "/proc/meminfo", meminfo, sizeof(meminfo)))
		return -1;
	int64_t total = number_of(meminfo, "MemTotal") * 1024;
	int64_t available = number_of(meminfo, "MemFree") * 1024;
	int64_t inactive = number_of(meminfo, "Inactive(file)") * 1024;
	if (total <= 0 || available < 0)
		return -1;
	*ret_capacity = total;
	if (read_text(root, "/sys/fs/cgroup/memory/memory.usage_in_bytes", usage, sizeof(usage)) &&
		read_text(root, "/sys/fs/cgroup/memory/memory.stat", stat, sizeof(stat))) {
		available = total - strtoll(usage, NULL, 10);
		inactive = number_of(stat, "total_inactive_file");
	}
	return MIN(MAX(available + MAX(inactive, 0), 0), total);
}

static void read_memory(const char *root, struct signal_value *v)
{
	v->available = host_memory_available(root, &v->capacity);
	v->known = v->available >= 0;
}

static void read_processes(const char *root, struct signal_value *v)
{
	char text[128];
	int64_t most = INT64_MAX;
	static const char *const limits[] = {
		"/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"};

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		if (read_text(root, limits[i], text, sizeof(text)) && strtoll(text, NULL, 10) > 0)
			most = MIN(most, strtoll(text, NULL, 10));
	}
	/* "0.00 0.01 0.05 1/123 4567": the fourth is running/all. */
	if (most == INT64_MAX || !read_text(root, "/proc/loadavg", text, sizeof(text)) ||
		!strchr(text, '/'))
		return;
	v->capacity = most;
	v->available = MAX(most - strtoll(strchr(text, '/') + 1, NULL, 10), 0);
	v->known = true;
}

/* Of several file systems the one with the smaller part left counts. */
static void read_file_system(
	const char *directory, struct signal_value *bytes, struct signal_value *inodes)
{
	struct statvfs fs;

	if (!directory || statvfs(directory, &fs) < 0)
		return;
	struct signal_value b = {
		true, (int64_t)(fs.f_bavail * fs.f_frsize), (int64_t)(fs.f_blocks * fs.f_frsize)};
	struct signal_value i = {fs.f_files > 0, (int64_t)fs.f_favail, (int64_t)fs.f_files};
	if (!bytes->known || (double)b.available * (double)bytes->capacity <
				     (double)bytes->available * (double)b.capacity)
		*bytes = b;
	/* Some file systems (btrfs) have no fixed number of inodes. */
	if (i.known && (!inodes->known || (double)i.available * (double)inodes->capacity <
						  (double)inodes->available * (double)i.capacity))
		*inodes = i;
}

static bool same_device(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) < 0 || stat(b, &y) < 0 || x.st_dev == y.st_dev;
}

static void host_read(struct signal_source *s, struct signals *ret)
{
	struct host_signals *h = CONTAINER_OF(s, struct host_signals, source);
	struct signal_value *of = ret->of;

	*ret = (struct signals){0};
	read_memory(h->root, &of[SIGNAL_MEMORY_AVAILABLE]);
	read_processes(h->root, &of[SIGNAL_PID_AVAILABLE]);
	read_file_system(h->data_dir, &of[SIGNAL_NODEFS_AVAILABLE], &of[SIGNAL_NODEFS_INODES_FREE]);
	read_file_system(h->log_dir, &of[SIGNAL_NODEFS_AVAILABLE], &of[SIGNAL_NODEFS_INODES_FREE]);
	read_file_system(
		h->image_dir, &of[SIGNAL_IMAGEFS_AVAILABLE], &of[SIGNAL_IMAGEFS_INODES_FREE]);
	ret->image_fs_apart = h->image_dir && !same_device(h->image_dir, h->data_dir);
}

void host_signals_init(struct host_signals *h, const char *data_dir, const char *log_dir)
{
	*h = (struct host_signals){
		.source = {host_read},
		.data_dir = xstrdup(data_dir),
		.log_dir = xstrdup(log_dir),
		.root = "",
	};
}

void host_signals_finish(struct host_signals *h)
{
	free(h->data_dir);
	free(h->log_dir);
	free(h->image_dir);
}

void host_signals_images_at(struct host_signals *h, const char *directory)
{
	free(h->image_dir);
	h->image_dir = xstrdup(directory);
}
