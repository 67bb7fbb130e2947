/* node.h - what the parts of the node agent share. One struct node per process, owned by node.c;
 * pods, VMs, volumes and the network get it and see nothing of each other but the headers named
 * below.
 *
 * Containers and VMs each have a manager that gets its objects from an informer limited to this
 * node (field selector spec.nodeName / status.nodeName) and runs one worker, a state machine, per
 * object. */
#pragma once

#include "lib/client/client.h"
#include "lib/client/informer.h"
#include "lib/http/http.h"
#include "node/node_config.h"

struct node_net;    /* node/net/net.h */
struct policies;    /* node/net/policy/policies.h */
struct pod_manager; /* node/pod/pod_manager.h */
struct vm_manager;  /* node/vm/vm_manager.h */
struct node_stats;  /* node/stats/stats.h */
struct pressure;    /* node/pressure/pressure.h */
struct resources;   /* node/resources/resources.h */
struct disks;	    /* node/disk/disks.h */
struct populator;   /* node/disk/populate/populate.h */

struct node {
	uv_loop_t *loop;
	struct clock *clock;
	struct client *client;
	struct kind_registry *kinds;
	const struct node_config *config;
	const char *kubeconfig;	     /* path of the file: for programs of the agent's */
	const char *name;	     /* of the Node object */
	const char *data_dir;	     /* ours, 0700: /var/lib/hanok-node */
	const char *cri_address;     /* "unix:///run/containerd/containerd.sock" */
	const char *libvirt_address; /* "qemu:///system", see node/vm/libvirt/libvirt_uri.h */
	char host_ip[64];	     /* InternalIP of this node */
	char host_ip6[64];	     /* the second one, in a cluster of two families; "" = none */
	const char *service_cidr;    /* "10.96.0.0/16" or "10.96.0.0/16,fd00::/112" */
	char pod_cidr[64];	     /* Node.spec.podCIDR, "" until the server gave one */
	struct object *object;	     /* our Node object, newest known; NULL before registration */
	bool recursive_read_only;    /* the runtime's default handler can make mounts so */
	struct file_work *files;     /* blocking file operations */
	struct node_net *net;
	struct policies *policies; /* node/net/policy/policies.h; net's */
	struct pod_manager *pods;
	struct vm_manager *vms;
	struct informer *machines; /* vms'; NULL = not watched */
	struct node_stats *stats;
	struct pressure *pressure;
	struct resources *resources;
	struct informer *claims,
		*volumes; /* all of the cluster; node/storage/local_provisioner.h */
	struct disks *disks;
	/* disks': -EBUSY while nobody else may have the claim's directory; NULL = everybody may. */
	int (*check_claim)(struct node *n, const char *ns, const char *claim, struct err *err);
	struct populator *populator;
};

/* For the Node's conditions and capacity: each part says what it knows, node.c writes the status.
 * ready false with the reason makes the node's Ready condition False with that message; but
 * "libvirt" and "dns" have conditions of their own, VirtualMachinesReady and ClusterDNSReady. */
void node_report(struct node *n, const char *part /* "runtime" "libvirt" "network" "dns" */,
	bool ready, const char *reason, const char *message);
