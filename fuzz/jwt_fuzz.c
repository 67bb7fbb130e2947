/* Tokens from anybody: the three parts of a JWT, bootstrap tokens, and the token file. A text that
 * parses and verifies must be one that was signed, which a fuzzer can't. */
#include <stdint.h>

#include "server/api/auth/auth_internal.h"
#include "server/api/auth/jwt.h"

static struct jwt_key *key;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT;
	struct jwt t;
	if (!key) {
		char *private, *public;
		if (jwt_make_keys(&private, &public, NULL) < 0 ||
			jwt_key_from_private(private, &key, NULL) < 0)
			abort();
		free(private);
		free(public);
	}
	const char *text = arena_memdup(&a, data, size);
	if (jwt_parse(&a, (struct str){text, size}, &t, NULL) == 0) {
		if (!json_is(t.claims, JSON_OBJECT) || !t.algorithm || jwt_verify(&t, key))
			abort();
		/* One token has one text. */
		char *again = arena_printf(&a, "%.*s.%s", (int)t.signed_part.size, t.signed_part.p,
			base64url_encode(&a, t.signature, t.signature_size));
		if (strlen(again) != size || memcmp(again, text, size) != 0)
			abort();
	}
	(void)bootstrap_token_looks_so(text);
	struct table tokens = TABLE_INIT;
	if (static_tokens_parse(text, &tokens, NULL) == 0)
		static_tokens_finish(&tokens);
	arena_finish(&a);
	return 0;
}
