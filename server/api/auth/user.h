/* user.h - who makes a request, as authentication found out. */
#pragma once

#include "lib/json/json.h"

#define GROUP_MASTERS "system:masters" /* may do anything, whatever the roles say */
#define GROUP_AUTHENTICATED "system:authenticated"
#define GROUP_UNAUTHENTICATED "system:unauthenticated"
#define USER_ANONYMOUS "system:anonymous"
#define SERVICE_ACCOUNT_PREFIX "system:serviceaccount:"

struct api_user {
	const char *name; /* "system:node:n1" */
	const char **groups;
	size_t group_count;
	const char *uid;	  /* NULL = none */
	const struct json *extra; /* object of arrays of strings; NULL = none */
};

bool user_in_group(const struct api_user *u, const char *group);
/* Splits "system:serviceaccount:NS:NAME"; false for other names. */
bool user_service_account(
	struct arena *a, const char *name, const char **ret_namespace, const char **ret_name);
/* {username, uid, groups, extra}: authentication.k8s.io UserInfo. */
struct json *user_info(struct arena *a, const struct api_user *u);
