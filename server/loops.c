#include "server/loops.h"

#include "lib/base/str.h"
#ifdef HAVE_CONTROLLERS
#include "server/controllers/controllers.h"
#endif
#ifdef HAVE_SCHEDULER
#include "server/scheduler/scheduler.h"
#endif

struct loops {
	struct client *controllers_client, *scheduler_client;
	struct controllers *controllers;
	struct scheduler *scheduler;
};

int loops_start(struct api *api, const struct server_options *options, struct loops **ret, struct err *err)
{
	struct loops *l = xcalloc(1, sizeof(*l));
#ifdef HAVE_CONTROLLERS
	if (!streq(options->controllers, "-*")) {
		l->controllers_client = local_client_create(api, "kube-controller-manager");
		l->controllers = controllers_create(l->controllers_client, options->controllers, err);
		if (!l->controllers) {
			loops_stop(l);
			return -EINVAL;
		}
	}
#endif
#ifdef HAVE_SCHEDULER
	if (options->scheduler) {
		l->scheduler_client = local_client_create(api, "default-scheduler");
		l->scheduler = scheduler_create(l->scheduler_client);
	}
#endif
	*ret = l;
	return 0;
}

void loops_stop(struct loops *l)
{
	if (!l)
		return;
#ifdef HAVE_SCHEDULER
	scheduler_destroy(l->scheduler);
#endif
#ifdef HAVE_CONTROLLERS
	controllers_destroy(l->controllers);
#endif
	client_destroy(l->scheduler_client);
	client_destroy(l->controllers_client);
	free(l);
}
