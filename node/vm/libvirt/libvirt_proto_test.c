#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/str.h"
#include "node/vm/libvirt/libvirt_proto.h"

static void packet_layout(void **state)
{
	/* CONNECT_OPEN("qemu:///system", 0) by hand. */
	static const uint8_t want[] = {0, 0, 0, 56, 0x20, 0, 0x80, 0x86, 0, 0, 0, 1, 0, 0, 0, 1, 0,
		0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 14, 'q', 'e', 'm', 'u', ':',
		'/', '/', '/', 's', 'y', 's', 't', 'e', 'm', 0, 0, 0, 0, 0, 0};
	struct buf b = BUF_INIT;
	size_t start;

	buf_add_str(&b, "before");
	start = b.size;
	libvirt_packet_begin(&b, &(struct libvirt_header){.program = LIBVIRT_PROGRAM,
					 .version = 1,
					 .procedure = LIBVIRT_CONNECT_OPEN,
					 .serial = 7});
	xdr_put_optional_string(&b, "qemu:///system");
	xdr_put_u32(&b, 0);
	libvirt_packet_end(&b, start);
	assert_int_equal(b.size - start, sizeof(want));
	assert_memory_equal(b.data + start, want, sizeof(want));
	buf_finish(&b);
}

static void packet_comes_in_pieces(void **state)
{
	static const uint8_t reply[] = {0, 0, 0, 36, 0x20, 0, 0x80, 0x86, 0, 0, 0, 1, 0, 0, 0, 157,
		0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x89, 0x54, 0x40, 0xff};
	struct libvirt_header h;
	struct xdr_reader body;

	for (size_t n = 0; n < 36; n++)
		assert_int_equal(libvirt_packet_parse(reply, n, &h, &body, NULL), 0);
	assert_int_equal(libvirt_packet_parse(reply, sizeof(reply), &h, &body, NULL), 36);
	assert_int_equal(h.program, LIBVIRT_PROGRAM);
	assert_int_equal(h.procedure, LIBVIRT_CONNECT_GET_LIB_VERSION);
	assert_int_equal(h.type, LIBVIRT_REPLY);
	assert_int_equal(h.serial, 9);
	assert_int_equal(xdr_get_u64(&body), 9000000);
	assert_false(body.bad);
	assert_int_equal(body.left, 0);
	assert_int_equal(xdr_get_u32(&body), 0);
	assert_true(body.bad);
}

static void absurd_lengths_are_refused(void **state)
{
	static const uint8_t small[] = {0, 0, 0, 27}, large[] = {0x7f, 0, 0, 0}, zero[4];
	struct libvirt_header h;
	struct xdr_reader body;
	struct err err = ERR_INIT;

	assert_int_equal(libvirt_packet_parse(small, 4, &h, &body, &err), -EBADMSG);
	assert_string_equal(err.msg, "packet of 27 bytes from libvirt");
	assert_int_equal(libvirt_packet_parse(large, 4, &h, &body, &err), -EBADMSG);
	assert_int_equal(libvirt_packet_parse(zero, 4, &h, &body, &err), -EBADMSG);
}

static void domain_round_trip(void **state)
{
	struct libvirt_domain in = {.name = "default_web", .id = 3}, out;
	struct buf b = BUF_INIT;
	struct xdr_reader r;

	assert_int_equal(libvirt_uuid_parse("6b8f3c55-9a2e-4e6a-8f49-0123456789aB", in.uuid), 0);
	xdr_put_domain(&b, &in);
	assert_int_equal(b.size, 4 + 12 + 16 + 4);
	r = xdr_reader_of(b.data, b.size);
	xdr_get_domain(&r, &out);
	assert_false(r.bad);
	assert_string_equal(out.name, "default_web");
	assert_memory_equal(out.uuid, in.uuid, 16);
	assert_int_equal(out.id, 3);
	for (size_t n = 0; n < b.size; n++) {
		r = xdr_reader_of(b.data, n);
		xdr_get_domain(&r, &out);
		assert_true(r.bad);
	}
	buf_finish(&b);
}

static void string_longer_than_packet(void **state)
{
	static const uint8_t p[] = {0xff, 0xff, 0xff, 0xff, 'x', 'x', 'x', 'x'};
	struct xdr_reader r = xdr_reader_of(p, sizeof(p));
	size_t size = 99;

	xdr_get_string(&r, &size);
	assert_true(r.bad);
	assert_int_equal(size, 0);
	r = xdr_reader_of(p, 4);
	assert_false(xdr_get_optional(&r));
	assert_true(r.bad);
}

static void error_reply(void **state)
{
	struct buf b = BUF_INIT;
	struct libvirt_error e;
	struct xdr_reader r;

	xdr_put_u32(&b, LIBVIRT_ERR_NO_DOMAIN);
	xdr_put_u32(&b, 10);
	xdr_put_optional_string(&b, "Domain not found");
	r = xdr_reader_of(b.data, b.size);
	xdr_get_error(&r, &e);
	assert_int_equal(e.code, LIBVIRT_ERR_NO_DOMAIN);
	assert_string_equal(e.message, "Domain not found");

	r = xdr_reader_of(b.data, 8); /* cut: still says something */
	xdr_get_error(&r, &e);
	assert_string_equal(e.message, "libvirt error 42");
	buf_finish(&b);

	/* A text too long is cut between characters, or nobody could send it on as JSON. */
	char text[1000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(text + sizeof(e.message) - 2, "\xc3\xbc", 2);
	xdr_put_u32(&b, 1);
	xdr_put_u32(&b, 10);
	xdr_put_optional_string(&b, text);
	r = xdr_reader_of(b.data, b.size);
	xdr_get_error(&r, &e);
	assert_int_equal(strlen(e.message), sizeof(e.message) - 1);
	assert_true(utf8_valid(e.message, strlen(e.message)));
	buf_finish(&b);
}

static void uuids(void **state)
{
	uint8_t u[16];
	char text[37];

	assert_int_equal(libvirt_uuid_parse("00112233-4455-6677-8899-aabbccddeeff", u), 0);
	libvirt_uuid_format(u, text);
	assert_string_equal(text, "00112233-4455-6677-8899-aabbccddeeff");
	assert_int_equal(libvirt_uuid_parse("", u), -EINVAL);
	assert_int_equal(libvirt_uuid_parse("00112233x4455-6677-8899-aabbccddeeff", u), -EINVAL);
	assert_int_equal(libvirt_uuid_parse("00112233-4455-6677-8899-aabbccddeefg", u), -EINVAL);
	assert_int_equal(libvirt_uuid_parse("00112233-4455-6677-8899-aabbccddeeff0", u), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packet_layout),
		cmocka_unit_test(packet_comes_in_pieces),
		cmocka_unit_test(absurd_lengths_are_refused),
		cmocka_unit_test(domain_round_trip),
		cmocka_unit_test(string_longer_than_packet),
		cmocka_unit_test(error_reply),
		cmocka_unit_test(uuids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
