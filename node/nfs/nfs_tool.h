/* nfs_tool.h - `hanok nfs`: one thing done to a directory of an NFS server, without a mount, as the
 * user that the volume is for. The agent starts it (nfs.h), so that a server that does not answer
 * holds up nobody; it is not meant to be started by hand.
 *
 *   hanok nfs SERVER DIRECTORY UID GID COMMAND [ARGUMENT]...
 *
 *	size NAME		of a regular file, and which "file" it is (its number there); 0 and
 *				"missing" when it is not there
 *	space			of the file system that the directory is in
 *	create NAME SIZE	a sparse file that is not there yet, whole or not at all
 *	blank NAME SIZE		a sparse file in the place of what has that name
 *	publish NAME AS		the file gets another name, if that is free: else EEXIST
 *	grow NAME SIZE		to at least that size
 *	mkdir NAME		for everybody; one that is there will do
 *	rename NAME AS		-ENOENT is no failure when AS is there
 *	remove NAME		a file, or a directory with all that is in it
 *	list PREFIX		names in the directory that begin so
 *	ports			addresses and ports of the server (nfs_ports.h); without libnfs too
 *
 * Names are plain ones in the directory. It answers with one JSON object on standard output:
 * {"size","file","missing","capacity","available","names","addresses"} as the command has it, or
 * {"error","errno"}; its exit code is 0 for both. libnfs is loaded when it is needed: who has no
 * NFS needs none. It runs as nobody, and speaks version 3, as QEMU's client, with AUTH_SYS. */
#pragma once

int nfs_main(int argc, char **argv);
