/* api.h - the API server: from a request to the cache and back, independent of how requests arrive.
 *
 * Requests come by HTTP (api_http_handler) or from the controllers and the scheduler of the same
 * process (local_client_create). Both make a struct api_request and go through api_handle(), so
 * they meet the same checks, the same Status errors and the same order of events.
 *
 * Lives on the loop's thread. */
#pragma once

#include "lib/client/client.h"
#include "lib/http/http.h"
#include "server/store/cache.h"

struct api;
struct auth_options;

struct api_options {
	uv_loop_t *loop;
	struct kind_registry *kinds; /* hooks are attached to them */
	struct cache *cache;	     /* loaded */
	struct clock *clock;
	struct random random;
	const char *service_cidr; /* ClusterIPs, "10.96.0.0/16"; IPv4, /8 to /30 */
	const char *pod_cidr;	  /* cut into /24 for the nodes, "10.244.0.0/16"; IPv4, /8 to /24 */
	/* The second ones, of IPv6: "fd00:10:96::/112" (/108 to /126), and "fd00:10:244::/48",
	 * cut into /64. NULL = IPv4 alone. */
	const char *service_cidr6, *pod_cidr6;
	const char *mac_range; /* of virtual machines (machines/mac_pool.h); NULL = the default */
	SSL_CTX *node_tls;     /* client side of connections to nodes; NULL = none are made */
	const struct auth_options *auth; /* auth/auth.h; NULL: certificates only */
	struct store *store;		 /* for statistics and backups; NULL = none */
	/* Admission plugins beside the usual ones, and left out; "A,B", NULL = none. */
	const char *enable_admission, *disable_admission;
	/* Requests that may be under way at the same time (inflight.h); 0 = no limit. */
	unsigned max_reading, max_writing;
	uint64_t request_timeout_ms; /* within which requests are answered; 0 = no limit */
};

/* Reads what the cache holds to know which service addresses, ports and pod ranges are taken. */
int api_create(const struct api_options *options, struct api **ret, struct err *err) _must_check_;
/* Ends all watches first. No request may be under way. */
void api_destroy(struct api *api);

/* For http_server_options.handler; user is the struct api. */
http_handler api_http_handler;

/* What /readyz says until it is set: not ready (500). */
void api_set_ready(struct api *api, bool ready);
/* What else /metrics says: of the loops of the same process. NULL = no more. */
void api_set_more_metrics(struct api *api, void (*write)(void *user, struct buf *out), void *user);
/* Ends all watches in order, so that clients come back to whoever serves next; new ones are refused
 * with 503. */
void api_shutdown(struct api *api);

/* A transport for lib/client inside this process: no HTTP, no copies of listed and watched objects.
 * user_agent must outlive the client. */
struct client *local_client_create(struct api *api, const char *user_agent);
