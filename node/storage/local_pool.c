#include "node/storage/local_pool.h"

#include <stdio.h>
#include <sys/statvfs.h>

#include "lib/object/quantity.h"
#include "node/metrics/metrics.h"

#define FACTOR_MAX 1000000

static struct metric pool_capacity = METRIC_GAUGE("hanok_storage_pool_capacity_bytes",
	"Bytes that the file system of the pool holds", "pool");
static struct metric pool_available = METRIC_GAUGE("hanok_storage_pool_available_bytes",
	"Bytes that are free in the file system of the pool", "pool");
static struct metric pool_promised = METRIC_GAUGE("hanok_storage_pool_promised_bytes",
	"Bytes that volumes in the pool were promised", "pool");

int local_pool_read(
	struct informer *volumes, const char *directory, struct local_pool *ret, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct local_pool p = {0};
	struct object **list;
	size_t count = informer_list(volumes, NULL, &a, &list), size = strlen(directory);
	struct statvfs fs;

	if (statvfs(directory, &fs) < 0)
		return err_errno(err, -errno, "size of the file system of '%s'", directory);
	p.capacity_bytes = (int64_t)(fs.f_blocks * fs.f_frsize);
	p.available_bytes = (int64_t)(fs.f_bavail * fs.f_frsize);
	for (size_t i = 0; i < count; i++) {
		_cleanup_(arena_finish) struct arena scratch = ARENA_INIT;
		const struct json *doc = object_doc(list[i], &scratch);
		const char *path = json_str_or(json_path(doc, "spec.local.path"), "");
		int64_t bytes = quantity_json_value(json_path(doc, "spec.capacity.storage"), 0);

		if (strncmp(path, directory, size) == 0 && path[size] == '/' && bytes > 0)
			p.promised_bytes = p.promised_bytes > INT64_MAX - bytes
						   ? INT64_MAX
						   : p.promised_bytes + bytes;
	}
	*ret = p;
	return 0;
}

int local_pool_admit(const struct local_pool *p, const struct json *parameters, int64_t more_bytes,
	struct err *err)
{
	const char *text = json_str(json_get(parameters, "overcommit"));
	double factor, limit;
	char *end;

	if (!text)
		return 0;
	factor = strtod(text, &end);
	if (!*text || *end || !(factor > 0) || factor > FACTOR_MAX)
		return err_set(
			err, -EINVAL, "parameter overcommit: '%s' is not a number above 0", text);
	limit = factor * (double)p->capacity_bytes;
	if ((double)p->promised_bytes + (double)more_bytes <= limit)
		return 0;
	return err_set(err, -ENOSPC,
		"not enough free space: volumes were promised %lld MiB, %lld MiB more would be "
		"above %s times the %lld MiB of the file system (parameter overcommit)",
		(long long)(p->promised_bytes >> 20), (long long)(more_bytes >> 20), text,
		(long long)(p->capacity_bytes >> 20));
}

void local_pool_tell(const struct local_pool *p, const char *name)
{
	metric_set(&pool_capacity, (double)p->capacity_bytes, name);
	metric_set(&pool_available, (double)p->available_bytes, name);
	metric_set(&pool_promised, (double)p->promised_bytes, name);
}
