/* vm_internal.h - what vm_manager.c, vm_worker.c and vm_console.c share. Nobody else includes this.
 */
#pragma once

#include "lib/base/list.h"
#include "lib/base/table.h"
#include "node/vm/guest_agent/guest_agent.h"
#include "node/vm/host/vm_host.h"
#include "node/vm/image/container_disks.h"
#include "node/vm/spec/domain_xml.h"
#include "node/vm/libvirt/libvirt_rpc.h"
#include "node/vm/vm_addresses.h"
#include "node/vm/vm_core.h"
#include "node/vm/vm_manager.h"
#include "node/vm/vm_prepare.h"
#include "node/vm/vm_status.h"

#define VM_FINALIZER "foregroundDeleteVirtualMachine"

struct vm_worker;
struct vm_console;
struct vm_probe;
struct vm_outside;
struct vm_outside_disks;
struct vm_saver;
struct vm_resume;
struct vm_space;
struct vm_live;
struct vm_nfs_watch;

struct vm_manager {
	struct node *node;
	const struct kind *kind;
	struct informer *instances;
	struct libvirt *libvirt;
	struct agent_link *agents;   /* to the agents in the guests */
	struct ref_watches *secrets; /* of accessCredentials */
	struct container_disks *images;
	struct vm_addresses *addresses; /* kept ones */
	char *directory;		/* of all VMIs' files */
	struct domain_host host;
	struct vm_host *hardware; /* what the host can give, and has given */
	bool host_ends;		  /* it is about to go down */
	int64_t host_grace_ns;
	struct table workers;		/* uid -> struct vm_worker */
	struct list growths;		/* control/grow.c */
	struct vm_nfs_watch *nfs_watch; /* NULL = not yet */
	struct vm_snapshots *snapshots; /* snapshot/snapshots.h; NULL = not yet */
};

struct vm_worker {
	struct vm_manager *m;
	char uid[37];
	struct object *object; /* newest known; NULL: an orphan, or gone from the API */
	struct vm_core core;
	struct arena arena; /* doc and spec; anew with each preparation */
	struct json *doc;
	struct vm_spec spec;
	bool has_spec;
	uint8_t uuid[LIBVIRT_UUID_BYTES]; /* of the domain */
	char confinement[400];		  /* of the running guest; "" = not looked up */
	bool confined;
	int64_t runtime_user;		   /* QEMU's; < 0 = not looked up */
	char machine[64];		   /* as libvirt resolved it; "" = not known yet */
	struct libvirt_call *machine_call; /* asks for it */
	enum vm_domain found;		   /* by the lookup under way */
	struct libvirt_domain domain;
	bool prepared; /* by this agent: its guest has the disks of the spec, and no others yet */
	char address[16];
	char problem_reason[32];
	struct err problem; /* code 0 = none */
	struct vm_prepare *prepare;
	struct libvirt_call *call;
	struct net_call *lease;
	struct client_call *release; /* patch of finalizers under way */
	struct client_call *status;  /* patch of the status under way */
	bool status_again_later;     /* the last one failed */
	char *sent_status; /* the last patch, and the revision that came of it: not again */
	uint64_t sent_revision;
	uv_timer_t timer;
	struct vm_console *console;
	struct vm_probe *probe, *liveness;
	struct guest_agent *agent; /* while the guest runs; and what works through it: */
	struct vm_freeze *freeze;
	struct vm_credentials *credentials;
	bool leased;		      /* the network knows the address */
	bool lease_failed;	      /* and shall be asked again */
	bool attached, attach_failed; /* likewise on other networks than the pods' */
	bool said_stopping, destroyed;
	enum libvirt_paused_reason pause_reason; /* while the domain is paused */
	struct libvirt_call *pause_call;	 /* asks for it */
	bool pause_again;			 /* something happened since */
	bool saving;				 /* to disk; not known yet how it ended */
	struct vm_saver *saver;
	bool rebooting;		    /* control/reboot.c */
	struct vm_resume *resume;   /* snapshot/resume.h: starts with the memory of a snapshot */
	bool resume_looked;	    /* none was left by an earlier agent */
	struct vm_space *space;	    /* NULL until a disk was full */
	struct vm_live *live;	    /* its changes while it runs; NULL before it ran */
	struct vm_outside *outside; /* what others changed; NULL before it ran */
	struct vm_outside_disks *outside_disks; /* likewise; NULL while it has none of claims */
	struct list actions, screens, dials;	/* requests under way: control/ */
};

/* vm_worker.c. object NULL: files of a VMI that is not in the API any more. */
struct vm_worker *vm_worker_create(struct vm_manager *m, const char *uid, struct object *object);
void vm_worker_destroy(struct vm_worker *w);			   /* the domain stays as it is */
void vm_worker_object(struct vm_worker *w, struct object *object); /* NULL = gone */
void vm_worker_libvirt(struct vm_worker *w, bool up);
void vm_worker_lifecycle(struct vm_worker *w, int event, int detail);
void vm_worker_step(struct vm_worker *w); /* facts changed */
/* Into the log, and as an event of the VMI. type: "Normal" | "Warning". */
void vm_say(struct vm_worker *w, const char *type, const char *reason, const char *fmt, ...)
	_printf_(4, 5);
void vm_worker_done(struct vm_worker *w, enum vm_action a, bool ok); /* and a step */
/* VM_DO_START without, and after, what snapshot/resume.c does for it. */
void vm_worker_boot(struct vm_worker *w);
void vm_worker_started(struct vm_worker *w);

/* vm_lookup.c: VM_DO_LOOKUP. */
void vm_lookup(struct vm_worker *w);
/* Which domain belongs to the VMI: by the object, or for an orphan by what its directory says.
 * False when there can be none. */
bool vm_lookup_know(struct vm_worker *w);

/* vm_manager.c: the worker has nothing left to do. */
void vm_manager_forget(struct vm_manager *m, struct vm_worker *w);

/* vm_console.c */
void vm_console_serve(struct vm_worker *w, struct http_request *req);
void vm_console_end(struct vm_worker *w, const char *why); /* NULL console allowed */

/* vm_probe.c: the readinessProbe and livenessProbe of the VMI. */
void vm_probe_start(struct vm_worker *w); /* when the guest runs; again is harmless */
void vm_probe_stop(struct vm_worker *w);
/* "" when there is no probe or it succeeds; else why the guest is not ready. */
const char *vm_probe_problem(const struct vm_worker *w);

/* guest_agent/vm_agent.c: the agent in the guest. */
void vm_agent_follow(struct vm_worker *w); /* with each step: there while the guest runs */
void vm_agent_stop(struct vm_worker *w);
void vm_agent_event(struct vm_worker *w, bool connected);
/* Asks it to shut the system down (or restart it); false: there is none. */
bool vm_agent_power_off(struct vm_worker *w);
void vm_agent_look(struct vm_worker *w);    /* libvirt can be asked again */
void vm_agent_secrets(struct vm_worker *w); /* one of its accessCredentials changed */
/* What it says, into the facts that make the status. */
void vm_agent_facts(const struct vm_worker *w, struct arena *a, struct vm_facts *f);
