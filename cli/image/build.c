/* build.c - the root file system by mmdebstrap, and what is kept of it. */
#include "cli/image/build.h"

#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "cli/image/tool.h"

/* Raised when the same recipe gives something else. */
#define BUILD_VERSION 1

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int make_directories(const char *path, struct err *err)
{
	struct arena a = ARENA_INIT;
	int r = 0;
	for (const char *at = path + 1; r == 0; at++)
		if (*at == '/' || *at == '\0') {
			char *part = arena_printf(&a, "%.*s", (int)(at - path), path);
			bool last = *at == '\0';
			/* The tree in it has files that only root may read. */
			if ((mkdir(part, last ? 0700 : 0755) < 0 && errno != EEXIST) ||
				(last && chmod(part, 0700) < 0))
				r = err_errno(err, -errno, "make directory '%s'", part);
			if (*at == '\0')
				break;
		}
	arena_finish(&a);
	return r;
}

static const char *key_of(const struct recipe *r, struct arena *a)
{
	const char *text = arena_printf(a, "%d\n%s", BUILD_VERSION, recipe_canonical(r, a));
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	if (EVP_Digest(text, strlen(text), sum, &size, EVP_sha256(), NULL) != 1)
		abort();
	return hex_encode(a, sum, 16);
}

static int write_inputs(const struct recipe *r, struct arena *a, const char *work, struct err *err)
{
	const char *files = arena_printf(a, "%s/files", work);
	int e = make_directories(files, err);
	for (size_t i = 0; i < r->file_count && e == 0; i++)
		e = tool_write(arena_printf(a, "%s/%zu", files, i), 0600, r->files[i].content.p,
			r->files[i].content.size, err);
	const char *script = recipe_script(r, a, files);
	return e == 0 ? tool_write(arena_printf(a, "%s/customize", work), 0700, script,
				strlen(script), err)
		      : e;
}

static int make_root(
	const struct recipe *r, struct arena *a, const char *work, const char *tar, struct err *err)
{
	const char *argv[24];
	size_t n = 0;
	int e = write_inputs(r, a, work, err);
	if (e < 0)
		return e;
	argv[n++] = "mmdebstrap";
	argv[n++] = "--quiet";
	argv[n++] = "--mode=root";
	argv[n++] = arena_printf(a, "--variant=%s", r->variant);
	const char *packages = arena_printf(a, "%s%s%s", r->packages ? r->packages : "",
		r->packages && r->kernel ? "," : "", r->kernel ? r->kernel : "");
	if (*packages)
		argv[n++] = arena_printf(a, "--include=%s", packages);
	argv[n++] = "--aptopt=Apt::Install-Recommends \"false\"";
	if (!r->documentation) {
		argv[n++] = "--dpkgopt=path-exclude=/usr/share/doc/*";
		argv[n++] = "--dpkgopt=path-include=/usr/share/doc/*/copyright";
		argv[n++] = "--dpkgopt=path-exclude=/usr/share/man/*";
		argv[n++] = "--dpkgopt=path-exclude=/usr/share/locale/*";
	}
	argv[n++] = arena_printf(a, "--customize-hook=%s/customize \"$1\"", work);
	argv[n++] = r->suite;
	argv[n++] = tar;
	if (r->mirror)
		argv[n++] = r->mirror;
	argv[n] = NULL;
	/* Times of files don't depend on when it is made. */
	static const char *const env[] = {"SOURCE_DATE_EPOCH=1700000000", NULL};
	struct tool t = {.env = env};
	return tool_run(&t, argv, err);
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* One thing of the cache, made under a name of its own and then given the name it is known by. */
static int finish(const char *made, const char *name, struct err *err)
{
	if (rename(made, name) == 0)
		return 0;
	return err_errno(err, -errno, "rename '%s' to '%s'", made, name);
}

static int make_missing(const struct recipe *r, struct arena *a, const char *directory,
	const char *work, const struct build_result *b, bool want_oci, bool want_disk,
	struct err *err)
{
	const char *tar = arena_printf(a, "%s/root.tar", directory),
		   *new_tar = arena_printf(a, "%s/root.tar", work),
		   *new_layout = arena_printf(a, "%s/oci", work),
		   *new_disk = arena_printf(a, "%s/disk.qcow2", work);
	int e = 0;
	if (!exists(tar)) {
		fprintf(stderr, "packages: %s\n", r->suite);
		e = make_root(r, a, work, new_tar, err);
		if (e == 0)
			e = finish(new_tar, tar, err);
	}
	if (e == 0 && want_oci && !exists(b->layout)) {
		fprintf(stderr, "OCI image\n");
		e = build_oci(r, tar, new_layout, err);
		if (e == 0)
			e = finish(new_layout, b->layout, err);
	}
	if (e == 0 && want_disk && !exists(b->disk)) {
		fprintf(stderr, "disk\n");
		e = build_disk(r, tar, work, new_disk, err);
		if (e == 0)
			e = finish(new_disk, b->disk, err);
	}
	return e;
}

int build_image(const struct recipe *r, const char *cache, bool want_oci, bool want_disk,
	struct arena *a, struct build_result *ret, struct err *err)
{
	if (want_disk && !r->kernel)
		return err_set(err, -EINVAL,
			"recipe: disk.kernel: is missing: a disk that boots needs a kernel package "
			"(linux-image-cloud-amd64)");
	const char *key = key_of(r, a), *directory = arena_printf(a, "%s/%s", cache, key),
		   *work = arena_printf(a, "%s/.new-%s", cache, key);
	*ret = (struct build_result){.directory = directory,
		.layout = arena_printf(a, "%s/oci", directory),
		.disk = arena_printf(a, "%s/disk.qcow2", directory)};
	ret->cached = (!want_oci || exists(ret->layout)) && (!want_disk || exists(ret->disk));
	if (ret->cached)
		return 0;
	if (geteuid() != 0)
		return err_set(err, -EPERM,
			"building needs root: files of the image belong to several users");
	int e = make_directories(directory, err);
	if (e < 0)
		return e;
	_cleanup_(close_p) int lock =
		open(arena_printf(a, "%s/lock", directory), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return err_errno(err, -errno, "lock '%s'", directory);
	remove_tree(work); /* of one that was ended */
	e = make_directories(work, err);
	if (e == 0)
		e = make_missing(r, a, directory, work, ret, want_oci, want_disk, err);
	remove_tree(work);
	return e;
}
