# shellcheck shell=bash
# An NFS server (nfs-ganesha) on a lab's first host, for test scripts; its file system is a small tmpfs. All but the
# first after lib.sh and use_lab:
#
#   nfs_server_missing           says what this machine lacks for it; fails when nothing is missing
#   nfs_server_up DIRECTORY SIZE_MIB   127.0.0.1:/vms is DIRECTORY/vms of the host
#   nfs_server_start, nfs_server_answers, nfs_server_end
#   nfs_server_down

nfs_server_missing() {
	local program
	for program in ganesha.nfsd rpcbind rpcinfo; do
		command -v $program >/dev/null || { echo "$program is not installed (nfs-ganesha-vfs, rpcbind)"; return; }
	done
	ldconfig -p | grep -q 'libnfs\.so\.13' || { echo "libnfs13 is not installed"; return; }
	compgen -G '/usr/lib/*/qemu/block-nfs.so' >/dev/null || { echo "qemu-block-extra is not installed"; return; }
	return 1
}

nfs_server_start() {
	on_node 1 sh -c "setsid ganesha.nfsd -F -L $NFS_DIR/ganesha.log -f /run/lab/host/ganesha.conf -p $NFS_DIR/ganesha.pid </dev/null >/dev/null 2>&1 &"
}
nfs_server_answers() { on_node 1 rpcinfo -t 127.0.0.1 mountd 3 && on_node 1 rpcinfo -t 127.0.0.1 nfs 3; }
nfs_server_end() {
	on_node 1 sh -c "read -r pid <$NFS_DIR/ganesha.pid && kill -KILL \$pid && while kill -0 \$pid 2>/dev/null; do sleep 0.1; done; rm -f $NFS_DIR/ganesha.pid"
}

nfs_server_up() {
	NFS_DIR=$1
	cp /etc/netconfig /etc/rpc "$LAB/node1/etc/" && ln -sf /proc/self/mounts "$LAB/node1/etc/mtab"
	cat >"$LAB/node1/ganesha.conf" <<-END_OF_CONFIG
		NFS_CORE_PARAM { Protocols = 3, 4; mount_path_pseudo = true; MNT_Port = 20048; Enable_NLM = false; Enable_RQUOTA = false; }
		NFSv4 { RecoveryBackend = fs; RecoveryRoot = $NFS_DIR/recovery; Graceless = true; }
		EXPORT_DEFAULTS { SecType = sys; Squash = Root_Squash; Access_Type = RW; Protocols = 3, 4; Transports = TCP; }
		EXPORT { Export_Id = 1; Path = $NFS_DIR/vms; Pseudo = /vms; FSAL { Name = VFS; } }
		LOG { Default_Log_Level = EVENT; }
	END_OF_CONFIG
	on_node 1 sh -c "mkdir -p $NFS_DIR/recovery $NFS_DIR/vms && mount -t tmpfs -o size=${2}m,mode=777 pool $NFS_DIR/vms &&
		mkdir -p /run/rpcbind && { setsid rpcbind -f -w </dev/null >/dev/null 2>&1 & echo \$! >$NFS_DIR/rpcbind.pid; }" || return
	nfs_server_start
	eventually 20 nfs_server_answers
}

nfs_server_down() {
	nfs_server_end
	on_node 1 sh -c "kill \$(cat $NFS_DIR/rpcbind.pid); umount $NFS_DIR/vms; rm -rf $NFS_DIR"
	rm -f "$LAB/node1/ganesha.conf"
}
