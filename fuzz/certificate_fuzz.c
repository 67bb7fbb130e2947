/* Requests for certificates and chains of them from anybody, in PEM form. */
#include <stdint.h>

#include "lib/base/str.h"
#include "server/api/hooks/certificate_pem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT;
	const char *base64 = base64_encode(&a, (const char *)data, size);
	const char *problem = certificate_request_problem(&a, base64);
	/* What is accepted can be looked into. */
	if (!problem)
		(void)certificate_request_has_organization(&a, base64, "system:masters");
	(void)certificates_problem(&a, base64);
	arena_finish(&a);
	return 0;
}
