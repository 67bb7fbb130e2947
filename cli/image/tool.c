#include "cli/image/tool.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

extern char **environ;

static const char *package_of(const char *program)
{
	static const char *const known[][2] = {
		{"mmdebstrap", "mmdebstrap"},
		{"mke2fs", "e2fsprogs"},
		{"grub-mkimage", "grub-common"},
		{"mkfs.vfat", "dosfstools"},
		{"mmd", "mtools"},
		{"mcopy", "mtools"},
		{"sfdisk", "fdisk"},
		{"qemu-img", "qemu-utils"},
		{"skopeo", "skopeo"},
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (streq(program, known[i][0]))
			return known[i][1];
	return NULL;
}

/* The system's directories count too: users have no /usr/sbin in PATH. */
static bool find(const char *name, char *path, size_t room)
{
	char *all = xasprintf("%s:/usr/sbin:/usr/bin:/sbin:/bin", getenv("PATH") ?: "");
	struct str rest = str_from(all), part;
	bool found = false;
	while (!found && str_split(&rest, ':', &part)) {
		snprintf(path, room, STR_FMT "/%s", STR_ARG(part), name);
		found = part.size && access(path, X_OK) == 0;
	}
	free(all);
	return found;
}

bool tool_exists(const char *name)
{
	char path[4096];
	return find(name, path, sizeof(path));
}

static void show(FILE *from)
{
	char line[4096];
	rewind(from);
	while (fgets(line, sizeof(line), from))
		fputs(line, stderr);
}

static char **environment(const struct tool *t)
{
	size_t count = 0, more = 0;
	while (environ[count])
		count++;
	while (t->env && t->env[more])
		more++;
	char **all = xcalloc(count + more + 1, sizeof(*all));
	memcpy(all, environ, count * sizeof(*all));
	for (size_t i = 0; i < more; i++)
		all[count + i] = (char *)(uintptr_t)t->env[i];
	return all;
}

int tool_run(const struct tool *t, const char *const *argv, struct err *err)
{
	char path[4096];
	if (!find(argv[0], path, sizeof(path))) {
		const char *package = package_of(argv[0]);
		return err_set(err, -ENOENT, "this system has no %s%s%s%s", argv[0],
			package ? " (Debian package " : "", package ? package : "",
			package ? ")" : "");
	}
	FILE *said = t->quiet ? tmpfile() : NULL;
	posix_spawn_file_actions_t files;
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	if (said)
		posix_spawn_file_actions_adddup2(&files, fileno(said), 2);
	if (t->out_path)
		posix_spawn_file_actions_addopen(
			&files, 1, t->out_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	else
		posix_spawn_file_actions_adddup2(&files, said ? fileno(said) : 2, 1);
	if (t->directory)
		posix_spawn_file_actions_addchdir_np(&files, t->directory);
	char **env = environment(t);
	pid_t pid;
	int status = 0,
	    r = -posix_spawn(&pid, path, &files, NULL, (char *const *)(uintptr_t)argv, env);
	free(env);
	posix_spawn_file_actions_destroy(&files);
	if (r < 0) {
		err_errno(err, r, "start %s", argv[0]);
	} else {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (status != 0 && said)
			show(said);
		if (status != 0)
			r = err_set(err, -EIO, "%s %s %d", argv[0],
				WIFSIGNALED(status) ? "was ended by signal"
						    : "ended with exit code",
				WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	}
	if (said)
		fclose(said);
	return r;
}

int tool_digest(struct arena *a, const char *path, char **ret, uint64_t *ret_size, struct err *err)
{
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, -errno, "read '%s'", path);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned sum_size = 0;
	static char block[1 << 16];
	uint64_t size = 0;
	ssize_t n;
	bool good = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
	while (good && (n = read(fd, block, sizeof(block))) != 0) {
		if (n < 0) {
			int r = err_errno(err, -errno, "read '%s'", path);
			EVP_MD_CTX_free(md);
			return r;
		}
		size += (uint64_t)n;
		good = EVP_DigestUpdate(md, block, (size_t)n) == 1;
	}
	good = good && EVP_DigestFinal_ex(md, sum, &sum_size) == 1;
	EVP_MD_CTX_free(md);
	if (!good)
		return err_set(err, -EIO, "sha256 of '%s' could not be made", path);
	*ret = arena_printf(a, "sha256:%s", hex_encode(a, sum, sum_size));
	*ret_size = size;
	return 0;
}

static int write_whole(int fd, const char *p, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, p, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

int tool_write(const char *path, unsigned mode, const void *data, size_t size, struct err *err)
{
	_cleanup_(close_p) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	int r = fd < 0 ? -errno : write_whole(fd, data, size);
	return r < 0 ? err_errno(err, r, "write '%s'", path) : 0;
}

static bool is_zero(const char *p, size_t size)
{
	return size == 0 || (p[0] == 0 && memcmp(p, p + 1, size - 1) == 0);
}

int tool_copy_into(
	const char *from, uint64_t size, const char *to, uint64_t offset, struct err *err)
{
	_cleanup_(close_p) int in = open(from, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return err_errno(err, -errno, "read '%s'", from);
	_cleanup_(close_p) int out = open(to, O_WRONLY | O_CLOEXEC);
	if (out < 0)
		return err_errno(err, -errno, "write '%s'", to);
	static char block[1 << 16];
	for (uint64_t at = 0; size == 0 || at < size;) {
		size_t wanted = size ? (size_t)MIN(sizeof(block), size - at) : sizeof(block);
		ssize_t n = read(in, block, wanted);
		if (n < 0)
			return err_errno(err, -errno, "read '%s'", from);
		if (n == 0)
			break;
		int r = 0;
		if (!is_zero(block, (size_t)n)) {
			if (lseek(out, (off_t)(offset + at), SEEK_SET) < 0)
				r = -errno;
			else
				r = write_whole(out, block, (size_t)n);
		}
		if (r < 0)
			return err_errno(err, r, "write '%s'", to);
		at += (uint64_t)n;
	}
	return 0;
}
