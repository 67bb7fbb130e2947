/* slice.c - see slice.h. */
#include "node/resources/slice.h"

static char *unit_of(struct arena *a, const char *path, size_t size)
{
	char *name = arena_printf(a, "%.*s.slice", (int)size - 1, path + 1);

	for (char *p = name; p < name + size - 1; p++)
		*p = *p == '-' ? '_' : *p == '/' ? '-' : *p;
	return name;
}

char *slice_name(struct arena *a, const char *path)
{
	return unit_of(a, path, strlen(path));
}

char *slice_path(struct arena *a, const char *path)
{
	char *out = arena_strdup(a, "");

	for (const char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
		size_t size = slash ? (size_t)(slash - path) : strlen(path);
		out = arena_printf(a, "%s/%s", out, unit_of(a, path, size));
		if (!slash)
			return out;
	}
}

struct args {
	struct arena *a;
	const char **items;
	size_t count;
};

enum { ARGS_MAX = 64 };

static void push(struct args *s, const char *text)
{
	if (s->count < ARGS_MAX)
		s->items[s->count++] = text;
}

static struct args call(struct arena *a, const char *method, const char *signature)
{
	struct args s = {.a = a, .items = arena_zalloc(a, (ARGS_MAX + 1) * sizeof(*s.items))};

	push(&s, "busctl");
	push(&s, "--system");
	push(&s, "call");
	push(&s, "org.freedesktop.systemd1");
	push(&s, "/org/freedesktop/systemd1");
	push(&s, "org.freedesktop.systemd1.Manager");
	push(&s, method);
	push(&s, signature);
	return s;
}

static void property(struct args *s, const char *name, const char *type, const char *value)
{
	push(s, name);
	push(s, type);
	push(s, value);
}

/* UINT64_MAX is systemd's "infinity". */
static void number(struct args *s, const char *name, int64_t value)
{
	property(s, name, "t",
		value > 0 ? arena_printf(s->a, "%lld", (long long)value) : "18446744073709551615");
}

static size_t values(struct args *s, int version, const struct cgroup_values *v)
{
	size_t before = s->count;

	if (v->cpu_shares > 0 && version == 2)
		number(s, "CPUWeight", cpu_weight(v->cpu_shares));
	else if (v->cpu_shares > 0)
		number(s, "CPUShares", v->cpu_shares);
	/* Of each second; systemd takes steps of 10 ms, and less would be none. */
	__int128 per_s =
		v->cpu_period_us > 0 ? (__int128)v->cpu_quota_us * 1000000 / v->cpu_period_us : 0;
	per_s = (per_s + 9999) / 10000 * 10000;
	number(s, "CPUQuotaPerSecUSec",
		v->cpu_quota_us > 0 && per_s <= INT64_MAX ? (int64_t)per_s : 0);
	number(s, version == 2 ? "MemoryMax" : "MemoryLimit", v->memory_bytes);
	number(s, "TasksMax", v->pids);
	return (s->count - before) / 3;
}

const char *const *slice_start_args(
	struct arena *a, const char *path, int version, const struct cgroup_values *v)
{
	static const char *const accounting[] = {
		"CPUAccounting", "MemoryAccounting", "TasksAccounting", "IOAccounting"};
	struct args s = call(a, "StartTransientUnit", "ssa(sv)a(sa(sv))");

	push(&s, slice_name(a, path));
	push(&s, "replace");
	size_t at = s.count;
	push(&s, NULL); /* how many properties */
	property(&s, "Description", "s", arena_printf(a, "pods of hanok: %s", path));
	property(&s, "DefaultDependencies", "b", "false");
	for (size_t i = 0; i < ARRAY_LEN(accounting); i++)
		property(&s, accounting[i], "b", "true");
	size_t count = 2 + ARRAY_LEN(accounting) + values(&s, version, v);
	s.items[at] = arena_printf(a, "%zu", count);
	push(&s, "0"); /* no other units */
	return s.items;
}

const char *const *slice_change_args(
	struct arena *a, const char *path, int version, const struct cgroup_values *v)
{
	struct args s = call(a, "SetUnitProperties", "sba(sv)");

	push(&s, slice_name(a, path));
	push(&s, "true"); /* until the next boot */
	size_t at = s.count;
	push(&s, NULL);
	s.items[at] = arena_printf(a, "%zu", values(&s, version, v));
	return s.items;
}

const char *const *slice_stop_args(struct arena *a, const char *path)
{
	struct args s = call(a, "StopUnit", "ss");

	push(&s, slice_name(a, path));
	push(&s, "replace");
	return s.items;
}
