/* volumes.h - persistent volume claims within a pass. */
#pragma once

#include "server/scheduler/snapshot.h"

struct pass;
struct volumes;

struct volume_pass {
	bool active;
};
