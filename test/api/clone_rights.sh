#!/bin/bash
# Disks out of another namespace: who may have them copied, by DataVolumes, machines, pools, DataSources and clones.
. "$(dirname "$0")/../lib.sh"
start_server
use_namespace clone-rights
for name in theirs third; do k create namespace $name >/dev/null; done
bob() { k --as bob "$@"; }
k create role all --verb='*' --resource=datavolumes.cdi.kubevirt.io,datasources.cdi.kubevirt.io,virtualmachines.kubevirt.io,virtualmachinepools.pool.kubevirt.io >/dev/null
k create rolebinding all --role=all --user=bob >/dev/null

data_volume() { # NAME SOURCE
	cat >"$TEST_DIR/dv.yaml" <<-END_OF_VOLUME
	apiVersion: cdi.kubevirt.io/v1beta1
	kind: DataVolume
	metadata: {name: $1}
	spec: {$2, storage: {resources: {requests: {storage: 1Gi}}}}
	END_OF_VOLUME
	bob apply -f "$TEST_DIR/dv.yaml"
}
template() { # SOURCE
	echo "[{metadata: {name: disk}, spec: {$1, storage: {resources: {requests: {storage: 1Gi}}}}}]"
}
machine_spec() { # SOURCE
	cat <<-END_OF_SPEC
	runStrategy: Halted, dataVolumeTemplates: $(template "$1"),
	template: {metadata: {labels: {app: x}}, spec: {domain: {memory: {guest: 64Mi}, devices: {disks: [{name: disk, disk: {}}]}},
	volumes: [{name: disk, dataVolume: {name: disk}}]}}
	END_OF_SPEC
}
machine() { # NAME SOURCE
	printf 'apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: %s}\nspec: {%s}\n' "$1" "$(machine_spec "$2" | tr '\n' ' ')" >"$TEST_DIR/vm.yaml"
	bob apply -f "$TEST_DIR/vm.yaml"
}
pool() { # NAME SOURCE
	printf 'apiVersion: pool.kubevirt.io/v1beta1\nkind: VirtualMachinePool\nmetadata: {name: %s}\nspec: {replicas: 0, selector: {matchLabels: {app: x}}, virtualMachineTemplate: {metadata: {labels: {app: x}}, spec: {%s}}}\n' \
		"$1" "$(machine_spec "$2" | tr '\n' ' ')" >"$TEST_DIR/pool.yaml"
	bob apply -f "$TEST_DIR/pool.yaml"
}
source_object() { # NAME NAMESPACE-OF-CLAIM
	printf 'apiVersion: cdi.kubevirt.io/v1beta1\nkind: DataSource\nmetadata: {name: %s}\nspec: {source: {pvc: {name: golden, namespace: %s}}}\n' "$1" "$2" >"$TEST_DIR/source.yaml"
	bob apply -f "$TEST_DIR/source.yaml"
}
pvc='source: {pvc: {name: golden, namespace: theirs}}'
snapshot='source: {snapshot: {name: vmsnapshot-1-volume-x, namespace: theirs}}'
reference='sourceRef: {kind: DataSource, name: golden, namespace: theirs}'
no='User bob has insufficient permissions in clone source namespace theirs'

check "of its own namespace" data_volume own 'source: {pvc: {name: golden, namespace: clone-rights}}'
check_refused "a claim of another" "$no" data_volume a "$pvc"
check_refused "a snapshot of another" "$no" data_volume a "$snapshot"
check_refused "by a DataSource of another" "$no" data_volume a "$reference"
check_refused "by a machine" "spec.dataVolumeTemplates\[0\].*Authorization failed, message is: $no" machine a "$pvc"
infers() {
	printf 'apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: a}\nspec: {instancetype: {inferFromVolume: disk}, %s}\n' \
		"$(machine_spec "$pvc" | tr '\n' ' ')" >"$TEST_DIR/vm.yaml"
	bob apply -f "$TEST_DIR/vm.yaml"
}
check_refused "nor is it told to a machine what there is" "Authorization failed, message is: $no" infers
check_refused "by a machine and a DataSource" "Authorization failed, message is: $no" machine a "$reference"
check_refused "by a pool" "Authorization failed, message is: $no" pool a "$pvc"
check_refused "by a DataSource of its own" "$no" source_object golden theirs
check "a machine without" machine late 'source: {blank: {}}'
check_refused "that gets it later" "Authorization failed, message is: $no" machine late "$pvc"

k -n theirs create role cloner --verb=create --resource=datavolumes.cdi.kubevirt.io/source >/dev/null
k -n theirs create rolebinding cloner --role=cloner --user=bob >/dev/null
check "who may: a claim" data_volume b "$pvc"
check "its claim is asked for there" eventually 20 matches "CloneSourceDoesNotExist" k get dv b -o 'jsonpath={.status.conditions}'
check "a snapshot" data_volume c "$snapshot"
check "its claim says where from" eventually 20 matches theirs k get pvc c -o 'jsonpath={.metadata.annotations.hanok\.io/disk-source-namespace}'
check "a machine" machine b "$pvc"
check "a pool" pool b "$pvc"
check "a DataSource" source_object golden theirs
k -n theirs apply -f - >/dev/null <<'END_OF_SOURCE'
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataSource
metadata: {name: golden}
spec: {source: {pvc: {name: golden, namespace: theirs}}}
END_OF_SOURCE
check "by a DataSource there" data_volume d "$reference"
check_output "which is put in its place" '^theirs/golden$' k get dv d -o 'jsonpath={.spec.source.pvc.namespace}/{.spec.source.pvc.name}'
printf 'apiVersion: cdi.kubevirt.io/v1beta1\nkind: DataSource\nmetadata: {name: far, namespace: theirs}\nspec: {source: {pvc: {name: x, namespace: third}}}\n' >"$TEST_DIR/far.yaml"
check "one that leads further" k -n theirs apply -f "$TEST_DIR/far.yaml"
check_refused "needs the rights there" 'clone source namespace third' data_volume e 'sourceRef: {kind: DataSource, name: far, namespace: theirs}'

k -n third create role pods --verb=create --resource=pods >/dev/null
k -n third create rolebinding pods --role=pods --user=bob >/dev/null
check "who may create pods reads claims anyway" data_volume e 'source: {pvc: {name: golden, namespace: third}}'
check_refused "but not snapshots" 'clone source namespace third' data_volume f 'source: {snapshot: {name: vmsnapshot-1-volume-x, namespace: third}}'
finish
