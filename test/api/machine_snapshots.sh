#!/bin/bash
# What snapshots, restores, clones and exports of virtual machines may be of, and who may write what is known of them.
. "$(dirname "$0")/../lib.sh"
start_server --controllers=virtualmachine --scheduler=off
create() { k create --validate=strict -f - <<<"$1"; }
# object KIND NAME SPEC
object() {
	local group=snapshot.kubevirt.io/v1beta1
	[ "$1" != Clone ] || group=clone.kubevirt.io/v1beta1
	[ "$1" != Export ] || group=export.kubevirt.io/v1
	create "{apiVersion: $group, kind: VirtualMachine$1, metadata: {name: $2}, spec: {$3}}"
}
refused() { check_refused "$1" "$2" object "$3" bad "$4"; }
VM='{apiGroup: kubevirt.io, kind: VirtualMachine, name: vm}'

refused "a snapshot of another kind" 'spec.source.kind: Invalid value: "Pod": invalid kind' Snapshot 'source: {apiGroup: kubevirt.io, kind: Pod, name: p}'
refused "of another group" 'invalid apiGroup' Snapshot 'source: {apiGroup: apps, kind: VirtualMachine, name: p}'
refused "of no group" 'missing apiGroup' Snapshot 'source: {kind: VirtualMachine, name: p}'
refused "a restore into another kind" 'spec.target.kind: Invalid value: "Pod": invalid kind' Restore 'target: {apiGroup: kubevirt.io, kind: Pod, name: p}, virtualMachineSnapshotName: s'
refused "a patch of what is no spec" 'patching is valid only for elements under /spec/ only' Restore \
	"target: $VM, virtualMachineSnapshotName: s, patches: ['{\"op\": \"replace\", \"path\": \"/metadata/name\", \"value\": \"x\"}']"
refused "a patch that is none" 'patch format is not valid' Restore "target: $VM, virtualMachineSnapshotName: s, patches: [nonsense]"
refused "a clone of a pod" 'Source kind is not supported' Clone 'source: {apiGroup: kubevirt.io, kind: Pod, name: p}'
refused "a clone onto itself" 'Target name cannot be equal to source name' Clone "source: $VM, target: $VM"
refused "an export of another kind" 'spec.source.kind: Invalid value: "Pod": invalid kind' Export 'source: {apiGroup: "", kind: Pod, name: p}'
refused "an export of nothing" 'PVC name must not be empty' Export 'source: {apiGroup: "", kind: PersistentVolumeClaim, name: ""}'
refused "a disk that is restored twice" 'spec.volumeRestoreOverrides\[1\].volumeName: Duplicate value: "a"' Restore \
	"target: $VM, virtualMachineSnapshotName: s, volumeRestoreOverrides: [{volumeName: a, restoreName: b}, {volumeName: a, restoreName: c}]"
refused "two disks that would be one" 'spec.volumeRestoreOverrides\[1\].restoreName: Duplicate value: "c"' Restore \
	"target: $VM, virtualMachineSnapshotName: s, volumeRestoreOverrides: [{volumeName: a, restoreName: c}, {volumeName: b, restoreName: c}]"
refused "a claim of no name" 'spec.volumeRestoreOverrides\[0\].restoreName: Invalid value: "A b"' Restore \
	"target: $VM, virtualMachineSnapshotName: s, volumeRestoreOverrides: [{volumeName: a, restoreName: A b}]"
check "a snapshot" object Snapshot s "source: $VM"
check "a restore" object Restore r "target: $VM, virtualMachineSnapshotName: s"
check "a clone" object Clone c "source: $VM"
check "an export" object Export e 'source: {apiGroup: "", kind: PersistentVolumeClaim, name: c}'
changed() { k patch "$1" --type=merge -p "{\"spec\":$2}"; }
other='{"apiGroup":"kubevirt.io","kind":"VirtualMachine","name":"another"}'
check_refused "a snapshot stays" 'spec in immutable after creation' changed vmsnapshot/s "{\"source\":$other}"
check_refused "a restore stays" 'spec in immutable after creation' changed vmrestore/r '{"virtualMachineSnapshotName":"t"}'
check_refused "a clone stays" 'immutable after creation' changed vmclone/c "{\"source\":$other}"
check_refused "an export stays" 'spec in immutable after creation' changed vmexport/e '{"source":{"name":"d"}}'
check "labels may change" k label vmsnapshot/s a=b

create '{apiVersion: snapshot.kubevirt.io/v1beta1, kind: VirtualMachineSnapshotContent,
	metadata: {name: mine, labels: {hanok.io/node: n1}}, spec: {virtualMachineSnapshotName: s, source: {virtualMachine: {spec: {runStrategy: Halted, template: {}}}}}}' >/dev/null
check_refused "a content stays what it is" 'spec in immutable after creation' changed vmsnapshotcontent/mine '{"virtualMachineSnapshotName":"t"}'
check "its labels may change" k label vmsnapshotcontent mine a=b
as_node() { k --as "system:node:$1" --as-group system:nodes "${@:2}"; }
say() {
	raw /apis/snapshot.kubevirt.io/v1beta1/namespaces/default/virtualmachinesnapshotcontents/mine/status -X PATCH \
		-H "Impersonate-User: system:node:$1" -H 'Impersonate-Group: system:nodes' -H 'Content-Type: application/merge-patch+json' \
		-d '{"status":{"readyToUse":true}}'
}
check_output "a node says that its snapshot is taken" '"readyToUse":true' say n1
check_output "another does not" 'node .*n2.* may write snapshots of its own only' say n2
check_refused "nor does it take it over" 'node "n2" may write snapshots of its own only' as_node n2 label vmsnapshotcontent mine --overwrite hanok.io/node=n2
check_refused "nor does its own change what it is" 'node "n1" may write the status of snapshots only' as_node n1 label vmsnapshotcontent mine --overwrite a=c
finish
