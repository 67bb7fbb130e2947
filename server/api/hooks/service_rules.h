/* service_rules.h - the checks of services that need nothing but the service. */
#pragma once

#include "server/api/hooks/validate.h"

void service_rules_validate(struct hook *h, const struct json *doc);
void service_rules_validate_update(struct hook *h, const struct json *doc, const struct json *old);
/* Traffic from outside reaches it through nodes. */
bool service_is_accessible(const struct json *doc);
/* Load balancers ask each node whether it has a backend: on a node port of its own. */
bool service_needs_health_check(const struct json *doc);
