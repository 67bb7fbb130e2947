/* cgroup_usage.c - see cgroup_usage.h. */
#include "node/stats/cgroup_usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"

#define WALK_MIN_NS (10 * NS_PER_S)
enum { DEPTH_MAX = 8, PATH_ROOM = 1024, ID_SIZE = 64, TEXT_ROOM = 8192 };

/* ---- texts ---- */

/* The number behind `name` at the beginning of a line. */
static uint64_t number_of(const char *text, const char *name)
{
	size_t size = strlen(name);

	for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		if (strncmp(p, name, size) == 0 && p[size] == ' ')
			return strtoull(p + size + 1, NULL, 10);
	}
	return 0;
}

void cgroup_parse_memory_v1(const char *t, struct cgroup_usage *ret)
{
	ret->cache_bytes = number_of(t, "total_cache");
	ret->resident_bytes = number_of(t, "total_rss");
	ret->mapped_bytes = number_of(t, "total_mapped_file");
	ret->swap_bytes = number_of(t, "total_swap");
	ret->page_faults = number_of(t, "total_pgfault");
	ret->major_page_faults = number_of(t, "total_pgmajfault");
	ret->inactive_bytes = number_of(t, "total_inactive_file");
}

void cgroup_parse_memory_v2(const char *t, const char *events, struct cgroup_usage *ret)
{
	ret->cache_bytes = number_of(t, "file");
	ret->resident_bytes = number_of(t, "anon");
	ret->mapped_bytes = number_of(t, "file_mapped");
	ret->page_faults = number_of(t, "pgfault");
	ret->major_page_faults = number_of(t, "pgmajfault");
	ret->inactive_bytes = number_of(t, "inactive_file");
	ret->limit_failures = number_of(events, "max");
	ret->oom_kills = number_of(events, "oom_kill");
}

void cgroup_parse_cpu_v1(const char *t, struct cgroup_usage *ret)
{
	ret->periods = number_of(t, "nr_periods");
	ret->throttled_periods = number_of(t, "nr_throttled");
	ret->throttled_ns = number_of(t, "throttled_time");
}

void cgroup_parse_cpu_v2(const char *t, struct cgroup_usage *ret)
{
	ret->cpu_ns = number_of(t, "usage_usec") * 1000;
	ret->user_ns = number_of(t, "user_usec") * 1000;
	ret->system_ns = number_of(t, "system_usec") * 1000;
	ret->periods = number_of(t, "nr_periods");
	ret->throttled_periods = number_of(t, "nr_throttled");
	ret->throttled_ns = number_of(t, "throttled_usec") * 1000;
}

size_t interfaces_parse(const char *text, struct interface_usage *ret, size_t room)
{
	size_t count = 0;

	for (const char *line = text; line && *line && count < room;
		line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		const char *colon = strpbrk(line, ":\n");
		if (!colon || *colon != ':')
			continue;
		line += strspn(line, " ");
		size_t size = (size_t)(colon - line);
		struct interface_usage *i = &ret[count];
		if (size == 0 || size >= sizeof(i->name) || str_has_prefix(line, "lo:"))
			continue;
		uint64_t n[16] = {0};
		char *p = (char *)(uintptr_t)(colon + 1);
		for (size_t k = 0; k < ARRAY_LEN(n); k++)
			n[k] = strtoull(p, &p, 10);
		memcpy(i->name, line, size);
		i->name[size] = '\0';
		for (size_t k = 0; k < ARRAY_LEN(i->received); k++) {
			i->received[k] = n[k];
			i->sent[k] = n[8 + k];
		}
		count++;
	}
	return count;
}

/* ---- files ---- */

static bool read_text(const char *path, char text[TEXT_ROOM])
{
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, TEXT_ROOM - 1);

	text[MAX(n, 0)] = '\0';
	return n >= 0;
}

size_t interfaces_read(long pid, struct interface_usage *ret, size_t room)
{
	char path[64], text[TEXT_ROOM];

	snprintf(path, sizeof(path), "/proc/%ld/net/dev", pid);
	return read_text(path, text) ? interfaces_parse(text, ret, room) : 0;
}

/* One file of a group; `controller` is where it is on v1. */
static bool read_file(const struct cgroup_finder *f, const char *controller, const char *path,
	const char *file, char text[TEXT_ROOM])
{
	char full[PATH_ROOM];
	int n = f->v2 ? snprintf(full, sizeof(full), "%s%s/%s", f->root, path, file)
		      : snprintf(full, sizeof(full), "%s/%s%s/%s", f->root, controller, path, file);

	return n < PATH_ROOM && read_text(full, text);
}

static uint64_t read_number(
	const struct cgroup_finder *f, const char *controller, const char *path, const char *file)
{
	char text[TEXT_ROOM];

	return read_file(f, controller, path, file, text) ? strtoull(text, NULL, 10) : 0;
}

uint64_t cgroup_swap_read(const struct cgroup_finder *f, const char *path)
{
	char text[TEXT_ROOM];

	if (f->v2)
		return read_number(f, "", path, "memory.swap.current");
	return read_file(f, "memory", path, "memory.stat", text) ? number_of(text, "total_swap")
								 : 0;
}

long cgroup_process(const struct cgroup_finder *f, const char *path)
{
	return (long)read_number(f, "memory", path, "cgroup.procs");
}

bool cgroup_usage_read(
	const struct cgroup_finder *f, const char *path, bool cpu_limited, struct cgroup_usage *ret)
{
	char text[TEXT_ROOM], events[TEXT_ROOM];

	*ret = (struct cgroup_usage){0};
	if (!read_file(f, "memory", path, "memory.stat", text))
		return false;
	if (f->v2) {
		if (!read_file(f, "", path, "memory.events", events))
			*events = '\0';
		cgroup_parse_memory_v2(text, events, ret);
		ret->swap_bytes = read_number(f, "", path, "memory.swap.current");
		ret->peak_bytes = read_number(f, "", path, "memory.peak");
		ret->usage_bytes = read_number(f, "", path, "memory.current");
		if (read_file(f, "", path, "cpu.stat", text))
			cgroup_parse_cpu_v2(text, ret);
	} else {
		cgroup_parse_memory_v1(text, ret);
		if (read_file(f, "memory", path, "memory.oom_control", text))
			ret->oom_kills = number_of(text, "oom_kill");
		ret->peak_bytes = read_number(f, "memory", path, "memory.max_usage_in_bytes");
		ret->usage_bytes = read_number(f, "memory", path, "memory.usage_in_bytes");
		ret->limit_failures = read_number(f, "memory", path, "memory.failcnt");
		if (cpu_limited && read_file(f, "cpu", path, "cpu.stat", text))
			cgroup_parse_cpu_v1(text, ret);
		ret->user_ns = read_number(f, "cpuacct", path, "cpuacct.usage_user");
		ret->system_ns = read_number(f, "cpuacct", path, "cpuacct.usage_sys");
		ret->cpu_ns = ret->user_ns + ret->system_ns;
	}
	ret->working_set_bytes = ret->usage_bytes - MIN(ret->usage_bytes, ret->inactive_bytes);
	ret->tasks = read_number(f, "pids", path, "pids.current");
	return true;
}

/* ---- the tree ---- */

/* 64 hexadecimal digits somewhere in a name: "ID", "cri-containerd-ID.scope". */
static const char *id_in(const char *name)
{
	size_t run = 0;

	for (const char *p = name; *p; p++) {
		bool hex = (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f');
		run = hex ? run + 1 : 0;
		if (run == ID_SIZE)
			return p + 1 - ID_SIZE;
	}
	return NULL;
}

static void walk(struct cgroup_finder *f, const char *top, char path[PATH_ROOM], int depth)
{
	char full[PATH_ROOM];

	if (snprintf(full, sizeof(full), "%s%s", top, path) >= PATH_ROOM)
		return;
	DIR *d = opendir(full);
	size_t size = strlen(path);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_type != DT_DIR || e->d_name[0] == '.' ||
			snprintf(path + size, PATH_ROOM - size, "/%s", e->d_name) >=
				(int)(PATH_ROOM - size))
			continue;
		const char *id = id_in(e->d_name);
		if (id) {
			char key[ID_SIZE + 1];
			memcpy(key, id, ID_SIZE);
			key[ID_SIZE] = '\0';
			free(table_set(&f->paths, key, xstrdup(path)));
		} else if (depth < DEPTH_MAX) {
			walk(f, top, path, depth + 1);
		}
	}
	path[size] = '\0';
	if (d)
		closedir(d);
}

static void forget(struct cgroup_finder *f)
{
	for (struct table_iter i = table_iterate(&f->paths); table_next(&i);)
		free(i.value);
	table_finish(&f->paths);
	f->paths = TABLE_INIT;
}

const char *cgroup_finder_path(struct cgroup_finder *f, const char *id, int64_t now_ns)
{
	const char *found = table_get(&f->paths, id);
	char path[PATH_ROOM] = "", top[PATH_ROOM];

	if (found || (f->walked_ns && now_ns - f->walked_ns < WALK_MIN_NS))
		return found;
	forget(f);
	f->walked_ns = now_ns;
	snprintf(top, sizeof(top), "%s%s", f->root, f->v2 ? "" : "/memory");
	walk(f, top, path, 0);
	return table_get(&f->paths, id);
}

void cgroup_finder_init(struct cgroup_finder *f, const char *root)
{
	char path[PATH_ROOM];

	*f = (struct cgroup_finder){.root = xstrdup(root)};
	snprintf(path, sizeof(path), "%s/cgroup.controllers", root);
	f->v2 = access(path, R_OK) == 0;
}

void cgroup_finder_finish(struct cgroup_finder *f)
{
	forget(f);
	free(f->root);
	f->root = NULL;
}
