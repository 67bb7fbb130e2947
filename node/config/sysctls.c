/* sysctls.c - see sysctls.h. */
#include "node/config/sysctls.h"

#include "lib/base/str.h"

const char *sysctl_name(struct arena *a, const char *name)
{
	size_t first = strcspn(name, "./");

	/* As sysctl(8): the first separator says which kind it is, and the other is text. */
	if (name[first] != '/')
		return name;
	char *s = arena_strdup(a, name);
	for (char *p = s; *p; p++)
		*p = *p == '/' ? '.' : *p == '.' ? '/' : *p;
	return s;
}

const char *sysctl_namespace(const char *name)
{
	if (streq(name, "kernel.sem") || str_has_prefix(name, "kernel.shm") ||
		str_has_prefix(name, "kernel.msg") || str_has_prefix(name, "fs.mqueue."))
		return "ipc";
	return str_has_prefix(name, "net.") ? "net" : NULL;
}

/* Words of lower case letters and digits, '-' and '_' inside, between separators; the last one may
 * end in '*', or be one. */
static bool is_pattern(const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	size_t size = strlen(text);

	if (size == 0 || size > SYSCTL_NAME_MAX)
		return false;
	for (const char *word = text;;) {
		size_t n = strcspn(word, "./");
		bool last = !word[n];
		size_t letters = last && n && word[n - 1] == '*' ? n - 1 : n;
		if (n == 0 || (letters && !strchr(plain, word[0])))
			return false;
		for (size_t i = 0; i < letters; i++) {
			if (!strchr(plain, word[i]) && word[i] != '-' && word[i] != '_')
				return false;
		}
		if (letters == n && !strchr(plain, word[n - 1]))
			return false;
		if (last)
			return true;
		word += n + 1;
	}
}

int sysctl_check_pattern(const char *pattern, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (!is_pattern(pattern))
		return err_set(err, -EINVAL,
			"give names of sysctls, such as net.core.somaxconn, or beginnings of them "
			"with a '*', such as kernel.msg*");
	if (!sysctl_namespace(sysctl_name(&a, pattern)))
		return err_set(err, -EINVAL,
			"the sysctls are not known to be namespaced: a pod that set them would set "
			"them for the whole node; give kernel.shm*, kernel.msg*, kernel.sem, "
			"fs.mqueue.* or net.*");
	return 0;
}
