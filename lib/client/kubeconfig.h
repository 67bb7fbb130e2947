/* kubeconfig.h - reads the cluster, user and namespace of a context (client-go's kubeconfig form).
 * Supported: server, certificate-authority, tls-server-name, insecure-skip-tls-verify; client
 * certificate and key, token, tokenFile; each as a file (relative to the kubeconfig) or as -data.
 * Users with exec plugins are refused. */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

struct kubeconfig {
	struct arena arena;   /* holds everything below */
	const char *server;   /* as written */
	const char *address;  /* "tcp://127.0.0.1:6443" */
	const char *host;     /* "127.0.0.1:6443" */
	const char *tls_name; /* name or address that the certificate must have */
	const char *path;     /* prefix of every request, "" usually */
	bool tls, insecure;
	struct str ca, cert, key; /* PEM; p NULL = none */
	const char *token;	  /* NULL = none */
	const char *namespace;	  /* "default" when the context names none */
};

/* path NULL = $KUBECONFIG, else ~/.kube/config; context NULL = current-context. On failure there is
 * nothing to finish. */
int kubeconfig_load(const char *path, const char *context, struct kubeconfig *ret,
	struct err *err) _must_check_;
void kubeconfig_finish(struct kubeconfig *k);
