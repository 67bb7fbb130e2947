/* host_check.h - whether this host can give a machine what it asks for. Pure. */
#pragma once

#include "node/vm/host/host_caps.h"
#include "node/vm/spec/vm_spec.h"

/* -EOPNOTSUPP with the field, what was asked, and why this host has it not. Nothing is refused as
 * long as the host is not known. */
int host_check(const struct host_caps *caps, const struct vm_spec *s, struct err *err) _must_check_;
