#!/bin/bash
# Instancetypes and preferences: what a machine may not say besides, what is inferred of its volumes, revisions, expand-spec.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=virtualmachine' --scheduler=off
raw /version >/dev/null
S=/apis/subresources.kubevirt.io/v1/namespaces/default

create() { k create --validate=strict -f - <<<"$1"; }
# machine NAME SPEC TEMPLATE_DOMAIN: of a machine's spec and its domain.
machine() { create "$(document "$@")"; }
document() {
	echo "{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: $1}, spec: {runStrategy: Halted, $2," \
		"template: {spec: {domain: {devices: {}, ${3:-}}, volumes: [{name: root, ${4:-emptyDisk: {capacity: 1Gi\}}}]}}}}"
}
I=instancetype.kubevirt.io/v1beta1
check "a size" create "{apiVersion: $I, kind: VirtualMachineClusterInstancetype, metadata: {name: medium}, spec: {cpu: {guest: 2}, memory: {guest: 1Gi}}}"
check "a size of the namespace" create "{apiVersion: $I, kind: VirtualMachineInstancetype, metadata: {name: tiny}, spec: {cpu: {guest: 1}, memory: {guest: 64Mi}}}"
check "a preference" create "{apiVersion: $I, kind: VirtualMachineClusterPreference, metadata: {name: linux}, spec: {cpu: {preferredCPUTopology: preferCores},
  devices: {preferredDiskBus: virtio}, requirements: {cpu: {guest: 2}}}}"

check_refused "a machine of an unknown size" 'spec.instancetype: Not found.*Failure to find instancetype: virtualmachineclusterinstancetypes.instancetype.kubevirt.io "huge" not found' \
	machine bad 'instancetype: {name: huge}'
check_refused "of an unknown preference" 'Failure to find preference' machine bad 'preference: {name: none}'
check_refused "of another kind" 'got unexpected kind in InstancetypeMatcher: Pod' machine bad 'instancetype: {name: medium, kind: Pod}'
check_refused "one that says its memory itself" 'spec.template.spec.domain.memory.guest.*VM field\(s\) spec.template.spec.domain.memory.guest conflicts with selected instance type' \
	machine bad 'instancetype: {name: medium}' 'memory: {guest: 1Gi}'
check_refused "one that has less than its preference needs" 'failure checking preference requirements: insufficient CPU resources of 1 vCPU provided by instance type, preference requires 2 vCPU' \
	machine bad 'instancetype: {name: tiny, kind: VirtualMachineInstancetype}, preference: {name: linux}'
check_refused "one without a template" 'spec.template: Required value' \
	create '{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: bad}, spec: {runStrategy: Halted, instancetype: {name: medium}, preference: {name: linux}}}'
check "one with both" machine vm 'instancetype: {name: medium}, preference: {name: linux}'
check_output "has their kinds" '^virtualmachineclusterinstancetype virtualmachineclusterpreference$' k_field vm/vm .spec.instancetype.kind .spec.preference.kind
bound() { matches '^medium vm-medium-v1beta1-[-0-9a-f]*-1 linux$' k_field vm/vm .status.instancetypeRef.name .status.instancetypeRef.controllerRevisionRef.name .status.preferenceRef.name; }
check "is bound to revisions" eventually 10 bound
check_output "that are the machine's" 'VirtualMachineClusterInstancetype VirtualMachine vm' bash -c 'echo "$1"' - \
	"$(k_field "controllerrevision/$(k_field vm/vm .status.instancetypeRef.controllerRevisionRef.name)" .data.kind '.metadata.ownerReferences[0].kind' '.metadata.ownerReferences[0].name')"
expanded='"cpu":\{"cores":2,"sockets":1,"threads":1\},"memory":\{"guest":"1Gi"\}'
check_output "written out" "$expanded.*200\$" raw $S/virtualmachines/vm/expand-spec -w '%{http_code}'
without() { ! raw $S/virtualmachines/vm/expand-spec | grep -q '"instancetype":\|"preference":'; }
check "without what it named" without
check "the size changes" k patch vmcf medium --type merge -p '{"spec":{"memory":{"guest":"2Gi"}}}'
check_output "the machine does not" "$expanded" raw $S/virtualmachines/vm/expand-spec

expand() { raw $S/expand-vm-spec -X PUT -H "Content-Type: application/${2:-yaml}" -d "$1" -w '%{http_code}'; }
check_output "a machine that is only sent" '"guest":"64Mi".*200$' expand "$(document new 'instancetype: {name: tiny, kind: VirtualMachineInstancetype}')"
check_output "with a size that is none" 'not found.*400$' expand "$(document new 'instancetype: {name: huge}')"
check_output "with a conflict" 'cannot expand instancetype to VM.*400$' expand "$(document new 'instancetype: {name: medium}' 'cpu: {cores: 1}')"
check_output "that is no machine" 'Object is not a valid VirtualMachine.*400$' expand '{"apiVersion":"kubevirt.io/v1","kind":"VirtualMachine","metadata":{"name":"x"}}' json
check_output "of another namespace" 'VM namespace must be empty or default.*400$' expand "$(document 'new, namespace: other' 'running: null')"

claim() { create "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: $1, labels: {$2}}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}"; }
check "a claim that says what it is for" claim disk 'instancetype.kubevirt.io/default-instancetype: tiny, instancetype.kubevirt.io/default-instancetype-kind: VirtualMachineInstancetype'
check "inferred" machine inferred 'instancetype: {inferFromVolume: root}' '' 'persistentVolumeClaim: {claimName: disk}'
check_output "so it is" '^tiny VirtualMachineInstancetype$' k_field vm/inferred .spec.instancetype.name .spec.instancetype.kind
check "one that does not" claim plain ''
check_refused "not inferred" 'unable to find required instancetype.kubevirt.io/default-instancetype label' machine bad 'instancetype: {inferFromVolume: root}' '' \
	'persistentVolumeClaim: {claimName: plain}'
check "unless that is to be ignored" machine ignored 'instancetype: {inferFromVolume: root, inferFromVolumeFailurePolicy: Ignore}' 'memory: {guest: 128Mi}' \
	'persistentVolumeClaim: {claimName: plain}'
check_output "then it names none" '^ ?128Mi$' k_field vm/ignored .spec.instancetype.name .spec.template.spec.domain.memory.guest

check "a machine may be deleted when its size is gone" k delete vmcf medium
check "indeed" k delete vm vm --timeout=30s
finish
