/* process_metrics.c - process_*, as every program with Prometheus metrics has them. */
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "node/metrics/metrics.h"

static double boot_seconds(void)
{
	struct timespec wall, boot;

	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return (double)(wall.tv_sec - boot.tv_sec) + (double)(wall.tv_nsec - boot.tv_nsec) / 1e9;
}

static size_t open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t count = 0;

	for (struct dirent *e; d && (e = readdir(d));)
		count += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return count ? count - 1 : 0; /* without the directory's own */
}

static void one(struct buf *out, const char *name, const char *type, const char *help, double v)
{
	metric_head(out, name, type, help);
	buf_printf(out, "%s ", name);
	metric_number(out, v);
	buf_add_char(out, '\n');
}

void metric_write_process(struct buf *out)
{
	char text[1024];
	FILE *f = fopen("/proc/self/stat", "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	unsigned long long user = 0, system = 0, started = 0, virtual = 0;
	long long resident = 0;
	struct rlimit limit = {0};

	if (f)
		fclose(f);
	text[n] = '\0';
	/* Fields from the third on; the second may hold anything but ends with the last ')'. */
	const char *rest = strrchr(text, ')');
	if (rest)
		sscanf(rest + 1,
			" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d "
			"%*d "
			"%*d %llu %llu %lld",
			&user, &system, &started, &virtual, &resident);
	double ticks = (double)sysconf(_SC_CLK_TCK);
	getrlimit(RLIMIT_NOFILE, &limit);
	one(out, "process_cpu_seconds_total", "counter", "CPU time used, in seconds",
		(double)(user + system) / ticks);
	one(out, "process_max_fds", "gauge", "Most files that may be open", (double)limit.rlim_cur);
	one(out, "process_open_fds", "gauge", "Files that are open", (double)open_files());
	one(out, "process_resident_memory_bytes", "gauge", "Resident memory",
		(double)resident * (double)sysconf(_SC_PAGESIZE));
	one(out, "process_start_time_seconds", "gauge", "When it was started",
		boot_seconds() + (double)started / ticks);
	one(out, "process_virtual_memory_bytes", "gauge", "Virtual memory", (double)virtual);
}
