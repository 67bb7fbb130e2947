/* nbd.h - NBD, a reader's part of it: how a disk's content is asked for from qemu-nbd. Pure.
 * (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md: fixed newstyle, the option
 * EXPORT_NAME, simple replies.) */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/err.h"

#define NBD_HELLO_BYTES 18  /* what the server says first */
#define NBD_EXPORT_BYTES 10 /* its answer to our option: size and flags */
#define NBD_REPLY_BYTES 16  /* before the data of each read */

/* Checks the first words and adds our answer: the export without a name. */
int nbd_hello(const void *hello, struct buf *answer, struct err *err) _must_check_;
uint64_t nbd_export_size(const void *answer);
void nbd_put_read(struct buf *out, uint64_t cookie, uint64_t offset, uint32_t size);
/* Checks the head of an answer to the read with this cookie. */
int nbd_reply(const void *reply, uint64_t cookie, struct err *err) _must_check_;
