#!/bin/bash
# kill -9 of the node agent, the server and libvirt's daemon while disks of a guest that runs are imported, plugged in,
# snapshotted, cloned, unplugged, gone back to and merged: the guest lives through all of it, what has become a disk is a whole
# one, and each operation ends. VM_KILL_ROUNDS=50 for the long run.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-vm-disk-kills
ROUNDS=${VM_KILL_ROUNDS:-7}
local_dir=$LAB/node1/var/lib/hanok/local
virt() { "$LAB/bin/hanok" virt "$@" --kubeconfig "$KUBECONFIG_FILE" -n e2e-vm-disk-kills; }

# A disk with something everywhere, and a web server that has it.
mkdir "$TEST_DIR/www"
python3 -c '
import random, sys
random.seed(8)
with open(sys.argv[1], "wb") as f:
    for n in range(96):
        f.seek(n << 20)
        f.write(random.randbytes(1 << 19))
    f.truncate(96 << 20)' "$TEST_DIR/www/disk.raw"
cat >"$TEST_DIR/web.py" <<'END'
import functools, http.server, os, sys

root, address = sys.argv[1:]
web = functools.partial(http.server.SimpleHTTPRequestHandler, directory=root)
s = http.server.ThreadingHTTPServer((address, 0), web)
with open(root + "/../port.new", "w") as f:
    f.write(str(s.server_address[1]))
os.rename(root + "/../port.new", root + "/../port")
s.serve_forever()
END
nsenter -t "$(lab_pid fabric)" -n python3 "$TEST_DIR/web.py" "$TEST_DIR/www" "$LAB_FABRIC_ADDRESS" 2>/dev/null &
WEB_PID=$!
# shellcheck disable=SC2317
end_web() {
	local status=$?
	kill "$WEB_PID" 2>/dev/null
	(exit $status)
	test_at_exit
}
trap end_web EXIT
check "a web server" eventually 10 test -s "$TEST_DIR/port"
url=http://$LAB_FABRIC_ADDRESS:$(cat "$TEST_DIR/port")/disk.raw

data_volume() { # NAME SOURCE SIZE
	cat <<-END
		apiVersion: cdi.kubevirt.io/v1beta1
		kind: DataVolume
		metadata: {name: $1, annotations: {cdi.kubevirt.io/storage.bind.immediate.requested: "true"}}
		spec: {source: {$2}, storage: {resources: {requests: {storage: $3}}}}
		---
	END
}
{
	data_volume data "http: {url: \"$url\"}" 96Mi
	data_volume extra 'blank: {}' 16Mi
	cat <<-END
		apiVersion: kubevirt.io/v1
		kind: VirtualMachine
		metadata: {name: busy}
		spec:
		  runStrategy: Always
		  template:
		    spec:
		      terminationGracePeriodSeconds: 0
		      domain:
		        firmware:
		          kernelBoot:
		            kernelArgs: console=ttyS0 loglevel=4 no_timer_check
		            container: {image: "registry.lab:5000/vm-kernel:latest", kernelPath: /boot/vmlinuz, initrdPath: /boot/initrd.img}
		        memory: {guest: 128Mi}
		        devices: {disks: [{name: data, disk: {bus: virtio}}], interfaces: [{name: default, bridge: {}}]}
		      networks: [{name: default, pod: {}}]
		      volumes: [{name: data, dataVolume: {name: data}}]
	END
} >"$TEST_DIR/vm.yaml"
check "a machine on a disk" k apply -f "$TEST_DIR/vm.yaml"
check "is Ready" k wait --for=condition=Ready vm/busy --timeout=240s
check "what is to be plugged in is there" k wait --for=jsonpath='{.status.phase}'=Succeeded dv/extra --timeout=120s

# Its QEMU as the kernel knows it: process and start time.
process() {
	on_node 1 sh -c '
		for file in /proc/[0-9]*/cmdline; do
			case $(tr "\0" " " <$file 2>/dev/null) in
			/usr/bin/qemu-system*guest=e2e-vm-disk-kills_busy,*) cut -d" " -f1,22 ${file%cmdline}stat ;;
			esac
		done'
}
before=$(process)
check_output "its QEMU is known" '^[0-9]+ [0-9]+$' echo "$before"

kill_one() {
	case $1 in
	agent) on_node 1 sh -c 'lab-proc alive /run/lab/hanok-node.pid && lab-proc end /run/lab/hanok-node.pid 0' ;;
	server) "$LAB_PROC" alive "$LAB/run/server.pid" && "$LAB_PROC" end "$LAB/run/server.pid" 0 ;;
	libvirtd) lab_service_end node1 libvirtd 0 ;;
	esac
}
all_up() { lab_libvirt_up 1 && lab_server_up && lab_node_up 1; }

# The disk in a directory has the bytes of the first one, through all its layers.
whole() {
	local top
	top=$(sed -n 's/.*"top":"\([^"]*\)".*/\1/p' "$1/disk.json") &&
		qemu-img compare -U -f raw -F qcow2 "$TEST_DIR/www/disk.raw" "$1/$top"
}
claim_whole() { whole "$local_dir/$(k_field "pvc/$1" .spec.volumeName)"; }
# The claim that a machine has its disk in.
claim_of() {
	k get "vm/$1" -o 'jsonpath={.spec.template.spec.volumes[?(@.name=="data")].persistentVolumeClaim.claimName}{.spec.template.spec.volumes[?(@.name=="data")].dataVolume.name}'
}
phase() { [ "$(k_field vmi/busy '.status.volumeStatus[?(@.name=="extra")].phase')" = "$1" ]; }

import() { data_volume "new-$1" "http: {url: \"$url\"}" 96Mi | k apply -f -; }
imported() {
	[ "$(k_field "dv/new-$1" .status.phase)" = Succeeded ] || { import "$1"; return 1; }
	claim_whole "new-$1" && k delete dv "new-$1" --timeout=60s
}
plug() { virt addvolume busy --volume-name=extra; }
plugged() { phase Ready || { plug; return 1; }; }
unplug() { virt removevolume busy --volume-name=extra; }
unplugged() {
	[ -n "$(k_field vmi/busy '.status.volumeStatus[?(@.name=="extra")].name')" ] && { unplug; return 1; }
	! lab_virsh dumpxml e2e-vm-disk-kills_busy | grep ua-extra
}
snapshot() {
	k apply -f - <<-END
		apiVersion: snapshot.kubevirt.io/v1beta1
		kind: VirtualMachineSnapshot
		metadata: {name: kept}
		spec: {source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: busy}}
	END
}
snapshotted() {
	local content
	[ "$(k_field vmsnapshot/kept .status.readyToUse)" = true ] || { snapshot; return 1; }
	content=$(k_field "vmsnapshotcontent/$(k_field vmsnapshot/kept .status.virtualMachineSnapshotContentName)" .metadata.uid)
	whole "$local_dir/.snapshots/$content/data" && claim_whole "$(claim_of busy)"
}
clone() {
	k apply -f - <<-END
		apiVersion: clone.kubevirt.io/v1beta1
		kind: VirtualMachineClone
		metadata: {name: copy-$1, annotations: {hanok.io/disk-clone-mode: full}}
		spec:
		  source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: busy}
		  target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: copy-$1}
	END
}
cloned() {
	[ "$(k_field "vmclone/copy-$1" .status.phase)" = Succeeded ] || { clone "$1"; return 1; }
	claim_whole "$(claim_of "copy-$1")" && k delete "vmclone/copy-$1" "vm/copy-$1" --timeout=60s
}
restore() {
	k apply -f - <<-END
		apiVersion: snapshot.kubevirt.io/v1beta1
		kind: VirtualMachineRestore
		metadata: {name: back-$1}
		spec:
		  target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: busy}
		  virtualMachineSnapshotName: kept
		  targetReadinessPolicy: StopTarget
	END
}
restored() {
	[ "$(k_field "vmrestore/back-$1" .status.complete)" = true ] || { restore "$1"; return 1; }
	k wait --for=condition=Ready vm/busy --timeout=5s || { virt start busy; return 1; }
	claim_whole "$(claim_of busy)"
}
merge() { k delete vmsnapshot kept --timeout=60s; }
merged() {
	[ "$(k_count vmsnapshot/kept)" = 0 ] || { merge; return 1; }
	[ "$(k_count vmsnapshotcontent)" = 0 ] && claim_whole "$(claim_of busy)"
}

operations=(import plug snapshot clone unplug restore merge)
ends=(imported plugged snapshotted cloned unplugged restored merged)
victims=(agent libvirtd server)
number=0
round() {
	local operation=${operations[$number % 7]} victim=${victims[$number % 3]}
	"$operation" $number >"$TEST_DIR/operation.log" 2>&1 &
	local pid=$!
	sleep "0.$((number * 37 % 70 + 10))"
	kill_one "$victim"
	wait $pid
	eventually 30 all_up && eventually 60 "${ends[$number % 7]}" $number || return
	[ "$operation" = restore ] || [ "$(process)" = "$before" ]
}
while [ $number -lt "$ROUNDS" ]; do
	check "round $number: ${operations[$number % 7]} while ${victims[$number % 3]} is killed" round
	before=$(process)
	number=$((number + 1))
done

check "delete" k delete vm,vmsnapshot,dv --all --timeout=120s
check "no claim stays" eventually 60 matches '^0$' k_count pvc
half_made() { find "$local_dir" -maxdepth 3 -name '.new-*'; }
check "nothing half-made stays" eventually 20 matches '^$' half_made
finish
