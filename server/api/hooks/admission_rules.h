/* admission_rules.h - what webhook configurations and admission policies share: rules about which
 * requests they are for, and conditions. */
#pragma once

#include "server/api/hooks/validate.h"

extern const char *const match_policies[], *const failure_policies[];

/* operations, apiGroups, apiVersions, resources, scope, and resourceNames of policies. */
void check_admission_rule(struct hook *h, const struct json *rule, const char *path);
/* Names and that there are expressions; what they say is not looked at. */
void check_match_conditions(struct hook *h, const struct json *list, const char *path);
bool is_blank(const char *s);
/* A text "group/version" or "version". */
void check_group_version(struct hook *h, const char *field, const struct json *value);
