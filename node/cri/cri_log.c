/* cri_log.c - see cri_log.h. */
#include "node/cri/cri_log.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"

int cri_log_parse(const char *line, size_t size, struct cri_log_line *ret)
{
	struct str rest = {line, size}, time, stream, tag;
	struct cri_log_line l = {0};
	char text[64];

	if (!str_split(&rest, ' ', &time) || !str_split(&rest, ' ', &stream) || !rest.p)
		return -EBADMSG;
	/* The text may be missing altogether: "... stdout F". */
	if (!str_split(&rest, ' ', &tag))
		return -EBADMSG;
	if (time.size == 0 || time.size >= sizeof(text))
		return -EBADMSG;
	memcpy(text, time.p, time.size);
	text[time.size] = '\0';
	if (memchr(text, 0, time.size) || time_parse_rfc3339(text, &l.time_ns) < 0)
		return -EBADMSG;
	if (str_eq(stream, "stderr"))
		l.is_stderr = true;
	else if (!str_eq(stream, "stdout"))
		return -EBADMSG;
	struct str first;
	if (!str_split(&tag, ':', &first))
		return -EBADMSG;
	if (str_eq(first, "P"))
		l.partial = true;
	else if (!str_eq(first, "F"))
		return -EBADMSG;
	l.time = time.p;
	l.time_size = time.size;
	l.text = rest.p ? rest.p : line + size;
	l.size = rest.p ? rest.size : 0;
	*ret = l;
	return 0;
}

size_t cri_log_time(const struct cri_log_line *l, char ret[CRI_LOG_TIME_ROOM])
{
	enum { DECIMALS = 9 };
	const char *end = l->time + l->time_size, *p = l->time;
	size_t n = 0, decimals = 0;

	/* 2016-10-06T00:17:09, all of which cri_log_parse() has seen. */
	while (p < end && n < 19)
		ret[n++] = *p++;
	ret[n++] = '.';
	if (p < end && *p == '.')
		p++;
	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		if (decimals++ < DECIMALS)
			ret[n++] = *p;
	}
	for (; decimals < DECIMALS; decimals++)
		ret[n++] = '0';
	while (p < end && n < CRI_LOG_TIME_ROOM)
		ret[n++] = *p++;
	return n;
}

size_t cri_log_tail(const char *path, size_t lines, char *ret, size_t room)
{
	enum { LOOK_BYTES = 64 << 10 };
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_(buf_finish) struct buf in = BUF_INIT, out = BUF_INIT;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	off_t from = st.st_size > LOOK_BYTES ? st.st_size - LOOK_BYTES : 0;
	buf_reserve(&in, LOOK_BYTES);
	ssize_t n = pread(fd, in.data, LOOK_BYTES, from);
	if (n <= 0)
		return 0;
	in.size = (size_t)n;

	/* Backwards to the start of the wanted lines. */
	size_t start = in.size, seen = 0;
	while (start > 0) {
		if (in.data[start - 1] == '\n' && start < in.size && ++seen >= lines)
			break;
		start--;
	}
	struct str rest = {in.data + start, in.size - start}, line;
	while (str_split(&rest, '\n', &line)) {
		struct cri_log_line l;
		if (cri_log_parse(line.p, line.size, &l) < 0)
			continue;
		buf_add(&out, l.text, l.size);
		if (!l.partial)
			buf_add_char(&out, '\n');
	}
	size_t size = MIN(out.size, room);
	if (size > 0)
		memcpy(ret, out.data + out.size - size, size);
	return size;
}
