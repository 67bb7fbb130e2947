#!/bin/bash
# Objects of virtual machines that no honest client writes: what is taken of them must neither end the server nor stop its loops.
# HANOK_TEST_HOSTILE=COUNT[:SEED]: so many of them, others; 0 = all (minutes).
. "$(dirname "$0")/../lib.sh"
start_server
raw /livez >/dev/null
IFS=: read -r count seed <<<"${HANOK_TEST_HOSTILE:-250}"
sent() {
	python3 -B "$TEST_ROOT/test/api/hostile_machines.py" "$SERVER_URL" "$TEST_DIR/ca.crt" "$TEST_DIR/client.crt" "$TEST_DIR/client.key" \
		"$count" "${seed:-1}"
}
check_output "the server takes what is sent, or refuses it" '[1-9][0-9]* of them taken' sent
check "and lives" kill -0 "$SERVER_PID"

# What can't be done is tried again now and then, not without a pause.
requests() { raw /metrics | awk '/^apiserver_request_total/ { n += $2 } END { print n }'; }
quiet() {
	local before
	before=$(requests)
	sleep 2
	[ $(($(requests) - before)) -lt 200 ]
}
check "no loop goes round and round" eventually 20 quiet

# Its loops go on: each does its first step for an object that is as it should be.
use_namespace honest
create() { k create -f - <<<"{apiVersion: $1, kind: $2, metadata: {name: good}, spec: $3}"; }
ref='apiGroup: kubevirt.io, kind: VirtualMachine, name: good'
create kubevirt.io/v1 VirtualMachine '{runStrategy: Halted, template: {spec: {domain: {devices: {}, memory: {guest: 64Mi}}}}}' >/dev/null
create snapshot.kubevirt.io/v1beta1 VirtualMachineSnapshot "{source: {$ref}}" >/dev/null
create clone.kubevirt.io/v1beta1 VirtualMachineClone "{source: {$ref}, target: {${ref/good/copy}}}" >/dev/null
create export.kubevirt.io/v1 VirtualMachineExport "{source: {$ref}}" >/dev/null
create cdi.kubevirt.io/v1beta1 DataVolume '{source: {blank: {}}, storage: {resources: {requests: {storage: 1Gi}}}}' >/dev/null
create pool.kubevirt.io/v1beta1 VirtualMachinePool '{replicas: 2, selector: {matchLabels: {app: p}}, virtualMachineTemplate: {metadata: {labels: {app: p}},
	spec: {runStrategy: Halted, template: {metadata: {labels: {app: p}}, spec: {domain: {devices: {}, memory: {guest: 64Mi}}}}}}}' >/dev/null
two() { [ "$(k_count vm -l app=p)" = 2 ]; }
check "a machine" eventually 30 matches Stopped k_field vm/good .status.printableStatus
check "a snapshot" eventually 30 matches true k_field vmsnapshot/good .status.readyToUse
check "a clone" eventually 30 k get vm copy
check "an export" eventually 30 matches 'Skipped|Pending' k_field vmexport/good .status.phase
check "a DataVolume" eventually 30 k get pvc good
check "a pool" eventually 30 two
finish
