/* node_server.h - the agent's HTTPS server, what kubelets have on port 10250: logs, exec, attach,
 * port-forward of containers, consoles of virtual machines, metrics, health. Who gets in is
 * node/auth's to say. */
#pragma once

#include "lib/client/kubeconfig.h"
#include "node/node.h"

struct node_server;
/* Serves with the certificate that the configuration names or with the kubeconfig's, and takes
 * clients of its CA. *ret_port is the port in use (listen may say 0). */
int node_server_create(struct node *n, const struct kubeconfig *k, const char *listen,
	struct node_server **ret, int *ret_port, struct err *err) _must_check_;
/* Stops listening and ends what is open; `done` when it is over. */
void node_server_stop(struct node_server *s, void (*done)(void *user), void *user);
void node_server_destroy(struct node_server *s); /* after done; NULL allowed */
