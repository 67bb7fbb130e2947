#include "node/vm/spec/spec_internal.h"

#include <stdio.h>

#include "lib/object/quantity.h"

/* Where each word of the annotation goes, and libvirt's name for it. */
static const struct word {
	const char *name, *libvirt;
	size_t offset;
} words[] = {
	{"bytes", "total_bytes_sec", offsetof(struct vm_io_limits, bytes)},
	{"read-bytes", "read_bytes_sec", offsetof(struct vm_io_limits, read_bytes)},
	{"write-bytes", "write_bytes_sec", offsetof(struct vm_io_limits, write_bytes)},
	{"iops", "total_iops_sec", offsetof(struct vm_io_limits, iops)},
	{"read-iops", "read_iops_sec", offsetof(struct vm_io_limits, read_iops)},
	{"write-iops", "write_iops_sec", offsetof(struct vm_io_limits, write_iops)},
};
#define LIMIT_MAX (INT64_C(1) << 50)

static int64_t *value_of(struct vm_io_limits *l, const struct word *w)
{
	return (int64_t *)((char *)l + w->offset);
}

static const struct word *word_named(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq(name, words[i].name))
			return &words[i];
	return NULL;
}

static int read_limits(const char *key, const char *text, struct vm_io_limits *l, struct err *err)
{
	struct str rest = str_from(text), item;

	while (str_split(&rest, ',', &item)) {
		struct str value = item, name;
		const struct word *w = str_split(&value, '=', &name) ? word_named(name) : NULL;
		struct quantity q;
		char number[32];

		snprintf(number, sizeof(number), "%.*s", (int)MIN(value.size, (size_t)31), value.p);
		if (!w || quantity_parse(number, &q) < 0 || quantity_value(q) < 1 ||
			quantity_value(q) > LIMIT_MAX)
			return err_set(err, -EINVAL,
				"metadata.annotations[%s]: '%.*s' is not one of bytes, read-bytes, "
				"write-bytes, iops, read-iops, write-iops with '=' and an amount",
				key, (int)MIN(item.size, (size_t)64), item.p);
		*value_of(l, w) = quantity_value(q);
	}
	if ((l->bytes && (l->read_bytes || l->write_bytes)) ||
		(l->iops && (l->read_iops || l->write_iops)))
		return err_set(err, -EINVAL,
			"metadata.annotations[%s]: a limit of all can't go with one of reads or "
			"writes",
			key);
	return 0;
}

int spec_read_io_limits(const struct json *vmi, struct vm_spec *s, struct err *err)
{
	JSON_FOR_EACH_MEMBER(m, json_path(vmi, "metadata.annotations")) {
		const char *disk = m->name + strlen(VM_IO_LIMITS_ANNOTATION);
		struct vm_disk *found = NULL;
		int r;

		if (!str_has_prefix(m->name, VM_IO_LIMITS_ANNOTATION))
			continue;
		for (size_t i = 0; i < s->disk_count; i++)
			if (streq(s->disks[i].name, disk))
				found = &s->disks[i];
		if (!found)
			return err_set(err, -EINVAL,
				"metadata.annotations[%s]: there is no disk '%s'", m->name, disk);
		r = read_limits(m->name, json_str_or(m->value, ""), &found->limits, err);
		if (r < 0)
			return r;
	}
	return 0;
}

void xml_write_io_limits(struct xml *x, const struct vm_io_limits *l)
{
	struct vm_io_limits copy = *l;
	bool any = false;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		any |= *value_of(&copy, &words[i]) > 0;
	if (!any)
		return;
	xml_add(x, "      <iotune>\n");
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		long long value = *value_of(&copy, &words[i]);

		if (value)
			xml_add(x, "        <%s>%lld</%s>\n", words[i].libvirt, value,
				words[i].libvirt);
	}
	xml_add(x, "      </iotune>\n");
}
