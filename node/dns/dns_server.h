/* dns_server.h - answers DNS queries by UDP and TCP: names of the cluster from the zone, others by
 * way of the host's resolvers.
 *
 * Bounds: 1,000 TCP connections, 64 of one client; 10 s without a query ends one; a query that
 * waits for another resolver holds a few hundred bytes. */
#pragma once

#include "lib/base/buf.h"
#include "node/dns/dns_forward.h"
#include "node/dns/dns_zone.h"

struct dns_server;
/* Neither is owned. */
struct dns_server *dns_server_create(
	uv_loop_t *loop, struct clock *clock, struct dns_zone *zone, struct dns_forward *forward);
/* Binds UDP and TCP of an address; several may be given. With SO_REUSEPORT: another process of the
 * same user may have it too, so that one can take over from the other. Queries are not served
 * before dns_server_start. */
int dns_server_listen(
	struct dns_server *s, const char *address, int port, struct err *err) _must_check_;
int dns_server_start(struct dns_server *s, struct err *err) _must_check_;
void dns_server_destroy(struct dns_server *s); /* NULL allowed */
/* Prometheus text, by CoreDNS's names. */
void dns_server_metrics(const struct dns_server *s, struct buf *out);
