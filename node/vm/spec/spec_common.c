#include "node/vm/spec/spec_internal.h"

#include <ctype.h>

bool spec_one_of(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (streq(s, *list))
			return true;
	return false;
}

bool spec_plain_word(const char *s)
{
	size_t size = 0;

	for (; *s; s++, size++)
		if (!isalnum((unsigned char)*s) && !strchr("-_.+", *s))
			return false;
	return size > 0 && size <= 63;
}

bool spec_device_name(const char *s)
{
	return s && spec_plain_word(s) && !strpbrk(s, ".+");
}

const struct json *spec_named(const struct json *list, const char *name)
{
	JSON_FOR_EACH_ITEM(it, list)
		if (streq(json_str(json_get(it, "name")), name))
			return it;
	return NULL;
}

bool spec_image_path_ok(const char *p)
{
	struct str rest = str_from(p), part;

	if (*p != '/' || strlen(p) > 1024)
		return false;
	for (const char *c = p; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	while (str_split(&rest, '/', &part))
		if (str_eq(part, "..") || str_eq(part, "."))
			return false;
	return true;
}

static const char *pull_policy(const char *given, const char *image)
{
	const char *tail = strrchr(image, '/');
	const char *tag;

	if (given && *given)
		return given;
	/* As for containers: a tag that is meant to move is looked up each time. */
	if (strchr(image, '@'))
		return "IfNotPresent";
	tag = strchr(tail ? tail : image, ':');
	return !tag || streq(tag, ":latest") ? "Always" : "IfNotPresent";
}

int spec_read_image(
	const struct json *source, const char *field, struct vm_image *ret, struct err *err)
{
	static const char *const policies[] = {"Always", "IfNotPresent", "Never", NULL};

	ret->image = json_str(json_get(source, "image"));
	ret->pull_secret = json_str(json_get(source, "imagePullSecret"));
	if (!ret->image || !*ret->image)
		return err_set(err, -EINVAL, "%s.image: Required value", field);
	if (*ret->image == '-' || strpbrk(ret->image, " \t\r\n"))
		return err_set(
			err, -EINVAL, "%s.image: '%s' is not an image name", field, ret->image);
	ret->pull_policy = pull_policy(json_str(json_get(source, "imagePullPolicy")), ret->image);
	if (!spec_one_of(ret->pull_policy, policies))
		return err_set(err, -EINVAL,
			"%s.imagePullPolicy: '%s' is not Always, IfNotPresent or "
			"Never",
			field, ret->pull_policy);
	return 0;
}

bool spec_is_i440fx(const char *machine)
{
	return streq(machine, "pc") || str_has_prefix(machine, "pc-i440fx");
}

unsigned spec_cpu_count(const struct vm_spec *s)
{
	return s->sockets * s->cores * s->threads;
}
