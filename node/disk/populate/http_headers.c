#include "node/disk/populate/http_headers.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/file.h"

#define MAX_BYTES (256 << 10)

static const char *value_of(struct arena *a, struct str line, const char *name)
{
	size_t size = strlen(name);

	if (line.size <= size || strncasecmp(line.p, name, size) != 0 || line.p[size] != ':')
		return NULL;
	line.p += size + 1;
	line.size -= size + 1;
	while (line.size && (*line.p == ' ' || *line.p == '\t')) {
		line.p++;
		line.size--;
	}
	return arena_memdup(a, line.p, line.size);
}

/* "bytes 100-199/200" */
static int64_t range_total(const char *text)
{
	const char *slash = strchr(text, '/');
	int64_t total;

	return slash && parse_i64(str_from(slash + 1), &total) == 0 && total > 0 ? total : 0;
}

void http_headers_read(struct arena *a, const char *text, struct http_headers *ret)
{
	struct http_headers h = {.length = -1};
	struct str rest = str_from(text), line;
	const char *etag = NULL, *modified = NULL, *value;

	while (str_split(&rest, '\n', &line)) {
		if (line.size && line.p[line.size - 1] == '\r')
			line.size--;
		if (line.size > 5 && memcmp(line.p, "HTTP/", 5) == 0) {
			char status[64];

			h = (struct http_headers){.length = -1};
			etag = modified = NULL;
			snprintf(status, sizeof(status), "%.*s", (int)MIN(line.size, (size_t)63),
				line.p);
			if (sscanf(status, "HTTP/%*s %d", &h.code) != 1)
				h.code = 0;
		} else if ((value = value_of(a, line, "Content-Length"))) {
			if (parse_i64(str_from(value), &h.length) < 0 || h.length < 0)
				h.length = -1;
		} else if ((value = value_of(a, line, "Content-Range"))) {
			h.total = range_total(value);
		} else if ((value = value_of(a, line, "ETag"))) {
			etag = value;
		} else if ((value = value_of(a, line, "Last-Modified"))) {
			modified = value;
		}
	}
	if (h.code == 200 && h.length > 0)
		h.total = h.length;
	/* A weak one may stay the same when bytes change. */
	if (etag && *etag == '"')
		h.validator = etag;
	else if (modified && *modified)
		h.validator = modified;
	*ret = h;
}

void http_headers_load(struct arena *a, const char *path, struct http_headers *ret)
{
	struct stat st;
	_cleanup_(close_p) int fd = file_open_regular(AT_FDCWD, path, O_RDONLY, &st);
	char *text;
	ssize_t n;

	*ret = (struct http_headers){.length = -1};
	if (fd < 0 || st.st_size > MAX_BYTES)
		return;
	text = arena_alloc(a, MAX_BYTES + 1);
	n = pread(fd, text, MAX_BYTES, 0);
	if (n < 0)
		return;
	text[n] = '\0';
	http_headers_read(a, text, ret);
}
