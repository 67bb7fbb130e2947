#!/bin/bash
# Snapshots of virtual machines: of a stopped one and of a running one, as a tree, gone back to, deleted in any order.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-snapshots
virt() { "$LAB/bin/hanok" virt "$@" --kubeconfig "$KUBECONFIG_FILE" -n e2e-snapshots; }
local_dir=/var/lib/hanok/local

cat >"$TEST_DIR/vm.yaml" <<'END_OF_VM'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, annotations: {volume.kubernetes.io/selected-node: node1}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 32Mi}}}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: vm}
spec:
  runStrategy: Halted
  template:
    spec:
      terminationGracePeriodSeconds: 0
      domain:
        memory: {guest: 128Mi}
        devices:
          disks: [{name: root, disk: {bus: virtio}}, {name: data, disk: {bus: virtio}}]
          interfaces: [{name: default, bridge: {}}]
      networks: [{name: default, pod: {}}]
      volumes:
      - {name: root, containerDisk: {image: "registry.lab:5000/vm-web:latest"}}
      - {name: data, persistentVolumeClaim: {claimName: data}}
END_OF_VM
snapshot() {
	k apply -f - <<-END_OF_SNAPSHOT
	apiVersion: snapshot.kubevirt.io/v1beta1
	kind: VirtualMachineSnapshot
	metadata: {name: $1}
	spec: {source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: ${2:-vm}}}
	END_OF_SNAPSHOT
}
restore() {
	k apply -f - <<-END_OF_RESTORE
	apiVersion: snapshot.kubevirt.io/v1beta1
	kind: VirtualMachineRestore
	metadata: {name: $1}
	spec:
	  target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: vm}
	  virtualMachineSnapshotName: $2
	  ${3:-}
	END_OF_RESTORE
}
taken() { k wait --for=jsonpath='{.status.readyToUse}'=true "vmsnapshot/$1" --timeout=120s; }
restored() { k wait --for=jsonpath='{.status.complete}'=true "vmrestore/$1" --timeout=120s; }
annotation() { k get "$1" -o "jsonpath={.metadata.annotations.hanok\.io/$2}"; }
# The first bytes of a disk on the node, by its directory.
shows() {
	# shellcheck disable=SC2016 # for the node's shell
	on_node 1 sh -c 'top=$(sed "s/.*\"top\":\"\([^\"]*\)\".*/\1/" "$1/disk.json") && qemu-img dd -U -f qcow2 -O raw bs=512 count=1 \
		"if=$1/$top" of=/tmp/e2e-snapshots && head -c 3 /tmp/e2e-snapshots' sh "$1"
}
claim_shows() { shows "$local_dir/pvc-$(k_field "pvc/$1" .metadata.uid)"; }
data_claim() { k get vm vm -o 'jsonpath={.spec.template.spec.volumes[?(@.name=="data")].persistentVolumeClaim.claimName}'; }
content_dir() { echo "$local_dir/.snapshots/$(k_field "vmsnapshotcontent/$(k_field "vmsnapshot/$1" .status.virtualMachineSnapshotContentName)" .metadata.uid)/data"; }
guest() { # COMMAND EXPECTED
	python3 "$TEST_ROOT/test/terminal.py" 240 'send:\n' 'expect:login: ' 'send:root\n' 'expect:assword:' 'send:hanok\n' 'expect:# ' \
		"send:$1; sync\n" "expect:$2" 'send:exit\n' 'expect:login:' 'send:\x1d' end:0 \
		-- "$LAB/bin/hanok" virt console vm --kubeconfig "$KUBECONFIG_FILE" -n e2e-snapshots
}
layers() { on_node 1 sh -c "ls $local_dir/pvc-$(k_field "pvc/$(data_claim)" .metadata.uid)/*.qcow2 | wc -l"; }

check "machine and claim" k apply -f "$TEST_DIR/vm.yaml"
check "a snapshot of a machine that never ran" snapshot s0
check "is taken" taken s0
check_output "its columns" 's0 +VirtualMachine +vm +Succeeded +true' k get vmsnapshot s0
check_output "its volumes" 'included.*data.*|data.*root' k get vmsnapshot s0 -o 'jsonpath={.status.snapshotVolumes}'
check "the machine starts" virt start vm
check "and is ready" k wait --for=condition=Ready vm/vm --timeout=240s
check "the guest writes" guest 'echo one >/dev/vdb' '# '
check "a snapshot of the running machine" snapshot s1
check "is taken" taken s1
check_output "it says that it was running" 'NoGuestAgent.*Online' k get vmsnapshot s1 -o 'jsonpath={.status.indications}'
# A store on another file system: nothing can be linked there, after the guest was switched already.
before=$(layers)
check "no room for snapshots" on_node 1 mount -t tmpfs none $local_dir/.snapshots
check "one of the running machine" snapshot unstored
check "can't be stored" eventually 30 matches 'link' k_field vmsnapshot/unstored .status.error.message
check "there is room again" on_node 1 umount -l $local_dir/.snapshots
check "it is taken" taken unstored
check_output "with one more layer, however often it was tried" "^$((before + 1))\$" layers
check "and shows what was" matches '^one' shows "$(content_dir unstored)"
check "it goes" k delete vmsnapshot unstored --timeout=60s
cat >"$TEST_DIR/dump.yaml" <<'END_OF_CLAIM'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: dump}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 300Mi}}}
END_OF_CLAIM
check "a claim for a dump of its memory" k apply -f "$TEST_DIR/dump.yaml"
echo '{"claimName":"dump"}' >"$TEST_DIR/dump.json"
check "a dump is asked for" k replace --raw /apis/subresources.kubevirt.io/v1/namespaces/e2e-snapshots/virtualmachines/vm/memorydump \
	-f "$TEST_DIR/dump.json"
check "and is there" eventually 60 matches '^Completed$' k_field vm/vm .status.memoryDumpRequest.phase
check_output "as a core file" 'ELF' on_node 1 sh -c \
	"head -c 4 $local_dir/pvc-$(k_field pvc/dump .metadata.uid)/$(k_field vm/vm .status.memoryDumpRequest.fileName)"
# libvirt goes on writing when the agent has died: the next one leaves that alone, and asks anew when it has ended.
dump_dir=$local_dir/pvc-$(k_field pvc/dump .metadata.uid)
qemu_gets() { on_node 1 sh -c "kill -$1 \$(cat /run/libvirt/qemu/e2e-snapshots_vm.pid)"; }
dump_begun() { on_node 1 sh -c "ls $dump_dir/.new-*"; }
dumped_before=$(k_field vm/vm .status.memoryDumpRequest.fileName)
dump_while_agent_dies() {
	on_node 1 sh -c "until ls $dump_dir/.new-* 2>/dev/null; do sleep 0.01; done; kill -STOP \$(cat /run/libvirt/qemu/e2e-snapshots_vm.pid)" &
	k replace --raw /apis/subresources.kubevirt.io/v1/namespaces/e2e-snapshots/virtualmachines/vm/memorydump -f "$TEST_DIR/dump.json" &&
		wait $! && on_node 1 lab-proc end /run/lab/hanok-node.pid 0 && eventually 30 lab_node_up 1 && sleep 5 && dump_begun
}
check "the agent dies while memory is written: the file stays" dump_while_agent_dies
check "QEMU goes on" qemu_gets CONT
dumped_anew() { [ "$(k_field vm/vm .status.memoryDumpRequest.phase)" = Completed ] && [ "$(k_field vm/vm .status.memoryDumpRequest.fileName)" != "$dumped_before" ]; }
check "the dump is made" eventually 120 dumped_anew
check "nothing half-made is left" eventually 10 eval '! dump_begun'
check "the guest goes on writing" guest 'echo two >/dev/vdb' '# '
check "the snapshot has what was" matches '^one' shows "$(content_dir s1)"
restore refused s0 'targetReadinessPolicy: FailImmediate' >/dev/null
check "a running machine does not go back" k wait --for=condition=Failure vmrestore/refused --timeout=60s
check "stop" virt stop vm
check "it has stopped" k wait --for=delete vmi/vm --timeout=120s
check "while no agent is there" lab_node_end 1
check "a snapshot can be asked for" snapshot s2
check "and waits" eventually 20 matches InProgress k_field vmsnapshot/s2 .status.phase
check "the agent comes back" lab_node_up 1
check "and takes it" taken s2
check "the tree" matches '^s0/s1/s2$' eval 'echo "$(annotation vmsnapshot/s1 parent-snapshot)/$(annotation vmsnapshot/s2 parent-snapshot)/$(annotation vm/vm current-snapshot)"'

check "go back to the first" restore r1 s1
check "done" restored r1
check "the disk is what it was" matches '^one' claim_shows "$(data_claim)"
check_output "the machine stands on it" '^s1$' annotation vm/vm current-snapshot
check "the old disk is still there" matches '^two' claim_shows data
check "the machine starts from it" virt start vm
check "and is ready" k wait --for=condition=Ready vm/vm --timeout=240s
check "its guest sees the old data" guest 'head -c 3 /dev/vdb' 'one'
check "a restore that stops its target" restore r2 s2 'targetReadinessPolicy: StopTarget'
check "done" restored r2
check "the disk is the other one" matches '^two' claim_shows "$(data_claim)"

check "a snapshot in the middle is deleted" k delete vmsnapshot s1 --timeout=60s
check_output "its child goes to its parent" '^s0$' annotation vmsnapshot/s2 parent-snapshot
check "the others are whole" matches '^two' shows "$(content_dir s2)"
check "all others go" k delete vmsnapshot --all --timeout=60s
check "no content stays" eventually 20 matches '^0$' k_count vmsnapshotcontent
# Of other tests there may be some.
no_store() { [ "$(on_node 1 ls $local_dir/.snapshots | wc -l)" = "$("$KUBECTL" --kubeconfig "$KUBECONFIG_FILE" get vmsnapshotcontent -A -o name | wc -l)" ]; }
check "nothing of them is on the node" eventually 20 no_store
check "the disk still shows its data" matches '^two' claim_shows "$(data_claim)"
old_claims() { k get pvc -o name | grep -v "/$(data_claim)\$"; }
# shellcheck disable=SC2046 # one name a word
check "claims that nobody uses any more go" k delete $(old_claims) --timeout=60s
check "what one disk alone has is one layer again" eventually 60 matches '^1$' layers
check "and shows the same" matches '^two' claim_shows "$(data_claim)"
check "the machine goes" k delete vm vm --timeout=120s
check "with the disk that was made for it" eventually 30 matches '^0$' k_count pvc
finish
