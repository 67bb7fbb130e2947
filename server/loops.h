/* loops.h - the control loops and the scheduler, when they run in the server's process. */
#pragma once

#include "server/api/api.h"
#include "server/controllers/controllers.h"
#include "server/server_options.h"

struct loops;

int loops_start(struct api *api, const struct server_options *options, const struct cluster_ca *ca,
	struct loops **ret, struct err *err) _must_check_;
void loops_stop(struct loops *l); /* NULL allowed */
