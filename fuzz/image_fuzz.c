/* Names of images, and documents with credentials: what users write into pods and secrets. The name
 * stands before the first newline, the document behind it. */
#include "lib/base/str.h"
#include "node/image/image_keyring.h"
#include "node/image/image_ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *text = arena_memdup(&a, data, size);
	size_t length = strcspn(text, "\n");
	const char *name = arena_memdup(&a, text, length);
	size_t rest = length < size ? size - length - 1 : 0;
	struct image_auth found[4];
	struct image_keyring k;

	if (image_ref_check(name, NULL) < 0)
		return 0;
	const char *repository = image_ref_repository(&a, name);
	/* What is a name is one again, without tag and digest. */
	if (image_ref_check(repository, NULL) < 0 ||
		!streq(image_ref_repository(&a, repository), repository) ||
		!str_has_prefix(repository, image_ref_host(&a, name)))
		abort();
	image_ref_is_latest(name);
	image_keyring_init(&k, &a);
	if (image_keyring_add_file(&k, text + size - rest, rest, NULL) < 0)
		return 0;
	size_t count = image_keyring_find(&k, name, found, ARRAY_LEN(found));
	for (size_t i = 0; i < count; i++)
		if (strlen(found[i].hash) != 64 ||
			(!*found[i].username && !*found[i].password && !*found[i].identity_token))
			abort();
	return 0;
}
