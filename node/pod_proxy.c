/* pod_proxy.c - see pod_proxy.h. The API server names the address, as it knows it from the pod's
 * status; that the pod is one of ours, and the address its own, is checked here: else this would be
 * a way to all that the node reaches. */
#include "node/pod_proxy.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "lib/http/http_proxy.h"
#include "lib/http/tls.h"
#include "node/pod/pod_manager.h"

enum { NAMESPACE, POD, SCHEME, IP, PORT, PARTS };

static void respond_text(struct http_request *req, int status, const char *text)
{
	http_respond(req, status, "text/plain; charset=utf-8", NULL, text, strlen(text));
}

static void on_failed(struct http_request *req, const struct err *err, void *user)
{
	char *text = arena_printf(&req->arena, "error trying to reach service: %s\n",
		err ? err->msg : "connection closed");
	respond_text(req, 503, text);
}

/* Cuts the target, as it was sent, into its parts; NULL when it has not all of them. */
static const char *split_target(struct http_request *req, const char *parts[PARTS])
{
	const char *p = req->target + strlen("/podProxy/");
	for (int i = 0; i < PARTS; i++) {
		size_t size = strcspn(p, "/?");
		if (size == 0 || (i < PARTS - 1 && p[size] != '/'))
			return NULL;
		parts[i] = arena_memdup(&req->arena, p, size);
		p += size + (i < PARTS - 1);
	}
	return *p == '/' ? p : arena_printf(&req->arena, "/%s", p);
}

void pod_proxy_serve(struct node *n, struct http_request *req)
{
	const char *parts[PARTS];
	struct in_addr a;
	struct in6_addr a6;
	uint64_t port;
	const char *path =
		str_has_prefix(req->target, "/podProxy/") ? split_target(req, parts) : NULL;

	if (!path || parse_u64(str_from(parts[PORT]), &port) < 0 || port == 0 ||
		port > UINT16_MAX ||
		(inet_pton(AF_INET, parts[IP], &a) != 1 &&
			inet_pton(AF_INET6, parts[IP], &a6) != 1)) {
		respond_text(req, 400, "want /podProxy/NAMESPACE/POD/SCHEME/IP/PORT/PATH\n");
		return;
	}
	const char *ip = pod_manager_ip(n->pods, parts[NAMESPACE], parts[POD]);
	if (!ip) {
		respond_text(req, 404, "the pod has no running sandbox on this node\n");
		return;
	}
	if (!streq(ip, parts[IP])) {
		respond_text(req, 403, "this is not the address of the pod\n");
		return;
	}
	SSL_CTX *tls = NULL;
	struct err err = ERR_INIT;
	/* Pods show what certificates they like. */
	if (streq(parts[SCHEME], "https") && tls_client_context(NULL, NULL, NULL, &tls, &err) < 0) {
		on_failed(req, &err, NULL);
		return;
	}
	const char *host = arena_printf(
		&req->arena, strchr(parts[IP], ':') ? "[%s]:%s" : "%s:%s", parts[IP], parts[PORT]);
	http_proxy(req, &(struct http_proxy_options){
				.loop = n->loop,
				.address = arena_printf(&req->arena, "tcp://%s", host),
				.tls = tls,
				.host = host,
				.target = path,
				.failed = on_failed,
			});
	SSL_CTX_free(tls);
}
