/* transfer.h - big files to and from servers by HTTP, in pieces as they come. */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/err.h"

struct transfer {
	const char *url;     /* http:// or https:// */
	const char *headers; /* "Name: value\r\n...", NULL = none */
	const char *ca;	     /* PEM; NULL = the server's certificate is not verified */
	const char *title;   /* of the progress on a terminal; NULL = silent */
	/* Of a download that is cut short: how often the rest is asked for. Where the server named
	 * the bytes (ETag) and they are the same still, it goes on, else it begins anew. */
	unsigned resumes;
};
/* POST of a file. */
int transfer_upload(const struct transfer *t, const char *file, struct err *err) _must_check_;
/* GET into a file, which appears when it is whole; "-" = standard output. *ret_status: of the
 * server's answer, 0 = there was none; what it refused it has told in words, which are in err. */
int transfer_download(
	const struct transfer *t, const char *file, int *ret_status, struct err *err) _must_check_;

/* image-upload: a DataVolume that takes a local file, in virtctl's sequence. See transfer.c. */
struct virt;
struct image_upload {
	const char *name, *file;
	const char *size;	   /* of the disk; NULL = what the image says */
	const char *storage_class; /* NULL = the default */
	const char *access_mode;   /* NULL = ReadWriteOnce */
	const char *proxy_url;	   /* NULL = what CDIConfig says */
	bool block, no_create;
	unsigned timeout_s;
};
int image_upload(struct virt *v, const struct image_upload *u, struct err *err) _must_check_;
/* Waits for a DataVolume's end, showing its progress. */
int image_import_wait(
	struct virt *v, const char *name, unsigned timeout_s, struct err *err) _must_check_;
