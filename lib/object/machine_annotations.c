#include "lib/object/machine_annotations.h"

#include <stdio.h>

#include "lib/base/str.h"
#include "lib/object/quantity.h"

#define SWAP_MAX_BYTES (INT64_C(64) << 40)
#define LIMIT_MAX (INT64_C(1) << 50)

static const struct word {
	const char *name;
	size_t offset;
} words[] = {
	{"bytes", offsetof(struct machine_io_limits, bytes)},
	{"read-bytes", offsetof(struct machine_io_limits, read_bytes)},
	{"write-bytes", offsetof(struct machine_io_limits, write_bytes)},
	{"iops", offsetof(struct machine_io_limits, iops)},
	{"read-iops", offsetof(struct machine_io_limits, read_iops)},
	{"write-iops", offsetof(struct machine_io_limits, write_iops)},
};

static const struct word *word_named(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq(name, words[i].name))
			return &words[i];
	return NULL;
}

int machine_on_crash_read(const char *text, struct err *err)
{
	static const char *const policies[] = {"destroy", "restart", "preserve"};

	for (size_t i = 0; i < ARRAY_LEN(policies); i++)
		if (streq(text, policies[i]))
			return 0;
	return err_set(err, -EINVAL, "'%.64s' is not destroy, restart or preserve", text);
}

int machine_swap_read(const struct json *value, int64_t *ret_bytes, struct err *err)
{
	int64_t bytes = quantity_json_value(value, -1);

	if (bytes < 0 || bytes > SWAP_MAX_BYTES)
		return err_set(err, -EINVAL,
			"'%.64s' is not an amount of memory from 0 to 64Ti, such as 512Mi",
			json_str_or(value, ""));
	*ret_bytes = bytes;
	return 0;
}

int machine_io_limits_read(const char *text, struct machine_io_limits *ret, struct err *err)
{
	struct str rest = str_from(text), item;
	struct machine_io_limits l = {0};

	while (str_split(&rest, ',', &item)) {
		struct str value = item, name;
		const struct word *w = str_split(&value, '=', &name) ? word_named(name) : NULL;
		struct quantity q;
		char number[32];

		snprintf(number, sizeof(number), "%.*s", (int)MIN(value.size, (size_t)31),
			value.size ? value.p : "");
		if (!w || quantity_parse(number, &q) < 0 || quantity_value(q) < 1 ||
			quantity_value(q) > LIMIT_MAX)
			return err_set(err, -EINVAL,
				"'%.*s' is not one of bytes, read-bytes, write-bytes, iops, "
				"read-iops, write-iops with '=' and an amount",
				(int)MIN(item.size, (size_t)64), item.p);
		*(int64_t *)((char *)&l + w->offset) = quantity_value(q);
	}
	if ((l.bytes && (l.read_bytes || l.write_bytes)) ||
		(l.iops && (l.read_iops || l.write_iops)))
		return err_set(err, -EINVAL,
			"a limit of all can't go with one of reads or writes: leave one out");
	*ret = l;
	return 0;
}
