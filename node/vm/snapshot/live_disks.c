#include "node/vm/snapshot/live_disks.h"

#include <string.h>

#include "node/vm/libvirt/live_xml.h"

/* The next <disk ...>...</disk>. */
static bool next_disk(struct str *xml, struct str *ret)
{
	static const char begin[] = "<disk ", end[] = "</disk>";
	const char *p = memmem(xml->p, xml->size, begin, sizeof(begin) - 1), *q;

	if (!p)
		return false;
	size_t left = xml->size - (size_t)(p - xml->p);
	q = memmem(p, left, end, sizeof(end) - 1);
	if (!q)
		return false;
	q += sizeof(end) - 1;
	*ret = (struct str){.p = p, .size = (size_t)(q - p)};
	xml->size -= (size_t)(q - xml->p);
	xml->p = q;
	return true;
}

static bool read_disk(struct str disk, struct live_disk *ret)
{
	/* The first source is the top's: those below come inside of it, later. */
	return live_xml_attribute(
		       disk, "target", NULL, NULL, "dev", ret->target, sizeof(ret->target)) &&
	       live_xml_attribute(disk, "source", NULL, NULL, "file", ret->file, sizeof(ret->file));
}

bool live_disk_find(struct str xml, const char *directory, struct live_disk *ret)
{
	size_t size = strlen(directory);
	struct live_disk d;
	struct str one;

	while (next_disk(&xml, &one)) {
		if (read_disk(one, &d) && strncmp(d.file, directory, size) == 0 &&
			d.file[size] == '/' && !strchr(d.file + size + 1, '/')) {
			*ret = d;
			return true;
		}
	}
	return false;
}

static void escape(struct buf *out, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '<':
			buf_add_str(out, "&lt;");
			break;
		case '&':
			buf_add_str(out, "&amp;");
			break;
		case '\'':
			buf_add_str(out, "&apos;");
			break;
		default:
			buf_add_char(out, *s);
		}
	}
}

void live_snapshot_write(struct buf *out, struct str xml, const struct live_switch *disks,
	size_t count, const char *memory)
{
	struct str one;
	char target[16];

	buf_add_str(out, "<domainsnapshot>\n");
	if (memory) {
		buf_add_str(out, "  <memory snapshot='external' file='");
		escape(out, memory);
		buf_add_str(out, "'/>\n");
	}
	buf_add_str(out, "  <disks>\n");
	while (next_disk(&xml, &one)) {
		const char *file = NULL;

		if (!live_xml_attribute(one, "target", NULL, NULL, "dev", target, sizeof(target)))
			continue;
		for (size_t i = 0; i < count; i++)
			if (streq(disks[i].target, target))
				file = disks[i].file;
		buf_add_str(out, "    <disk name='");
		escape(out, target);
		if (!file) {
			buf_add_str(out, "' snapshot='no'/>\n");
			continue;
		}
		buf_add_str(out,
			"' snapshot='external' type='file'>\n      <driver type='qcow2'/>\n"
			"      <source file='");
		escape(out, file);
		buf_add_str(out, "'/>\n    </disk>\n");
	}
	buf_add_str(out, "  </disks>\n</domainsnapshot>\n");
}
