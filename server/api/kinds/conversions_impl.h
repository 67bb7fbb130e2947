/* conversions_impl.h - the conversions that conversions.c lists. */
#pragma once

#include "server/api/kinds/conversions.h"

extern const struct kind_conversion conversion_autoscaler_v1, conversion_event,
	conversion_same_members, conversion_disruption_budget_beta, conversion_endpoint_slice_beta;
