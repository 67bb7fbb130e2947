#!/bin/bash
# Snapshots of a guest that writes all the time: with its file systems frozen by the agent in it, merged while it runs,
# and with kill -9 of the node agent and of libvirt's daemon in the midst of a snapshot, a merge, a clone and an export.
# Each ends or is taken up again, and every byte is where it belongs.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-snapshot-kills
virt() { "$LAB/bin/hanok" virt "$@" --kubeconfig "$KUBECONFIG_FILE" -n e2e-snapshot-kills; }
guest() { "$LAB/bin/hanok" virt exec vm --kubeconfig "$KUBECONFIG_FILE" -n e2e-snapshot-kills -- sh -c "$*"; }
local_dir=/var/lib/hanok/local

cat >"$TEST_DIR/vm.yaml" <<'END_OF_VM'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, annotations: {volume.kubernetes.io/selected-node: node1}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 48Mi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: files, annotations: {volume.kubernetes.io/selected-node: node1}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 16Mi}}}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: vm}
spec:
  runStrategy: Always
  template:
    spec:
      terminationGracePeriodSeconds: 0
      domain:
        firmware:
          kernelBoot:
            kernelArgs: console=ttyS0 loglevel=4 swiotlb=noforce no_timer_check guest-agent
            container: {image: "registry.lab:5000/vm-kernel:latest", kernelPath: /boot/vmlinuz, initrdPath: /boot/initrd.img}
        memory: {guest: 128Mi}
        devices:
          disks: [{name: data, disk: {bus: virtio}}, {name: files, disk: {bus: virtio}}]
          interfaces: [{name: default, bridge: {}}]
      networks: [{name: default, pod: {}}]
      volumes:
      - {name: data, persistentVolumeClaim: {claimName: data}}
      - {name: files, persistentVolumeClaim: {claimName: files}}
END_OF_VM
snapshot() {
	k apply -f - <<-END_OF_SNAPSHOT
	apiVersion: snapshot.kubevirt.io/v1beta1
	kind: VirtualMachineSnapshot
	metadata: {name: $1}
	spec: {source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: vm}}
	END_OF_SNAPSHOT
}
taken() { k wait --for=jsonpath='{.status.readyToUse}'=true "vmsnapshot/$1" --timeout=240s; }
take() { snapshot "$1" && taken "$1"; }
clone() {
	k apply -f - <<-END_OF_CLONE
	apiVersion: clone.kubevirt.io/v1beta1
	kind: VirtualMachineClone
	metadata: {name: $1}
	spec:
	  source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: vm}
	  target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: $1}
	END_OF_CLONE
}
cloned() { k wait --for=jsonpath='{.status.phase}'=Succeeded "vmclone/$1" --timeout=240s; }
exists() { k get vmi/vm; }
# The condition may be that of before a kill.
connected() { eventually 60 guest true; }

# One disk is filled piece by piece, and its sum known; on the other is a file system, on which the guest counts.
content_dir() { echo "$local_dir/.snapshots/$(k_field "vmsnapshotcontent/$(k_field "vmsnapshot/$1" .status.virtualMachineSnapshotContentName)" .metadata.uid)/data"; }
claim_dir() { echo "$local_dir/pvc-$(k_field "pvc/$1" .metadata.uid)"; }
claim_of() { k_field "vm/$1" '.spec.template.spec.volumes[0].persistentVolumeClaim.claimName'; }
fill() { guest "dd if=/dev/urandom of=/dev/vda bs=1M count=8 seek=$1 conv=fsync 2>/dev/null"; }
guest_sum() { guest 'echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vda bs=1M count=48 2>/dev/null | md5sum' | cut -d' ' -f1; }
node_sum() {
	# shellcheck disable=SC2016 # for the node's shell
	on_node 1 sh -c 'top=$(sed "s/.*\"top\":\"\([^\"]*\)\".*/\1/" "$1/disk.json") && qemu-img dd -U -f qcow2 -O raw bs=1M count=48 \
		"if=$1/$top" of=/var/tmp/e2e-snapshot-kills && md5sum </var/tmp/e2e-snapshot-kills && rm /var/tmp/e2e-snapshot-kills' sh "$1" | cut -d' ' -f1
}
layers() { on_node 1 sh -c "ls $(claim_dir data)/*.qcow2 | wc -l"; }
whole() { on_node 1 sh -c "qemu-img check -U -q $(claim_dir data)/\$(sed 's/.*\"top\":\"\([^\"]*\)\".*/\1/' $(claim_dir data)/disk.json)"; }
count() { guest cat /mnt/counter; }
counts_on() { local now=$1; eventually 20 not_same "$now"; }
not_same() { [ "$(count)" != "$1" ]; }

check "a guest" k apply -f "$TEST_DIR/vm.yaml"
check "is there" eventually 60 exists
check "its agent answers" connected
check "it has data" fill 0
check "and a file system" guest 'mke2fs /dev/vdb >/dev/null 2>&1 && mount /dev/vdb /mnt'
check "on which it counts" guest '(n=0; while :; do n=$((n+1)); echo $n >/mnt/new && mv /mnt/new /mnt/counter; sleep 0.2; done) >/dev/null 2>&1 </dev/null &'
check "it does" eventually 20 count
check "more data" fill 0
sums=()
sum0=$(guest_sum)
check "a snapshot" take s0
check_output "its file systems were frozen for it" 'GuestAgent.*Online' k_field vmsnapshot/s0 .status.indications
check "and are not any more" counts_on "$(count)"
check_output "it has what was" "^$sum0\$" node_sum "$(content_dir s0)"
for n in 1 2 3; do
	check "data, piece $n" fill $((n * 8))
	sums[n]=$(guest_sum)
	check "snapshot $n" take "s$n"
done
check "data after them" fill 32
sum=$(guest_sum)
check_output "the first still has what was" "^$sum0\$" node_sum "$(content_dir s0)"
check_output "the last has what was" "^${sums[3]}\$" node_sum "$(content_dir s3)"
check_output "a layer each, and the top" '^[5-6]$' layers
before=$(layers)
one_less() { [ "$(layers)" = $((before - 1)) ]; }
# What an older one has is not written any more; what came after it is the disk's own again.
check "the last ones go while it runs" k delete vmsnapshot s2 s3 --timeout=60s
check "what was theirs is one layer" eventually 60 one_less
check "the guest writes on" counts_on "$(count)"
check_output "it sees what it wrote" "^$sum\$" guest_sum
check_output "the one that is left has what was" "^${sums[1]}\$" node_sum "$(content_dir s1)"
check "all go" k delete vmsnapshot --all --timeout=60s
check "one layer is left below the top" eventually 60 matches '^2$' layers
check_output "the guest sees what it wrote" "^$sum\$" guest_sum
check "more data" fill 40
sum=$(guest_sum)
check_output "the node sees the same" "^$sum\$" node_sum "$(claim_dir data)"
check "it is a whole disk" whole

kill_one() {
	case $1 in
	agent) on_node 1 sh -c 'lab-proc alive /run/lab/hanok-node.pid && lab-proc end /run/lab/hanok-node.pid 0' ;;
	libvirtd) lab_service_end node1 libvirtd 0 ;;
	esac
}
all_up() { lab_libvirt_up 1 && lab_node_up 1; }
merged() { eventually 60 matches '^2$' layers; }
qemu() { on_node 1 sh -c 'cat /run/libvirt/qemu/e2e-snapshot-kills_vm.pid'; }
qemu_before=$(qemu)

# round NUMBER VICTIM OPERATION
moment() { sleep "0.$(($1 * 37 % 60 + 10))"; }
round() {
	local number=$1 victim=$2 operation=$3 wanted name=r$1
	fill $((number % 6 * 8)) || return
	wanted=$(guest_sum)
	case $operation in
	snapshot)
		snapshot "$name" && moment "$number"
		;;
	merge)
		take "$name-a" && fill $(((number + 1) % 6 * 8)) && take "$name-b" && wanted=$(guest_sum) || return
		k delete vmsnapshot "$name-a" "$name-b" --timeout=60s && sleep 1 && moment "$number"
		;;
	clone)
		clone "$name" && moment "$number"
		;;
	esac
	kill_one "$victim"
	moment $((number + 5))
	eventually 30 all_up || return
	connected || return
	case $operation in
	snapshot)
		taken "$name" || return
		[ "$(node_sum "$(content_dir "$name")")" = "$wanted" ] || { echo "the snapshot has other data"; return 1; }
		k delete vmsnapshot "$name" --timeout=60s || return
		;;
	clone)
		cloned "$name" || return
		[ "$(node_sum "$(claim_dir "$(claim_of "$name")")")" = "$wanted" ] || { echo "the clone has other data"; return 1; }
		k delete vm "$name" --timeout=60s || return
		;;
	esac
	[ "$(guest_sum)" = "$wanted" ] || { echo "the guest sees other data"; return 1; }
	counts_on "$(count)" || { echo "the guest is frozen"; return 1; }
	merged && whole && [ "$(node_sum "$(claim_dir data)")" = "$wanted" ]
}
number=0
for operation in snapshot merge clone; do
	for victim in agent libvirtd; do
		for ((i = 0; i < ${SNAPSHOT_KILL_ROUNDS:-1}; i++)); do
			number=$((number + 1))
			check "$operation while $victim is killed ($number)" round $number $victim $operation
		done
	done
done
check_output "no guest died of it" "^$qemu_before\$" qemu

# An agent that is killed at the very end of a merge has no time to remove what nothing uses any more.
left_over() {
	kill_one agent && on_node 1 touch "$(claim_dir data)/00000000-0000-4000-8000-000000000001.qcow2" && lab_node_up 1
}
check "a layer that nothing uses is left" left_over
check "it goes" merged

# A frozen guest is thawed by whoever comes next.
freeze_left() {
	guest 'true' && on_node 1 touch "/var/lib/hanok/vms/$(k_field vmi/vm .metadata.uid)/frozen" &&
		lab_virsh domfsfreeze e2e-snapshot-kills_vm && kill_one agent && lab_node_up 1
}
check "an agent is killed while it has the guest frozen" freeze_left
check "the next one thaws it" counts_on 0
check "and says so" eventually 20 matches Thawed k get events --field-selector "involvedObject.uid=$(k_field vmi/vm .metadata.uid)" \
	-o 'jsonpath={.items[*].reason}'

check "stop" virt stop vm --force
check "it has stopped" k wait --for=delete vmi/vm --timeout=120s
# Its layers are made one meanwhile: what was the top may be gone when it is opened.
summed() { node_sum "$(claim_dir data)" >"$TEST_DIR/wanted" && [ -s "$TEST_DIR/wanted" ]; }
check "what its disk has is known" eventually 30 summed
wanted=$(<"$TEST_DIR/wanted")
cat >"$TEST_DIR/export.yaml" <<'END_OF_EXPORT'
apiVersion: v1
kind: Secret
metadata: {name: token}
stringData: {token: opensesameopensesame}
---
apiVersion: export.kubevirt.io/v1
kind: VirtualMachineExport
metadata: {name: disk}
spec:
  tokenSecretRef: token
  source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: vm}
END_OF_EXPORT
url() { k get vmexport disk -o 'jsonpath={.status.links.external.volumes[0].formats[?(@.format=="raw")].url}'; }
fetch() { curl -sS --fail --max-time 120 --cacert "$TEST_DIR/export.crt" -H 'x-kubevirt-export-token: opensesameopensesame' "$@" "$(url)"; }
check "an export of the stopped machine" k apply -f "$TEST_DIR/export.yaml"
check "is ready" k wait --for=jsonpath='{.status.phase}'=Ready vmexport/disk --timeout=120s
k get vmexport disk -o 'jsonpath={.status.links.external.cert}' >"$TEST_DIR/export.crt"
broken_off() {
	fetch --limit-rate 8M >"$TEST_DIR/part" &
	local pid=$!
	eventually 20 test -s "$TEST_DIR/part" && kill_one agent
	wait $pid
}
check_fails "the agent is killed in the midst: the client is told that it has not got all" broken_off
check "the next one" lab_node_up 1
sockets() { on_node 1 sh -c 'ls -d /var/lib/hanok/.export-* 2>/dev/null | wc -l'; }
check "no socket of the killed one's is left" eventually 10 matches '^0$' sockets
exported() { fetch | head -c $((48 << 20)) | md5sum | cut -d' ' -f1; }
exported_right() { [ "$(exported)" = "$wanted" ]; }
check "exports it whole" eventually 30 exported_right
check "the export goes" k delete vmexport disk --timeout=60s
check "the layers are one" eventually 60 matches '^1$' layers
check_output "with what was written" "^$wanted\$" node_sum "$(claim_dir data)"
check "all goes" k delete vm --all --timeout=120s
finish
