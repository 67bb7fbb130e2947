#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/vm/libvirt/libvirt_event.h"
#include "node/vm/libvirt/live_xml.h"

static void begin(struct buf *b)
{
	buf_clear(b);
	xdr_put_u32(b, 7); /* the subscription */
	xdr_put_domain(b, &(struct libvirt_domain){.name = "default_guest", .uuid = {1}, .id = 4});
}

static struct xdr_reader of(const struct buf *b)
{
	return xdr_reader_of(b->data, b->size);
}

static void events_are_read(void **state)
{
	struct buf b = BUF_INIT;
	struct libvirt_event e;

	begin(&b);
	xdr_put_u32(&b, LIBVIRT_EVENT_STOPPED);
	xdr_put_u32(&b, LIBVIRT_STOPPED_SAVED);
	assert_true(libvirt_event_read(LIBVIRT_DOMAIN_EVENT_CALLBACK_LIFECYCLE, of(&b), &e));
	assert_int_equal(e.id, LIBVIRT_EVENT_ID_LIFECYCLE);
	assert_int_equal(e.what, LIBVIRT_EVENT_STOPPED);
	assert_int_equal(e.detail, LIBVIRT_STOPPED_SAVED);
	assert_string_equal(e.domain.name, "default_guest");
	assert_int_equal(e.domain.id, 4);

	begin(&b);
	xdr_put_string(&b, "/var/lib/disk.qcow2");
	xdr_put_string(&b, "ua-root");
	xdr_put_u32(&b, LIBVIRT_IO_ERROR_PAUSE);
	xdr_put_string(&b, "enospc");
	assert_true(libvirt_event_read(LIBVIRT_DOMAIN_EVENT_CALLBACK_IO_ERROR_REASON, of(&b), &e));
	assert_string_equal(e.path, "/var/lib/disk.qcow2");
	assert_string_equal(e.device, "ua-root");
	assert_string_equal(e.reason, "enospc");
	assert_int_equal(e.what, LIBVIRT_IO_ERROR_PAUSE);

	begin(&b);
	xdr_put_u64(&b, 131072);
	assert_true(libvirt_event_read(LIBVIRT_DOMAIN_EVENT_CALLBACK_BALLOON_CHANGE, of(&b), &e));
	assert_int_equal(e.bytes, 128ll << 20);

	begin(&b);
	xdr_put_string(&b, "vda");
	xdr_put_optional_string(&b, NULL);
	xdr_put_u64(&b, 4096);
	xdr_put_u64(&b, 1);
	assert_true(libvirt_event_read(LIBVIRT_DOMAIN_EVENT_BLOCK_THRESHOLD, of(&b), &e));
	assert_string_equal(e.device, "vda");
	assert_string_equal(e.path, "");
	assert_int_equal(e.bytes, 4096);
	buf_finish(&b);
}

/* One cut short anywhere is none; and the caller's copy is as it was. */
static void half_events_are_none(void **state)
{
	struct libvirt_event e = {.what = 99};
	struct buf b = BUF_INIT;

	begin(&b);
	xdr_put_string(&b, "ua-root");
	for (size_t n = 0; n < b.size; n++)
		assert_false(libvirt_event_read(LIBVIRT_DOMAIN_EVENT_CALLBACK_DEVICE_REMOVED,
			xdr_reader_of(b.data, n), &e));
	assert_int_equal(e.what, 99);
	assert_true(libvirt_event_read(LIBVIRT_DOMAIN_EVENT_CALLBACK_DEVICE_REMOVED, of(&b), &e));
	assert_string_equal(e.device, "ua-root");
	assert_false(libvirt_event_read(LIBVIRT_DOMAIN_GET_STATE, of(&b), &e));
	buf_finish(&b);
}

static void facts_of_live_xml(void **state)
{
	static const char xml[] =
		"<domain type='qemu' id='3'>\n  <devices>\n"
		"    <graphics type='spice' socket='/wrong'/>\n"
		"    <graphicsx type='vnc' socket='/wrong'/>\n"
		"    <graphics type='vnc' note='a > b' socket='/run/a&amp;b&apos;s.sock'>\n"
		"      <listen type='socket' socket=\"/run/other.sock\"/>\n    </graphics>\n"
		"    <memballoon model='virtio'>";
	char value[64];

	assert_true(live_xml_attribute(
		STR(xml), "graphics", "type", "vnc", "socket", value, sizeof(value)));
	assert_string_equal(value, "/run/a&b's.sock");
	assert_true(live_xml_attribute(
		STR(xml), "listen", "type", "socket", "socket", value, sizeof(value)));
	assert_string_equal(value, "/run/other.sock");
	assert_true(live_xml_attribute(STR(xml), "domain", NULL, NULL, "id", value, sizeof(value)));
	assert_string_equal(value, "3");
	assert_false(live_xml_attribute(
		STR(xml), "graphics", "type", "vnc", "port", value, sizeof(value)));
	assert_false(live_xml_attribute(
		STR(xml), "graphics", "type", "vnc", "socket", value, 8)); /* no half ones */
	for (size_t n = 0; n < sizeof(xml); n++)
		live_xml_attribute((struct str){xml, n}, "memballoon", NULL, NULL, "model", value,
			sizeof(value));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_are_read),
		cmocka_unit_test(half_events_are_none),
		cmocka_unit_test(facts_of_live_xml),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
