/* trusting.h - tells netd of the servers that trust this node by its address (server_rules.h). */
#pragma once

#include "node/net/netd_client.h"

struct trusting;
struct trusting *trusting_create(uv_loop_t *loop, struct netd_client *netd);
void trusting_destroy(struct trusting *t); /* NULL allowed */
/* In place of all earlier ones (copied). `whole` false: some are not known yet, so those that the
 * kernel has from an earlier agent stay. Up to NETD_SERVERS_MAX; more are left out, and told. */
void trusting_set(struct trusting *t, const struct netd_server *list, size_t count, bool whole);
/* A netd is there that has nothing; its answers. */
void trusting_stale(struct trusting *t);
void trusting_resync(struct trusting *t);
bool trusting_result(struct trusting *t, uint32_t serial, int code, const char *text);
