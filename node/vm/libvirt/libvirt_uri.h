/* libvirt_uri.h - where a libvirt connection URI's daemon listens on this machine
 * (libvirt.org/uri.html: local transports only; a hypervisor of another host is that host's agent's
 * matter). */
#pragma once

#include "lib/base/err.h"

#define LIBVIRT_SOCKET_ROOM 128 /* longer than a unix socket's path may be */

/* "qemu:///system": the socket of virtqemud where there is one, else libvirtd's.
 * "qemu+unix:///system?socket=PATH" and "unix://PATH": that one. Others: -EINVAL.
 * Cheap; asked before each attempt to connect, since the daemons come and go. */
int libvirt_socket_address(
	const char *uri, char ret[LIBVIRT_SOCKET_ROOM], struct err *err) _must_check_;
