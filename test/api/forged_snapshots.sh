#!/bin/bash
# Contents of snapshots written by hand: who may write them in a namespace gets nothing of another one by them, and the server
# goes on.
. "$(dirname "$0")/../lib.sh"
start_server
k create namespace theirs >/dev/null
use_namespace forged
k create rolebinding edit --clusterrole=edit --user=bob >/dev/null
bob() { k --as bob "$@"; }
API=/apis/snapshot.kubevirt.io/v1beta1/namespaces/forged

foreign='{pvc: {name: golden, namespace: theirs}}'
size='storage: {resources: {requests: {storage: 1Gi}}}'
machine_spec() { # SOURCE
	cat <<-END_OF_SPEC | tr '\n' ' '
	{runStrategy: Halted, dataVolumeTemplates: [{metadata: {name: disk}, spec: {source: $1, $size}}],
	template: {spec: {domain: {memory: {guest: 64Mi}, devices: {disks: [{name: disk, disk: {}}]}}, volumes: [{name: disk, dataVolume: {name: disk}}]}}}
	END_OF_SPEC
}
backup='{volumeName: disk, volumeSnapshotName: vmsnapshot-1-volume-disk, persistentVolumeClaim: {metadata: {name: disk},
	spec: {accessModes: [ReadWriteOnce], storageClassName: hanok-local, resources: {requests: {storage: 1Gi}}}}}'
content() { # NAME SPEC
	printf 'apiVersion: snapshot.kubevirt.io/v1beta1\nkind: VirtualMachineSnapshotContent\nmetadata: {name: %s, labels: {hanok.io/node: n1}}\nspec: {virtualMachineSnapshotName: %s, %s}\n' \
		"$1" "$1" "$(tr '\n' ' ' <<<"$2")" >"$TEST_DIR/content.yaml"
	bob apply --validate=false -f "$TEST_DIR/content.yaml"
}
status() { # RESOURCE NAME STATUS
	raw "$API/$1/$2/status" -f -X PATCH -H 'Content-Type: application/merge-patch+json' -d "{\"status\":$3}" >/dev/null
}
# As the loop and a node would, for a content of that name.
taken() {
	bob create -f - >/dev/null <<-END_OF_SNAPSHOT
	{apiVersion: snapshot.kubevirt.io/v1beta1, kind: VirtualMachineSnapshot, metadata: {name: $1},
		spec: {source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: gone}}}
	END_OF_SNAPSHOT
	status virtualmachinesnapshotcontents "$1" '{"readyToUse":true,"creationTime":"2026-01-02T03:04:05Z"}' &&
		status virtualmachinesnapshots "$1" "{\"readyToUse\":true,\"phase\":\"Succeeded\",\"virtualMachineSnapshotContentName\":\"$1\"}"
}
restore() { # NAME TARGET
	printf 'apiVersion: snapshot.kubevirt.io/v1beta1\nkind: VirtualMachineRestore\nmetadata: {name: %s}\nspec: {target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: %s}, virtualMachineSnapshotName: %s}\n' \
		"$1" "$2" "$1" | bob create -f -
}
has_failed() { matches "$2" k get vmrestore "$1" -o 'jsonpath={.status.conditions[?(@.type=="Failure")].reason}'; }
none() { [ "$(k_count "$@")" = 0 ]; }

printf 'apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: direct}\nspec: %s\n' "$(machine_spec "$foreign")" >"$TEST_DIR/vm.yaml"
check_refused "bob has no rights there" 'insufficient permissions in clone source namespace theirs' bob create -f "$TEST_DIR/vm.yaml"
forbidden() { bob patch "$1" "$2" --subresource=status --type=merge -p '{"status":{"readyToUse":true}}'; }

content bare "source: {virtualMachine: {metadata: {name: gone}, spec: $(machine_spec "$foreign")}}" >/dev/null
check_refused "nor says that a snapshot is taken" 'cannot patch resource "virtualmachinesnapshotcontents/status"' forbidden vmsnapshotcontent bare
printf 'apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: mine}\nspec: %s\n' "$(machine_spec '{blank: {}}')" >"$TEST_DIR/mine.yaml"
check "he has a machine" bob create -f "$TEST_DIR/mine.yaml"
check "a content without a disk, whose machine would take one" taken bare
check "is restored to it" restore bare mine
check "but not so" eventually 30 has_failed bare 'would take a disk out of namespace theirs'
source_of() { k get "$@" -o 'jsonpath={.spec.source}{.spec.dataVolumeTemplates[0].spec.source}'; }
check_output "the machine is as it was" '^\{"blank":\{\}\}$' source_of vm mine

claim_of() { k_field "vmrestore/$1" '.status.restores[0].persistentVolumeClaim'; }
claimed() { [ -n "$(claim_of "$1")" ] && k get pvc "$(claim_of "$1")"; }
filled() { # as the node does
	raw "/api/v1/namespaces/forged/persistentvolumeclaims/$(claim_of "$1")/status" -f -X PATCH -H 'Content-Type: application/merge-patch+json' \
		-d '{"status":{"phase":"Bound"}}' >/dev/null
}
content whole "source: {virtualMachine: {metadata: {name: gone}, spec: $(machine_spec "$foreign")}}, volumeBackups: [$backup]" >/dev/null
taken whole
check "one with the disk is restored too" restore whole whole
check "its claim is made" eventually 30 claimed whole
filled whole
check "its DataVolume is a copy of the snapshot's disk, not of the other namespace's" eventually 30 matches \
	'^\{"snapshot":\{"name":"vmsnapshot-1-volume-disk","namespace":"forged"\}\}$' source_of dv "$(claim_of whole)"

content unfinished "source: {virtualMachine: {metadata: {name: gone}, spec: $(machine_spec "$foreign")}}, volumeBackups: [$backup]" >/dev/null
taken unfinished
check "one that is not waited for" restore unfinished unfinished
check "makes a claim" eventually 30 claimed unfinished
unfinished=$(claim_of unfinished)
check "is deleted" bob delete vmrestore unfinished --timeout=30s
check "and its claim goes with it" eventually 30 none "pvc/$unfinished"

# A machine that is there vouches for its templates: its writer was asked.
sed 's/name: direct/name: gone/' "$TEST_DIR/vm.yaml" >"$TEST_DIR/gone.yaml"
check "who may has a machine with such a disk" k create -f "$TEST_DIR/gone.yaml"
content kept "source: {virtualMachine: {metadata: {name: gone}, spec: $(machine_spec "$foreign")}}, volumeBackups: [$backup]" >/dev/null
taken kept
check "its snapshot is restored" restore kept kept
check "its claim is made" eventually 30 claimed kept
filled kept
check "and stays a copy of what it was" eventually 30 matches '^\{"pvc":\{"name":"golden","namespace":"theirs"\}\}$' source_of dv "$(claim_of kept)"

# --- what no loop writes ---
forge() { # NAME SPEC
	content "$1" "$2" >/dev/null && taken "$1" && restore "$1" "t-$1" >/dev/null
}
lives() { [ "$(raw /livez)" = ok ]; }
domain='domain: {devices: {}}'
claim='persistentVolumeClaim: {metadata: {name: disk}, spec: {}}' # nothing of it is right
halted="virtualMachine: {metadata: {name: x}, spec: {runStrategy: Halted, template: {}}}"
check_refused "a content of no machine" 'spec.source.virtualMachine: Required value' content bad "source: {}, volumeBackups: [{volumeName: a, $claim}]"
check_refused "one of a machine without a spec" 'spec.source.virtualMachine.spec: Required value' content bad "source: {virtualMachine: {metadata: {name: x}}}"
check_refused "one of a disk twice" 'spec.volumeBackups\[1\].volumeName: Duplicate value: "a"' content bad "source: {$halted}, volumeBackups: [{volumeName: a, $claim}, {volumeName: a, $claim}]"
check_refused "one of a disk of no name" 'spec.volumeBackups\[0\].volumeName: Invalid value' content bad "source: {$halted}, volumeBackups: [{volumeName: \"../..\\r\\nx: y\", $claim}]"
check_refused "one of a claim of no name" 'spec.volumeBackups\[0\].persistentVolumeClaim.metadata.name: Required value' content bad \
	"source: {$halted}, volumeBackups: [{volumeName: a, persistentVolumeClaim: {spec: {}}}]"
check_refused "one without what the claim was" 'spec.volumeBackups\[0\].persistentVolumeClaim.spec: Required value' content bad \
	"source: {$halted}, volumeBackups: [{volumeName: a, persistentVolumeClaim: {metadata: {name: disk}}}]"
forge no-spec "source: {$halted}, volumeBackups: [{volumeName: a, $claim}]"
forge other-volume "source: {virtualMachine: {metadata: {name: x}, spec: {runStrategy: Halted, template: {spec: {$domain, volumes: [{name: disk, containerDisk: {image: i}}]}}}}},
	volumeBackups: [{volumeName: disk, $claim}]"
forge no-claim-spec "source: {virtualMachine: {metadata: {name: x}, spec: {runStrategy: Halted, template: {spec: {$domain, volumes: [{name: disk, persistentVolumeClaim: {claimName: disk}}]}}}}},
	volumeBackups: [{volumeName: disk, $claim}]"
check "a snapshot of a machine of nothing is not restored" eventually 30 has_failed no-spec 'unexpected snapshot source'
listed() { [ -n "$(claim_of "$1")" ]; }
check "one of a volume that is no claim gets one" eventually 30 listed other-volume
check "the server lives" lives

k create secret generic token --from-literal=token=secret >/dev/null
is_ready() { matches '^Ready$' k_field "vmexport/$1" .status.phase; }
download() { # NAME PATH [CURL_OPTION...]
	raw "/api/export.kubevirt.io/v1/namespaces/forged/virtualmachineexports/$1/$2" -H 'x-kubevirt-export-token: secret' "${@:3}"
}
for name in no-spec no-claim-spec; do
	bob create -f - >/dev/null <<-END_OF_EXPORT
	{apiVersion: export.kubevirt.io/v1, kind: VirtualMachineExport, metadata: {name: $name}, spec: {tokenSecretRef: token,
		source: {apiGroup: snapshot.kubevirt.io, kind: VirtualMachineSnapshot, name: $name}}}
	END_OF_EXPORT
	check "an export of it: $name" eventually 30 is_ready $name
done
check_output "has manifests of what there is" '"VirtualMachine"' download no-spec external/manifests/all
check_output "has them without what the claim was" '"DataVolume"' download no-claim-spec external/manifests/all
check_output "its disk is on no node" '"code":404' download no-claim-spec volumes/disk/disk.img.gz
check_output "no cache keeps the token of an export" '[Cc]ache-[Cc]ontrol: no-cache, private' download no-claim-spec external/manifests/secret -D -
check "the server lives" lives

# A Secret's name is longer than an export's may be: tried more and more seldom, not without a pause.
long=$(printf 'x%.0s' {1..245})
bob create -f - >/dev/null <<-END_OF_EXPORT
{apiVersion: export.kubevirt.io/v1, kind: VirtualMachineExport, metadata: {name: $long}, spec: {ttlDuration: 2562047h,
	source: {apiGroup: snapshot.kubevirt.io, kind: VirtualMachineSnapshot, name: no-spec}}}
END_OF_EXPORT
tries() { raw /metrics | awk "/apiserver_request_total.*verb=\"POST\",resource=\"$1\".*code=\"422\"/ { n += \$2 } END { print n + 0 }"; }
tried() { [ "$(tries "$1")" -gt 0 ]; }
check "an export whose Secret can't be made" eventually 30 tried secrets
forge two-claims "source: {virtualMachine: {metadata: {name: x}, spec: {runStrategy: Halted, template: {spec: {$domain, volumes: [{name: a, persistentVolumeClaim: {claimName: a}}, {name: b, persistentVolumeClaim: {claimName: b}}]}}}}},
	volumeBackups: [{volumeName: a, persistentVolumeClaim: {metadata: {name: a}, spec: {}}}, {volumeName: b, persistentVolumeClaim: {metadata: {name: b}, spec: {}}}]"
check "a restore whose claims can't be" eventually 30 tried persistentvolumeclaims
sleep 3
check_output "neither keeps the server busy: secrets" '^[1-9]?[0-9]$' tries secrets
check_output "claims" '^[1-9]?[0-9]$' tries persistentvolumeclaims
finish
