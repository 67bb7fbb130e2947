/* sysctls.h - names of kernel settings that a pod may have for itself. Pure. */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/err.h"

#define SYSCTL_NAME_MAX 253

/* "net/ipv4/tcp_syncookies" -> "net.ipv4.tcp_syncookies"; a name with dots first stays. */
const char *sysctl_name(struct arena *a, const char *name);
/* The kernel's namespace that it belongs to, "ipc" or "net"; NULL when there is only one of it. */
const char *sysctl_namespace(const char *name);
/* A name, or the beginning of names with '*' behind it, of settings that have a namespace. */
int sysctl_check_pattern(const char *pattern, struct err *err) _must_check_;
