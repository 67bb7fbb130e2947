#!/bin/bash
# Clones of virtual machines, linked and full, of machines and of snapshots; exports of their disks; and what deleting
# them leaves.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-clones
local_dir=/var/lib/hanok/local

cat >"$TEST_DIR/vm.yaml" <<'END_OF_VM'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, annotations: {volume.kubernetes.io/selected-node: node1}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 512Mi}}}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: golden, labels: {app: golden, team: blue}}
spec:
  runStrategy: Halted
  template:
    metadata: {labels: {app: golden}}
    spec:
      hostname: golden-host
      terminationGracePeriodSeconds: 0
      domain:
        firmware: {uuid: 7a1d8cd9-0cd5-4b60-9a13-53a4b5d0a111, serial: old}
        memory: {guest: 128Mi}
        devices:
          disks: [{name: data, disk: {bus: virtio}}]
          interfaces: [{name: default, bridge: {}, macAddress: "02:00:00:00:0a:01"}]
      networks: [{name: default, pod: {}}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
END_OF_VM
layers() { on_node 1 find $local_dir -name '*.qcow2' | sort; }
layers >"$TEST_DIR/layers" 2>/dev/null || true # of other tests
snapshot() {
	k apply -f - <<-END_OF_SNAPSHOT
	apiVersion: snapshot.kubevirt.io/v1beta1
	kind: VirtualMachineSnapshot
	metadata: {name: $1}
	spec: {source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: golden}}
	END_OF_SNAPSHOT
}
clone() { # NAME GROUP KIND SOURCE MORE
	k apply -f - <<-END_OF_CLONE
	apiVersion: clone.kubevirt.io/v1beta1
	kind: VirtualMachineClone
	metadata:
	  name: $1
	  annotations: {${6:-}}
	spec:
	  source: {apiGroup: $2, kind: $3, name: $4}
	  target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: $1}
	  ${5:-}
	END_OF_CLONE
}
cloned() { k wait --for=jsonpath='{.status.phase}'=Succeeded "vmclone/$1" --timeout=120s; }
dir_of() { echo "$local_dir/pvc-$(k_field "pvc/$1" .metadata.uid)"; }
claim_of() { k_field "vm/$1" '.spec.template.spec.volumes[0].persistentVolumeClaim.claimName'; }
# As a guest would: into the top layer, of a machine that is stopped.
write() { # CLAIM TEXT
	printf %s "$2" >"$LAB/node1/var/tmp/e2e-clones"
	# shellcheck disable=SC2016 # for the node's shell
	on_node 1 sh -c 'top=$(sed "s/.*\"top\":\"\([^\"]*\)\".*/\1/" "$1/disk.json") && truncate -s 512 /var/tmp/e2e-clones &&
		qemu-io -f qcow2 -c "write -s /var/tmp/e2e-clones 0 512" "$1/$top"' sh "$(dir_of "$1")"
}
shows() { shows_dir "$(dir_of "$1")"; } # CLAIM
shows_dir() {
	# shellcheck disable=SC2016 # for the node's shell
	on_node 1 sh -c 'top=$(sed "s/.*\"top\":\"\([^\"]*\)\".*/\1/" "$1/disk.json") && qemu-img dd -U -f qcow2 -O raw bs=512 count=1 \
		"if=$1/$top" of=/var/tmp/e2e-clones.out && head -c 5 /var/tmp/e2e-clones.out' sh "$1"
}
shared() { on_node 1 sh -c "find $(dir_of "$1") -name '*.qcow2' -links +1 | wc -l"; }
gone() { ! k get "$@" 2>/dev/null; }

check "machine and claim" k apply -f "$TEST_DIR/vm.yaml"
check "a snapshot makes the empty disk" snapshot first
check "is taken" k wait --for=jsonpath='{.status.readyToUse}'=true vmsnapshot/first --timeout=120s
check "its disk gets data" write data alpha
check "a clone of the stopped machine" clone linked kubevirt.io VirtualMachine golden 'labelFilters: ["*", "!team"]'
check "succeeds" cloned linked
check "it waits for its user" eventually 20 matches 'linked .*Stopped' k get vm linked
check_output "labels by the filters" '^map\[app:golden\]$|^\{"app":"golden"\}$' k get vm linked -o 'jsonpath={.metadata.labels}'
check_output "nothing of the source's identity" '^$' k get vm linked \
	-o 'jsonpath={.spec.template.spec.hostname}{.spec.template.spec.domain.firmware.uuid}'
check_output "an address of its own" '^02:([^0].|.[^0]):' k get vm linked \
	-o 'jsonpath={.spec.template.spec.domain.devices.interfaces[0].macAddress}'
check "it has the data" matches '^alpha' shows "$(claim_of linked)"
check "by links" matches '^[1-9]' shared "$(claim_of linked)"
check "what was made on the way is gone" eventually 20 matches '^1$' k_count vmsnapshot
check "nor a restore" eventually 20 matches '^0$' k_count vmrestore
check "the clone writes" write "$(claim_of linked)" gamma
check "the source does not see it" matches '^alpha' shows data
check "the source writes" write data delta
check "the clone does not see that" matches '^gamma' shows "$(claim_of linked)"
check "a full clone of a snapshot" clone full snapshot.kubevirt.io VirtualMachineSnapshot first \
	'newMacAddresses: {default: "02:00:00:00:0a:02"}' 'hanok.io/disk-clone-mode: full'
check "succeeds" cloned full
check "it shares nothing" matches '^0$' shared "$(claim_of full)"
check_output "its address is the given one" '^02:00:00:00:0a:02$' k get vm full \
	-o 'jsonpath={.spec.template.spec.domain.devices.interfaces[0].macAddress}'
check "a clone over a machine that is there" clone wrong kubevirt.io VirtualMachine golden
check "that is no machine yet: it is made" cloned wrong
k delete vmclone wrong >/dev/null 2>&1
check "once more" clone wrong kubevirt.io VirtualMachine golden
check "fails" k wait --for=jsonpath='{.status.phase}'=Failed vmclone/wrong --timeout=60s

cat >"$TEST_DIR/copies.yaml" <<END_OF_COPIES
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: copy}
spec: {source: {pvc: {namespace: e2e-clones, name: data}}, storage: {}}
---
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: kept, annotations: {cdi.kubevirt.io/storage.bind.immediate.requested: "true"}}
spec:
  source: {snapshot: {namespace: e2e-clones, name: vmsnapshot-$(k_field vmsnapshot/first .metadata.uid)-volume-data}}
  storage: {resources: {requests: {storage: 512Mi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: plain, annotations: {volume.kubernetes.io/selected-node: node1, hanok.io/disk-clone-mode: full}}
spec: {accessModes: [ReadWriteOnce], dataSource: {kind: PersistentVolumeClaim, name: data}, resources: {requests: {storage: 512Mi}}}
---
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: small}
spec: {source: {pvc: {namespace: e2e-clones, name: data}}, storage: {resources: {requests: {storage: 256Mi}}}}
END_OF_COPIES
filled() { k wait --for=jsonpath='{.status.phase}'=Succeeded "dv/$1" --timeout=120s; }
check "DataVolumes of a claim and of a snapshot" k apply -f "$TEST_DIR/copies.yaml"
check "the claim's copy is there" filled copy
check "with its data" matches '^delta' shows copy
check "by links" matches '^[1-9]' shared copy
check "the copy writes" write copy omega
check "the source does not see that" matches '^delta' shows data
check "the snapshot's copy is there" filled kept
check "with what was: nothing" matches '^[^d]' eval 'shows kept | od -An -tx1'
check "a claim whose dataSource is a claim" k wait --for=jsonpath='{.status.phase}'=Bound pvc/plain --timeout=120s
check "has the data" matches '^delta' shows plain
check "and shares nothing where it is asked for" matches '^0$' shared plain
# Its program is stopped on the way, so that it does not end before the claim goes.
copy_stopped() {
	local n
	for n in 1 2 3 4 5; do
		on_node 1 timeout 10 sh -c "until pid=\$(pgrep -f '[q]emu-img convert .*$(dir_of data)/'); do sleep 0.01; done; kill -STOP \$pid" &
		hasty=$(sed -n '/metadata: {name: plain,/,/^---/p' "$TEST_DIR/copies.yaml" |
			sed "/^---/d; s/name: plain/name: hasty-$n/; 1i apiVersion: v1\\nkind: PersistentVolumeClaim" |
			k create -o 'jsonpath={.metadata.uid}' -f -)
		wait $! && on_node 1 test -e "$local_dir/.new-pvc-$hasty" && return
	done
	return 1
}
leaves_nothing() { on_node 1 sh -c "[ ! -e $local_dir/pvc-$hasty ] && [ ! -e $local_dir/.new-pvc-$hasty ] && ! pgrep -f '[q]emu-img convert .*$local_dir'"; }
check "a copy that is under way" copy_stopped
check "its claim is deleted" k delete pvc --timeout=60s "$(k get pvc -o 'jsonpath={range .items[*]}{.metadata.uid} {.metadata.name}{"\n"}{end}' | sed -n "s/^$hasty //p")"
check "nothing is left of it" eventually 20 leaves_nothing
check "one that is too small is refused" eventually 20 matches 'smaller than the source' k get dv small \
	-o 'jsonpath={.status.conditions}'
elsewhere() { k --namespace e2e-clones-other "$@"; }
cat >"$TEST_DIR/elsewhere.yaml" <<END_OF_COPIES
apiVersion: v1
kind: Namespace
metadata: {name: e2e-clones-other}
---
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: copy, namespace: e2e-clones-other, annotations: {cdi.kubevirt.io/storage.bind.immediate.requested: "true"}}
spec: {source: {pvc: {namespace: e2e-clones, name: data}}, storage: {}}
---
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: kept, namespace: e2e-clones-other, annotations: {cdi.kubevirt.io/storage.bind.immediate.requested: "true"}}
spec:
  source: {snapshot: {namespace: e2e-clones, name: vmsnapshot-$(k_field vmsnapshot/first .metadata.uid)-volume-data}}
  storage: {resources: {requests: {storage: 512Mi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: stolen
  namespace: e2e-clones-other
  annotations: {volume.kubernetes.io/selected-node: node1, hanok.io/disk-source-namespace: e2e-clones, hanok.io/disk-from-volume: data,
    hanok.io/disk-from-content: "$(k_field vmsnapshot/first .status.virtualMachineSnapshotContentName)"}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 512Mi}}}
END_OF_COPIES
check "DataVolumes of another namespace" "$KUBECTL" --kubeconfig "$KUBECONFIG_FILE" apply -f "$TEST_DIR/elsewhere.yaml"
there() { elsewhere wait --for=jsonpath='{.status.phase}'=Succeeded "dv/$1" --timeout=120s; }
check "the claim's copy is there" there copy
check "with its data" matches '^delta' shows_dir "$local_dir/pvc-$(elsewhere get pvc copy -o 'jsonpath={.metadata.uid}')"
check "the snapshot's copy is there" there kept
check "a claim that only says so gets nothing" eventually 20 matches 'its DataVolume does not say so|DataVolume of PVC' elsewhere get events \
	--field-selector involvedObject.name=stolen -o 'jsonpath={.items[*].message}'
check_output "it is not bound" '^Pending$' elsewhere get pvc stolen -o 'jsonpath={.status.phase}'
check "that namespace goes" k delete namespace e2e-clones-other --timeout=120s
check "the copies go" k delete dv/copy dv/kept dv/small pvc/plain --timeout=60s

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
  source: {apiGroup: "", kind: PersistentVolumeClaim, name: data}
---
apiVersion: export.kubevirt.io/v1
kind: VirtualMachineExport
metadata: {name: kept}
spec: {source: {apiGroup: snapshot.kubevirt.io, kind: VirtualMachineSnapshot, name: first}}
END_OF_EXPORT
url() { k get vmexport "$1" -o "jsonpath={.status.links.external.volumes[0].formats[?(@.format==\"$2\")].url}"; }
fetch() { # EXPORT FORMAT TOKEN
	k get vmexport "$1" -o 'jsonpath={.status.links.external.cert}' >"$TEST_DIR/ca.crt"
	curl -sS --fail --max-time 120 --cacert "$TEST_DIR/ca.crt" -H "x-kubevirt-export-token: $3" "$(url "$1" "$2")"
}
ready() { k wait --for=jsonpath='{.status.phase}'=Ready "vmexport/$1" --timeout=60s; }
first_bytes() { fetch disk raw opensesameopensesame >"$TEST_DIR/disk.img" && stat -c %s "$TEST_DIR/disk.img" && head -c 5 "$TEST_DIR/disk.img"; }
unpacked() { fetch disk gzip opensesameopensesame | gunzip | cmp - "$TEST_DIR/disk.img" && echo same; }
own_token() { k get secret "$(k_field vmexport/kept .status.tokenSecretRef)" -o 'jsonpath={.data.token}' | base64 -d; }
check "exports" k apply -f "$TEST_DIR/export.yaml"
check "are ready" ready disk
check "of a snapshot too" ready kept
check_output "the disk, raw" '^536870912.delta$' first_bytes
check_output "the same, compressed" '^same$' unpacked
check_refused "not with another token" '401' fetch disk raw opensesameopensesamf
head_of() { curl -sS -I --cacert "$TEST_DIR/ca.crt" -H "x-kubevirt-export-token: opensesameopensesame" "$(url disk raw)" | tr -d '\r' | tr '\n' ' '; }
check_output "its size is told" 'HTTP/[0-9.]+ 200 .*[Cc]ontent-[Ll]ength: 536870912 ' head_of
part() { curl -sS --max-time 60 --cacert "$TEST_DIR/ca.crt" -H "x-kubevirt-export-token: opensesameopensesame" -w ' %{http_code} %{size_download}' -r "$1" "$(url disk raw)" | tr -d '\0'; }
check_output "a part of it" '^elta 206 511$' part 1-511
check_output "the end of it" '^ 206 4096$' part 536866816-
check_output "what is behind its end" '^ 416 0$' part 536870912-
etag=$(head_of | sed -n 's/.*[Ee][Tt]ag: \("[^"]*"\).*/\1/p')
check_output "its bytes have a name" '^"[0-9a-f]+"$' echo "$etag"
part_if() { curl -sS --max-time 120 -o "$TEST_DIR/part" --cacert "$TEST_DIR/ca.crt" -H "x-kubevirt-export-token: opensesameopensesame" -H "If-Range: $1" -w '%{http_code} %{size_download}' -r 0-4 "$(url disk raw)"; }
check_output "a part of just these" '^206 5$' part_if "$etag"
check_output "of others all is sent" '^200 536870912$' part_if '"0123456789abcdef"'
# A client that stops taking.
exec 9< <(curl -sS --cacert "$TEST_DIR/ca.crt" -H "x-kubevirt-export-token: opensesameopensesame" "$(url disk raw)" 2>/dev/null)
head -c 1 <&9 >/dev/null
readers() { on_node 1 ps -o uid= -C qemu-nbd; }
check "qemu-nbd reads it as a user of its own" eventually 20 matches '^ *2[0-9]{9}$' readers
none() { [ -z "$(readers)" ]; }
check "who takes nothing for a minute is let go" eventually 100 none
check_output "its socket goes" '^$' on_node 1 sh -c 'ls -d /var/lib/hanok/.export-* 2>/dev/null; true'
top_owner() { on_node 1 sh -c 'stat -c "%u %a" "$1/$(sed "s/.*\"top\":\"\([^\"]*\)\".*/\1/" "$1/disk.json")"' sh "$(dir_of data)"; }
check "the disk is root's again" eventually 20 matches '^0 600$' top_owner
exec 9<&-
check_output "its bytes are the same" "$etag" head_of
# An agent that dies while it reads leaves the disk lent to a program that is gone: the next one takes it back.
exec 9< <(curl -sS --cacert "$TEST_DIR/ca.crt" -H "x-kubevirt-export-token: opensesameopensesame" "$(url disk raw)" 2>/dev/null)
head -c 1 <&9 >/dev/null
check "it is read again" eventually 20 matches '^ *2[0-9]{9}$' readers
check "the agent dies" on_node 1 lab-proc end /run/lab/hanok-node.pid 0
exec 9<&-
check "and the program that reads with it" eventually 20 none
check_output "the disk stays lent" '^2[0-9]{9} ' top_owner
check "the agent comes back" lab_node_up 1
check "a download is what it was" eventually 60 matches '^536870912.delta$' first_bytes
check "the disk is root's again" eventually 20 matches '^0 600$' top_owner
check_output "no socket is left" '^$' on_node 1 sh -c 'ls -d /var/lib/hanok/.export-* 2>/dev/null; true'
empty() { fetch kept gzip "$(own_token)" | gunzip | cmp -n 536870912 - /dev/zero; }
check "the snapshot has what was: nothing" empty
check "a claim goes on after that" write data delta
renamed() { head_of | grep -q 'ag: "' && ! head_of | grep -qF "$etag"; }
check "and what was written has another name" eventually 20 renamed


# The machine by its manifest, in another namespace: its disk comes from the export. (The lab's hosts know the server by another
# address than those who stand outside.)
virt() { "$HANOK" virt "$@" --kubeconfig "$KUBECONFIG_FILE" -n e2e-clones; }
elsewhere_again() { "$KUBECTL" --kubeconfig "$KUBECONFIG_FILE" -n e2e-clones-moved "$@"; }
check "another namespace" k create namespace e2e-clones-moved
moved() {
	virt export download moving --vm golden --manifest --include-secret >"$TEST_DIR/moved.yaml" &&
		sed -i "s/namespace: e2e-clones\$/namespace: e2e-clones-moved/; /macAddress:/d; s,https://[^/]*/api/,https://$LAB_FABRIC_ADDRESS:6443/api/," \
			"$TEST_DIR/moved.yaml" &&
		elsewhere_again create -f "$TEST_DIR/moved.yaml" &&
		elsewhere_again annotate dv data cdi.kubevirt.io/storage.bind.immediate.requested=true
}
check "a machine's manifests are taken there" moved
moved_there() { elsewhere_again wait --for=jsonpath='{.status.phase}'=Succeeded dv/data --timeout=30s; }
check "and its disk, by the links in them" eventually 40 moved_there
check "which has the same in it" matches '^delta' shows_dir "$local_dir/pvc-$(elsewhere_again get pvc data -o 'jsonpath={.metadata.uid}')"
check "the export stays until it is deleted" virt export delete moving
check "that namespace goes, too" k delete namespace e2e-clones-moved --timeout=120s

check "the source goes, with its snapshots" k delete vm/golden vmsnapshot/first vmexport/disk vmexport/kept --timeout=60s
check "its claim was only named: it stays" k get pvc data
check "the clone does not notice" matches '^gamma' shows "$(claim_of linked)"
check "all machines go" k delete vm --all --timeout=60s
check "with the claims that were made for them" eventually 30 matches '^persistentvolumeclaim/data$' k get pvc -o name
check "the last claim goes" k delete pvc data --timeout=60s
nothing_left() { layers | diff "$TEST_DIR/layers" -; }
check "and no layer is left" eventually 40 nothing_left
finish
