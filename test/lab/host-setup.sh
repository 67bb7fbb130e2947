#!/bin/bash
# Runs once inside the new namespaces of a lab host (or of the fabric, which is a host without containers
# and VMs): gives it its own view of /proc, /sys, /etc, /run, /tmp, /var. The machine's files stay visible,
# read-only, so that its containerd, libvirt and QEMU serve as the host's installation.
#
#   host-setup.sh NAME DIR LAB     DIR: what this host keeps; LAB: the lab's directory
set -eu
name=$1 dir=$2 lab=$3
. "$(dirname "$0")/cgroup.sh"
hierarchies=$(cgroup_hierarchies)

mount --make-rprivate /
hostname "$name"
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys

case $hierarchies in
v2*)
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	mkdir -p /sys/fs/cgroup/init
	echo 1 >/sys/fs/cgroup/init/cgroup.procs
	echo $$ >/sys/fs/cgroup/init/cgroup.procs
	for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
		echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control || true
	done
	;;
*)
	mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
	while read -r _ mountpoint options; do
		mkdir -p "$mountpoint"
		case $options in name=*) options=none,$options ;; esac
		mount -t cgroup -o "$options" cgroup "$mountpoint"
	done <<<"$hierarchies"
	;;
esac

mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lab/{bin,host} /run/lock /run/netns /run/containerd /run/libvirt
mount --bind "$lab/bin" /run/lab/bin
mount --bind "$dir" /run/lab/host
# By the new names from here on: the lab's directory may itself lie below /var or /tmp.
mount --bind /run/lab/host/etc /etc
mount --bind /run/lab/host/var /var
mount --bind /run/lab/host/tmp /tmp
mount -t tmpfs -o mode=1777 tmpfs /dev/shm

# Without udev nobody gives /dev/kvm to its group. What libvirtd learnt of QEMU with it holds only while QEMU's user can open
# it: else libvirtd asks QEMU anew, for most of a second, each time it wants to know.
if [ -c /dev/kvm ] && getent group kvm >/dev/null &&
	(umask 0 && mknod /run/lab/kvm c "$((0x$(stat -c %t /dev/kvm)))" "$((0x$(stat -c %T /dev/kvm)))"); then
	chown root:kvm /run/lab/kvm && chmod 660 /run/lab/kvm
	mount --bind /run/lab/kvm /dev/kvm
fi
mount -o remount,bind,ro /

ip link set lo up
