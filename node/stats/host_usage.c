/* host_usage.c - the host's own figures, out of /proc. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "node/stats/usage.h"

/* The number behind NAME at the start of a line, with or without a colon; 0 when it is not there.
 */
static uint64_t number_of(const char *text, const char *name)
{
	size_t size = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, size) == 0 && strchr(": \t", line[size]) && line[size])
			return strtoull(line + size + 1, NULL, 10);
	}
	return 0;
}

/* user nice system idle iowait irq softirq steal; guests' time is in user's already. */
static uint64_t busy_ticks(const char *stat)
{
	uint64_t v[8] = {0};

	if (sscanf(stat,
		    "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		    " %" SCNu64 " %" SCNu64,
		    &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) < 4)
		return 0;
	return v[0] + v[1] + v[2] + v[5] + v[6];
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

void host_usage_parse(const char *stat, const char *meminfo, const char *vmstat,
	int64_t ticks_per_s, struct host_usage *ret)
{
	uint64_t total = number_of(meminfo, "MemTotal") * 1024;

	ret->cpu_ns = busy_ticks(stat) * (uint64_t)(NS_PER_S / MAX(ticks_per_s, 1));
	ret->booted_ns = (int64_t)number_of(stat, "btime") * NS_PER_S;
	ret->memory_bytes = total;
	ret->usage_bytes = less(total, number_of(meminfo, "MemFree") * 1024);
	ret->working_set_bytes =
		less(ret->usage_bytes, number_of(meminfo, "Inactive(file)") * 1024);
	ret->available_bytes = less(total, ret->working_set_bytes);
	ret->swap_bytes = number_of(meminfo, "SwapTotal") * 1024;
	ret->swap_used_bytes = less(ret->swap_bytes, number_of(meminfo, "SwapFree") * 1024);
	ret->resident_bytes = number_of(meminfo, "AnonPages") * 1024;
	ret->page_faults = number_of(vmstat, "pgfault");
	ret->major_page_faults = number_of(vmstat, "pgmajfault");
}

static char *read_proc(struct arena *a, const char *path)
{
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	for (ssize_t n = 1; fd >= 0 && n > 0;) {
		buf_reserve(&b, 16384);
		n = read(fd, b.data + b.size, 16384);
		if (n > 0)
			b.size += (size_t)n;
	}
	return arena_memdup(a, b.size ? b.data : "", b.size);
}

void host_usage_read(const char *data_dir, int64_t wall_ns, struct host_usage *ret)
{
	struct arena a = ARENA_INIT;
	struct statvfs fs;

	*ret = (struct host_usage){.time_ns = wall_ns};
	host_usage_parse(read_proc(&a, "/proc/stat"), read_proc(&a, "/proc/meminfo"),
		read_proc(&a, "/proc/vmstat"), sysconf(_SC_CLK_TCK), ret);
	if (statvfs(data_dir, &fs) == 0)
		ret->data = (struct file_system_usage){
			.capacity_bytes = fs.f_blocks * fs.f_frsize,
			.available_bytes = fs.f_bavail * fs.f_frsize,
			.used_bytes = (fs.f_blocks - fs.f_bfree) * fs.f_frsize,
			.inodes = fs.f_files,
			.inodes_free = fs.f_ffree,
		};
	arena_finish(&a);
}
