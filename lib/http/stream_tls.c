/* TLS for streams: OpenSSL straight on the descriptor through a small BIO of our own, so that an
 * idle connection holds no record buffers (SSL_MODE_RELEASE_BUFFERS, no memory BIOs) and writing to
 * a closed socket raises no SIGPIPE.
 *
 * Records made of what is queued are collected in one room for all streams and go to the kernel
 * together: one send of 64 KiB costs it less than half of four of 16. What it does not take stays
 * with the stream, and nothing else is written before that. */
#include "lib/http/stream_impl.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

/* The largest TLS record: what one SSL_write takes. */
#define RECORD_BYTES 16384u

/* A record with its header and tag. */
#define SEALED_BYTES (RECORD_BYTES + 256u)
#define RECORDS_TOGETHER 4

static char gather_room[RECORD_BYTES];
static struct {
	bool on; /* records go here, not to the kernel */
	size_t size;
	char room[RECORDS_TOGETHER * SEALED_BYTES];
} sealed;
static char error_text[512];

static ssize_t send_some(int fd, const char *p, size_t size)
{
	ssize_t n;
	do
		n = send(fd, p, size, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n;
}

static int bio_write(BIO *b, const char *p, int size)
{
	struct stream *s = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	ssize_t n = -1;
	if (sealed.on && sizeof(sealed.room) - sealed.size >= (size_t)size) {
		memcpy(sealed.room + sealed.size, p, (size_t)size);
		sealed.size += (size_t)size;
		return size;
	}
	if (sealed.on || s->sealed.size)
		errno = EAGAIN;
	else
		n = send_some(s->fd, p, (size_t)size);
	if (n < 0 && errno == EAGAIN)
		BIO_set_retry_write(b);
	return (int)n;
}

static int bio_read(BIO *b, char *p, int room)
{
	const struct stream *s = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	ssize_t n;
	do
		n = recv(s->fd, p, (size_t)room, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		BIO_set_retry_read(b);
	if (n == 0)
		BIO_set_flags(b, BIO_FLAGS_IN_EOF);
	return (int)n;
}

static long bio_ctrl(BIO *b, int command, long n, void *p)
{
	switch (command) {
	case BIO_CTRL_FLUSH:
	case BIO_CTRL_DUP:
		return 1;
	case BIO_CTRL_EOF:
		return BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0;
	default:
		return 0;
	}
}

static BIO_METHOD *bio_method;
static pthread_once_t bio_method_once = PTHREAD_ONCE_INIT;

static void bio_method_make(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream socket");
	if (!bio_method)
		abort();
	BIO_meth_set_write(bio_method, bio_write);
	BIO_meth_set_read(bio_method, bio_read);
	BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

SSL *stream_tls_new(SSL_CTX *ctx, bool server)
{
	pthread_once(&bio_method_once, bio_method_make);
	SSL *ssl = SSL_new(ctx);
	BIO *b = BIO_new(bio_method);
	if (!ssl || !b) {
		SSL_free(ssl);
		BIO_free(b);
		return NULL;
	}
	BIO_set_init(b, 1);
	SSL_set_bio(ssl, b, b);
	if (server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	return ssl;
}

void stream_tls_attach(struct stream *s)
{
	BIO_set_data(SSL_get_rbio(s->ssl), s);
}

int stream_tls_set_name(SSL *ssl, const char *name)
{
	unsigned char ip[16];
	if (inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1 ? 0 : -EINVAL;
	if (SSL_set1_host(ssl, name) != 1 || SSL_set_tlsext_host_name(ssl, name) != 1)
		return -EINVAL;
	return 0;
}

/* What went wrong, from OpenSSL's queue, errno and the certificate check. */
static int tls_error(const struct stream *s, int what, int saved_errno, const char **ret_text)
{
	unsigned long e = ERR_get_error();
	long verify = SSL_get_verify_result(s->ssl);
	int code = -EPROTO;
	if (e && ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		code = -ECONNRESET;
		snprintf(error_text, sizeof(error_text), "the peer cut the TLS connection");
	} else if (e && ERR_GET_REASON(e) == SSL_R_CERTIFICATE_VERIFY_FAILED &&
		   verify != X509_V_OK) {
		code = -EKEYREJECTED;
		snprintf(error_text, sizeof(error_text), "certificate not accepted: %s",
			X509_verify_cert_error_string(verify));
	} else if (e) {
		const char *reason = ERR_reason_error_string(e);
		snprintf(error_text, sizeof(error_text), "TLS: %s",
			reason ? reason : "unknown error");
	} else if (what == SSL_ERROR_SYSCALL && saved_errno) {
		code = -saved_errno;
		snprintf(error_text, sizeof(error_text), "%s", strerror(saved_errno));
	} else {
		code = -ECONNRESET;
		snprintf(error_text, sizeof(error_text), "the peer cut the TLS connection");
	}
	ERR_clear_error();
	*ret_text = error_text;
	return code;
}

int stream_tls_handshake(struct stream *s, const char **ret_text)
{
	ERR_clear_error();
	errno = 0;
	int r = SSL_do_handshake(s->ssl);
	int saved = errno;
	s->tls_wants_write = false;
	if (r == 1)
		return 0;
	int what = SSL_get_error(s->ssl, r);
	if (what == SSL_ERROR_WANT_READ)
		return -EAGAIN;
	if (what == SSL_ERROR_WANT_WRITE) {
		s->tls_wants_write = true;
		return -EAGAIN;
	}
	return tls_error(s, what, saved, ret_text);
}

ssize_t stream_tls_read(struct stream *s, char *p, size_t room, const char **ret_text)
{
	size_t at = 0;
	ERR_clear_error();
	/* Several records in one go, but no system call more than needed. */
	do {
		errno = 0;
		int n = SSL_read(s->ssl, p + at, (int)(room - at));
		int saved = errno;
		if (n > 0) {
			at += (size_t)n;
			continue;
		}
		if (at)
			break; /* whatever it is, it comes again */
		int what = SSL_get_error(s->ssl, n);
		if (what == SSL_ERROR_ZERO_RETURN)
			return 0;
		if (what == SSL_ERROR_WANT_READ)
			return -EAGAIN;
		if (what == SSL_ERROR_WANT_WRITE) {
			s->tls_wants_write = true;
			return -EAGAIN;
		}
		return tls_error(s, what, saved, ret_text);
	} while (room - at >= RECORD_BYTES && SSL_has_pending(s->ssl));
	return (ssize_t)at;
}

/* Tries to get rid of sealed bytes; what is left of them is kept. */
static int send_sealed(struct stream *s, const char *p, size_t size, const char **ret_text)
{
	ssize_t n = size ? send_some(s->fd, p, size) : 0;
	if (n < 0 && errno != EAGAIN) {
		int e = errno;
		*ret_text = strerror(e);
		return -e;
	}
	size_t done = n < 0 ? 0 : (size_t)n, before = s->sealed.size;
	s->written_bytes += done;
	if (p == s->sealed.data) {
		buf_drop_front(&s->sealed, done);
		if (!s->sealed.size)
			buf_finish(&s->sealed);
	} else if (done < size) {
		buf_add(&s->sealed, p + done, size - done);
	}
	stream_sealed_counted(s, before);
	return done < size ? -EAGAIN : 0;
}

int stream_tls_flush(struct stream *s, const char **ret_text)
{
	int n = 1, saved = 0;
	if (s->sealed.size) {
		int r = send_sealed(s, s->sealed.data, s->sealed.size, ret_text);
		if (r < 0)
			return r;
	}
	sealed.size = 0;
	sealed.on = true;
	while (s->queue.bytes && sizeof(sealed.room) - sealed.size >= SEALED_BYTES) {
		size_t size;
		const char *p =
			stream_queue_front(&s->queue, gather_room, sizeof(gather_room), &size);
		ERR_clear_error();
		errno = 0;
		n = SSL_write(s->ssl, p, (int)size);
		saved = errno;
		if (n <= 0)
			break;
		stream_queue_drop(&s->queue, (size_t)n);
	}
	sealed.on = false;
	int what = n > 0 ? SSL_ERROR_NONE : SSL_get_error(s->ssl, n);
	int r = send_sealed(s, sealed.room, sealed.size, ret_text);
	if (r < 0 || what == SSL_ERROR_NONE)
		return r;
	if (what == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	if (what == SSL_ERROR_WANT_READ) {
		s->tls_read_blocked = true;
		return -EAGAIN;
	}
	return tls_error(s, what, saved, ret_text);
}

int stream_tls_shutdown(struct stream *s)
{
	ERR_clear_error();
	int r = SSL_shutdown(s->ssl);
	if (r < 0 && SSL_get_error(s->ssl, r) == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	ERR_clear_error();
	return 0;
}

bool stream_tls_has_pending(const struct stream *s)
{
	return s->ssl && SSL_has_pending(s->ssl);
}

/* A copy of one name entry as UTF-8; NULL when it cannot be shown or holds a NUL, which would make
 * a shorter name of it. */
static char *name_entry(X509_NAME *name, int at)
{
	unsigned char *text = NULL;
	int size =
		ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	if (size < 0)
		return NULL;
	char *ret = NULL;
	if (!memchr(text, 0, (size_t)size))
		ret = xstrndup((const char *)text, (size_t)size);
	OPENSSL_free(text);
	return ret;
}

void stream_tls_peer(const struct stream *s, struct stream_peer *peer)
{
	X509 *cert = SSL_get0_peer_certificate(s->ssl);
	struct tm end;
	if (!cert)
		return;
	if (SSL_get_verify_result(s->ssl) != X509_V_OK ||
		ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) != 1) {
		peer->refused = true;
		return;
	}
	peer->not_after_s = timegm(&end);
	X509_NAME *name = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	/* Which of two names is meant, whoever signed may have seen otherwise. */
	if (at >= 0 && X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0) {
		peer->refused = true;
		return;
	}
	if (at >= 0)
		peer->cn = name_entry(name, at);
	size_t room = 0;
	for (at = -1; (at = X509_NAME_get_index_by_NID(name, NID_organizationName, at)) >= 0;) {
		char *org = name_entry(name, at);
		if (!org)
			continue;
		if (peer->org_count == room) {
			room = room ? room * 2 : 4;
			peer->orgs = xrealloc(peer->orgs, room * sizeof(*peer->orgs));
		}
		peer->orgs[peer->org_count++] = org;
	}
}
