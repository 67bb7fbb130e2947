/* tls.h - OpenSSL contexts and the small certificate authority of a cluster. TLS 1.2 and up. */
#pragma once

#include <openssl/ssl.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

/* Server: certificate chain and key as PEM; client_ca_pem NULL = no client certificates asked for,
 * else they are asked for, optional, and verified against it (a bad one fails the handshake).
 * ALPN chooses h2, else http/1.1. */
int tls_server_context(struct str cert_pem, struct str key_pem, const struct str *client_ca_pem,
	SSL_CTX **ret, struct err *err) _must_check_;
/* A client certificate that does not verify is no reason to end the handshake: the client is then
 * nobody (stream_peer_refused), and can be answered. */
void tls_server_take_any(SSL_CTX *ctx);
/* Another certificate and key for new connections; the old ones stay when these are not good. */
int tls_context_renew(
	SSL_CTX *ctx, struct str cert_pem, struct str key_pem, struct err *err) _must_check_;
/* Client: ca_pem NULL = no verification (only by explicit user choice); cert/key NULL = none. */
int tls_client_context(const struct str *ca_pem, const struct str *cert_pem,
	const struct str *key_pem, SSL_CTX **ret, struct err *err) _must_check_;

/* For a process whose calling thread serves or asks much: record buffers that connections give back
 * are kept for the next record. Before anything else that uses OpenSSL, else nothing happens. */
void tls_keep_spare_buffers(void);

/* Certificates (ECDSA P-256). PEM texts are malloc'd; the caller frees. */
int pki_make_ca(const char *cn, int days, char **ret_cert_pem, char **ret_key_pem,
	struct err *err) _must_check_;
struct pki_request {
	const char *cn;
	const char *const *orgs;      /* NULL-terminated, may be NULL */
	const char *const *dns_names; /* NULL-terminated, may be NULL */
	const char *const *ips;	      /* NULL-terminated, may be NULL */
	bool server_auth, client_auth;
	int days;
};
int pki_issue(const char *ca_cert_pem, const char *ca_key_pem, const struct pki_request *req,
	char **ret_cert_pem, char **ret_key_pem, struct err *err) _must_check_;
