#include "node/disk/write_out.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/base/file.h"
#include "lib/client/wakeup.h"
#include "node/disk/qcow2_write.h"
#include "node/volume/file_work.h"

/* At 2 GB/s no more than 100 MB are left for the end; rarer while little comes. */
#define PAUSE_MIN_MS 50
#define PAUSE_MAX_MS 800

/* Of a VDI disk's header, little-endian: VirtualBox's and QEMU's (block/vdi.c). */
enum { VDI_MAGIC_AT = 0x40, VDI_DATA_AT = 0x158, VDI_HEAD_BYTES = 0x15c };
#define VDI_MAGIC 0xbeda107fu

struct write_out {
	struct node *n;
	char *path;
	struct wakeup *again;
	struct file_job *job;
	int64_t done_bytes; /* are being written, or have been */
	int64_t pause_ms;
};

/* On a thread. */
struct step {
	struct write_out *w; /* not looked at by the thread */
	char *path;
	int64_t from;
};

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* A disk whose data are not where a layer may have them (disk_map.h) is written anew. */
static bool will_move(int fd)
{
	uint8_t head[VDI_HEAD_BYTES];

	return pread(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
	       get32(head + VDI_MAGIC_AT) == VDI_MAGIC &&
	       get32(head + VDI_DATA_AT) % QCOW2_CLUSTER != 0;
}

int64_t write_out_step(const char *path, int64_t from)
{
	struct stat st;
	_cleanup_(close_p) int fd = file_open_regular(AT_FDCWD, path, O_RDONLY, &st);
	int64_t until;

	if (from == INT64_MAX || fd < 0)
		return from;
	until = st.st_size / WRITE_OUT_STEP_BYTES * WRITE_OUT_STEP_BYTES;
	/* It began anew, or is as it was. */
	if (until <= from)
		return until;
	if (from == 0 && will_move(fd))
		return INT64_MAX;
	/* A file system that can't has written less in the end, that is all. */
	(void)!sync_file_range(fd, from, until - from, SYNC_FILE_RANGE_WRITE);
	return until;
}

static void run(void *user)
{
	struct step *s = user;

	s->from = write_out_step(s->path, s->from);
}

static void on_step(void *user, bool cancelled)
{
	struct step *s = user;

	if (!cancelled) {
		struct write_out *w = s->w;

		w->job = NULL;
		w->pause_ms = s->from == w->done_bytes ? MIN(w->pause_ms * 2, (int64_t)PAUSE_MAX_MS)
						       : PAUSE_MIN_MS;
		w->done_bytes = s->from;
		if (s->from < INT64_MAX)
			wakeup_in(w->again, w->pause_ms);
	}
	free(s->path);
	free(s);
}

static void on_again(void *user)
{
	struct write_out *w = user;
	struct step *s = xcalloc(1, sizeof(*s));

	s->w = w;
	s->path = xstrdup(w->path);
	s->from = w->done_bytes;
	w->job = file_work_queue(w->n->files, w->path, run, on_step, s);
}

struct write_out *write_out_start(struct node *n, const char *path)
{
	struct write_out *w = xcalloc(1, sizeof(*w));

	w->n = n;
	w->path = xstrdup(path);
	w->again = wakeup_create(n->loop, n->clock, on_again, w);
	w->pause_ms = PAUSE_MIN_MS;
	wakeup_in(w->again, w->pause_ms);
	return w;
}

void write_out_stop(struct write_out *w)
{
	if (!w)
		return;
	file_job_cancel(w->job);
	wakeup_destroy(w->again);
	free(w->path);
	free(w);
}
