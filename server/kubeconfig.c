/* kubeconfig.c - `hanok kubeconfig`: issues a client certificate from a server's data directory. */
#include <getopt.h>
#include <stdio.h>

#include "lib/base/str.h"
#include "lib/http/tls.h"
#include "lib/object/rule.h"
#include "server/pki.h"
#include "server/server.h"

#define GROUPS_MAX 16

static void usage(FILE *to)
{
	fprintf(to,
		"usage: hanok kubeconfig --data DIR --server URL [--node NAME | --user NAME "
		"[--group NAME]...] [--days N]\n\n"
		"Prints a kubeconfig with a new certificate, signed with DIR/pki of a server.\n\n"
		"  --data DIR      the server's data directory\n"
		"  --server URL    where the server is reached, https://ADDR:PORT\n"
		"  --node NAME     for the agent of that node\n"
		"  --user NAME     for that user, who may do what roles grant; without this and "
		"--node: for an\n"
		"                  administrator\n"
		"  --group NAME    a group the user is in (may be repeated)\n"
		"  --days N        how long it is valid (default 365)\n");
}

/* NULL is no name, which is fine. */
static bool is_name(const char *s)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.:@/";
	return !s || (*s && strlen(s) <= 64 && s[strspn(s, allowed)] == '\0');
}

static bool all_names(const char *const *names)
{
	for (; *names; names++)
		if (!is_name(*names))
			return false;
	return true;
}

int kubeconfig_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"data", required_argument, NULL, 'd'},
		{"server", required_argument, NULL, 's'},
		{"node", required_argument, NULL, 'n'},
		{"user", required_argument, NULL, 'u'},
		{"group", required_argument, NULL, 'g'},
		{"days", required_argument, NULL, 'D'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *data = NULL, *url = NULL, *node = NULL, *name = NULL;
	const char *groups[GROUPS_MAX + 1] = {0};
	size_t group_count = 0;
	int64_t days = 365;
	int c;
	optind = 1;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'd') {
			data = optarg;
		} else if (c == 's') {
			url = optarg;
		} else if (c == 'n') {
			node = optarg;
		} else if (c == 'u') {
			name = optarg;
		} else if (c == 'g' && group_count < GROUPS_MAX) {
			groups[group_count++] = optarg;
		} else if (c == 'D' && parse_i64(str_from(optarg), &days) == 0 && days > 0 &&
			   days <= 3650) {
			continue;
		} else {
			usage(c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
	}
	if (!data || !url || optind < argc) {
		usage(stderr);
		return 2;
	}
	if (!str_has_prefix(url, "https://") || strpbrk(url, " \n\r\t\"'#")) {
		fprintf(stderr, "hanok kubeconfig: --server '%s': want https://ADDR:PORT\n", url);
		return 2;
	}
	if ((node && name) || (group_count && !name)) {
		fprintf(stderr, "hanok kubeconfig: --node is without --user, and --group only "
				"with it\n");
		return 2;
	}
	/* What an X.509 name takes, and a kubeconfig without quotes. */
	if (!is_name(name) || !all_names(groups)) {
		fprintf(stderr, "hanok kubeconfig: --user and --group: want 1 to 64 letters, "
				"digits or any of -_.:@/\n");
		return 2;
	}
	if (node && !rule_holds(RULE_DNS_SUBDOMAIN, node)) {
		fprintf(stderr, "hanok kubeconfig: --node '%s': want a DNS name in lower case\n",
			node);
		return 2;
	}
	struct err err = ERR_INIT;
	struct pki p;
	if (pki_load_ca(data, &p, &err) < 0) {
		fprintf(stderr, "hanok kubeconfig: %s\n", err.msg);
		return 1;
	}
	static const char *const masters[] = {"system:masters", NULL}, *const nodes[] = {
									       "system:nodes",
									       NULL};
	const char *names[] = {node, NULL};
	_cleanup_(free_p) char *user = node   ? xasprintf("system:node:%s", node)
				       : name ? xstrdup(name)
					      : xstrdup("kubernetes-admin");
	_cleanup_(free_p) char *cert = NULL;
	_cleanup_(free_p) char *key = NULL;
	struct pki_request request = {
		.cn = user,
		.orgs = node   ? nodes
			: name ? groups
			       : masters,
		.dns_names = node ? names : NULL,
		.client_auth = true,
		.server_auth = node != NULL, /* the agent serves logs and exec with it */
		.days = (int)days,
	};
	int r = pki_issue(p.ca_cert, p.ca_key, &request, &cert, &key, &err);
	if (r < 0) {
		fprintf(stderr, "hanok kubeconfig: %s\n", err.msg);
	} else {
		_cleanup_(free_p) char *text = kubeconfig_text(&p, url, user, cert, key);
		if (fputs(text, stdout) < 0 || fflush(stdout) != 0) {
			fprintf(stderr, "hanok kubeconfig: standard output can't be written\n");
			r = -EIO;
		}
	}
	pki_finish(&p);
	return r < 0 ? 1 : 0;
}
