#include "node/vm/host/cpu_pool.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "node/vm/image/image_files.h"

#define RECORD_MAX 8192

static unsigned free_in_cell(const struct host_caps *caps, const bool *taken, unsigned cell)
{
	unsigned n = 0;

	for (size_t i = 0; i < caps->cpu_count; i++)
		n += !taken[i] && caps->cpus[i].cell == cell;
	return n;
}

/* The cell with the fewest free CPUs that are enough; -1 when none has enough. */
static int best_cell(const struct host_caps *caps, const bool *taken, unsigned count)
{
	unsigned least = UINT32_MAX;
	int best = -1;

	for (size_t i = 0; i < caps->cpu_count; i++) {
		unsigned n = free_in_cell(caps, taken, caps->cpus[i].cell);

		if (n >= count && n < least) {
			least = n;
			best = (int)caps->cpus[i].cell;
		}
	}
	return best;
}

/* All threads of the CPU's core are free. */
static bool core_free(const struct host_caps *caps, const bool *taken, size_t cpu)
{
	for (size_t i = 0; i < caps->cpu_count; i++)
		if (caps->cpus[i].core == caps->cpus[cpu].core &&
			caps->cpus[i].cell == caps->cpus[cpu].cell && taken[i])
			return false;
	return true;
}

static unsigned take_core(
	const struct host_caps *caps, bool *taken, size_t cpu, unsigned want, unsigned *ret_indexes)
{
	unsigned got = 0;

	for (size_t i = 0; i < caps->cpu_count && got < want; i++)
		if (!taken[i] && caps->cpus[i].core == caps->cpus[cpu].core &&
			caps->cpus[i].cell == caps->cpus[cpu].cell) {
			taken[i] = true;
			ret_indexes[got++] = (unsigned)i;
		}
	return got;
}

int cpu_pool_choose(const struct host_caps *caps, const bool *taken, unsigned count, bool emulator,
	unsigned *ret_indexes, unsigned *ret_emulator, struct err *err)
{
	unsigned want = count + emulator, got = 0, available = 0;
	_cleanup_(free_p) bool *used = xcalloc(caps->cpu_count + 1, sizeof(*used));
	_cleanup_(free_p) unsigned *chosen = xcalloc(want + 1, sizeof(*chosen));
	int cell;

	for (size_t i = 0; i < caps->cpu_count; i++) {
		used[i] = taken[i] || i == 0;
		available += !used[i];
	}
	if (available < want)
		return err_set(err, -EBUSY,
			"dedicatedCpuPlacement: %u CPUs of its own are asked for, but only %u of "
			"the "
			"host's %zu are free (one is always left for all others)",
			want, available, caps->cpu_count);
	cell = best_cell(caps, used, want);
	/* Whole cores, then what is left over. */
	for (int whole = 1; whole >= 0; whole--)
		for (size_t i = 0; i < caps->cpu_count && got < want; i++)
			if (!used[i] && (cell < 0 || caps->cpus[i].cell == (unsigned)cell) &&
				(!whole || core_free(caps, used, i)))
				got += take_core(caps, used, i, want - got, chosen + got);
	memcpy(ret_indexes, chosen, count * sizeof(*chosen));
	if (emulator)
		*ret_emulator = chosen[count];
	return 0;
}

static size_t index_of(const struct host_caps *caps, unsigned long id)
{
	size_t i = 0;

	while (i < caps->cpu_count && caps->cpus[i].id != id)
		i++;
	return i;
}

/* The record's CPUs as indexes; their number, and the emulator's or SIZE_MAX. CPUs that the host
 * has no more are left out. */
static size_t read_record(const struct host_caps *caps, const char *directory, const char *uid,
	unsigned *ret, size_t room, size_t *ret_emulator)
{
	_cleanup_(free_p) char *path = xasprintf("%s/%s/cpus", directory, uid);
	char text[RECORD_MAX];
	size_t count = 0;
	bool emulator = false;

	*ret_emulator = SIZE_MAX;
	if (files_read(path, text, sizeof(text)) <= 0)
		return 0;
	for (char *save, *word = strtok_r(text, " \n", &save); word;
		word = strtok_r(NULL, " \n", &save)) {
		size_t i;

		if (streq(word, "emulator")) {
			emulator = true;
			continue;
		}
		i = index_of(caps, strtoul(word, NULL, 10));
		if (i == caps->cpu_count)
			continue;
		if (emulator)
			*ret_emulator = i;
		else if (count < room)
			ret[count++] = (unsigned)i;
	}
	return count;
}

/* What all machines but `except` have. False when none has any. */
static bool read_taken(
	const struct host_caps *caps, const char *directory, const char *except, bool *taken)
{
	_cleanup_(free_p) unsigned *list = xcalloc(caps->cpu_count + 1, sizeof(*list));
	DIR *dir = opendir(directory);
	bool any = false;

	for (struct dirent *e; dir && (e = readdir(dir));) {
		size_t emulator, n;

		if (e->d_name[0] == '.' || streq(e->d_name, except))
			continue;
		n = read_record(caps, directory, e->d_name, list, caps->cpu_count, &emulator);
		for (size_t i = 0; i < n; i++)
			taken[list[i]] = any = true;
		if (emulator != SIZE_MAX)
			taken[emulator] = any = true;
	}
	if (dir)
		closedir(dir);
	return any;
}

const char *cpu_pool_shared(const struct host_caps *caps, const char *directory, struct arena *a)
{
	_cleanup_(free_p) bool *taken = xcalloc(caps->cpu_count + 1, sizeof(*taken));
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	if (!read_taken(caps, directory, NULL, taken))
		return NULL;
	for (size_t i = 0; i < caps->cpu_count; i++)
		if (!taken[i])
			buf_printf(&b, "%s%u", b.size ? "," : "", caps->cpus[i].id);
	return b.size ? arena_strdup(a, b.data) : NULL;
}

static int record(const struct host_caps *caps, const char *directory, const char *uid,
	const unsigned *indexes, size_t count, size_t emulator, struct err *err)
{
	_cleanup_(free_p) char *path = xasprintf("%s/%s/cpus", directory, uid);
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	for (size_t i = 0; i < count; i++)
		buf_printf(&b, "%s%u", i ? " " : "", caps->cpus[indexes[i]].id);
	if (emulator != SIZE_MAX)
		buf_printf(&b, " emulator %u", caps->cpus[emulator].id);
	buf_add_str(&b, "\n");
	return files_write(path, b.data, b.size, 0600, err);
}

int cpu_pool_place(const struct host_caps *caps, const char *directory, struct vm_spec *s,
	struct arena *a, struct err *err)
{
	const struct vm_cpu_tuning *t = &s->cpu_tuning;
	_cleanup_(free_p) bool *taken = xcalloc(caps->cpu_count + 1, sizeof(*taken));
	unsigned count = spec_cpu_count(s), chosen_emulator = 0;
	_cleanup_(free_p) unsigned *indexes =
		xcalloc(caps->cpu_count + count + 1, sizeof(*indexes));
	unsigned *cpus, *cells;
	size_t had, emulator;
	struct buf b = BUF_INIT;
	int r;

	s->placement = (struct vm_placement){0};
	if (!t->dedicated) {
		s->placement.shared = cpu_pool_shared(caps, directory, a);
		return 0;
	}
	had = read_record(caps, directory, s->uid, indexes, caps->cpu_count, &emulator);
	if (had != count || (emulator != SIZE_MAX) != t->isolate_emulator) {
		read_taken(caps, directory, s->uid, taken);
		r = cpu_pool_choose(
			caps, taken, count, t->isolate_emulator, indexes, &chosen_emulator, err);
		if (r < 0)
			return r;
		emulator = t->isolate_emulator ? chosen_emulator : SIZE_MAX;
		r = record(caps, directory, s->uid, indexes, count, emulator, err);
		if (r < 0)
			return r;
	}
	cpus = arena_alloc(a, count * sizeof(*cpus));
	cells = arena_alloc(a, count * sizeof(*cells));
	for (unsigned i = 0; i < count; i++) {
		cpus[i] = caps->cpus[indexes[i]].id;
		cells[i] = caps->cpus[indexes[i]].cell;
		buf_printf(&b, "%s%u", i ? "," : "", cpus[i]);
	}
	s->placement.cpus = cpus;
	s->placement.cells = cells;
	s->placement.count = count;
	/* Its own threads stay on its CPUs, or on the one that is theirs. */
	s->placement.emulator = t->isolate_emulator ? arena_printf(a, "%u", caps->cpus[emulator].id)
						    : arena_strdup(a, b.data);
	buf_finish(&b);
	return 0;
}
