#!/bin/bash
# A snapshot with memory: who goes back to it goes on where the guest was, once; whatever does not fit boots.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-resume
virt() { "$LAB/bin/hanok" virt "$@" --kubeconfig "$KUBECONFIG_FILE" -n e2e-resume; }
guest() { "$LAB/bin/hanok" virt exec vm --kubeconfig "$KUBECONFIG_FILE" -n e2e-resume -- "$@"; }
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
          disks: [{name: memory, disk: {bus: virtio}}]
          interfaces: [{name: default, bridge: {}}]
      networks: [{name: default, pod: {}}]
      volumes: [{name: memory, persistentVolumeClaim: {claimName: data}}]
END_OF_VM
snapshot() {
	k apply -f - <<-END_OF_SNAPSHOT
	apiVersion: snapshot.kubevirt.io/v1beta1
	kind: VirtualMachineSnapshot
	metadata: {name: $1, annotations: {hanok.io/snapshot-memory: "true"}}
	spec: {source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: vm}}
	END_OF_SNAPSHOT
	taken "$1"
}
restore() {
	k apply -f - <<-END_OF_RESTORE
	apiVersion: snapshot.kubevirt.io/v1beta1
	kind: VirtualMachineRestore
	metadata: {name: $1}
	spec:
	  target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: vm}
	  virtualMachineSnapshotName: $2
	END_OF_RESTORE
	k wait --for=jsonpath='{.status.complete}'=true "vmrestore/$1" --timeout=120s
}
taken() { k wait --for=jsonpath='{.status.readyToUse}'=true "vmsnapshot/$1" --timeout=120s; }
connected() { k wait --for=condition=AgentConnected vmi/vm --timeout=240s; }
counter() { guest cat /run/counter; }
boot() { guest cat /proc/sys/kernel/random/boot_id; }
# Over the disk's first bytes, past the guest's cache.
write() { guest sh -c "printf %-512s $1 | dd of=/dev/vda bs=512 count=1 conv=fsync 2>/dev/null"; }
shown() { guest sh -c 'echo 3 >/proc/sys/vm/drop_caches; head -c 5 /dev/vda'; }
say_counter() { echo "$(counter) $(boot)"; }
events() { k get events --field-selector "involvedObject.uid=$(k_field vmi/vm .metadata.uid)" -o 'jsonpath={.items[*].reason}'; }
stop() { virt stop vm --force && k wait --for=delete vmi/vm --timeout=120s; }
start() { virt start vm && eventually 60 exists && connected; }
exists() { k get vmi/vm; }
links() { on_node 1 find "$local_dir" -name guest.memory -path '*/pvc-*'; }

check "a guest" k apply -f "$TEST_DIR/vm.yaml"
check "answers" eventually 60 exists
check "by its agent" connected
check "it counts in its memory" guest sh -c '(n=100; while :; do n=$((n+1)); echo $n >/run/counter; sleep 1; done) >/dev/null 2>&1 </dev/null &'
check "and writes to its disk" write first
check "it does" eventually 20 matches '^1[0-9][0-9]' counter
first_boot=$(boot)
before=$(counter)
check "a snapshot with memory" snapshot moment
check_output "it was running" 'Online' k_field vmsnapshot/moment .status.indications
check "the guest goes on" eventually 20 matches '^1[0-9][0-9]' counter
check "it writes something else" write other
check "and forgets" guest sh -c 'echo gone >/run/counter'
check "stop" stop
check "it boots as ever" start
check_output "with nothing in its memory" '^[^1]|^$' guest sh -c 'cat /run/counter 2>&1; true'
check_output "which is another boot" '^different$' eval '[ "$(boot)" = "$first_boot" ] || echo different'
check "stop" stop
check "go back" restore r1 moment
check "the memory waits beside the disk" matches '/guest.memory$' links
check "start" start
check "it said so" eventually 20 matches 'Restored' events
check_output "it is the boot of before" "^$first_boot\$" boot
goes_on() { local now; now=$(counter) && [ "$now" -gt "$before" ] && [ "$now" -lt 100000 ]; }
check "the counter goes on" eventually 30 goes_on
check_output "the disk is that of then" '^first$' shown
check_output "nothing waits for a second time" '^$' links
check "its address answers" eventually 30 on_node 1 curl -sf --max-time 5 "http://$(k_field vmi/vm '.status.interfaces[0].ipAddress')/"
check "stop" stop
check "it boots" start
check_output "anew" '^different$' eval '[ "$(boot)" = "$first_boot" ] || echo different'

# A file of that name which somebody else has put there is nothing to libvirt, and stays.
data_dir() { echo "$local_dir/pvc-$(k_field "pvc/$(k_field vm/vm '.spec.template.spec.volumes[0].persistentVolumeClaim.claimName')" .metadata.uid)"; }
check "stop" stop
check "go back" restore r0 moment
check "another file in the place of the memory" on_node 1 sh -c 'cp "$1/guest.memory" "$1/copy" && mv "$1/copy" "$1/guest.memory"' sh "$(data_dir)"
check "it boots" start
check_output "anew" '^different$' eval '[ "$(boot)" = "$first_boot" ] || echo different'
check_output "the file is nobody's of hanok" '/guest.memory$' links
check "it goes by hand" on_node 1 rm "$(data_dir)/guest.memory"

# An agent that is killed while libvirt loads: the next one lets the guest run.
check "stop" stop
check "go back once more" restore r2 moment
note() { on_node 1 sh -c 'ls /var/lib/hanok/vms/*/resuming'; }
loading() { virt start vm && eventually 60 note && on_node 1 lab-proc end /run/lab/hanok-node.pid 0; }
check "the agent is killed while the guest is loaded" loading
check "the next one" lab_node_up 1
check "has it" connected
check_output "as it was" "^$first_boot\$" boot
check "going on" eventually 30 goes_on
check_output "nothing waits for a second time" '^$' links

# Written by somebody else meanwhile: what is in memory does not belong to it.
check "stop" stop
check "and once more" restore r3 moment
touch_disk() {
	# shellcheck disable=SC2016 # for the node's shell
	on_node 1 sh -c 'top=$(sed "s/.*\"top\":\"\([^\"]*\)\".*/\1/" "$1/disk.json") && qemu-io -f qcow2 -c "write 4096 512" "$1/$top"' sh \
		"$local_dir/pvc-$(k_field "pvc/$(k_field vm/vm '.spec.template.spec.volumes[0].persistentVolumeClaim.claimName')" .metadata.uid)"
}
check "the disk is written" touch_disk
check "start" start
check "it boots, and says why" eventually 20 matches 'ResumeFailed' events
check_output "it is another boot" '^different$' eval '[ "$(boot)" = "$first_boot" ] || echo different'
check_output "nothing is left" '^$' links

# Another machine than that of the snapshot.
check "stop" stop
check "and again" restore r4 moment
check "with more memory" k patch vm/vm --type=merge -p '{"spec":{"template":{"spec":{"domain":{"memory":{"guest":"192Mi"}}}}}}'
check "start" start
check "it boots, and says why" eventually 20 matches 'ResumeFailed' events
clone() {
	k apply -f - <<-END_OF_CLONE
	apiVersion: clone.kubevirt.io/v1beta1
	kind: VirtualMachineClone
	metadata: {name: copy}
	spec:
	  source: {apiGroup: snapshot.kubevirt.io, kind: VirtualMachineSnapshot, name: moment}
	  target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: copy}
	END_OF_CLONE
	k wait --for=jsonpath='{.status.phase}'=Succeeded vmclone/copy --timeout=120s
}
check "a clone of the snapshot" clone
check_output "has no memory" '^$' links
check "the snapshot goes" k delete vmsnapshot moment --timeout=60s
check "all goes" k delete vm,pvc --all --timeout=120s
finish
