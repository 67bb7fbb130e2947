#include "node/vm/seed/iso9660.h"

#include <ctype.h>
#include <stdio.h>
#include <time.h>

#include "lib/base/arena.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"

#define SECTOR 2048u
#define FIRST_SECTOR 19u /* behind the system area and three descriptors */
#define JOLIET_CHARS_MAX 64u
/* Behind the last file, as tracks of CDs have it: readers look at places in the first 68 KiB and
 * more before they know what a disk is, and some give up at its end. */
#define TAIL_SECTORS 150u

enum { PLAIN, JOLIET, TREES };

struct node {
	struct node *parent, *children, *next;
	const char *name;		     /* NULL: the root */
	char plain[16];			     /* "USER_DAT.;1" */
	const struct iso_file *file;	     /* NULL: a directory */
	uint32_t extent[TREES], size[TREES]; /* of files the same in both trees */
	unsigned number[TREES];		     /* of a directory, in the path table */
	struct node *sorted;		     /* next in the order of the tree being written */
};

struct image {
	struct arena arena;
	struct buf *out;
	const char *label;
	unsigned mode;
	uint8_t date[7];
	char date_text[17];
	struct node root;
	struct node **directories; /* as in the path table: by level */
	size_t directory_count;
};

/* ---- numbers ---- */

static void put_le(struct buf *b, uint32_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		buf_add_char(b, (char)(v >> 8 * i));
}

static void put_be(struct buf *b, uint32_t v, unsigned bytes)
{
	for (unsigned i = bytes; i-- > 0;)
		buf_add_char(b, (char)(v >> 8 * i));
}

static void put_both(struct buf *b, uint32_t v, unsigned bytes)
{
	put_le(b, v, bytes);
	put_be(b, v, bytes);
}

static void put_zeros(struct buf *b, size_t count)
{
	while (count--)
		buf_add_char(b, '\0');
}

static void pad_sector(struct buf *b)
{
	put_zeros(b, (SECTOR - b->size % SECTOR) % SECTOR);
}

static uint32_t sectors(size_t bytes)
{
	return (uint32_t)((bytes + SECTOR - 1) / SECTOR);
}

/* ---- the tree ---- */

static struct node *child_of(struct image *m, struct node *parent, const char *name, size_t size)
{
	struct node **at = &parent->children;

	for (; *at; at = &(*at)->next)
		if (strlen((*at)->name) == size && !memcmp((*at)->name, name, size))
			return *at;
	*at = ARENA_NEW(&m->arena, struct node);
	(*at)->parent = parent;
	(*at)->name = arena_memdup(&m->arena, name, size);
	return *at;
}

static bool name_ok(struct str s)
{
	if (!s.size || s.size > ISO_NAME_MAX || str_eq(s, ".") || str_eq(s, ".."))
		return false;
	for (size_t i = 0; i < s.size; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || strchr("*:;?\\\"", s.p[i]))
			return false;
	return true;
}

static int add_file(struct image *m, const struct iso_file *f, struct err *err)
{
	struct str rest = str_from(f->path), part;
	struct node *at = &m->root;
	unsigned depth = 0;

	while (str_split(&rest, '/', &part)) {
		if (part.size > ISO_NAME_MAX)
			return err_set(err, -ENAMETOOLONG, "'%s': a name has more than %d bytes",
				f->path, ISO_NAME_MAX);
		if (!name_ok(part) || at->file || ++depth > ISO_DEPTH_MAX)
			return err_set(err, -EINVAL, "'%s' can't be the name of a file", f->path);
		at = child_of(m, at, part.p, part.size);
	}
	if (at->file || at->children || at == &m->root)
		return err_set(err, -EINVAL, "'%s' is there twice", f->path);
	at->file = f;
	return 0;
}

/* Eight characters, a dot and three, of those that every reader knows. */
static void name_plain(struct node *n, unsigned number)
{
	const char *dot = n->file ? strrchr(n->name, '.') : NULL;
	char tail[12] = "";
	size_t i, room = 8;

	if (number) {
		snprintf(tail, sizeof(tail), "_%u", number);
		room -= strlen(tail);
	}
	for (i = 0; i < room && n->name[i] && n->name + i != dot; i++)
		n->plain[i] = isalnum((unsigned char)n->name[i])
				      ? (char)toupper((unsigned char)n->name[i])
				      : '_';
	memcpy(n->plain + i, tail, strlen(tail) + 1);
	i += strlen(tail);
	if (!n->file)
		return;
	n->plain[i++] = '.';
	for (size_t e = 1; dot && e <= 3 && dot[e]; e++)
		n->plain[i++] =
			isalnum((unsigned char)dot[e]) ? (char)toupper((unsigned char)dot[e]) : '_';
	memcpy(n->plain + i, ";1", 3);
}

static bool is_taken(const struct node *d, const struct node *n)
{
	for (const struct node *o = d->children; o != n; o = o->next)
		if (streq(o->plain, n->plain))
			return true;
	return false;
}

/* No number twice in a directory: a thousand names that begin alike are done at once. */
static void name_children(struct node *d)
{
	unsigned last = 0;

	for (struct node *n = d->children; n; n = n->next) {
		name_plain(n, 0);
		while (is_taken(d, n))
			name_plain(n, ++last);
		if (!n->file)
			name_children(n);
	}
}

/* What Joliet sees of a name; two that differ only behind it are refused. */
static int compare_joliet(const struct node *a, const struct node *b)
{
	return strncmp(a->name, b->name, JOLIET_CHARS_MAX);
}

static struct node *sort_children(struct node *d, int tree)
{
	struct node *first = NULL;

	for (struct node *n = d->children; n; n = n->next) {
		struct node **at = &first;

		while (*at && (tree == PLAIN ? strcmp((*at)->plain, n->plain)
					     : compare_joliet(*at, n)) < 0)
			at = &(*at)->sorted;
		n->sorted = *at;
		*at = n;
	}
	return first;
}

static int check_joliet(struct node *d, struct err *err)
{
	for (struct node *n = sort_children(d, JOLIET); n; n = n->sorted)
		if (n->sorted && !compare_joliet(n, n->sorted))
			return err_set(err, -EINVAL,
				"'%s' and '%s' differ only behind their %uth character", n->name,
				n->sorted->name, JOLIET_CHARS_MAX);
	for (struct node *n = d->children; n; n = n->next)
		if (!n->file) {
			int r = check_joliet(n, err);

			if (r < 0)
				return r;
		}
	return 0;
}

/* ---- directory records ---- */

static void put_joliet_name(struct buf *b, const char *name)
{
	for (size_t i = 0; name[i] && i < JOLIET_CHARS_MAX; i++)
		put_be(b, (unsigned char)name[i], 2);
}

static void put_rock_ridge(struct buf *b, const struct image *m, const struct node *n,
	const char *name, bool root_itself)
{
	/* Who may read may enter. */
	unsigned enter = (m->mode & 0444) >> 2;
	size_t size = name ? strlen(name) : 0;

	if (root_itself)
		buf_add(b, "SP\x07\x01\xbe\xef\x00", 7);
	buf_add(b, "PX\x24\x01", 4);
	put_both(b, n->file ? 0100000 | m->mode : 040000 | (m->mode & 0444) | enter, 4);
	put_both(b, n->file ? 1 : 2, 4);
	put_both(b, 0, 4); /* user and group: root */
	put_both(b, 0, 4);
	if (name) {
		buf_add(b, "NM", 2);
		buf_add_char(b, (char)(5 + size));
		buf_add(b, "\x01\x00", 2);
		buf_add(b, name, size);
	}
	if (root_itself)
		buf_add(b, "ER\x12\x01\x0a\x00\x00\x01RRIP_1991A", 18);
}

/* self: "." (0), ".." (1), or by its name (-1). */
static void put_record(
	struct buf *out, const struct image *m, int tree, const struct node *n, int self, bool bare)
{
	struct buf b = BUF_INIT, name = BUF_INIT;

	if (self >= 0)
		buf_add_char(&name, (char)self);
	else if (tree == PLAIN)
		buf_add_str(&name, n->plain);
	else
		put_joliet_name(&name, n->name);
	buf_add_char(&b, 0); /* length: below */
	buf_add_char(&b, 0);
	put_both(&b, n->extent[tree], 4);
	put_both(&b, n->size[tree], 4);
	buf_add(&b, m->date, sizeof(m->date));
	buf_add_char(&b, n->file ? 0 : 2);
	put_zeros(&b, 2);
	put_both(&b, 1, 2);
	buf_add_char(&b, (char)name.size);
	buf_add(&b, name.data, name.size);
	if (name.size % 2 == 0)
		buf_add_char(&b, 0);
	if (tree == PLAIN && !bare)
		put_rock_ridge(&b, m, n, self < 0 ? n->name : NULL, self == 0 && !n->name);
	if (b.size % 2)
		buf_add_char(&b, 0);
	b.data[0] = (char)b.size;
	/* A record stands in one sector. */
	if (out->size % SECTOR + b.size > SECTOR)
		pad_sector(out);
	buf_add(out, b.data, b.size);
	buf_finish(&b);
	buf_finish(&name);
}

static void put_directory(struct buf *out, const struct image *m, int tree, struct node *d)
{
	put_record(out, m, tree, d, 0, false);
	put_record(out, m, tree, d->parent ? d->parent : d, 1, false);
	for (struct node *n = sort_children(d, tree); n; n = n->sorted)
		put_record(out, m, tree, n, -1, false);
	pad_sector(out);
}

/* ---- path tables and places ---- */

static void list_directories(struct image *m, int tree, size_t room)
{
	m->directory_count = 1;
	m->directories[0] = &m->root;
	for (size_t at = 0; at < m->directory_count; at++) {
		m->directories[at]->number[tree] = (unsigned)at + 1;
		for (struct node *n = sort_children(m->directories[at], tree); n; n = n->sorted)
			if (!n->file && m->directory_count < room)
				m->directories[m->directory_count++] = n;
	}
}

static void put_path_table(struct buf *b, struct image *m, int tree, bool big)
{
	for (size_t i = 0; i < m->directory_count; i++) {
		const struct node *d = m->directories[i];
		struct buf name = BUF_INIT;

		if (!d->name)
			buf_add_char(&name, 0);
		else if (tree == PLAIN)
			buf_add_str(&name, d->plain);
		else
			put_joliet_name(&name, d->name);
		buf_add_char(b, (char)name.size);
		buf_add_char(b, 0);
		(big ? put_be : put_le)(b, d->extent[tree], 4);
		(big ? put_be : put_le)(b, d->parent ? d->parent->number[tree] : 1, 2);
		buf_add(b, name.data, name.size);
		if (name.size % 2)
			buf_add_char(b, 0);
		buf_finish(&name);
	}
}

static void place_files(struct node *d, uint32_t *at)
{
	for (struct node *n = d->children; n; n = n->next) {
		if (!n->file) {
			place_files(n, at);
			continue;
		}
		for (int tree = 0; tree < TREES; tree++) {
			n->extent[tree] = *at;
			n->size[tree] = (uint32_t)n->file->size;
		}
		*at += sectors(n->file->size);
	}
}

static void put_files(struct buf *out, const struct node *d)
{
	for (const struct node *n = d->children; n; n = n->next) {
		if (!n->file) {
			put_files(out, n);
			continue;
		}
		if (n->file->size)
			buf_add(out, n->file->data, n->file->size);
		pad_sector(out);
	}
}

/* ---- descriptors ---- */

static void put_text(struct buf *b, int tree, const char *text, size_t room)
{
	size_t size = strlen(text);

	if (tree == PLAIN) {
		for (size_t i = 0; i < room; i++)
			buf_add_char(b, i < size ? text[i] : ' ');
		return;
	}
	for (size_t i = 0; i < room / 2; i++)
		put_be(b, i < size ? (unsigned char)text[i] : ' ', 2);
	put_zeros(b, room % 2);
}

struct tables {
	uint32_t le, be, size;
};

static void put_descriptor(
	struct buf *b, const struct image *m, int tree, uint32_t total, const struct tables *t)
{
	buf_add_char(b, tree == PLAIN ? 1 : 2);
	buf_add(b, "CD001\x01", 6);
	buf_add_char(b, 0);
	put_text(b, tree, "LINUX", 32);
	put_text(b, tree, m->label, 32);
	put_zeros(b, 8);
	put_both(b, total, 4);
	if (tree == JOLIET)
		buf_add(b, "%/E", 3); /* UCS-2, level 3 */
	put_zeros(b, tree == JOLIET ? 29 : 32);
	put_both(b, 1, 2); /* volumes of the set, this one, bytes of a block */
	put_both(b, 1, 2);
	put_both(b, SECTOR, 2);
	put_both(b, t->size, 4);
	put_le(b, t->le, 4);
	put_le(b, 0, 4);
	put_be(b, t->be, 4);
	put_be(b, 0, 4);
	put_record(b, m, tree, &m->root, 0, true);
	put_text(b, tree, "", 128); /* set, publisher, preparer, application */
	put_text(b, tree, "", 128);
	put_text(b, tree, "", 128);
	put_text(b, tree, "HANOK", 128);
	put_text(b, tree, "", 37); /* copyright, abstract, bibliography */
	put_text(b, tree, "", 37);
	put_text(b, tree, "", 37);
	buf_add(b, m->date_text, 17);
	buf_add(b, m->date_text, 17);
	buf_add(b, "0000000000000000", 17);
	buf_add(b, "0000000000000000", 17);
	buf_add(b, "\x01", 1);
	pad_sector(b);
}

static void set_date(struct image *m, int64_t wall_ns)
{
	time_t seconds = (time_t)(wall_ns / NS_PER_S);
	struct tm t;

	gmtime_r(&seconds, &t);
	m->date[0] = (uint8_t)MIN(MAX(t.tm_year, 0), 255);
	m->date[1] = (uint8_t)(t.tm_mon + 1);
	m->date[2] = (uint8_t)t.tm_mday;
	m->date[3] = (uint8_t)t.tm_hour;
	m->date[4] = (uint8_t)t.tm_min;
	m->date[5] = (uint8_t)t.tm_sec;
	strftime(m->date_text, sizeof(m->date_text), "%Y%m%d%H%M%S00", &t);
}

static void build(struct image *m, size_t directories_room)
{
	struct buf tables[TREES][2] = {0}, trees[TREES] = {0};
	struct tables places[TREES];
	uint32_t at = FIRST_SECTOR;

	/* The sizes of tables and directories do not depend on what stands in them: once for their
	 * sizes, then with their places. */
	for (int pass = 0; pass < 2; pass++) {
		at = FIRST_SECTOR;
		for (int tree = 0; tree < TREES; tree++) {
			list_directories(m, tree, directories_room);
			for (int big = 0; big < 2; big++) {
				buf_clear(&tables[tree][big]);
				put_path_table(&tables[tree][big], m, tree, big);
				*(big ? &places[tree].be : &places[tree].le) = at;
				places[tree].size = (uint32_t)tables[tree][big].size;
				pad_sector(&tables[tree][big]);
				at += sectors(tables[tree][big].size);
			}
		}
		for (int tree = 0; tree < TREES; tree++) {
			buf_clear(&trees[tree]);
			list_directories(m, tree, directories_room);
			for (size_t i = 0; i < m->directory_count; i++) {
				struct node *d = m->directories[i];
				size_t before = trees[tree].size;

				put_directory(&trees[tree], m, tree, d);
				d->extent[tree] = at + (uint32_t)(before / SECTOR);
				d->size[tree] = (uint32_t)(trees[tree].size - before);
			}
			at += sectors(trees[tree].size);
		}
		place_files(&m->root, &at);
	}
	/* Records of directories hold their parents' and children's places, known only now. */
	for (int tree = 0; tree < TREES; tree++) {
		list_directories(m, tree, directories_room);
		buf_clear(&trees[tree]);
		for (size_t i = 0; i < m->directory_count; i++)
			put_directory(&trees[tree], m, tree, m->directories[i]);
		for (int big = 0; big < 2; big++) {
			buf_clear(&tables[tree][big]);
			put_path_table(&tables[tree][big], m, tree, big);
			pad_sector(&tables[tree][big]);
		}
	}
	put_zeros(m->out, 16 * SECTOR);
	for (int tree = 0; tree < TREES; tree++)
		put_descriptor(m->out, m, tree, at + TAIL_SECTORS, &places[tree]);
	buf_add(m->out,
		"\xff"
		"CD001\x01",
		7);
	pad_sector(m->out);
	for (int tree = 0; tree < TREES; tree++)
		for (int big = 0; big < 2; big++) {
			buf_add(m->out, tables[tree][big].data, tables[tree][big].size);
			buf_finish(&tables[tree][big]);
		}
	for (int tree = 0; tree < TREES; tree++) {
		buf_add(m->out, trees[tree].data, trees[tree].size);
		buf_finish(&trees[tree]);
	}
	put_files(m->out, &m->root);
	put_zeros(m->out, (size_t)TAIL_SECTORS * SECTOR);
}

int iso9660_write(struct buf *out, const char *label, const struct iso_file *files, size_t count,
	unsigned mode, int64_t wall_ns, struct err *err)
{
	struct image m = {.label = label, .mode = mode & 0777};
	struct buf made = BUF_INIT;
	uint64_t total = 0;
	int r = 0;

	if (!*label || strlen(label) > ISO_LABEL_MAX)
		return err_set(err, -EINVAL, "the label '%s' must have 1 to %d characters", label,
			ISO_LABEL_MAX);
	for (const char *p = label; *p; p++)
		if (*p < 0x20 || *p >= 0x7f)
			return err_set(err, -EINVAL, "the label must be of ASCII");
	if (count > ISO_FILES_MAX)
		return err_set(err, -E2BIG, "more than %d files", ISO_FILES_MAX);
	for (size_t i = 0; i < count && r == 0; i++) {
		total += files[i].size;
		if (total > ISO_SIZE_MAX)
			r = err_set(err, -E2BIG, "more than %u MiB", ISO_SIZE_MAX >> 20);
		else
			r = add_file(&m, &files[i], err);
	}
	if (r == 0)
		r = check_joliet(&m.root, err);
	if (r == 0) {
		m.out = &made;
		m.directories =
			arena_alloc(&m.arena, (count * ISO_DEPTH_MAX + 1) * sizeof(*m.directories));
		name_children(&m.root);
		set_date(&m, wall_ns);
		build(&m, count * ISO_DEPTH_MAX + 1);
		buf_add(out, made.data, made.size);
	}
	buf_finish(&made);
	arena_finish(&m.arena);
	return r;
}
