#include "server/api/auth/user.h"

bool user_in_group(const struct api_user *u, const char *group)
{
	for (size_t i = 0; i < u->group_count; i++)
		if (streq(u->groups[i], group))
			return true;
	return false;
}

bool user_service_account(
	struct arena *a, const char *name, const char **ret_namespace, const char **ret_name)
{
	if (!str_has_prefix(name, SERVICE_ACCOUNT_PREFIX))
		return false;
	const char *ns = name + sizeof(SERVICE_ACCOUNT_PREFIX) - 1;
	const char *colon = strchr(ns, ':');
	if (!colon || colon == ns || !colon[1] || strchr(colon + 1, ':'))
		return false;
	*ret_namespace = arena_memdup(a, ns, (size_t)(colon - ns));
	*ret_name = colon + 1;
	return true;
}

struct json *user_info(struct arena *a, const struct api_user *u)
{
	struct json *info = json_new_object(a);
	json_set_str(a, info, "username", u->name);
	if (u->uid && *u->uid)
		json_set_str(a, info, "uid", u->uid);
	if (u->group_count) {
		struct json *groups = json_new_array(a);
		for (size_t i = 0; i < u->group_count; i++)
			json_push(a, groups, json_new_string(a, u->groups[i]));
		json_set(a, info, "groups", groups);
	}
	if (json_count(u->extra))
		json_set(a, info, "extra", json_copy(a, u->extra));
	return info;
}
