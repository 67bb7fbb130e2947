#include "node/vm/host/ksm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/object/selector.h"
#include "node/vm/image/image_files.h"

#define KSM "/sys/kernel/mm/ksm/"
/* A burst every tenth of a second: some percent of a core while there is something to merge. */
#define PAGES_TO_SCAN "1000"
#define SLEEP_MS "100"

bool ksm_wanted(const struct json *configuration, const struct json *labels)
{
	const struct json *selector =
		json_path(configuration, "ksmConfiguration.nodeLabelSelector");
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct selector parsed;

	return json_is(selector, JSON_OBJECT) &&
	       selector_from_label_selector(&a, selector, &parsed, NULL) == 0 &&
	       selector_matches_label_map(&parsed, labels);
}

static int64_t number(const char *root, const char *name, int64_t fallback)
{
	_cleanup_(free_p) char *path = xasprintf("%s" KSM "%s", root, name);
	char text[32];

	return files_read(path, text, sizeof(text)) > 0 ? strtoll(text, NULL, 10) : fallback;
}

void ksm_read(const char *root, struct ksm *ret)
{
	int64_t run = number(root, "run", -1);

	*ret = (struct ksm){.there = run >= 0,
		.running = run == 1,
		.shared_pages = number(root, "pages_shared", 0),
		.sharing_pages = number(root, "pages_sharing", 0)};
	/* Of n users of a page one would be there anyway: the kernel counts the others. */
	ret->saved_bytes = ret->sharing_pages * sysconf(_SC_PAGESIZE);
}

static int put(const char *root, const char *name, const char *value)
{
	_cleanup_(free_p) char *path = xasprintf("%s" KSM "%s", root, name);
	int fd = open(path, O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		r = -errno;
	close(fd);
	return r;
}

int ksm_switch(const char *root, const char *record, bool on)
{
	bool ours = access(record, F_OK) == 0;
	struct ksm now;
	int r;

	ksm_read(root, &now);
	if (!now.there)
		return on ? -EOPNOTSUPP : 0;
	if (on == now.running)
		return 0;
	if (!on) {
		if (!ours)
			return 0; /* somebody else wants it */
		/* 0 stops merging and leaves what is merged, which comes apart when written. */
		r = put(root, "run", "0");
		if (r == 0)
			unlink(record);
		return r;
	}
	r = files_write(record, "", 0, 0600, NULL);
	if (r < 0 || (r = put(root, "pages_to_scan", PAGES_TO_SCAN)) < 0 ||
		(r = put(root, "sleep_millisecs", SLEEP_MS)) < 0)
		return r;
	return put(root, "run", "1");
}

static void gauge(struct buf *out, const char *name, const char *help, int64_t value)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %lld\n", name, help, name, name,
		(long long)value);
}

void ksm_write_metrics(const char *root, struct buf *out)
{
	struct ksm k;

	ksm_read(root, &k);
	if (!k.there)
		return;
	gauge(out, "node_ksmd_run", "Whether the kernel merges equal pages", k.running);
	gauge(out, "node_ksmd_pages_shared", "Pages that are kept for all that have them",
		k.shared_pages);
	gauge(out, "node_ksmd_pages_sharing", "Pages that needed no memory of their own",
		k.sharing_pages);
	gauge(out, "hanok_node_ksm_saved_bytes", "Memory that merging saves", k.saved_bytes);
}
