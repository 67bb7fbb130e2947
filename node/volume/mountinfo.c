/* mountinfo.c - see mountinfo.h. */
#include "node/volume/mountinfo.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/str.h"

/* \040 style escapes. */
static void unescape(char *s)
{
	char *to = s;

	for (char *p = s; *p;) {
		bool octal = p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' &&
			     p[2] <= '7' && p[3] >= '0' && p[3] <= '7';
		if (octal) {
			*to++ = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
			p += 4;
		} else {
			*to++ = *p++;
		}
	}
	*to = '\0';
}

/* 36 35 98:0 /root /mount/point rw,noatime master:1 shared:2 - ext4 /dev/root rw */
bool mountinfo_parse(char *line, struct mount_line *ret)
{
	enum { ID, PARENT, DEVICE, ROOT, PATH, OPTIONS, TAGS };
	struct mount_line m = {0};
	char *save, *field = strtok_r(line, " ", &save);

	for (int i = 0; field; i++, field = strtok_r(NULL, " ", &save)) {
		int64_t id;
		if (i == ID) {
			if (parse_i64(str_from(field), &id) < 0 || id < 0)
				return false;
			m.id = (uint64_t)id;
		} else if (i == PATH) {
			unescape(field);
			m.path = field;
		} else if (i >= TAGS && streq(field, "-")) {
			break;
		} else if (i >= TAGS && str_has_prefix(field, "shared:")) {
			m.shared = true;
		} else if (i >= TAGS && str_has_prefix(field, "master:")) {
			m.slave = true;
		}
	}
	if (!m.path || *m.path != '/')
		return false;
	*ret = m;
	return true;
}

int mountinfo_read(struct arena *a, struct mount_table *ret, struct err *err)
{
	struct mount_table t = {0};
	size_t room = 0, line_room = 0;
	char *line = NULL;
	FILE *f = fopen("/proc/self/mountinfo", "re");

	if (!f)
		return err_errno(err, -errno, "open '/proc/self/mountinfo'");
	for (ssize_t size; (size = getline(&line, &line_room, f)) > 0;) {
		struct mount_line m;
		if (line[size - 1] == '\n')
			line[size - 1] = '\0';
		if (!mountinfo_parse(line, &m))
			continue;
		if (t.count == room) {
			size_t more = room ? room * 2 : 64;
			t.items = arena_grow(
				a, t.items, room * sizeof(*t.items), more * sizeof(*t.items));
			room = more;
		}
		m.path = arena_strdup(a, m.path);
		t.items[t.count++] = m;
	}
	free(line);
	fclose(f);
	*ret = t;
	return 0;
}

const struct mount_line *mountinfo_of(const struct mount_table *t, int fd)
{
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0 || !(sx.stx_mask & STATX_MNT_ID))
		return NULL;
	for (size_t i = 0; i < t->count; i++) {
		if (t->items[i].id == sx.stx_mnt_id)
			return &t->items[i];
	}
	return NULL;
}
