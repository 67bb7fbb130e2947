#include "lib/http/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>

/* How long a session ticket is good for: the time for which a client certificate that expires or is
 * taken out of use may go on opening connections without being shown again. */
#define TICKET_LIFETIME_S 3600

static void ctx_free_p(SSL_CTX **ctx)
{
	SSL_CTX_free(*ctx);
}

static void bio_free_p(BIO **b)
{
	BIO_free(*b);
}

static void x509_free_p(X509 **x)
{
	X509_free(*x);
}

static void key_free_p(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static int tls_err(struct err *err, const char *what)
{
	unsigned long e = ERR_peek_last_error();
	const char *reason = e ? ERR_reason_error_string(e) : NULL;
	ERR_clear_error();
	return err_set(err, -EINVAL, "%s: %s", what, reason ? reason : "not understood");
}

/* No terminal may be asked for the passphrase of an encrypted key. */
static int no_password(char *buf, int size, int writing, void *user)
{
	return -1;
}

static BIO *pem_bio(struct str pem)
{
	if (pem.size > INT32_MAX)
		return NULL;
	return BIO_new_mem_buf(pem.p, (int)pem.size);
}

/* The first certificate is ours, the others are its chain. */
static int use_certificates(SSL_CTX *ctx, struct str pem, struct err *err)
{
	_cleanup_(bio_free_p) BIO *b = pem_bio(pem);
	_cleanup_(x509_free_p) X509 *cert =
		b ? PEM_read_bio_X509_AUX(b, NULL, no_password, NULL) : NULL;
	if (!cert || SSL_CTX_use_certificate(ctx, cert) != 1)
		return tls_err(err, "read the certificate");
	X509 *ca;
	while ((ca = PEM_read_bio_X509(b, NULL, no_password, NULL))) {
		if (SSL_CTX_add0_chain_cert(ctx, ca) != 1) {
			X509_free(ca);
			return tls_err(err, "read the certificate chain");
		}
	}
	ERR_clear_error(); /* the end of the text */
	return 0;
}

static int use_key(SSL_CTX *ctx, struct str pem, struct err *err)
{
	_cleanup_(bio_free_p) BIO *b = pem_bio(pem);
	_cleanup_(key_free_p) EVP_PKEY *key =
		b ? PEM_read_bio_PrivateKey(b, NULL, no_password, NULL) : NULL;
	if (!key)
		return tls_err(err, "read the private key");
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)
		return tls_err(err, "use the private key");
	return 0;
}

/* Trusts the certificates in `pem`; a server names them to clients, so that these can choose. */
static int use_authorities(SSL_CTX *ctx, struct str pem, bool server, struct err *err)
{
	_cleanup_(bio_free_p) BIO *b = pem_bio(pem);
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	unsigned count = 0;
	X509 *ca;
	while (b && (ca = PEM_read_bio_X509(b, NULL, no_password, NULL))) {
		bool ok = X509_STORE_add_cert(store, ca) == 1 &&
			  (!server || SSL_CTX_add_client_CA(ctx, ca) == 1);
		X509_free(ca);
		if (!ok)
			return tls_err(err, "use a CA certificate");
		count++;
	}
	if (count == 0)
		return tls_err(err, "read the CA certificates");
	ERR_clear_error();
	return 0;
}

static SSL_CTX *make_context(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);
	if (!ctx)
		return NULL;
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	/* A buffered record must survive a retry from another place, and an idle connection must
	 * not hold its record buffers (34 KiB). Reading ahead takes a whole flight in one system
	 * call. */
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	/* AES-128 first: as safe, and a third cheaper. */
	if (SSL_CTX_set_ciphersuites(ctx,
		    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") !=
			1 ||
		SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
		SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

static int select_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_size,
	const unsigned char *in, unsigned in_size, void *user)
{
	static const unsigned char ours[] = "\x02h2\x08http/1.1"; /* in order of preference */
	if (SSL_select_next_proto((unsigned char **)ret, ret_size, ours, sizeof(ours) - 1, in,
		    in_size) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

int tls_server_context(struct str cert_pem, struct str key_pem, const struct str *client_ca_pem,
	SSL_CTX **ret, struct err *err)
{
	_cleanup_(ctx_free_p) SSL_CTX *ctx = make_context(TLS_server_method());
	if (!ctx)
		return tls_err(err, "set up TLS");
	int r = use_certificates(ctx, cert_pem, err);
	if (r < 0)
		return r;
	r = use_key(ctx, key_pem, err);
	if (r < 0)
		return r;
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
	/* Sessions live in tickets, not in our memory. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(ctx, TICKET_LIFETIME_S);
	SSL_CTX_set_num_tickets(ctx, 1);
	if (client_ca_pem) {
		r = use_authorities(ctx, *client_ca_pem, true, err);
		if (r < 0)
			return r;
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
		/* A ticket is only good for a context of the same kind. */
		static const unsigned char id[] = "hanok";
		SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1);
	}
	*ret = TAKE_PTR(ctx);
	return 0;
}

int tls_context_renew(SSL_CTX *ctx, struct str cert_pem, struct str key_pem, struct err *err)
{
	/* In a context of its own first: half a change would end the server. */
	_cleanup_(ctx_free_p) SSL_CTX *trial = make_context(TLS_method());
	int r = trial ? use_certificates(trial, cert_pem, err) : tls_err(err, "set up TLS");
	if (r == 0)
		r = use_key(trial, key_pem, err);
	if (r < 0)
		return r;
	SSL_CTX_clear_chain_certs(ctx);
	/* The key is not the old certificate's: certificate first, which lets go of the old key. */
	r = use_certificates(ctx, cert_pem, err);
	return r < 0 ? r : use_key(ctx, key_pem, err);
}

static int take_any(int verified, X509_STORE_CTX *ctx)
{
	return 1; /* the result of the verification is kept */
}

void tls_server_take_any(SSL_CTX *ctx)
{
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, take_any);
}

int tls_client_context(const struct str *ca_pem, const struct str *cert_pem,
	const struct str *key_pem, SSL_CTX **ret, struct err *err)
{
	_cleanup_(ctx_free_p) SSL_CTX *ctx = make_context(TLS_client_method());
	if (!ctx)
		return tls_err(err, "set up TLS");
	if (ca_pem) {
		int r = use_authorities(ctx, *ca_pem, false, err);
		if (r < 0)
			return r;
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	}
	if (cert_pem && key_pem) {
		int r = use_certificates(ctx, *cert_pem, err);
		if (r < 0)
			return r;
		r = use_key(ctx, *key_pem, err);
		if (r < 0)
			return r;
	}
	static const unsigned char alpn[] = "\x08http/1.1";
	if (SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1) != 0)
		return tls_err(err, "set up ALPN");
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	*ret = TAKE_PTR(ctx);
	return 0;
}
