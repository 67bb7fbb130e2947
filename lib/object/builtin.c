#include "lib/object/builtin.h"
#include "lib/object/kind.h"

int kind_registry_load_builtin(struct kind_registry *r, struct err *err)
{
	return kind_registry_load(r, (const char *)builtin_kinds, builtin_kinds_size, err);
}

int kind_registry_load_client(struct kind_registry *r, struct err *err)
{
	const char *text = (const char *)builtin_client_kinds;

	return kind_registry_load(r, text, builtin_client_kinds_size, err);
}
