#include "node/vm/snapshot/nbd.h"

#define MAGIC UINT64_C(0x4e42444d41474943)	  /* "NBDMAGIC" */
#define OPTION_MAGIC UINT64_C(0x49484156454f5054) /* "IHAVEOPT" */
#define REQUEST_MAGIC 0x25609513u
#define REPLY_MAGIC 0x67446698u
#define FIXED_NEWSTYLE 1u
#define NO_ZEROES 2u
#define OPTION_EXPORT_NAME 1u

static uint64_t get(const void *from, int bytes)
{
	const uint8_t *p = from;
	uint64_t v = 0;

	for (int i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

static void put(struct buf *out, uint64_t v, int bytes)
{
	while (bytes-- > 0)
		buf_add_char(out, (char)(v >> (8 * bytes)));
}

int nbd_hello(const void *hello, struct buf *answer, struct err *err)
{
	const char *p = hello;
	uint64_t flags = get(p + 16, 2);

	if (get(p, 8) != MAGIC || get(p + 8, 8) != OPTION_MAGIC ||
		(flags & (FIXED_NEWSTYLE | NO_ZEROES)) != (FIXED_NEWSTYLE | NO_ZEROES))
		return err_set(err, -EPROTO, "it is no NBD server that can be used");
	put(answer, FIXED_NEWSTYLE | NO_ZEROES, 4);
	put(answer, OPTION_MAGIC, 8);
	put(answer, OPTION_EXPORT_NAME, 4);
	put(answer, 0, 4); /* bytes of the name */
	return 0;
}

uint64_t nbd_export_size(const void *answer)
{
	return get(answer, 8);
}

void nbd_put_read(struct buf *out, uint64_t cookie, uint64_t offset, uint32_t size)
{
	put(out, REQUEST_MAGIC, 4);
	put(out, 0, 4); /* flags, and the command: read */
	put(out, cookie, 8);
	put(out, offset, 8);
	put(out, size, 4);
}

int nbd_reply(const void *reply, uint64_t cookie, struct err *err)
{
	const char *p = reply;

	if (get(p, 4) != REPLY_MAGIC || get(p + 8, 8) != cookie)
		return err_set(err, -EPROTO, "the NBD server's answer can't be read");
	if (get(p + 4, 4) != 0)
		return err_set(
			err, -EIO, "the disk can't be read: error %u", (unsigned)get(p + 4, 4));
	return 0;
}
