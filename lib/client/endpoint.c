#include "lib/client/endpoint.h"

#include "lib/http/tls.h"

int client_endpoint_create(
	uv_loop_t *loop, const struct kubeconfig *k, struct http_endpoint **ret, struct err *err)
{
	SSL_CTX *tls = NULL;
	if (k->tls) {
		if (!k->insecure && !k->ca.p)
			return err_set(err, -EINVAL,
				"the cluster has no certificate-authority, and verification is not "
				"switched off");
		int r = tls_client_context(k->insecure ? NULL : &k->ca, k->cert.p ? &k->cert : NULL,
			k->key.p ? &k->key : NULL, &tls, err);
		if (r < 0)
			return r;
	}
	struct http_endpoint_options o = {
		.loop = loop,
		.address = k->address,
		.tls = tls,
		.tls_name = k->insecure ? NULL : k->tls_name,
		.host = k->host,
		.max_idle = 16,
	};
	*ret = http_endpoint_create(&o);
	SSL_CTX_free(tls);
	return 0;
}

char *client_auth_headers(const struct kubeconfig *k)
{
	return k->token ? xasprintf("Authorization: Bearer %s\r\n", k->token) : xstrdup("");
}
