#include "node/vm/spec/spec_internal.h"

int spec_read_io_limits(const struct json *vmi, struct vm_spec *s, struct err *err)
{
	JSON_FOR_EACH_MEMBER(m, json_path(vmi, "metadata.annotations")) {
		const char *disk = m->name + strlen(MACHINE_IO_LIMITS_ANNOTATION);
		struct vm_disk *found = NULL;
		int r;

		if (!str_has_prefix(m->name, MACHINE_IO_LIMITS_ANNOTATION))
			continue;
		for (size_t i = 0; i < s->disk_count; i++)
			if (streq(s->disks[i].name, disk))
				found = &s->disks[i];
		if (!found)
			return err_set(err, -EINVAL,
				"metadata.annotations[%s]: there is no disk '%s'", m->name, disk);
		r = machine_io_limits_read(json_str_or(m->value, ""), &found->limits, err);
		if (r < 0)
			return err_context(err, r, "metadata.annotations[%s]", m->name);
	}
	return 0;
}

void xml_write_io_limits(struct xml *x, const struct machine_io_limits *l)
{
	const struct {
		const char *element;
		int64_t value;
	} all[] = {
		{"total_bytes_sec", l->bytes},
		{"read_bytes_sec", l->read_bytes},
		{"write_bytes_sec", l->write_bytes},
		{"total_iops_sec", l->iops},
		{"read_iops_sec", l->read_iops},
		{"write_iops_sec", l->write_iops},
	};
	bool any = false;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		any |= all[i].value > 0;
	if (!any)
		return;
	xml_add(x, "      <iotune>\n");
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i].value)
			xml_add(x, "        <%s>%lld</%s>\n", all[i].element,
				(long long)all[i].value, all[i].element);
	xml_add(x, "      </iotune>\n");
}
