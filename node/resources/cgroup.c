/* cgroup.c - see cgroup.h. */
#include "node/resources/cgroup.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

/* What pods are limited by; the runtime makes its groups in the other hierarchies itself. */
static const char *const used[] = {"cpu", "memory", "pids", "hugetlb"};
/* Handed down on v2 where the host has them, so that the runtime can use them for containers. */
static const char *const handed_down[] = {"cpu", "memory", "pids", "hugetlb", "cpuset", "io"};

enum { OPEN_DEPTH_MAX = 32, PATH_ROOM = 4096 };

/* ---- small files ---- */

int cgroup_file_read(const char *path, char *ret, size_t room)
{
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, room - 1);

	if (n < 0)
		return -errno;
	while (n > 0 && isspace((unsigned char)ret[n - 1]))
		n--;
	ret[n] = '\0';
	return 0;
}

static int file_write(const char *path, const char *text, struct err *err)
{
	_cleanup_(close_p) int fd = open(path, O_WRONLY | O_CLOEXEC | O_TRUNC);
	size_t size = strlen(text);

	if (fd < 0)
		return err_errno(err, -errno, "open '%s'", path);
	ssize_t n = write(fd, text, size);
	if (n != (ssize_t)size)
		return err_errno(err, n < 0 ? -errno : -EIO, "write %s to '%s'", text, path);
	return 0;
}

/* ---- what is mounted ---- */

/* mountinfo writes blanks and such as \040. */
static char *unescaped(struct str s)
{
	char *out = xmalloc(s.size + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.size; i++) {
		if (s.p[i] == '\\' && i + 3 < s.size) {
			unsigned code = 0;
			for (size_t k = 1; k <= 3; k++)
				code = code * 8 + (unsigned)(s.p[i + k] - '0');
			out[n++] = (char)code;
			i += 3;
		} else {
			out[n++] = s.p[i];
		}
	}
	out[n] = '\0';
	return out;
}

static void add(struct cgroup_tree *t, struct str mount, char *controllers)
{
	size_t i = t->count;

	if (i == CGROUP_HIERARCHIES_MAX) {
		free(controllers);
		return;
	}
	t->hierarchies[i].mount = unescaped(mount);
	t->hierarchies[i].controllers = controllers;
	t->count++;
}

/* "a b" or "a,b" -> ",a,b,". */
static char *list_of(const char *names)
{
	char *s = xasprintf(",%s,", names);

	for (char *p = s; *p; p++)
		*p = *p == ' ' ? ',' : *p;
	return s;
}

static void read_line(struct str line, struct cgroup_tree *t, bool *v1, bool *v2)
{
	struct str rest = line, field, mount = {0}, type = {0}, options = {0}, root = {0};
	size_t n = 0;

	/* id parent major:minor root mount options [optional...] - type source super-options */
	for (bool after = false; str_split(&rest, ' ', &field); n++) {
		if (!after && n == 3)
			root = field;
		else if (!after && n == 4)
			mount = field;
		else if (!after && n > 5 && str_eq(field, "-")) {
			after = true;
			n = 99; /* the next is 100 */
		} else if (n == 100)
			type = field;
		else if (n == 102)
			options = field;
	}
	if (str_eq(type, "cgroup")) {
		_cleanup_(free_p) char *text = xstrndup(options.p, options.size);
		/* A part of a hierarchy that was bound elsewhere is not the hierarchy. */
		if (!str_eq(root, "/") && *v1 && t->count > 0)
			return;
		*v1 = true;
		add(t, mount, list_of(text));
	} else if (str_eq(type, "cgroup2")) {
		*v2 = true;
		add(t, mount, xstrdup(","));
	}
}

void cgroup_tree_read(const char *mountinfo, struct cgroup_tree *ret)
{
	struct str rest = str_from(mountinfo), line;
	bool v1 = false, v2 = false;

	*ret = (struct cgroup_tree){0};
	while (str_split(&rest, '\n', &line)) {
		if (line.size > 0)
			read_line(line, ret, &v1, &v2);
	}
	if (v1) {
		ret->version = 1;
	} else if (v2) {
		char names[512];
		_cleanup_(free_p) char *path =
			xasprintf("%s/cgroup.controllers", ret->hierarchies[0].mount);
		ret->version = 2;
		/* Bound elsewhere it is the same tree once more. */
		while (ret->count > 1) {
			ret->count--;
			free(ret->hierarchies[ret->count].mount);
			free(ret->hierarchies[ret->count].controllers);
		}
		if (cgroup_file_read(path, names, sizeof(names)) == 0) {
			free(ret->hierarchies[0].controllers);
			ret->hierarchies[0].controllers = list_of(names);
		}
	}
}

void cgroup_tree_finish(struct cgroup_tree *t)
{
	for (size_t i = 0; i < t->count; i++) {
		free(t->hierarchies[i].mount);
		free(t->hierarchies[i].controllers);
	}
	*t = (struct cgroup_tree){0};
}

static const char *mount_of(const struct cgroup_tree *t, const char *controller)
{
	char wanted[64];

	snprintf(wanted, sizeof(wanted), ",%s,", controller);
	for (size_t i = 0; i < t->count; i++) {
		if (strstr(t->hierarchies[i].controllers, wanted))
			return t->hierarchies[i].mount;
	}
	return NULL;
}

bool cgroup_has(const struct cgroup_tree *t, const char *controller)
{
	return mount_of(t, controller) != NULL;
}

/* ---- making ---- */

static int make_dirs(const char *mount, const char *path, struct err *err)
{
	_cleanup_(free_p) char *at = xasprintf("%s%s", mount, path);

	for (char *p = at + strlen(mount) + 1;; p++) {
		char c = *p;
		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(at, 0755) < 0 && errno != EEXIST)
			return err_errno(err, -errno, "make control group '%s'", at);
		*p = c;
		if (!c)
			return 0;
	}
}

/* On v1 of old kernels a group's limit holds for its children only when this is asked for before
 * there are any. */
static void account_children(const char *mount, const char *path)
{
	_cleanup_(free_p) char *file = xasprintf("%s%s/memory.use_hierarchy", mount, path);
	char text[8];
	struct err ignored = ERR_INIT;

	if (cgroup_file_read(file, text, sizeof(text)) == 0 && streq(text, "0") &&
		file_write(file, "1", &ignored) < 0)
		return; /* it has children: they were made by somebody who did not want it */
}

/* Every group from the root down to the one above `path` hands its controllers on. */
static int hand_down(const struct cgroup_tree *t, const char *path, struct err *err)
{
	const char *mount = t->hierarchies[0].mount;
	char at[PATH_ROOM];

	for (const char *slash = path; slash; slash = strchr(slash + 1, '/')) {
		int size = snprintf(at, sizeof(at), "%s%.*s/cgroup.subtree_control", mount,
			(int)(slash - path), path);
		if (size < 0 || (size_t)size >= sizeof(at))
			return err_set(err, -ENAMETOOLONG, "control group '%s'", path);
		for (size_t i = 0; i < ARRAY_LEN(handed_down); i++) {
			char text[32];
			struct err why = ERR_INIT;
			if (!cgroup_has(t, handed_down[i]))
				continue;
			snprintf(text, sizeof(text), "+%s", handed_down[i]);
			/* cpuset and io only serve the runtime, which can do without. */
			if (file_write(at, text, &why) < 0 && i < ARRAY_LEN(used)) {
				*err = why;
				return err->code;
			}
		}
	}
	return 0;
}

int cgroup_make(const struct cgroup_tree *t, const char *path, struct err *err)
{
	int r;

	if (t->version == 0)
		return err_set(err, -ENOTSUP, "no control groups are mounted on this host");
	if (t->version == 2) {
		r = make_dirs(t->hierarchies[0].mount, path, err);
		return r < 0 ? r : hand_down(t, path, err);
	}
	for (size_t i = 0; i < ARRAY_LEN(used); i++) {
		const char *mount = mount_of(t, used[i]);
		if (!mount)
			continue;
		r = make_dirs(mount, path, err);
		if (r < 0)
			return r;
		if (streq(used[i], "memory"))
			account_children(mount, path);
	}
	return 0;
}

bool cgroup_exists(const struct cgroup_tree *t, const char *path)
{
	for (size_t i = 0; i < t->count; i++) {
		_cleanup_(free_p) char *at = xasprintf("%s%s", t->hierarchies[i].mount, path);
		if (access(at, F_OK) == 0)
			return true;
	}
	return false;
}

/* ---- values ---- */

struct setting {
	const struct cgroup_tree *t;
	const char *path;
	struct err *err;
	int result; /* of the first that failed */
};

static void set(struct setting *s, const char *controller, const char *name, const char *fmt, ...)
	_printf_(4, 5);

static void set(struct setting *s, const char *controller, const char *name, const char *fmt, ...)
{
	const char *mount = mount_of(s->t, controller);
	char text[64], old[64];
	struct err why = ERR_INIT;
	va_list ap;

	if (!mount)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	_cleanup_(free_p) char *file = xasprintf("%s%s/%s", mount, s->path, name);
	/* Not every host has every file: hugetlb of a size, swap. Saying again what is so costs the
	 * kernel work. */
	int r = cgroup_file_read(file, old, sizeof(old));
	if (r == -ENOENT || (r == 0 && streq(old, text)))
		return;
	r = file_write(file, text, &why);
	if (r < 0 && s->result == 0) {
		s->result = r;
		err_set(s->err, r, "%s", why.msg);
	}
}

static void set_v1(struct setting *s, const struct cgroup_values *v)
{
	if (v->cpu_shares > 0)
		set(s, "cpu", "cpu.shares", "%lld", (long long)v->cpu_shares);
	if (v->cpu_period_us > 0)
		set(s, "cpu", "cpu.cfs_period_us", "%lld", (long long)v->cpu_period_us);
	set(s, "cpu", "cpu.cfs_quota_us", "%lld",
		v->cpu_quota_us > 0 ? (long long)v->cpu_quota_us : -1LL);
	if (v->memory_bytes > 0)
		set(s, "memory", "memory.limit_in_bytes", "%lld",
			(long long)(v->memory_bytes & ~INT64_C(4095)));
	else
		set(s, "memory", "memory.limit_in_bytes", "-1");
}

static void set_v2(struct setting *s, const struct cgroup_values *v)
{
	if (v->cpu_shares > 0)
		set(s, "cpu", "cpu.weight", "%lld", (long long)cpu_weight(v->cpu_shares));
	if (v->cpu_quota_us > 0)
		set(s, "cpu", "cpu.max", "%lld %lld", (long long)v->cpu_quota_us,
			(long long)v->cpu_period_us);
	else
		set(s, "cpu", "cpu.max", "max %d", CPU_PERIOD_US);
	if (v->memory_bytes > 0)
		set(s, "memory", "memory.max", "%lld",
			(long long)(v->memory_bytes & ~INT64_C(4095)));
	else
		set(s, "memory", "memory.max", "max");
}

int cgroup_set(const struct cgroup_tree *t, const char *path, const struct cgroup_values *v,
	struct err *err)
{
	struct setting s = {.t = t, .path = path, .err = err};

	if (t->version == 1)
		set_v1(&s, v);
	else
		set_v2(&s, v);
	if (v->pids > 0)
		set(&s, "pids", "pids.max", "%lld", (long long)v->pids);
	else
		set(&s, "pids", "pids.max", "max");
	for (size_t i = 0; i < v->hugepage_count; i++) {
		char name[64];
		snprintf(name, sizeof(name),
			t->version == 1 ? "hugetlb.%s.limit_in_bytes" : "hugetlb.%s.max",
			v->hugepages[i].size->cgroup);
		set(&s, "hugetlb", name, "%lld", (long long)v->hugepages[i].bytes);
	}
	return s.result;
}

/* ---- removing ---- */

static void kill_all(int dir)
{
	_cleanup_(close_p) int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(dup(fd), "r");
	int pid;

	if (!f)
		return;
	while (fscanf(f, "%d", &pid) == 1) {
		if (pid > 1)
			kill(pid, SIGKILL);
	}
	fclose(f);
}

static int open_group(int parent, const char *name)
{
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* The first group in it: false when there is none. */
static bool first_group(int dir, char name[NAME_MAX + 1])
{
	int fd = open_group(dir, ".");
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	bool found = false;

	if (fd >= 0 && !d)
		close(fd);
	for (struct dirent *e; d && !found && (e = readdir(d));) {
		found = e->d_type == DT_DIR && !streq(e->d_name, ".") && !streq(e->d_name, "..");
		if (found)
			snprintf(name, NAME_MAX + 1, "%s", e->d_name);
	}
	if (d)
		closedir(d);
	return found;
}

/* Takes a group away whose parts go deeper than descriptors should be open for: down to one that
 * has none in it, and up again by "..", for a group can't be moved. Gives up at the first that is
 * empty and stays all the same. */
static int remove_deep(int parent, const char *name)
{
	_cleanup_(close_p) int at = open_group(parent, name);
	char child[NAME_MAX + 1];
	bool climbed = false;
	size_t depth = 0;

	if (at < 0)
		return -errno;
	for (;;) {
		bool any = first_group(at, child);
		if (any && unlinkat(at, child, AT_REMOVEDIR) == 0) {
			climbed = false;
			continue;
		}
		if (any && climbed)
			return -errno;
		if (!any)
			kill_all(at);
		if (!any && depth == 0)
			break;
		int next = open_group(at, any ? child : "..");
		if (next < 0)
			return -errno;
		close(at);
		at = next;
		depth = any ? depth + 1 : depth - 1;
		climbed = !any;
	}
	return unlinkat(parent, name, AT_REMOVEDIR) == 0 ? 0 : -errno;
}

/* Groups can't be linked to or moved, so names lead nowhere else; how deep they go is up to whoever
 * made them. */
static int remove_tree(int parent, const char *name, int depth)
{
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (depth == 0)
		return remove_deep(parent, name);
	int fd = open_group(parent, name);
	if (fd < 0)
		return -errno;
	DIR *d = fdopendir(fd);
	if (!d) {
		int r = -errno;
		close(fd);
		return r;
	}
	int result = 0;
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_type != DT_DIR || streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		int r = remove_tree(dirfd(d), e->d_name, depth - 1);
		result = result ? result : r;
	}
	kill_all(dirfd(d));
	closedir(d);
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	return result ? result : -errno;
}

int cgroup_remove(const struct cgroup_tree *t, const char *path, struct err *err)
{
	int result = 0;

	for (size_t i = 0; i < t->count; i++) {
		_cleanup_(free_p) char *at = xasprintf("%s%s", t->hierarchies[i].mount, path);
		int r = remove_tree(AT_FDCWD, at, OPEN_DEPTH_MAX);
		if (r < 0 && result == 0)
			result = err_errno(err, r, "remove control group '%s'", at);
	}
	return result;
}

void cgroup_children(const struct cgroup_tree *t, const char *path,
	void (*each)(void *user, const char *name), void *user)
{
	for (size_t i = 0; i < t->count; i++) {
		_cleanup_(free_p) char *at = xasprintf("%s%s", t->hierarchies[i].mount, path);
		DIR *d = opendir(at);
		for (struct dirent *e; d && (e = readdir(d));) {
			if (e->d_type == DT_DIR && *e->d_name != '.')
				each(user, e->d_name);
		}
		if (d)
			closedir(d);
	}
}
