/* custom_names.h - which names a CustomResourceDefinition may have: those that no other resource of
 * its group has. */
#pragma once

#include "lib/json/json.h"

struct api;

/* Changes the status of a definition to what its names make of it: acceptedNames and the conditions
 * NamesAccepted and Established. */
void custom_names_settle(struct api *api, struct arena *a, struct json *definition);
/* Sets a condition; lastTransitionTime changes with its status only. */
void definition_set_condition(struct api *api, struct arena *a, struct json *definition,
	const char *type, bool status, const char *reason, const char *message);
bool definition_has_condition(const struct json *definition, const char *type);
