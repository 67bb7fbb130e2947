#!/bin/bash
# Machines whose disks are made by dataVolumeTemplates: gone back to a snapshot, and cloned.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-clone-templates
local_dir=/var/lib/hanok/local

cat >"$TEST_DIR/vm.yaml" <<'END_OF_VM'
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: vm}
spec:
  runStrategy: Halted
  dataVolumeTemplates:
  - metadata: {name: vm-data, annotations: {cdi.kubevirt.io/storage.bind.immediate.requested: "true"}}
    spec: {source: {blank: {}}, storage: {resources: {requests: {storage: 32Mi}}}}
  template:
    spec:
      terminationGracePeriodSeconds: 0
      domain:
        memory: {guest: 128Mi}
        devices:
          disks: [{name: data, disk: {bus: virtio}}]
          interfaces: [{name: default, bridge: {}}]
      networks: [{name: default, pod: {}}]
      volumes: [{name: data, dataVolume: {name: vm-data}}]
END_OF_VM
succeeded() { k wait --for=jsonpath='{.status.phase}'=Succeeded "dv/$1" --timeout=120s; }
disk_of() { k_field "vm/$1" '.spec.template.spec.volumes[0].dataVolume.name'; }
template_of() { k_field "vm/$1" '.spec.dataVolumeTemplates[0].metadata.name'; }
owner_of() { k_field "$1" '.metadata.ownerReferences[0].kind' '.metadata.ownerReferences[0].name'; }
dir_of() { echo "$local_dir/pvc-$(k_field "pvc/$1" .metadata.uid)"; }
write() {
	# shellcheck disable=SC2016 # for the node's shell
	on_node 1 sh -c 'top=$(sed "s/.*\"top\":\"\([^\"]*\)\".*/\1/" "$1/disk.json") && qemu-io -f qcow2 -c "write -P $2 0 512" "$1/$top"' sh "$(dir_of "$1")" "$2"
}
shows() {
	# shellcheck disable=SC2016 # for the node's shell
	on_node 1 sh -c 'top=$(sed "s/.*\"top\":\"\([^\"]*\)\".*/\1/" "$1/disk.json") && ! qemu-io -f qcow2 -c "read -P $2 0 512" "$1/$top" | grep -q failed' sh "$(dir_of "$1")" "$2"
}
apply() { printf '%s\n' "$@" >"$TEST_DIR/apply.yaml" && k apply -f "$TEST_DIR/apply.yaml"; }
restored() { k wait --for=jsonpath='{.status.complete}'=true "vmrestore/$1" --timeout=120s; }
cloned() { k wait --for=jsonpath='{.status.phase}'=Succeeded "vmclone/$1" --timeout=120s; }

check "a machine" k apply -f "$TEST_DIR/vm.yaml"
check "gets its disk" eventually 30 succeeded vm-data
check "which has data" write vm-data 17
check "a snapshot" apply 'apiVersion: snapshot.kubevirt.io/v1beta1' 'kind: VirtualMachineSnapshot' 'metadata: {name: s1}' \
	'spec: {source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: vm}}'
check "is taken" k wait --for=jsonpath='{.status.readyToUse}'=true vmsnapshot/s1 --timeout=120s
check "other data" write vm-data 34

check "a clone" apply 'apiVersion: clone.kubevirt.io/v1beta1' 'kind: VirtualMachineClone' 'metadata: {name: other}' \
	'spec: {source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: vm}, target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: other}}'
check "is made" cloned other
disk=$(disk_of other)
check_output "its volume is a DataVolume of its own" '^restore-.*-data$' echo "$disk"
check_output "of its template" "^$disk\$" template_of other
check "it is whole" succeeded "$disk"
check_output "it is the machine's" '^VirtualMachine other$' owner_of "dv/$disk"
check_output "and its claim is the DataVolume's" "^DataVolume $disk\$" owner_of "pvc/$disk"
check "it has the data" shows "$disk" 34
check "the source's is another" shows vm-data 34
check "the clone writes" write "$disk" 51
check "the source does not see it" shows vm-data 34
check "the clone goes" k delete vm other --timeout=60s
check "with its DataVolume and claim" eventually 30 matches '^persistentvolumeclaim/vm-data$' k get pvc -o name

check "go back" apply 'apiVersion: snapshot.kubevirt.io/v1beta1' 'kind: VirtualMachineRestore' 'metadata: {name: r1}' \
	'spec: {target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: vm}, virtualMachineSnapshotName: s1}'
check "done" restored r1
disk=$(disk_of vm)
check_output "the disk is a new DataVolume" '^restore-.*-data$' echo "$disk"
check_output "of the machine's template" "^$disk\$" template_of vm
check_output "the restore names it" "^data $disk $disk\$" k_field vmrestore/r1 '.status.restores[0].volumeName' \
	'.status.restores[0].persistentVolumeClaim' '.status.restores[0].dataVolumeName'
check_output "and what went" '^\["vm-data"\]$' k_field vmrestore/r1 .status.deletedDataVolumes
check_output "it is the machine's" '^VirtualMachine vm$' owner_of "dv/$disk"
check_output "and its claim is the DataVolume's" "^DataVolume $disk\$" owner_of "pvc/$disk"
check "it has the data of then" shows "$disk" 17
check "the old DataVolume goes, with its claim" eventually 30 matches "^persistentvolumeclaim/$disk\$" k get pvc -o name

check "go back in place" apply 'apiVersion: snapshot.kubevirt.io/v1beta1' 'kind: VirtualMachineRestore' 'metadata: {name: r2}' \
	'spec: {target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: vm}, virtualMachineSnapshotName: s1, volumeRestorePolicy: InPlace}'
check "done" restored r2
check_output "under the name that was in the snapshot" '^vm-data$' disk_of vm
check "with the data of then" shows vm-data 17
check_output "owned as before" '^VirtualMachine vm$' owner_of dv/vm-data

check "a patch that can't be applied" apply 'apiVersion: clone.kubevirt.io/v1beta1' 'kind: VirtualMachineClone' 'metadata: {name: wrong}' \
	'spec:' '  source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: vm}' '  target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: wrong}' \
	'  patches: ["{\"op\": \"replace\", \"path\": \"/spec/nowhere/at/all\", \"value\": 1}"]'
check "fails the clone" k wait --for=jsonpath='{.status.phase}'=Failed vmclone/wrong --timeout=120s
check_output "which says why" 'failed to apply patch for VM' k get vmclone wrong -o 'jsonpath={.status.conditions}'
check "and leaves no claim" eventually 30 matches '^1$' k_count pvc
check "all goes" k delete vm,vmclone,vmrestore,vmsnapshot --all --timeout=120s
check "with its claims" eventually 30 matches '^0$' k_count pvc
finish
