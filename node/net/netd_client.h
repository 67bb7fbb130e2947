/* netd_client.h - the agent's end of `hanok netd`: starts it, starts it again when it dies, carries
 * messages. It keeps no state of the rules: `fresh` asks the owner for everything. */
#pragma once

#include <uv.h>

#include "node/net/netd/netd_proto.h"

struct netd_client;
struct netd_client_handler {
	/* A netd without any state is there (it started, or the kernel's table was removed): send
	 * the configuration, then everything. */
	void (*fresh)(void *user, const char *why);
	/* The answer to a message, in the order of sending. code 0 or negative errno. */
	void (*result)(void *user, uint32_t serial, int code, const char *text);
};

/* program NULL = this executable. */
struct netd_client *netd_client_create(
	uv_loop_t *loop, const char *program, const struct netd_client_handler *h, void *user);
void netd_client_destroy(
	struct netd_client *c); /* netd ends when its socket closes; NULL allowed */
/* Returns the message's serial, 0 when netd is not running now (`fresh` will come). */
uint32_t netd_client_send(
	struct netd_client *c, enum netd_message type, const void *p, size_t size);
/* NETD_OPS, in their order: as one message, which becomes one transaction, or as several where they
 * are more than one may have. Serials of the first and the last; false: netd is not running now. */
bool netd_client_send_ops(struct netd_client *c, const struct netd_op *ops, size_t count,
	uint32_t *ret_first, uint32_t *ret_last);
