#include "node/nfs/nfs_tool.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/json/json.h"

#include "node/nfs/nfs_ports.h"

#define NOBODY 65534

/* What comes from the server is hostile: nothing of this host is to be had here. */
static int be_nobody(struct err *err)
{
	pid_t parent = getppid();

	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
		return err_errno(err, -errno, "become user %d", NOBODY);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_errno(err, -errno, "give up privileges");
	return getppid() == parent ? 0 : err_set(err, -ECANCELED, "the agent is gone");
}

#ifdef HAVE_LIBNFS
#include <nfsc/libnfs.h>

#define CALL_TIMEOUT_MS 20000
#define CONNECT_ATTEMPTS 3
#define DEPTH_MAX 64 /* of directories that are removed */
#define NAMES_MAX 4096

#define FUNCTIONS(X)                                                                               \
	X(nfs_init_context)                                                                        \
	X(nfs_destroy_context)                                                                     \
	X(nfs_get_error)                                                                           \
	X(nfs_set_uid)                                                                             \
	X(nfs_set_gid)                                                                             \
	X(nfs_set_timeout)                                                                         \
	X(nfs_set_tcp_syncnt)                                                                      \
	X(nfs_set_autoreconnect)                                                                   \
	X(nfs_mount)                                                                               \
	X(nfs_lstat64)                                                                             \
	X(nfs_statvfs)                                                                             \
	X(nfs_open)                                                                                \
	X(nfs_open2)                                                                               \
	X(nfs_ftruncate)                                                                           \
	X(nfs_fsync)                                                                               \
	X(nfs_close)                                                                               \
	X(nfs_link)                                                                                \
	X(nfs_unlink)                                                                              \
	X(nfs_rename)                                                                              \
	X(nfs_mkdir2)                                                                              \
	X(nfs_chmod)                                                                               \
	X(nfs_rmdir)                                                                               \
	X(nfs_opendir)                                                                             \
	X(nfs_readdir)                                                                             \
	X(nfs_closedir)

static struct {
#define MEMBER(name) __typeof__(name) *name;
	FUNCTIONS(MEMBER)
} lib;

struct tool {
	struct nfs_context *nfs;
	const char *server, *directory;
	const char *const *args; /* of the command */
	struct arena *arena;
	struct json *answer;
};

static int library_load(struct err *err)
{
	void *h = dlopen("libnfs.so.13", RTLD_NOW | RTLD_LOCAL);

	if (!h)
		return err_set(err, -ENOSYS,
			"not available on this host: libnfs.so.13 (package libnfs13) is not "
			"installed");
#define LOAD(name)                                                                                 \
	*(void **)&lib.name = dlsym(h, #name);                                                     \
	if (!lib.name)                                                                             \
		return err_set(                                                                    \
			err, -ENOSYS, "not available on this host: libnfs.so.13 has no " #name);
	FUNCTIONS(LOAD)
	return 0;
}

static int failed(struct tool *t, int r, const char *what, const char *name, struct err *err)
{
	/* libnfs says -EFAULT or the like for a connection that broke. */
	int code = r < 0 && r > -4096 ? r : -EIO;
	const char *why = code == -EIO || code == -EFAULT ? lib.nfs_get_error(t->nfs) : NULL;

	return err_set(err, code, "nfs://%s%s: %s%s%s%s: %s", t->server, t->directory, what,
		*name ? " '" : "", name, *name ? "'" : "", why ? why : strerror(-code));
}

static int mount_it(struct tool *t, unsigned uid, unsigned gid, struct err *err)
{
	int r;

	t->nfs = lib.nfs_init_context();
	if (!t->nfs)
		return err_set(err, -ENOMEM, "out of memory");
	lib.nfs_set_uid(t->nfs, (int)uid);
	lib.nfs_set_gid(t->nfs, (int)gid);
	lib.nfs_set_timeout(t->nfs, CALL_TIMEOUT_MS);
	lib.nfs_set_tcp_syncnt(t->nfs, CONNECT_ATTEMPTS);
	lib.nfs_set_autoreconnect(t->nfs, 0);
	r = lib.nfs_mount(t->nfs, t->server, t->directory);
	return r < 0 ? err_set(err, r, "nfs://%s%s can't be reached: %s", t->server, t->directory,
			       lib.nfs_get_error(t->nfs))
		     : 0;
}

static const char *path_of(struct tool *t, const char *name)
{
	return arena_printf(t->arena, "/%s", name);
}

static int64_t size_argument(const char *text)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	return errno || *end || n < 0 ? -1 : n;
}

static bool name_ok(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* ---- commands ---- */

static int do_size(struct tool *t, struct err *err)
{
	struct nfs_stat_64 st = {0};
	int r = lib.nfs_lstat64(t->nfs, path_of(t, t->args[0]), &st);

	if (r < 0 && r != -ENOENT)
		return failed(t, r, "look at", t->args[0], err);
	if (r == 0 && !S_ISREG((mode_t)st.nfs_mode))
		return err_set(err, -EINVAL, "nfs://%s%s/%s is not a regular file", t->server,
			t->directory, t->args[0]);
	json_set(t->arena, t->answer, "missing", json_new_bool(t->arena, r < 0));
	json_set_int(t->arena, t->answer, "size", (int64_t)st.nfs_size);
	json_set(t->arena, t->answer, "file",
		json_new_printf(t->arena, "%llu", (unsigned long long)st.nfs_ino));
	return 0;
}

static int do_space(struct tool *t, struct err *err)
{
	struct statvfs fs = {0};
	int r = lib.nfs_statvfs(t->nfs, "/", &fs);

	if (r < 0)
		return failed(t, r, "ask for its space", "", err);
	json_set_int(t->arena, t->answer, "capacity", (int64_t)(fs.f_blocks * fs.f_frsize));
	json_set_int(t->arena, t->answer, "available", (int64_t)(fs.f_bavail * fs.f_frsize));
	return 0;
}

static int make_file(struct tool *t, const char *name, int64_t size, struct err *err)
{
	struct nfsfh *fh;
	int r = lib.nfs_open2(t->nfs, path_of(t, name), O_CREAT | O_EXCL | O_RDWR, 0600, &fh);

	if (r < 0)
		return failed(t, r, "create", name, err);
	r = lib.nfs_ftruncate(t->nfs, fh, (uint64_t)size);
	if (r == 0)
		r = lib.nfs_fsync(t->nfs, fh);
	if (r < 0)
		(void)failed(t, r, "give its size to", name, err);
	(void)lib.nfs_close(t->nfs, fh);
	if (r < 0)
		(void)lib.nfs_unlink(t->nfs, path_of(t, name));
	return r;
}

static bool is_one_file(struct tool *t, const char *name, const char *other)
{
	struct nfs_stat_64 a, b;

	return lib.nfs_lstat64(t->nfs, path_of(t, name), &a) == 0 &&
	       lib.nfs_lstat64(t->nfs, path_of(t, other), &b) == 0 && a.nfs_ino == b.nfs_ino;
}

/* Never over what has that name already. The answer to a link that was made may have been lost. */
static int publish(
	struct tool *t, const char *name, const char *as, bool other_does, struct err *err)
{
	int r = lib.nfs_link(t->nfs, path_of(t, name), path_of(t, as));

	if (r == -EEXIST && (other_does || is_one_file(t, name, as)))
		r = 0;
	if (r < 0)
		return failed(t, r, "make", as, err);
	r = lib.nfs_unlink(t->nfs, path_of(t, name));
	return r < 0 && r != -ENOENT ? failed(t, r, "remove", name, err) : 0;
}

static int do_publish(struct tool *t, struct err *err)
{
	struct nfsfh *fh;
	int r = lib.nfs_open(t->nfs, path_of(t, t->args[0]), O_RDWR, &fh);

	if (r < 0)
		return failed(t, r, "open", t->args[0], err);
	r = lib.nfs_fsync(t->nfs, fh);
	if (r < 0)
		(void)failed(t, r, "sync", t->args[0], err);
	(void)lib.nfs_close(t->nfs, fh);
	return r < 0 ? r : publish(t, t->args[0], t->args[1], false, err);
}

static int do_blank(struct tool *t, struct err *err)
{
	int64_t size = size_argument(t->args[1]);
	int r = lib.nfs_unlink(t->nfs, path_of(t, t->args[0]));

	if (size < 0)
		return err_set(err, -EINVAL, "'%s' is not a size", t->args[1]);
	if (r < 0 && r != -ENOENT)
		return failed(t, r, "remove", t->args[0], err);
	return make_file(t, t->args[0], size, err);
}

static int do_create(struct tool *t, struct err *err)
{
	int64_t size = size_argument(t->args[1]);
	struct timeval now;
	char fresh[96];
	int r;

	if (size < 0)
		return err_set(err, -EINVAL, "'%s' is not a size", t->args[1]);
	gettimeofday(&now, NULL);
	snprintf(fresh, sizeof(fresh), ".new-%llx%05lx-%x", (long long)now.tv_sec,
		(long)now.tv_usec, (unsigned)getpid());
	r = make_file(t, fresh, size, err);
	if (r == 0)
		r = publish(t, fresh, t->args[0], true, err);
	return r == 0 ? do_size(t, err) : r;
}

static int do_grow(struct tool *t, struct err *err)
{
	struct nfs_stat_64 st;
	int64_t size = size_argument(t->args[1]);
	struct nfsfh *fh;
	int r = lib.nfs_lstat64(t->nfs, path_of(t, t->args[0]), &st);

	if (size < 0)
		return err_set(err, -EINVAL, "'%s' is not a size", t->args[1]);
	if (r < 0)
		return failed(t, r, "look at", t->args[0], err);
	if ((int64_t)st.nfs_size < size) {
		r = lib.nfs_open(t->nfs, path_of(t, t->args[0]), O_RDWR, &fh);
		if (r < 0)
			return failed(t, r, "open", t->args[0], err);
		r = lib.nfs_ftruncate(t->nfs, fh, (uint64_t)size);
		if (r == 0)
			r = lib.nfs_fsync(t->nfs, fh);
		if (r < 0)
			(void)failed(t, r, "grow", t->args[0], err);
		(void)lib.nfs_close(t->nfs, fh);
	}
	return r < 0 ? r : do_size(t, err);
}

static int do_mkdir(struct tool *t, struct err *err)
{
	const char *path = path_of(t, t->args[0]);
	int r = lib.nfs_mkdir2(t->nfs, path, 0777);

	if (r == -EEXIST)
		return 0;
	if (r < 0)
		return failed(t, r, "create directory", t->args[0], err);
	/* Whatever the umask was. */
	r = lib.nfs_chmod(t->nfs, path, 0777);
	return r < 0 ? failed(t, r, "change mode of", t->args[0], err) : 0;
}

static int do_rename(struct tool *t, struct err *err)
{
	struct nfs_stat_64 st;
	int r = lib.nfs_rename(t->nfs, path_of(t, t->args[0]), path_of(t, t->args[1]));

	if (r == -ENOENT && lib.nfs_lstat64(t->nfs, path_of(t, t->args[1]), &st) == 0)
		return 0;
	return r < 0 ? failed(t, r, "rename", t->args[0], err) : 0;
}

static int remove_tree(struct tool *t, const char *path, unsigned depth, struct err *err)
{
	struct nfs_stat_64 st;
	struct nfsdir *dir;
	struct nfsdirent *e;
	int r = lib.nfs_lstat64(t->nfs, path, &st);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return failed(t, r, "look at", path + 1, err);
	if (!S_ISDIR((mode_t)st.nfs_mode)) {
		r = lib.nfs_unlink(t->nfs, path);
		return r < 0 && r != -ENOENT ? failed(t, r, "remove", path + 1, err) : 0;
	}
	if (depth == DEPTH_MAX)
		return err_set(err, -ELOOP, "'%s' is too deep to be removed", path + 1);
	r = lib.nfs_opendir(t->nfs, path, &dir);
	if (r < 0)
		return failed(t, r, "list", path + 1, err);
	while (r == 0 && (e = lib.nfs_readdir(t->nfs, dir)))
		if (name_ok(e->name))
			r = remove_tree(
				t, arena_printf(t->arena, "%s/%s", path, e->name), depth + 1, err);
	lib.nfs_closedir(t->nfs, dir);
	if (r < 0)
		return r;
	r = lib.nfs_rmdir(t->nfs, path);
	return r < 0 && r != -ENOENT ? failed(t, r, "remove", path + 1, err) : 0;
}

static int do_remove(struct tool *t, struct err *err)
{
	return remove_tree(t, path_of(t, t->args[0]), 0, err);
}

static int do_list(struct tool *t, struct err *err)
{
	struct json *names = json_new_array(t->arena);
	struct nfsdir *dir;
	struct nfsdirent *e;
	int r = lib.nfs_opendir(t->nfs, "/", &dir);

	if (r < 0)
		return failed(t, r, "list", "", err);
	while ((e = lib.nfs_readdir(t->nfs, dir)) && json_count(names) < NAMES_MAX)
		if (name_ok(e->name) && str_has_prefix(e->name, t->args[0]))
			json_push(t->arena, names, json_new_string(t->arena, e->name));
	lib.nfs_closedir(t->nfs, dir);
	json_set(t->arena, t->answer, "names", names);
	return 0;
}

static const struct command {
	const char *name;
	int (*run)(struct tool *t, struct err *err);
	int arguments, names; /* how many, and how many of them are names of files */
} commands[] = {
	{"size", do_size, 1, 1},
	{"space", do_space, 0, 0},
	{"create", do_create, 2, 1},
	{"blank", do_blank, 2, 1},
	{"publish", do_publish, 2, 2},
	{"grow", do_grow, 2, 1},
	{"mkdir", do_mkdir, 1, 1},
	{"rename", do_rename, 2, 2},
	{"remove", do_remove, 1, 1},
	{"list", do_list, 1, 0},
};

static int run(struct tool *t, int argc, char **argv, struct err *err)
{
	const struct command *c = NULL;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (streq(commands[i].name, argv[5]))
			c = &commands[i];
	if (!c || argc != 6 + c->arguments)
		return err_set(err, -EINVAL, "hanok nfs: unknown command '%s'", argv[5]);
	for (int i = 0; i < c->names; i++)
		if (!name_ok(argv[6 + i]))
			return err_set(err, -EINVAL, "'%s' is not the name of a file", argv[6 + i]);
	t->server = argv[1];
	t->directory = argv[2];
	t->args = (const char *const *)&argv[6];
	r = library_load(err);
	if (r == 0)
		r = be_nobody(err);
	if (r == 0)
		r = mount_it(t, (unsigned)strtoul(argv[3], NULL, 10),
			(unsigned)strtoul(argv[4], NULL, 10), err);
	if (r == 0)
		r = c->run(t, err);
	if (t->nfs)
		lib.nfs_destroy_context(t->nfs);
	return r;
}
#else
struct tool {
	struct arena *arena;
	struct json *answer;
};
static int run(struct tool *t, int argc, char **argv, struct err *err)
{
	return err_set(
		err, -ENOSYS, "not available: this hanok was built without libnfs (libnfs-dev)");
}
#endif

int nfs_main(int argc, char **argv)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	struct err err = ERR_INIT;
	struct tool t = {.arena = &a, .answer = json_new_object(&a)};

	if (argc < 6) {
		fprintf(stderr, "hanok nfs: is started by `hanok node`: SERVER DIRECTORY UID GID "
				"COMMAND...\n");
		return 2;
	}
	if (argc == 6 && streq(argv[5], "ports")) {
		if (be_nobody(&err) == 0)
			(void)!nfs_ports_find(&a, argv[1], t.answer, &err);
	} else {
		(void)!run(&t, argc, argv, &err);
	}
	if (err.code) {
		json_set_str(&a, t.answer, "error", err.msg);
		json_set_int(&a, t.answer, "errno", -err.code);
	}
	json_write(&out, t.answer);
	buf_add_char(&out, '\n');
	if (fwrite(out.data, 1, out.size, stdout) != out.size || fflush(stdout) != 0)
		return 1;
	_exit(0); /* a process of a user that it did not begin as can't be searched for leaks */
}
