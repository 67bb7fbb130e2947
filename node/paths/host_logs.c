/* host_logs.c - /logs/: the node's log files, for reading. The kernel itself keeps the way below
 * the directory (openat2, RESOLVE_BENEATH): pods that may write there can make links. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/base/vec.h"
#include "node/paths/paths.h"

enum { PIECE_BYTES = 64 << 10, NAMES_MAX = 10000 };

static void refuse(struct http_request *req, int status, const char *text)
{
	http_respond(req, status, "text/plain; charset=utf-8", NULL, text, strlen(text));
}

static int open_below(const char *root, const char *path)
{
	_cleanup_(close_p) int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};

	if (dir < 0)
		return -errno;
	path += strspn(path, "/");
	long fd = syscall(SYS_openat2, dir, *path ? path : ".", &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

/* ---- files ---- */

struct reading {
	int fd;
	off_t left; /* what was there when it was asked for */
};

static bool next_piece(void *user, struct buf *out)
{
	struct reading *r = user;
	size_t want = (size_t)MIN(r->left, PIECE_BYTES);

	buf_reserve(out, want);
	ssize_t n = read(r->fd, out->data + out->size, want);
	if (n <= 0)
		return false; /* shorter by now */
	out->size += (size_t)n;
	out->data[out->size] = '\0';
	r->left -= n;
	return r->left > 0;
}

static void finish(void *user)
{
	struct reading *r = user;

	close(r->fd);
	free(r);
}

static void serve_file(struct http_request *req, int fd, off_t size)
{
	struct reading *r = xmalloc(sizeof(*r));

	*r = (struct reading){fd, size};
	http_respond_source(req, 200, "text/plain; charset=utf-8", NULL,
		&(struct http_source){next_piece, finish, r}, false);
}

/* ---- directories ---- */

static int by_name(const void *x, const void *y)
{
	return strcmp(*(char *const *)x, *(char *const *)y);
}

static void add_escaped(struct buf *out, const char *text)
{
	for (const char *p = text; *p; p++) {
		switch (*p) {
		case '<':
			buf_add_str(out, "&lt;");
			break;
		case '>':
			buf_add_str(out, "&gt;");
			break;
		case '&':
			buf_add_str(out, "&amp;");
			break;
		case '"':
			buf_add_str(out, "&#34;");
			break;
		case '\'':
			buf_add_str(out, "&#39;");
			break;
		default:
			buf_add_char(out, *p);
		}
	}
}

static void serve_directory(struct http_request *req, int fd)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	VEC(char *) names = {0};
	DIR *d = fdopendir(fd);

	for (struct dirent *e; d && names.count < NAMES_MAX && (e = readdir(d));) {
		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		VEC_PUSH(&names, arena_printf(&req->arena, "%s%s", e->d_name,
					 e->d_type == DT_DIR ? "/" : ""));
	}
	if (d)
		closedir(d);
	else
		close(fd);
	if (names.count > 1)
		qsort(names.items, names.count, sizeof(*names.items), by_name);
	buf_add_str(&b, "<!doctype html>\n<meta name=\"viewport\" "
			"content=\"width=device-width\">\n<pre>\n");
	for (size_t i = 0; i < names.count; i++) {
		size_t size = strlen(names.items[i]);
		bool dir = names.items[i][size - 1] == '/';
		struct str plain = {names.items[i], size - dir};
		buf_printf(&b, "<a href=\"%s%s\">", percent_encode(&req->arena, plain),
			dir ? "/" : "");
		add_escaped(&b, names.items[i]);
		buf_add_str(&b, "</a>\n");
	}
	buf_add_str(&b, "</pre>\n");
	VEC_FINISH(&names);
	http_respond(req, 200, "text/html; charset=utf-8", NULL, b.data, b.size);
}

void host_logs_serve(struct http_request *req, const char *root, const char *path)
{
	struct stat st;

	if (!streq(req->method, "GET") && !streq(req->method, "HEAD")) {
		refuse(req, 405, "Method Not Allowed");
		return;
	}
	int fd = open_below(root, path);
	if (fd < 0) {
		bool absent = fd == -ENOENT || fd == -ENOTDIR || fd == -ENAMETOOLONG;
		refuse(req, absent ? 404 : 403,
			absent ? "404 page not found"
			       : "403 Forbidden: outside of the node's logs");
		return;
	}
	bool directory = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
	size_t size = strlen(path);
	if (directory && (size == 0 || path[size - 1] != '/')) {
		const char *last = strrchr(path, '/');
		close(fd);
		http_respond(req, 301, "text/plain; charset=utf-8",
			arena_printf(&req->arena, "Location: %s/\r\n",
				last ? percent_encode(&req->arena, str_from(last + 1)) : "logs"),
			"", 0);
	} else if (directory) {
		serve_directory(req, fd);
	} else if (!S_ISREG(st.st_mode) || (size > 0 && path[size - 1] == '/')) {
		close(fd);
		refuse(req, 404, "404 page not found");
	} else {
		serve_file(req, fd, st.st_size);
	}
}
