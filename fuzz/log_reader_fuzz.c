/* Files of container logs, of which the first byte says how many lines of the end are wanted: these
 * are the end of the whole, and begin where a record begins. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "node/cri/cri_log.h"
#include "node/logs/log_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const char *path, int64_t tail, struct buf *to)
{
	struct log_reader *r;

	if (log_reader_open(path, tail, 0, &r, NULL) < 0)
		abort();
	do {
		for (ssize_t n;;) {
			buf_reserve(to, 4096);
			n = log_reader_read(r, to->data + to->size, 4096);
			if (n < 0)
				abort();
			if (n == 0)
				break;
			to->size += (size_t)n;
		}
	} while (log_reader_next(r));
	log_reader_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[64];
	_cleanup_(buf_finish) struct buf all = BUF_INIT, end = BUF_INIT;
	char time[CRI_LOG_TIME_ROOM], text[512];
	struct cri_log_line l;

	if (size == 0)
		return 0;
	if (cri_log_parse((const char *)data + 1, size - 1, &l) == 0) {
		size_t n = cri_log_time(&l, time);
		if (n < 29 || n > sizeof(time))
			abort();
	}
	if (!*path)
		snprintf(path, sizeof(path), "/tmp/log_reader_fuzz.%d", getpid());
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)(size - 1))
		abort();
	close(fd);
	read_all(path, -1, &all);
	read_all(path, data[0], &end);
	if (all.size != size - 1 || end.size > all.size ||
		(all.size && memcmp(all.data, data + 1, all.size) != 0))
		abort();
	size_t from = all.size - end.size;
	if ((end.size && memcmp(end.data, all.data + from, end.size) != 0) ||
		(from > 0 && from < all.size && all.data[from - 1] != '\n') ||
		(data[0] == 0 && end.size > 0))
		abort();
	if (cri_log_tail(path, data[0], text, sizeof(text)) > sizeof(text))
		abort();
	unlink(path);
	return 0;
}
