#include "server/pki.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/http/tls.h"
#include "server/api/allocator.h"
#include "server/api/auth/jwt.h"

#define CA_DAYS 3650
#define LEAF_DAYS 365
#define RENEW_BEFORE_S (30 * 86400)
#define FILE_MAX_BYTES (1u << 20)

static void sync_directory_of(const char *path)
{
	_cleanup_(free_p) char *dir = xstrdup(path);
	char *slash = strrchr(dir, '/');
	if (!slash)
		return;
	*slash = '\0';
	_cleanup_(close_p) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		(void)fsync(fd);
}

int file_replace(const char *path, const char *text, unsigned mode, struct err *err)
{
	_cleanup_(free_p) char *tmp = xasprintf("%s.new", path);
	_cleanup_(close_p) int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0)
		return err_errno(err, -errno, "create '%s'", tmp);
	size_t size = strlen(text), done = 0;
	int r = fchmod(fd, mode) < 0 ? -errno : 0;
	while (r == 0 && done < size) {
		ssize_t n = write(fd, text + done, size - done);
		if (n < 0 && errno != EINTR)
			r = -errno;
		else if (n > 0)
			done += (size_t)n;
	}
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && rename(tmp, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(tmp);
		return err_errno(err, r, "write '%s'", path);
	}
	sync_directory_of(path);
	return 0;
}

/* 1 = read, 0 = not there. */
static int read_file(const char *path, char **ret, struct err *err)
{
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(err, -errno, "open '%s'", path);
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	for (;;) {
		buf_reserve(&text, 16 << 10);
		ssize_t n = read(fd, text.data + text.size, 16 << 10);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, -errno, "read '%s'", path);
		if (n == 0)
			break;
		text.size += (size_t)n;
		if (text.size > FILE_MAX_BYTES)
			return err_set(
				err, -E2BIG, "'%s' is larger than %u bytes", path, FILE_MAX_BYTES);
	}
	text.data[text.size] = '\0';
	*ret = buf_take(&text);
	return 1;
}

int file_read(const char *path, char **ret, struct err *err)
{
	int r = read_file(path, ret, err);
	return r > 0 ? 0 : r < 0 ? r : err_set(err, -ENOENT, "there is no file '%s'", path);
}

static X509 *parse_certificate(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	return x;
}

static EVP_PKEY *parse_key(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, "") : NULL;
	BIO_free(bio);
	return key;
}

/* Good for a while, issued by the CA, for all hosts, and of this key: a crash between the writing
 * of the two leaves a pair that does not match. */
static bool certificate_serves(
	const char *pem, const char *key_pem, const char *ca_pem, const char *const *hosts)
{
	X509 *x = parse_certificate(pem), *ca = parse_certificate(ca_pem);
	EVP_PKEY *key = parse_key(key_pem);
	bool good = false;
	if (!x || !ca || !key || X509_check_private_key(x, key) != 1)
		goto out;
	time_t soon = time(NULL) + RENEW_BEFORE_S;
	if (X509_cmp_time(X509_get0_notAfter(x), &soon) <= 0)
		goto out;
	if (X509_verify(x, X509_get0_pubkey(ca)) != 1)
		goto out;
	good = true;
	for (size_t i = 0; hosts && hosts[i] && good; i++)
		good = X509_check_ip_asc(x, hosts[i], 0) == 1 ||
		       X509_check_host(x, hosts[i], 0, 0, NULL) == 1;
out:
	X509_free(x);
	X509_free(ca);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return good;
}

static bool is_ip(const char *host)
{
	uint32_t ip;
	return strchr(host, ':') || ip_parse(host, &ip) == 0;
}

/* NAME.crt and NAME.key: read, or issued and written. */
static int load_leaf(const char *dir, const struct pki *p, const char *name,
	struct pki_request *request, const char *const *hosts, char **ret_cert, char **ret_key,
	struct err *err)
{
	_cleanup_(free_p) char *cert_path = xasprintf("%s/%s.crt", dir, name);
	_cleanup_(free_p) char *key_path = xasprintf("%s/%s.key", dir, name);
	_cleanup_(free_p) char *cert = NULL;
	_cleanup_(free_p) char *key = NULL;
	int r = read_file(cert_path, &cert, err);
	if (r > 0)
		r = read_file(key_path, &key, err);
	if (r < 0)
		return r;
	if (r > 0 && certificate_serves(cert, key, p->ca_cert, hosts)) {
		*ret_cert = TAKE_PTR(cert);
		*ret_key = TAKE_PTR(key);
		return 0;
	}
	const char *dns[32] = {0}, *ips[32] = {0};
	size_t dns_count = 0, ip_count = 0;
	for (size_t i = 0; hosts && hosts[i]; i++) {
		if (is_ip(hosts[i]) && ip_count < ARRAY_LEN(ips) - 1)
			ips[ip_count++] = hosts[i];
		else if (!is_ip(hosts[i]) && dns_count < ARRAY_LEN(dns) - 1)
			dns[dns_count++] = hosts[i];
	}
	request->dns_names = dns;
	request->ips = ips;
	request->days = LEAF_DAYS;
	free(TAKE_PTR(cert));
	free(TAKE_PTR(key));
	r = pki_issue(p->ca_cert, p->ca_key, request, &cert, &key, err);
	/* The key first: a certificate without its key is of no use, and is then issued again. */
	if (r == 0)
		r = file_replace(key_path, key, 0600, err);
	if (r == 0)
		r = file_replace(cert_path, cert, 0644, err);
	if (r < 0)
		return err_context(err, r, "certificate '%s'", cert_path);
	*ret_cert = TAKE_PTR(cert);
	*ret_key = TAKE_PTR(key);
	return 0;
}

static int load_ca(const char *dir, bool create, struct pki *p, struct err *err)
{
	_cleanup_(free_p) char *cert_path = xasprintf("%s/ca.crt", dir);
	_cleanup_(free_p) char *key_path = xasprintf("%s/ca.key", dir);
	int c = read_file(cert_path, &p->ca_cert, err);
	int k = c < 0 ? c : read_file(key_path, &p->ca_key, err);
	if (c < 0 || k < 0)
		return c < 0 ? c : k;
	if (c && k)
		return 0;
	/* The key is written before the certificate: a lone key was never used. */
	if (c)
		return err_set(err, -ENOENT,
			"'%s' is missing beside ca.crt: put it back from a backup; without it no "
			"certificate can be "
			"issued",
			key_path);
	if (!create)
		return err_set(err, -ENOENT,
			"'%s' is missing: is this the data directory of a server?", cert_path);
	free(TAKE_PTR(p->ca_key));
	int r = pki_make_ca("hanok", CA_DAYS, &p->ca_cert, &p->ca_key, err);
	if (r == 0)
		r = file_replace(key_path, p->ca_key, 0600, err);
	if (r == 0)
		r = file_replace(cert_path, p->ca_cert, 0644, err);
	return r < 0 ? err_context(err, r, "certificate authority") : 0;
}

/* A lone key file has its public half in itself; a lone sa.pub is of a key that is lost. */
static int load_token_keys(const char *dir, struct pki *p, struct err *err)
{
	_cleanup_(free_p) char *key_path = xasprintf("%s/sa.key", dir);
	_cleanup_(free_p) char *pub_path = xasprintf("%s/sa.pub", dir);
	int k = read_file(key_path, &p->sa_key, err);
	int b = k < 0 ? k : read_file(pub_path, &p->sa_pub, err);
	if (k < 0 || b < 0)
		return k < 0 ? k : b;
	if (k)
		return 0;
	if (b)
		return err_set(err, -ENOENT,
			"'%s' is missing beside sa.pub: put it back from a backup, or remove "
			"sa.pub: then a new key is made, and tokens that are out end",
			key_path);
	int r = jwt_make_keys(&p->sa_key, &p->sa_pub, err);
	if (r == 0)
		r = file_replace(key_path, p->sa_key, 0600, err);
	if (r == 0)
		r = file_replace(pub_path, p->sa_pub, 0644, err);
	return r < 0 ? err_context(err, r, "key of service account tokens") : 0;
}

int pki_load_ca(const char *data_dir, struct pki *ret, struct err *err)
{
	_cleanup_(free_p) char *dir = xasprintf("%s/pki", data_dir);
	struct pki p = {0};
	int r = load_ca(dir, false, &p, err);
	if (r < 0)
		pki_finish(&p);
	else
		*ret = p;
	return r;
}

int pki_load(const char *data_dir, const char *const *hosts, struct pki *ret, struct err *err)
{
	static const char *const masters[] = {"system:masters", NULL};
	_cleanup_(free_p) char *dir = xasprintf("%s/pki", data_dir);
	struct pki p = {0};
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return err_errno(err, -errno, "create '%s'", dir);
	struct pki_request server = {.cn = "hanok-server", .server_auth = true};
	struct pki_request node_client = {
		.cn = "kube-apiserver-kubelet-client", .orgs = masters, .client_auth = true};
	struct pki_request admin = {.cn = "kubernetes-admin", .orgs = masters, .client_auth = true};
	int r = load_ca(dir, true, &p, err);
	if (r == 0)
		r = load_leaf(
			dir, &p, "server", &server, hosts, &p.server_cert, &p.server_key, err);
	if (r == 0)
		r = load_leaf(dir, &p, "node-client", &node_client, NULL, &p.node_client_cert,
			&p.node_client_key, err);
	if (r == 0)
		r = load_leaf(dir, &p, "admin", &admin, NULL, &p.admin_cert, &p.admin_key, err);
	if (r == 0)
		r = load_token_keys(dir, &p, err);
	if (r < 0) {
		pki_finish(&p);
		return r;
	}
	*ret = p;
	return 0;
}

void pki_finish(struct pki *p)
{
	char *all[] = {p->ca_cert, p->ca_key, p->server_cert, p->server_key, p->node_client_cert,
		p->node_client_key, p->admin_cert, p->admin_key, p->sa_key, p->sa_pub};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		free(all[i]);
	*p = (struct pki){0};
}

char *kubeconfig_text(
	const struct pki *p, const char *url, const char *user, const char *cert, const char *key)
{
	struct arena a = ARENA_INIT;
	char *text = xasprintf("apiVersion: v1\n"
			       "kind: Config\n"
			       "clusters:\n"
			       "- name: hanok\n"
			       "  cluster:\n"
			       "    server: %s\n"
			       "    certificate-authority-data: %s\n"
			       "users:\n"
			       "- name: %s\n"
			       "  user:\n"
			       "    client-certificate-data: %s\n"
			       "    client-key-data: %s\n"
			       "contexts:\n"
			       "- name: hanok\n"
			       "  context:\n"
			       "    cluster: hanok\n"
			       "    user: %s\n"
			       "current-context: hanok\n",
		url, base64_encode(&a, p->ca_cert, strlen(p->ca_cert)), user,
		base64_encode(&a, cert, strlen(cert)), base64_encode(&a, key, strlen(key)), user);
	arena_finish(&a);
	return text;
}
