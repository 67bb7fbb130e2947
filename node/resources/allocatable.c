/* allocatable.c - see allocatable.h. */
#include "node/resources/allocatable.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/object/quantity.h"
#include "node/resources/cgroup.h"

void node_amounts_read_hugepages(const char *sys, struct node_amounts *ret)
{
	DIR *d = opendir(sys);
	long long kib;

	ret->hugepage_count = 0;
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		char text[32];
		int64_t pages;
		if (sscanf(e->d_name, "hugepages-%lldkB", &kib) != 1 || kib <= 0 ||
			kib > INT64_MAX / 1024 || ret->hugepage_count == HUGEPAGE_SIZES_MAX)
			continue;
		_cleanup_(free_p) char *path = xasprintf("%s/%s/nr_hugepages", sys, e->d_name);
		if (cgroup_file_read(path, text, sizeof(text)) < 0 ||
			parse_i64(str_from(text), &pages) < 0)
			continue;
		size_t at = ret->hugepage_count++;
		/* In the order of their sizes, whatever the directory's. */
		while (at > 0 && ret->hugepages[at - 1].size.bytes > kib * 1024) {
			ret->hugepages[at] = ret->hugepages[at - 1];
			at--;
		}
		hugepage_size_fill(kib * 1024, &ret->hugepages[at].size);
		ret->hugepages[at].bytes =
			MIN(MAX(pages, 0), INT64_MAX / (kib * 1024)) * kib * 1024;
	}
	closedir(d);
}

int64_t node_pids_max(const char *proc)
{
	static const char *const names[] = {"pid_max", "threads-max"};
	int64_t least = 0;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		_cleanup_(free_p) char *path = xasprintf("%s/sys/kernel/%s", proc, names[i]);
		char text[32];
		int64_t n;
		if (cgroup_file_read(path, text, sizeof(text)) == 0 &&
			parse_i64(str_from(text), &n) == 0 && n > 0)
			least = least ? MIN(least, n) : n;
	}
	return least;
}

static int64_t threshold(const struct node_threshold *t, int64_t capacity)
{
	if (!t->set)
		return 0;
	if (t->below.is_percent)
		return (int64_t)((double)capacity * t->below.percent / 100);
	return t->below.value;
}

void node_enforced(const struct node_config *config, const struct node_amounts *capacity,
	struct node_amounts *ret)
{
	const struct node_reserved *k = &config->kube_reserved, *s = &config->system_reserved;

	*ret = *capacity;
	ret->cpu_milli = MAX(ret->cpu_milli - k->cpu_milli - s->cpu_milli, 0);
	ret->memory_bytes = MAX(ret->memory_bytes - k->memory_bytes - s->memory_bytes, 0);
	ret->ephemeral_bytes =
		MAX(ret->ephemeral_bytes - k->ephemeral_bytes - s->ephemeral_bytes, 0);
	ret->pids = MAX(ret->pids - k->pids - s->pids, 0);
}

void node_allocatable(const struct node_config *config, const struct node_amounts *capacity,
	struct node_amounts *ret)
{
	const struct node_threshold *hard = config->eviction_hard;

	node_enforced(config, capacity, ret);
	ret->memory_bytes -= threshold(&hard[SIGNAL_MEMORY_AVAILABLE], capacity->memory_bytes);
	for (size_t i = 0; i < capacity->hugepage_count; i++)
		ret->memory_bytes -= capacity->hugepages[i].bytes;
	ret->memory_bytes = MAX(ret->memory_bytes, 0);
	ret->ephemeral_bytes = MAX(ret->ephemeral_bytes - threshold(&hard[SIGNAL_NODEFS_AVAILABLE],
								  capacity->ephemeral_bytes),
		0);
}

struct json *node_amounts_json(struct arena *a, const struct node_amounts *amounts)
{
	struct json *o = json_new_object(a);
	struct quantity cpu = {(__int128)amounts->cpu_milli * 1000000};

	json_set_str(a, o, "cpu", quantity_text(a, cpu, false));
	json_set_str(a, o, "ephemeral-storage",
		quantity_format_bytes(a, amounts->ephemeral_bytes & ~INT64_C(1023)));
	for (size_t i = 0; i < amounts->hugepage_count; i++) {
		struct quantity q = {(__int128)amounts->hugepages[i].bytes * 1000000000};
		json_set_str(a, o, amounts->hugepages[i].size.resource, quantity_text(a, q, true));
	}
	json_set_str(
		a, o, "memory", quantity_format_bytes(a, amounts->memory_bytes & ~INT64_C(1023)));
	json_set(a, o, "pods", json_new_printf(a, "%lld", (long long)amounts->pods));
	return o;
}
