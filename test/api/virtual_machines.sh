#!/bin/bash
# Virtual machines as objects: what is completed and refused, and start, stop, restart with KubeVirt's rules.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off
raw /version >/dev/null

machine() {
	cat <<-END
		apiVersion: kubevirt.io/v1
		kind: VirtualMachine
		metadata: {name: $1}
		spec:
		  $2
		  template:
		    spec:
		      domain: {devices: {disks: [{name: ${3:-root}, disk: {bus: virtio}}]}, memory: {guest: 128Mi}}
		      volumes: [{name: root, emptyDisk: {capacity: 1Gi}}]
	END
}
create() { machine "$@" | k create --validate=strict -f - ; }
verb() { raw "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/$1/$2" -X PUT -w '%{http_code}' "${@:3}"; }

check_output "created" 'halted created' create halted 'runStrategy: Halted'
check "created with the old field" create old 'running: false'
check "created for hand work" create manual 'runStrategy: Manual'
evicted() { k patch vm manual --type merge -p "{\"spec\":{\"template\":{\"spec\":{\"evictionStrategy\":\"$1\"}}}}"; }
check_output "a strategy that has no effect is told" 'Warning: spec.template.spec.evictionStrategy has no effect yet' evicted LiveMigrate
check_output "and not the one that is as things are" '^virtualmachine.kubevirt.io/manual patched$' evicted None
check_refused "both fields" 'spec.running: Invalid value.*mutually exclusive' create both 'runStrategy: Halted
  running: true'
check_refused "neither" 'One of Running or RunStrategy' create neither '#'
check_refused "a strategy that is none" 'Unsupported value: "Sometimes"' create bad 'runStrategy: Sometimes'
check_refused "a disk without a volume" 'spec.template.spec.domain.devices.disks\[0\].name: Not found: "other"' create disk 'runStrategy: Halted' other
check_output "columns" 'NAME +AGE +STATUS +READY.*halted +[0-9hms]+ .*False' k get vm

check_output "start" '^202$' verb halted start
check_output "a halted machine is to run always" '^Always$' k_field vm/halted .spec.runStrategy
check_output "start of what runs always" 'does not support manual start requests.*409$' verb halted start
check_output "stop" '^202$' verb halted stop
check_output "halts it" '^Halted$' k_field vm/halted .spec.runStrategy
check_output "stop of what does not run" 'VM is not running.*409$' verb halted stop
check_output "start by the old field" '^202$' verb old start
check_output "sets it" '^true$' k_field vm/old .spec.running
check_output "start by hand" '^202$' verb manual start
check_output "is a request to the controller" '^Manual Start$' k_field vm/manual .spec.runStrategy '.status.stateChangeRequests[0].action'
check_output "one at a time" 'already underway.*409$' verb manual start
check_output "restart of what does not run" 'VM is not running.*409$' verb manual restart
check_output "of nothing" '404$' verb nothing start
check_output "by the wrong method" '405$' raw /apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/old/start -X POST -w '%{http_code}'
check_output "dry run" '^202$' verb old stop -H 'Content-Type: application/json' -d '{"dryRun":["All"]}'
check_output "changes nothing" '^true$' k_field vm/old .spec.running

instance() {
	cat <<-END
		apiVersion: kubevirt.io/v1
		kind: VirtualMachineInstance
		metadata: {name: $1}
		spec:
		  domain: {memory: {guest: 128Mi}, devices: {}}
		  volumes: [{name: root, emptyDisk: {capacity: 1Gi}}]
	END
}
check "an instance" bash -c "$(declare -f instance); instance old | HOME=$TEST_DIR $KUBECTL --kubeconfig $KUBECONFIG_FILE create -f -"
check_output "gets the pod network" '^default default \{\}' k_field vmi/old '.spec.networks[0].name' '.spec.domain.devices.interfaces[0].name' '.spec.networks[0].pod'
check_output "and a disk for its volume" '^root virtio Pending$' k_field vmi/old '.spec.domain.devices.disks[0].name' '.spec.domain.devices.disks[0].disk.bus' .status.phase
check_refused "its spec stays" 'update of VMI object is restricted' k patch vmi old --type merge -p '{"spec":{"terminationGracePeriodSeconds":5}}'
check_output "a console needs it to run" 'VMI is not running.*"code":400' raw /apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachineinstances/old/console
check_output "restart of what runs" '^202$' verb old restart
check_output "is a stop and a start" '^Stop Start$' k_field vm/old '.status.stateChangeRequests[0].action' '.status.stateChangeRequests[1].action'
check "deletion waits for the node's agent" k delete vmi old --wait=false
check_output "held by its finalizer" '^foregroundDeleteVirtualMachine$' k_field vmi/old '.metadata.finalizers[0]'
check "which the agent takes away" k patch vmi old --type merge -p '{"metadata":{"finalizers":null}}'
check_refused "then it is gone" 'NotFound' k get vmi old

# Each try to make an instance has a name of its own, and what is said of it, too: that must not bring on the next.
stop_server
start_server '--controllers=virtualmachineinstancereplicaset' --scheduler=off
create() { k create -f - <<<"$1"; }
check "a set whose instances are refused" create '{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstanceReplicaSet, metadata: {name: none},
  spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}}}}'
refused() { matches 'spec.domain: Required' k_field vmirs/none '.status.conditions[0].message'; }
check "says so" eventually 10 refused
settled=$(k_field vmirs/none .metadata.resourceVersion)
check "tries again" eventually 20 matches '[2-9]' k_count events
check_output "and is not changed by each" "^$settled\$" k_field vmirs/none .metadata.resourceVersion

check_output "discovery of the verbs" 'virtualmachines/start.*virtualmachines/stop' raw /apis/subresources.kubevirt.io/v1
finish
