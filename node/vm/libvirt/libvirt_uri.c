#include "node/vm/libvirt/libvirt_uri.h"

#include <stdio.h>

#include "lib/base/str.h"

#define MODULAR_SOCKET "/run/libvirt/virtqemud-sock"
#define MONOLITHIC_SOCKET "/run/libvirt/libvirt-sock"

/* The path, or NULL when the form is not known. */
static const char *socket_path(const char *uri)
{
	if (str_has_prefix(uri, "unix:///"))
		return uri + strlen("unix://");
	if (streq(uri, "qemu:///system") || streq(uri, "qemu+unix:///system"))
		/* Only hosts with the modular daemons have the first; there the second, if it is
		 * there, is but a proxy. */
		return access(MODULAR_SOCKET, F_OK) == 0 ? MODULAR_SOCKET : MONOLITHIC_SOCKET;
	const char *with_path = "qemu+unix:///system?socket=/";
	if (str_has_prefix(uri, with_path))
		return uri + strlen(with_path) - 1;
	return NULL;
}

int libvirt_socket_address(const char *uri, char ret[LIBVIRT_SOCKET_ROOM], struct err *err)
{
	const char *path = socket_path(uri);
	if (!path)
		return err_set(err, -EINVAL,
			"'%s' is no local libvirt address: use qemu:///system, "
			"qemu+unix:///system?socket=PATH or unix://PATH",
			uri);
	if (snprintf(ret, LIBVIRT_SOCKET_ROOM, "unix://%s", path) >= LIBVIRT_SOCKET_ROOM)
		return err_set(
			err, -ENAMETOOLONG, "the path of libvirt's socket is too long: '%s'", path);
	return 0;
}
