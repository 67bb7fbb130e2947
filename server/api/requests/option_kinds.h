/* option_kinds.h - names for Status errors about the options of a request, which are no kinds of
 * the registry. */
#pragma once

#include "lib/object/kind.h"

extern const struct kind list_options_kind, create_options_kind, update_options_kind,
	patch_options_kind, delete_options_kind;
