#include "lib/object/protobuf.h"

int protobuf_decode(
	struct arena *a, const char *body, size_t size, struct json **ret, struct err *err)
{
	return err_set(err, -ENOTSUP, "no table");
}
