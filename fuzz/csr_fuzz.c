/* What clients ask certificates with: read, judged by each signer, cleaned up. */
#include "server/controllers/certificates/request.h"

#include "lib/base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const signers[] = {"kubernetes.io/kube-apiserver-client",
		"kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving",
		"kubernetes.io/legacy-unknown"};
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct csr_request r;
	struct json *spec = json_new_object(&a);
	json_push(&a, json_array_at(&a, spec, "usages"), json_new_string(&a, "client auth"));
	if (csr_request_parse(&a, base64_encode(&a, data, size), &r, NULL) < 0)
		return 0;
	for (size_t n = 0; n < ARRAY_LEN(signers); n++)
		(void)csr_signer_problem(&a, signers[n], &r, spec);
	(void)csr_node_permission(&r, spec);
	csr_request_finish(&r);
	return 0;
}
