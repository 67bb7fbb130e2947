/* disk.c - a disk that boots, put together as files: no loop device, no mount.
 *
 *     sector 0       protective MBR with GRUB's boot code      GPT behind it
 *            2048    1 MiB   GRUB's core                       (BIOS)
 *            4096    33 MiB  EFI system partition, FAT         (EFI)
 *            71680   root, ext4, labelled hanok-root, the last: it can grow with the disk
 */
#include <stdio.h>
#include <sys/stat.h>

#include "cli/image/build.h"
#include "cli/image/tool.h"
#include "lib/base/file.h"

#define SECTOR 512u
#define CORE_SECTOR 2048u
#define CORE_MAX_BYTES (1u << 20)
#define EFI_SECTOR 4096u
#define EFI_KIB (33u << 10)
#define ROOT_SECTOR 71680u
/* The backup of the partition table. */
#define TAIL_BYTES (1u << 20)

struct disk {
	const struct recipe *r;
	struct arena *a;
	const char *work, *raw;
	uint64_t root_bytes;
};

static int run(const char *const *argv, struct err *err)
{
	struct tool t = {.quiet = true};
	return tool_run(&t, argv, err);
}
#define RUN(err, ...) run((const char *const[]){__VA_ARGS__, NULL}, err)

static const char *in(const struct disk *d, const char *name)
{
	return arena_printf(d->a, "%s/%s", d->work, name);
}

static int create_sparse(const char *path, uint64_t size, struct err *err)
{
	int r = tool_write(path, 0644, "", 0, err);
	if (r == 0 && truncate(path, (off_t)size) < 0)
		r = err_errno(
			err, -errno, "make '%s' %llu bytes long", path, (unsigned long long)size);
	return r;
}

/* The root file system as a file. Its size: what is asked for, or half as much again as is in it.
 */
static int make_root(struct disk *d, const char *tar, struct err *err)
{
	struct stat st;
	if (stat(tar, &st) < 0)
		return err_errno(err, -errno, "read '%s'", tar);
	uint64_t most = ROOT_SECTOR * (uint64_t)SECTOR + TAIL_BYTES;
	uint64_t needed = (uint64_t)st.st_size + (uint64_t)st.st_size / 2 + (128u << 20);
	d->root_bytes = d->r->size_bytes ? d->r->size_bytes - MIN(most, d->r->size_bytes) : needed;
	d->root_bytes &= ~(uint64_t)0xfffff;
	if (d->root_bytes < (uint64_t)st.st_size + (16u << 20))
		return err_set(err, -ENOSPC,
			"recipe: disk.size: too small: the files alone take %llu MiB",
			(unsigned long long)st.st_size >> 20);
	const char *root = in(d, "root"), *image = in(d, "root.ext4");
	if (mkdir(root, 0755) < 0)
		return err_errno(err, -errno, "make directory '%s'", root);
	int r = RUN(err, "tar", "-C", root, "--numeric-owner", "--xattrs", "-xpf", tar);
	if (r == 0)
		r = create_sparse(image, d->root_bytes, err);
	if (r == 0)
		r = RUN(err, "mke2fs", "-q", "-F", "-t", "ext4", "-L", "hanok-root", "-m", "1",
			"-E", "root_owner=0:0", "-O", "^metadata_csum_seed,^orphan_file", "-d",
			root, image);
	/* An older mke2fs does not know what it is to leave out. */
	if (r < 0)
		r = RUN(err, "mke2fs", "-q", "-F", "-t", "ext4", "-L", "hanok-root", "-m", "1",
			"-E", "root_owner=0:0", "-d", root, image);
	return r;
}

static int make_table(struct disk *d, struct err *err)
{
	uint64_t size = ROOT_SECTOR * (uint64_t)SECTOR + d->root_bytes + TAIL_BYTES;
	const char *script = in(d, "table");
	const char *text = arena_printf(d->a,
		"label: gpt\n"
		"start=%u, size=2048, type=21686148-6449-6E6F-744E-656564454649\n"
		"start=%u, size=%u, type=U\n"
		"start=%u, size=%llu, type=L\n",
		CORE_SECTOR, EFI_SECTOR, EFI_KIB * 2, ROOT_SECTOR,
		(unsigned long long)(d->root_bytes / SECTOR));
	int r = create_sparse(d->raw, size, err);
	if (r == 0)
		r = tool_write(script, 0644, text, strlen(text), err);
	return r == 0 ? RUN(err, "sh", "-c", "sfdisk -q \"$0\" <\"$1\"", d->raw, script) : r;
}

static int grub_image(
	struct disk *d, const char *platform, const char *to, const char *more, struct err *err)
{
	const char *config = in(d, "grub.cfg");
	const char *text = arena_printf(d->a,
		"search.fs_label hanok-root root\n"
		"linux /vmlinuz root=LABEL=hanok-root ro %s\n"
		"initrd /initrd.img\nboot\n",
		d->r->kernel_arguments);
	const char *modules = arena_printf(d->a, "/usr/lib/grub/%s", platform);
	if (access(modules, R_OK) < 0)
		return err_set(err, -ENOENT, "this system has no %s (Debian package %s)", modules,
			streq(platform, "i386-pc") ? "grub-pc-bin" : "grub-efi-amd64-bin");
	int r = tool_write(config, 0644, text, strlen(text), err);
	return r == 0 ? RUN(err, "grub-mkimage", "-O", platform, "-d", modules, "-p", "/boot/grub",
				"-c", config, "-o", to, "part_gpt", "part_msdos", "ext2", "fat",
				"search", "search_label", "linux", "boot", "normal", more)
		      : r;
}

static void put_u64(char *p, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		p[i] = (char)(v >> (8 * i));
}

/* GRUB's first sector reads the core's first, which reads the rest: both are told where. The places
 * are those of GRUB's boot.S (kernel_sector) and diskboot.S (the first entry of its block list). */
static int install_bios(struct disk *d, struct err *err)
{
	const char *core = in(d, "core.img"), *boot = "/usr/lib/grub/i386-pc/boot.img";
	struct str first, second;
	int r = grub_image(d, "i386-pc", core, "biosdisk", err);
	if (r == 0)
		r = file_load(d->a, boot, 4096, &first, err);
	if (r == 0)
		r = file_load(d->a, core, CORE_MAX_BYTES, &second, err);
	if (r < 0)
		return r;
	if (first.size != SECTOR || second.size < SECTOR)
		return err_set(err, -EINVAL, "GRUB's boot.img or core.img is not as it should be");
	put_u64((char *)(uintptr_t)first.p + 0x5c, CORE_SECTOR);
	put_u64((char *)(uintptr_t)second.p + 0x1f4, CORE_SECTOR + 1);
	const char *patched = in(d, "boot.img");
	r = tool_write(patched, 0644, first.p, first.size, err);
	if (r == 0)
		r = tool_write(core, 0644, second.p, second.size, err);
	if (r == 0)
		r = tool_copy_into(patched, 440, d->raw, 0, err);
	return r == 0 ? tool_copy_into(core, 0, d->raw, (uint64_t)CORE_SECTOR * SECTOR, err) : r;
}

static int install_efi(struct disk *d, struct err *err)
{
	const char *program = in(d, "grub.efi"), *fat = in(d, "efi.fat");
	int r = grub_image(d, "x86_64-efi", program, "efi_gop", err);
	if (r == 0)
		r = create_sparse(fat, (uint64_t)EFI_KIB << 10, err);
	if (r == 0)
		r = RUN(err, "mkfs.vfat", "-F", "32", "-s", "1", "-n", "EFI", fat);
	if (r == 0)
		r = RUN(err, "mmd", "-i", fat, "::/EFI", "::/EFI/BOOT");
	if (r == 0)
		r = RUN(err, "mcopy", "-i", fat, program, "::/EFI/BOOT/BOOTX64.EFI");
	return r == 0 ? tool_copy_into(fat, 0, d->raw, (uint64_t)EFI_SECTOR * SECTOR, err) : r;
}

int build_disk(const struct recipe *r, const char *tar, const char *work, const char *disk,
	struct err *err)
{
	struct arena a = ARENA_INIT;
	struct disk d = {.r = r, .a = &a, .work = work};
	d.raw = in(&d, "disk.raw");
	int e = make_root(&d, tar, err);
	if (e == 0)
		e = make_table(&d, err);
	if (e == 0 && r->bios)
		e = install_bios(&d, err);
	if (e == 0 && r->efi)
		e = install_efi(&d, err);
	if (e == 0)
		e = tool_copy_into(
			in(&d, "root.ext4"), 0, d.raw, (uint64_t)ROOT_SECTOR * SECTOR, err);
	if (e == 0)
		e = RUN(err, "qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", "-c", d.raw,
			disk);
	arena_finish(&a);
	return e;
}
