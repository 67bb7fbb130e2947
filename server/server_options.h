/* server_options.h - the command line of `hanok server`. */
#pragma once

#include "lib/base/clock.h"
#include "lib/base/util.h"

#define SERVER_TLS_SANS_MAX 8

struct server_options {
	const char *data;	 /* directory, made when it is missing */
	const char *listen;	 /* "127.0.0.1:6443" */
	const char *node_listen; /* a second address, for nodes; NULL = none */
	const char *node_netns; /* network namespace to enter for node_listen and all connections to
				   nodes, a path such as /proc/PID/ns/net; NULL = stay */
	const char *controllers; /* as controllers_create has it */
	bool scheduler;
	const char *service_cidr, *pod_cidr;
	const char *mac_range;		       /* of virtual machines */
	const char *service_cidr6, *pod_cidr6; /* NULL = IPv4 alone */
	const char *issuer;		       /* of service account tokens; NULL = the usual one */
	const char *token_file;		       /* static tokens; NULL = none */
	const char *tls_sans[SERVER_TLS_SANS_MAX + 1]; /* NULL-terminated */
	int64_t request_timeout_ns;		       /* 0 = none */
	int64_t event_ttl_ns; /* how long Events are kept after their last change */
	const char *enable_admission, *disable_admission; /* plugins; NULL = as usual */
	unsigned max_reading, max_writing;		  /* requests under way; 0 = no limit */
};

/* 0, or the exit code with which the program shall end (help: -1 for 0). */
int server_options_parse(int argc, char **argv, struct server_options *ret);
