#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "bench/common.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"

_noreturn_ void bench_die(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

void bench_must(int r, const struct err *err, const char *what)
{
	if (r < 0)
		bench_die("%s: %s", what, err->code ? err->msg : strerror(-r));
}

int64_t bench_now_ns(void)
{
	return (int64_t)uv_hrtime();
}

int64_t bench_cpu_ns(pid_t pid)
{
	clockid_t clock;
	struct timespec t;
	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
		return 0;
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

double bench_resident_mib(pid_t pid)
{
	char path[64];
	long pages = 0;
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static void on_late(uv_timer_t *timer)
{
	bench_die("%s did not come in time", (const char *)timer->data);
}

void bench_wait(uv_loop_t *loop, const bool *done, unsigned seconds, const char *what)
{
	/* Left behind closed but not freed when the loop is not run again: one a wait. */
	uv_timer_t *timer = xmalloc(sizeof(*timer));
	uv_timer_init(loop, timer);
	timer->data = (void *)(uintptr_t)what;
	uv_timer_start(timer, on_late, (uint64_t)seconds * 1000, 0);
	while (!*done)
		uv_run(loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)timer, (uv_close_cb)free);
}

char *bench_read_file(const char *path, size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		bench_die("%s: %s", path, strerror(errno));
	char *text = xmalloc((size_t)st.st_size + 1);
	ssize_t size = read(fd, text, (size_t)st.st_size);
	if (size < 0)
		bench_die("%s: %s", path, strerror(errno));
	text[size] = '\0';
	close(fd);
	if (ret_size)
		*ret_size = (size_t)size;
	return text;
}

size_t bench_pids(const char *text, pid_t *ret, size_t max)
{
	struct str rest = str_from(text), part;
	size_t count = 0;
	while (str_split(&rest, ',', &part)) {
		uint64_t pid;
		if (count == max || parse_u64(part, &pid) < 0)
			bench_die("PID[,PID...]: at most %zu, not '%s'", max, text);
		ret[count++] = (pid_t)pid;
	}
	return count;
}

unsigned bench_number(const char *text, const char *what)
{
	uint64_t n;
	if (parse_u64(str_from(text), &n) < 0 || n == 0 || n > 1000000)
		bench_die("%s: a number from 1 to 1000000, not '%s'", what, text);
	return (unsigned)n;
}

void bench_samples_add(struct bench_samples *s, double value)
{
	if (s->count == s->room) {
		s->room = s->room ? s->room * 2 : 1024;
		s->items = xrealloc(s->items, s->room * sizeof(*s->items));
	}
	s->items[s->count++] = value;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double bench_share(struct bench_samples *s, double share)
{
	if (s->count == 0)
		return 0;
	qsort(s->items, s->count, sizeof(*s->items), compare);
	size_t i = (size_t)(share * (double)s->count);
	return s->items[MIN(i, s->count - 1)];
}

void bench_samples_finish(struct bench_samples *s)
{
	free(s->items);
	*s = (struct bench_samples){0};
}
