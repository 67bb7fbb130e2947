/* Plans of changes: what libvirt has against what the VMI asks for. */
#include "node/vm/live/live_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/util.h"

static const char xml[] =
	"<domain type='qemu' id='1'><name>x</name>"
	"<memory unit='KiB'>1048576</memory><currentMemory unit='KiB'>131072</currentMemory>"
	"<vcpu placement='static' current='1'>4</vcpu><devices>"
	"<disk type='file' device='disk'><source file='/d/root/a.qcow2' index='2'/>"
	"<backingStore type='file'><source file='/d/root/b.qcow2'/><backingStore/></backingStore>"
	"<target dev='vda' bus='virtio'/><alias name='ua-root'/></disk>"
	"<disk type='file' device='cdrom'><source file='/d/iso/disk.img'/>"
	"<target dev='sda' bus='sata'/><alias name='ua-cd'/></disk>"
	"<disk type='file' device='disk'><source file='/d/x.img'/><target dev='vdb' bus='virtio'/>"
	"<alias name='virtio-disk1'/></disk>"
	"<interface type='bridge'><mac address='02:00:00:00:00:01'/><source bridge='hanok0'/>"
	"<target dev='hk1'/><alias name='ua-default'/></interface>"
	"<memballoon model='virtio'/></devices></domain>";

struct fixture {
	struct arena a;
	struct live_domain now;
	struct vm_spec want;
	struct live_plan plan;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct vm_spec *s = &f->want;
	struct err err;

	assert_int_equal(live_domain_read(&f->a, xml, sizeof(xml) - 1, &f->now, &err), 0);
	s->sockets = s->cores = s->threads = 1;
	s->memory_bytes = INT64_C(128) << 20;
	s->disks[0] = (struct vm_disk){
		.name = "root", .device = "disk", .bus = "virtio", .volume = VM_VOLUME_CLAIM};
	s->disks[1] = (struct vm_disk){.name = "cd",
		.device = "cdrom",
		.bus = "sata",
		.volume = VM_VOLUME_CLAIM,
		.path = "/d/iso/disk.img"};
	s->disk_count = 2;
	s->interfaces[0] = (struct vm_interface){.name = "default"};
	s->interface_count = 1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	arena_finish(&f->a);
	free(f);
	return 0;
}

static struct live_step *only(struct fixture *f, enum live_kind kind)
{
	live_plan_make(&f->want, &f->now, &f->plan);
	assert_int_equal(f->plan.count, 1);
	assert_int_equal(f->plan.steps[0].kind, kind);
	return &f->plan.steps[0];
}

static void test_settled(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->now.disk_count, 2);
	assert_int_equal(f->now.target_count, 3);
	live_plan_make(&f->want, &f->now, &f->plan);
	assert_int_equal(f->plan.count, 0);
	/* A snapshot gave the drive's disk another top. */
	f->want.disks[1].path = "/d/iso/new.qcow2";
	live_plan_make(&f->want, &f->now, &f->plan);
	assert_int_equal(f->plan.count, 0);
	assert_false(live_plan_wants_path(&f->want.disks[0], &f->now));
}

static void test_media(void **state)
{
	struct fixture *f = *state;

	f->want.disks[1].path = "/d/other/disk.img";
	assert_string_equal(only(f, LIVE_MEDIUM)->name, "cd");
	f->want.disks[1].path = NULL;
	live_plan_make(&f->want, &f->now, &f->plan);
	assert_int_equal(f->plan.count, 0); /* not known yet which */
	assert_true(live_plan_wants_path(&f->want.disks[1], &f->now));
	f->want.disks[1].volume = VM_VOLUME_NONE;
	assert_null(only(f, LIVE_MEDIUM)->disk->path);
	/* The same for a disk is never done. */
	f->want.disks[1].volume = VM_VOLUME_CLAIM;
	f->want.disks[0].path = "/elsewhere/a.img";
	live_plan_make(&f->want, &f->now, &f->plan);
	assert_int_equal(f->plan.count, 0);
}

static void test_disks(void **state)
{
	struct fixture *f = *state;
	struct vm_disk *d = &f->want.disks[2];

	*d = (struct vm_disk){.name = "hot",
		.device = "disk",
		.bus = "virtio",
		.volume = VM_VOLUME_CLAIM,
		.target = "vdb"};
	f->want.disk_count = 3;
	live_plan_targets(&f->want, &f->now);
	assert_string_equal(f->want.disks[0].target, "vda");
	assert_string_equal(d->target, "vdc"); /* vdb is somebody else's */
	assert_true(live_plan_wants_path(d, &f->now));
	live_plan_make(&f->want, &f->now, &f->plan);
	assert_int_equal(f->plan.count, 0);
	d->path = "/d/hot/disk.img";
	assert_ptr_equal(only(f, LIVE_DISK_ATTACH)->disk, d);
	/* The first SCSI disk brings a controller. */
	d->bus = "scsi";
	live_plan_make(&f->want, &f->now, &f->plan);
	assert_int_equal(f->plan.count, 2);
	assert_int_equal(f->plan.steps[0].kind, LIVE_CONTROLLER);
	f->now.scsi = true;
	only(f, LIVE_DISK_ATTACH);
	/* What is not asked for goes; others' disks stay. */
	f->want.disk_count = 2;
	f->want.disks[0] = f->want.disks[1];
	f->want.disk_count = 1;
	assert_string_equal(only(f, LIVE_DISK_DETACH)->old_disk->source, "/d/root/a.qcow2");
}

static void test_interfaces(void **state)
{
	struct fixture *f = *state;

	f->want.interfaces[0].link_down = true;
	assert_string_equal(only(f, LIVE_LINK)->name, "default");
	f->now.interfaces[0].link_down = true;
	f->want.interfaces[1] = (struct vm_interface){.name = "more"};
	f->want.interface_count = 2;
	live_plan_make(&f->want, &f->now, &f->plan);
	assert_int_equal(f->plan.count, 0); /* another on the pods' network: at the next start */
	f->want.interfaces[1].network = "quiet";
	assert_string_equal(only(f, LIVE_NIC_ATTACH)->name, "more");
	f->want.interface_count = 0;
	assert_string_equal(only(f, LIVE_NIC_DETACH)->old_interface->mac, "02:00:00:00:00:01");
}

static void test_size(void **state)
{
	struct fixture *f = *state;

	f->want.sockets = 3;
	assert_int_equal(only(f, LIVE_VCPUS)->count, 3);
	f->now.vcpus = 4; /* never fewer */
	live_plan_make(&f->want, &f->now, &f->plan);
	assert_int_equal(f->plan.count, 0);
	f->want.memory_bytes = INT64_C(256) << 20;
	assert_int_equal(only(f, LIVE_MEMORY)->bytes, INT64_C(256) << 20);
	f->now.balloon = false;
	live_plan_make(&f->want, &f->now, &f->plan);
	assert_int_equal(f->plan.count, 0);
	f->want.memory_bytes = (INT64_C(1) << 30) + 4096;
	live_plan_make(&f->want, &f->now, &f->plan);
	assert_int_equal(f->plan.count, 0); /* no slots */
	f->now.most_bytes = INT64_C(4) << 30;
	assert_int_equal(only(f, LIVE_MODULE)->bytes, INT64_C(128) << 20);
}

/* 32 MiB are 16 regions of 2 MiB for a guest of 4 processors at most. */
static void test_room(void **state)
{
	struct fixture *f = *state;

	f->now.vcpus = 1;
	f->now.vcpus_max = 4;
	assert_true(live_plan_has_room(&f->now, 2, "gen code size       1000/33472512\n"));
	assert_true(live_plan_has_room(&f->now, 2,
		"Translation buffer state:\ngen code size       27262976/33472512\nTB count"));
	assert_false(live_plan_has_room(&f->now, 2, "gen code size 29360128/33472512"));
	assert_false(live_plan_has_room(&f->now, 4, "gen code size 27262976/33472512"));
	/* Many processors have smaller ones; two at most have 8 each. */
	f->now.vcpus_max = 64;
	assert_true(live_plan_has_room(&f->now, 30, "gen code size 16777216/33472512"));
	assert_false(live_plan_has_room(&f->now, 33, "gen code size 16777216/33472512"));
	f->now.vcpus_max = 2;
	assert_false(live_plan_has_room(&f->now, 2, "gen code size 251658240/268173312"));
	/* Another QEMU says it in other words, or nothing. */
	assert_true(live_plan_has_room(&f->now, 2, ""));
	assert_true(live_plan_has_room(&f->now, 2, "gen code size unknown"));
}

static void test_bad_xml(void **state)
{
	struct fixture *f = *state;
	struct live_domain d;
	struct err err = ERR_INIT;

	assert_int_equal(live_domain_read(&f->a, "<a/>", 4, &d, &err), -EINVAL);
	for (size_t cut = 0; cut < sizeof(xml) - 1; cut += 7)
		assert_true(live_domain_read(&f->a, xml, cut, &d, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_settled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_media, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interfaces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_size, setup, teardown),
		cmocka_unit_test_setup_teardown(test_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_xml, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
