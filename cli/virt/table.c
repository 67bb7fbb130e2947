/* table.c - what verbs print: tables, ages, sizes. */
#include <stdio.h>
#include <time.h>

#include "cli/virt/virt.h"

struct virt_table virt_table(struct virt *v, unsigned columns, const char *const *titles)
{
	struct virt_table t = {.v = v, .columns = columns};
	for (unsigned i = 0; i < columns; i++)
		virt_table_cell(&t, titles[i]);
	return t;
}

void virt_table_cell(struct virt_table *t, const char *text)
{
	struct arena *a = &t->v->arena;
	t->cells = arena_grow(
		a, t->cells, t->count * sizeof(*t->cells), (t->count + 1) * sizeof(*t->cells));
	t->cells[t->count++] = text && *text ? arena_strdup(a, text) : "-";
}

/* Columns on the screen: what continues a UTF-8 character takes none. */
static size_t width_of(const char *text)
{
	size_t width = 0;
	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

void virt_table_print(const struct virt_table *t)
{
	for (size_t i = 0; i < t->count; i++) {
		size_t column = i % t->columns, widest = 0;
		if (column + 1 == t->columns) {
			printf("%s\n", t->cells[i]);
			continue;
		}
		for (size_t j = column; j < t->count; j += t->columns)
			widest = MAX(widest, width_of(t->cells[j]));
		printf("%s%*s", t->cells[i], (int)(widest - width_of(t->cells[i]) + 3), "");
	}
}

const char *virt_age(struct virt *v, const char *timestamp)
{
	struct tm tm = {0};
	if (!timestamp || !strptime(timestamp, "%Y-%m-%dT%H:%M:%SZ", &tm))
		return "";
	long long s = (long long)time(NULL) - (long long)timegm(&tm);
	s = MAX(s, 0);
	if (s < 120)
		return arena_printf(&v->arena, "%llds", s);
	if (s < 7200)
		return arena_printf(&v->arena, "%lldm", s / 60);
	if (s < 172800)
		return arena_printf(&v->arena, "%lldh", s / 3600);
	return arena_printf(&v->arena, "%lldd", s / 86400);
}

const char *virt_bytes(struct virt *v, int64_t bytes)
{
	static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi"};
	double d = (double)bytes;
	size_t i = 0;
	while (d >= 1024 && i + 1 < ARRAY_LEN(units)) {
		d /= 1024;
		i++;
	}
	return d < 10 && i > 0 ? arena_printf(&v->arena, "%.1f%s", d, units[i])
			       : arena_printf(&v->arena, "%.0f%s", d, units[i]);
}
