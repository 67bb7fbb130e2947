/* pki.h - the certificates of a cluster, as files in DIR/pki: ca, server (serving), node-client
 * (what the server shows to nodes), admin; each NAME.crt and NAME.key, keys mode 0600. Made when
 * they are missing, made anew when they are about to expire or, for `server`, when it lacks a name.
 * The CA is never replaced. sa.key signs service account tokens; sa.pub holds its public half, and
 * may hold those of earlier keys, whose tokens are then still taken. */
#pragma once

#include "lib/base/err.h"

struct pki {
	char *ca_cert, *ca_key; /* PEM */
	char *server_cert, *server_key;
	char *node_client_cert, *node_client_key;
	char *admin_cert, *admin_key;
	char *sa_key, *sa_pub; /* of service account tokens: signs; all that are taken */
};

/* hosts: names and addresses that the serving certificate must be good for; NULL-terminated. */
int pki_load(const char *data_dir, const char *const *hosts, struct pki *ret,
	struct err *err) _must_check_;
/* Only the CA, which must exist. */
int pki_load_ca(const char *data_dir, struct pki *ret, struct err *err) _must_check_;
void pki_finish(struct pki *p);

/* A kubeconfig with everything embedded; malloc'd. */
char *kubeconfig_text(
	const struct pki *p, const char *url, const char *user, const char *cert, const char *key);
/* Writes a file at once or not at all (temporary file, fsync, rename), with that mode. */
int file_replace(const char *path, const char *text, unsigned mode, struct err *err) _must_check_;
/* The whole file as text, malloc'd; at most 1 MiB. */
int file_read(const char *path, char **ret, struct err *err) _must_check_;
