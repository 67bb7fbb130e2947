/* main.c - one binary, several roles: picks the role or verb and hands the rest of the arguments
 * on. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/roles.h"
#include "lib/base/str.h"

static const struct role {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *summary;
} roles[] = {
	{"server", server_main, "API, store, controllers and scheduler"},
	{"node", node_main, "node agent: containers, virtual machines, network of this machine"},
	{"netd", netd_main, "applies packet filter rules for `hanok node` (started by it)"},
	{"confine", confine_main, "shuts in a program for `hanok node` (started by it)"},
	{"nfs", nfs_main, "does a thing on an NFS server for `hanok node` (started by it)"},
	{"up", up_main, "server and node on this machine"},
	{"kubeconfig", kubeconfig_main, "issue a kubeconfig from a server's data directory"},
	{"backup", backup_main, "copy a running server's store into a file"},
	{"restore", restore_main, "make a data directory's store of a backup"},
	{"virt", virt_main, "virtual machines: start, stop, console, snapshot, clone, ..."},
	{"image", image_main, "images of machines: build, list, import, inspect"},
	{"advise", advise_main, "which workloads belong in virtual machines or in containers"},
	{"explain", explain_main, "why an application runs where it runs"},
};

static void usage(FILE *to)
{
	fprintf(to, "usage: hanok ROLE|VERB [OPTIONS]\n\n");
	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		fprintf(to, "  %-11s %s\n", roles[i].name, roles[i].summary);
	fprintf(to, "  %-11s %s\n\n`hanok ROLE --help` lists the options.\n", "version",
		"print the version");
}

int main(int argc, char **argv)
{
	signal(SIGPIPE,
		SIG_IGN); /* broken connections are errors of write(2), not of the process */
	const char *base = argc > 0 ? strrchr(argv[0], '/') : NULL;
	base = base ? base + 1 : (argc > 0 ? argv[0] : "hanok");
	/* As a kubectl plugin the verb is in the name: `kubectl virt console NAME`. Called as
	 * kubectl-hanok it is this program like any other name of it. */
	if (streq(base, "kubectl-virt"))
		return virt_main(argc, argv);
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (streq(argv[1], "version") || streq(argv[1], "--version")) {
		printf("hanok %s\n", HANOK_VERSION);
		return 0;
	}
	if (streq(argv[1], "help") || streq(argv[1], "--help") || streq(argv[1], "-h")) {
		usage(stdout);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		if (streq(argv[1], roles[i].name))
			return roles[i].main(argc - 1, argv + 1);
	fprintf(stderr, "hanok: no role or verb '%s'; `hanok help` lists them\n", argv[1]);
	return 2;
}
