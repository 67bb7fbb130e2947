#include "server/loops.h"

#include "lib/base/str.h"
#include "server/scheduler/scheduler.h"

struct loops {
	struct client *controllers_client, *scheduler_client;
	struct controllers *controllers;
	struct scheduler *scheduler;
	struct api *api;
};

int loops_start(struct api *api, const struct server_options *options, const struct cluster_ca *ca,
	struct loops **ret, struct err *err)
{
	struct loops *l = xcalloc(1, sizeof(*l));
	if (!streq(options->controllers, "-*")) {
		l->controllers_client = local_client_create(api, "kube-controller-manager");
		l->controllers =
			controllers_create(l->controllers_client, options->controllers, ca, err);
		if (!l->controllers) {
			loops_stop(l);
			return -EINVAL;
		}
	}
	if (options->scheduler) {
		l->scheduler_client = local_client_create(api, "kube-scheduler");
		l->scheduler = scheduler_create(l->scheduler_client);
		api_set_more_metrics(api, scheduler_write_metrics, l->scheduler);
		l->api = api;
	}
	*ret = l;
	return 0;
}

void loops_stop(struct loops *l)
{
	if (!l)
		return;
	if (l->api)
		api_set_more_metrics(l->api, NULL, NULL);
	scheduler_destroy(l->scheduler);
	controllers_destroy(l->controllers);
	client_destroy(l->scheduler_client);
	client_destroy(l->controllers_client);
	free(l);
}
