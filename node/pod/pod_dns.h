/* pod_dns.h - a pod's /etc/resolv.conf from its dnsPolicy and dnsConfig. Pure.
 *
 *   ClusterFirst            cluster DNS; NS.svc.DOMAIN svc.DOMAIN DOMAIN and the host's search
 *                           paths; ndots:5. In the host's network as Default.
 *   ClusterFirstWithHostNet the same in any network
 *   Default                 what the host's file says
 *   None                    nothing
 *
 * and dnsConfig's entries behind that, each once, its options instead of those of the same name. */
#pragma once

#include "node/cri/cri.h"
#include "lib/json/json.h"

#define DNS_SERVERS_MAX 3
#define DNS_SEARCHES_MAX 32
#define DNS_SEARCH_MAX_BYTES 2048 /* the line of search paths */
#define DNS_SEARCH_PATH_MAX 253	  /* one of them; resolvers abort on longer ones */

/* The host's file. Lists end with NULL, texts live in the arena. */
struct resolv_conf {
	const char *const *servers, *const *searches, *const *options;
};
void resolv_conf_parse(struct arena *a, struct str text, struct resolv_conf *ret);

struct pod_dns_input {
	const struct json *pod;
	const struct resolv_conf *host;
	bool host_file;			/* the node has such a file: resolvConf is not "" */
	const char *const *cluster_dns; /* addresses, NULL at the end */
	const char *cluster_domain;
};
struct pod_dns_note {
	const char *reason, *message; /* of a Warning about the pod */
};
#define POD_DNS_NOTES_MAX 3
/* notes: what had to be left out, POD_DNS_NOTES_MAX of them at most. */
Cri__DNSConfig *pod_dns_config(struct arena *a, const struct pod_dns_input *in,
	struct pod_dns_note notes[POD_DNS_NOTES_MAX], size_t *ret_note_count);
