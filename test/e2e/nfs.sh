#!/bin/bash
# Disks on an NFS server, by QEMU's own client: made, written, full, away and back. The server is nfs-ganesha on the
# lab's host, its file system a small tmpfs.
# shellcheck source=test/nfs_server.sh
. "$(dirname "$0")/../nfs_server.sh"
if missing=$(nfs_server_missing); then
	echo "1..0 # SKIP $missing"
	exit 0
fi
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-nfs
condition() { k get "$1" -o "jsonpath={.status.conditions[?(@.type==\"$2\")].reason}: {.status.conditions[?(@.type==\"$2\")].message}"; }
events() { k get events -o "jsonpath={range .items[?(@.reason==\"$1\")]}{.message}{\"\n\"}{end}"; }
agent_kill() { on_node 1 sh -c 'lab-proc alive /run/lab/hanok-node.pid && lab-proc end /run/lab/hanok-node.pid 0'; }

# The server.
pool=/run/e2e-nfs
check "an NFS server" nfs_server_up $pool 160

# A volume made by hand.
on_node 1 sh -c "mkdir $pool/vms/by-hand && chmod 777 $pool/vms/by-hand"
k create -f - >/dev/null <<END
apiVersion: v1
kind: PersistentVolume
metadata: {name: e2e-nfs}
spec:
  capacity: {storage: 24Mi}
  accessModes: [ReadWriteOnce, ReadWriteMany]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: by-hand
  nfs: {server: 127.0.0.1, path: /vms/by-hand}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: by-hand
  resources: {requests: {storage: 24Mi}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: e2e-nfs-again}
spec:
  capacity: {storage: 24Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: by-hand-again
  nfs: {server: 127.0.0.1, path: /vms//by-hand/}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: again}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: by-hand-again
  resources: {requests: {storage: 24Mi}}
END
# The server trusts the node; pods may not come to it with the node's address.
k create -f - >/dev/null <<'END'
apiVersion: v1
kind: Pod
metadata: {name: other}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: "registry.lab:5000/web:latest", command: [sleep, "3600"]}
END
check "a pod" k wait --for=condition=Ready pod/other --timeout=120s
refused_servers() { on_node 1 nft list table inet hanok-servers; }
check "NFS servers of volumes are known to the node's rules" eventually 30 matches 'tcp . 20048' refused_servers
node_ip=$(k_field node/node1 '.status.addresses[?(@.type=="InternalIP")].address')
pod_connects() { k exec other -- sh -c 'echo | timeout 5 nc "$@"' sh "$node_ip" "$1"; }
check_refused "the pod does not reach NFS" '' pod_connects 2049
check_refused "nor rpcbind" '' pod_connects 111
check "but other ports of that address" pod_connects 10250
check "the node reaches all" nfs_server_answers
k delete pod other --wait=false >/dev/null

guest() { # NAME VOLUME COMMAND
	cat <<END
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: $1}
spec:
  terminationGracePeriodSeconds: 0
  domain:
    memory: {guest: 128Mi}
    devices:
      disks:
      - {name: root, disk: {bus: virtio}}
      - {name: seed, disk: {bus: virtio}}
      - {name: data, disk: {bus: virtio}}
  volumes:
  - {name: root, containerDisk: {image: "registry.lab:5000/vm-web:latest"}}
  - {name: data, $2}
  - name: seed
    cloudInitNoCloud:
      userData: |
        #cloud-config
        runcmd:
        - $3
END
}
served() { on_node 1 curl -sf --max-time 3 "http://$(k_field vmi/guest '.status.interfaces[0].ipAddress')/$1"; }

# The file system is full when the guest writes: it waits, and nothing is lost. Then it writes a number again and again.
on_node 1 sh -c "dd if=/dev/zero of=$pool/vms/filler bs=64k 2>/dev/null; truncate -s -4M $pool/vms/filler"
# shellcheck disable=SC2016
guest guest 'persistentVolumeClaim: {claimName: data}' \
	'dd if=/dev/urandom of=/dev/vdc bs=64k count=160; sync; echo 3 >/proc/sys/vm/drop_caches; head -c 10485760 /dev/vdc | md5sum >/www/sum
        - "n=0; while :; do n=$((n + 1)); echo number $n | dd of=/dev/vdc bs=1M seek=12 conv=sync,fsync; echo $n >/www/number; sleep 1; done"' \
	>"$TEST_DIR/guest.yaml"
check "a guest with a disk there" k apply -f "$TEST_DIR/guest.yaml"
check "runs" k wait --for=condition=Ready vmi/guest --timeout=240s
check_output "libvirt knows the server" "protocol='nfs' name='/vms/by-hand/disk.img'" lab_virsh dumpxml e2e-nfs_guest
check_output "the disk is the server's, of the size of the claim" '^107 25165824$' on_node 1 stat -c '%u %s' "$pool/vms/by-hand/disk.img"
guest second 'persistentVolumeClaim: {claimName: data}' 'true' >"$TEST_DIR/second.yaml"
check "another guest with the same disk" k apply -f "$TEST_DIR/second.yaml"
check "waits: QEMU locks nothing there" eventually 60 matches 'PVC e2e-nfs/data is in use by VirtualMachineInstance guest' k describe vmi second
check "and goes at once when it is deleted" k delete vmi second --timeout=60s
guest third 'persistentVolumeClaim: {claimName: again}' 'true' >"$TEST_DIR/third.yaml"
check "one with another volume that is the same directory" k apply -f "$TEST_DIR/third.yaml"
check "waits as well" eventually 60 matches 'PVC e2e-nfs/again is in use by VirtualMachineInstance guest' k describe vmi third
plug() { "$LAB/bin/hanok" virt addvolume guest --volume-name again --kubeconfig "$KUBECONFIG_FILE" -n e2e-nfs; }
check "it is plugged into the first guest, too" plug
check "and refused, by the name of what it is" eventually 60 matches "disk.img is the disk of volume 'data', too" k describe vmi guest
check "which is told no more when it is not wanted" "$LAB/bin/hanok" virt removevolume guest --volume-name again --kubeconfig "$KUBECONFIG_FILE" -n e2e-nfs
check "a full server pauses the guest, and is named" eventually 60 matches \
	"^PausedIOError: VMI was paused, low-level IO error detected: no space left for disk 'data' .nfs://127.0.0.1/vms/by-hand/disk.img" condition vmi/guest Paused
check "the node agent is killed" agent_kill
check "and comes back" lab_node_up 1
check "there is room again" on_node 1 rm "$pool/vms/filler"
check "the guest goes on by itself" eventually 60 matches '^: $' condition vmi/guest Paused
check "all was written" eventually 60 matches '^[0-9a-f]{32}  -$' served sum
check_output "and is there" "^$(served sum)" on_node 1 sh -c "head -c 10485760 $pool/vms/by-hand/disk.img | md5sum"

# The server goes, and comes back.
check "the guest writes" eventually 60 matches '^[0-9]+$' served number
check "the server ends" nfs_server_end
before=$(served number)
check "which is told" eventually 40 matches '^StorageUnreachable: NFS server 127.0.0.1 does not answer, the guest waits for it' condition vmi/guest Synchronized
nfs_server_start
check "an NFS server again" eventually 20 nfs_server_answers
goes_on() { local now; now=$(served number) && [ "$now" -gt "$((before + 2))" ] && echo "$now"; }
check "the guest goes on writing" eventually 60 goes_on
check "nothing is told any more" eventually 40 matches '^: $' condition vmi/guest Synchronized
check "its claim grows" k patch pv e2e-nfs --type=merge -p '{"spec":{"capacity":{"storage":"32Mi"}}}'
check "and the disk, while the guest runs" eventually 40 matches '^33554432$' on_node 1 stat -c %s "$pool/vms/by-hand/disk.img"
check "delete" k delete vmi guest --timeout=120s
check "the one that waited has the disk now" eventually 60 matches '^Running$' k_field vmi/third .status.phase
check "it goes, too" k delete vmi third --timeout=120s
check_output "its disk stays" '^33554432$' on_node 1 stat -c %s "$pool/vms/by-hand/disk.img"
check "the volume goes" k delete pvc/data pv/e2e-nfs pvc/again pv/e2e-nfs-again --timeout=60s

# A file that somebody else has put there is not an import's.
on_node 1 sh -c "mkdir $pool/vms/foreign && chmod 777 $pool/vms/foreign && echo mine >$pool/vms/foreign/disk.img"
k create -f - >/dev/null <<END
apiVersion: v1
kind: PersistentVolume
metadata: {name: e2e-nfs-foreign}
spec:
  capacity: {storage: 24Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: foreign
  nfs: {server: 127.0.0.1, path: /vms/foreign}
---
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: foreign, annotations: {cdi.kubevirt.io/storage.bind.immediate.requested: "", hanok.io/populated-on: another}}
spec:
  source: {blank: {}}
  pvc: {storageClassName: foreign, accessModes: [ReadWriteOnce], resources: {requests: {storage: 24Mi}}}
END

# A class that makes volumes there.
k create -f - >/dev/null <<END
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: e2e-nfs}
provisioner: hanok.io/nfs
parameters: {server: 127.0.0.1, share: /vms}
allowVolumeExpansion: true
END
claim() { # NAME SIZE
	k create -f - >/dev/null <<END
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: $1}
spec:
  accessModes: [ReadWriteMany]
  storageClassName: e2e-nfs
  resources: {requests: {storage: $2}}
END
}
claim made 16Mi
check "a claim gets a directory" k wait --for=jsonpath='{.status.phase}'=Bound pvc/made --timeout=120s
volume=$(k_field pvc/made .spec.volumeName)
check_output "of its own on the server" "^127.0.0.1 /vms/$volume\$" k get pv "$volume" -o 'jsonpath={.spec.nfs.server} {.spec.nfs.path}'
check "which is there" on_node 1 test -d "$pool/vms/$volume"
check "the claim grows" k patch pvc made --type=merge -p '{"spec":{"resources":{"requests":{"storage":"24Mi"}}}}'
check "and says so" eventually 30 matches '^24Mi$' k_field pvc/made .status.capacity.storage
claim huge 1Ti
check "a claim larger than the server is refused" eventually 30 matches 'the whole file system of nfs://127.0.0.1/vms has 160Mi' events ProvisioningFailed
check_output "what another node fills is not filled by this one" '^(Pending|ImportScheduled|PVCBound|)$' k_field dv/foreign .status.phase
check "it is this node's" k annotate --overwrite dv/foreign hanok.io/populated-on=node1
check "a DataVolume does not take another's file for its own" k wait --for=jsonpath='{.status.phase}'=Failed dv/foreign --timeout=240s
check_output "and says so" 'nfs://127.0.0.1/vms/foreign/disk.img is there already, and this DataVolume has not made it' k describe dv foreign
check_output "the file is as it was" '^mine$' on_node 1 cat "$pool/vms/foreign/disk.img"
check "delete" k delete dv/foreign pv/e2e-nfs-foreign --timeout=60s
figures() { k get --raw /api/v1/nodes/node1/proxy/metrics; }
check_output "the pool is told of" 'hanok_storage_pool_promised_bytes.pool="nfs://127.0.0.1/vms".' figures
agent_kill
check "an agent that is killed while it takes a volume away" on_node 1 mv "$pool/vms/$volume" "$pool/vms/.removing-$volume"
on_node 1 mkdir "$pool/vms/.removing-pvc-gone"
check "comes back" lab_node_up 1
check "and puts it back" eventually 30 on_node 1 test -d "$pool/vms/$volume"
gone() { ! on_node 1 test -e "$1"; }
# Others may have volumes in this cluster.
volumes() { k get pv -o 'jsonpath={range .items[*]}{.spec.claimRef.namespace}{"\n"}{end}' | grep -cx e2e-nfs || true; }
check "what has no volume any more goes" eventually 30 gone "$pool/vms/.removing-pvc-gone"
check "delete the claims" k delete pvc made huge --timeout=60s
check "the volume goes" eventually 30 matches '^0$' volumes
check "and the directory" eventually 30 gone "$pool/vms/$volume"

# A disk that is imported, and started from.
k create -f - >/dev/null <<END
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: root}
spec:
  source: {registry: {url: "docker://registry.lab:5000/vm-web:latest"}}
  storage: {storageClassName: e2e-nfs, resources: {requests: {storage: 64Mi}}}
---
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: copy, annotations: {cdi.kubevirt.io/storage.bind.immediate.requested: ""}}
spec:
  source: {pvc: {namespace: e2e-nfs, name: root}}
  storage: {resources: {requests: {storage: 64Mi}}}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: imported}
spec:
  terminationGracePeriodSeconds: 0
  domain: {memory: {guest: 128Mi}, devices: {disks: [{name: root, disk: {bus: virtio}}]}}
  volumes:
  - {name: root, dataVolume: {name: root}}
END
check "a disk is imported to the server" k wait --for=jsonpath='{.status.phase}'=Succeeded dv/root --timeout=240s
volume=$(k_field pvc/root .spec.volumeName)
check_output "by this node" '^node1$' k_field dv/root '.metadata.annotations.hanok\.io/populated-on'
check_output "whole, and under its name" '^disk.img$' on_node 1 ls -A "$pool/vms/$volume"
check_output "nothing is left on the node" '^$' on_node 1 ls -A /var/lib/hanok/local/.nfs
check "a guest starts from it" k wait --for=condition=Ready vmi/imported --timeout=240s
k create -f - >/dev/null <<END
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: moved, annotations: {cdi.kubevirt.io/storage.bind.immediate.requested: ""}}
spec:
  source: {upload: {}}
  storage: {storageClassName: e2e-nfs, resources: {requests: {storage: 16Mi}}}
END
check "another waits for an upload" k wait --for=jsonpath='{.status.phase}'=UploadReady dv/moved --timeout=120s
staged() { on_node 1 test -d "/var/lib/hanok/local/.nfs/$(k_field dv/moved .metadata.uid)"; }
not_staged() { ! staged; }
check "on this node" eventually 30 staged
check "it is given to another one" k annotate --overwrite dv/moved hanok.io/populated-on=another
check "this one lets go of it" eventually 30 not_staged
check "and gets it back" k annotate --overwrite dv/moved hanok.io/populated-on=node1
check "to go on" eventually 30 staged
head -c 1048576 /dev/urandom >"$TEST_DIR/moved.raw"
cat >"$TEST_DIR/moved-token.yaml" <<'END'
apiVersion: upload.cdi.kubevirt.io/v1beta1
kind: UploadTokenRequest
metadata: {name: token}
spec: {pvcName: moved}
END
# The claim was bound at once: no node was selected for it.
bring() {
	local token url
	token=$(k create -o jsonpath='{.status.token}' -f "$TEST_DIR/moved-token.yaml") &&
		url=$(k get cdiconfig config -o jsonpath='{.status.uploadProxyURL}') &&
		[ "$(curl -sk -o "$TEST_DIR/moved.answer" -w '%{http_code}' -H "Authorization: Bearer $token" --data-binary "@$TEST_DIR/moved.raw" "$url/v1beta1/upload")" = 200 ]
}
check "what is uploaded comes to the node that fills it" eventually 30 bring
check "and gets to the server" k wait --for=jsonpath='{.status.phase}'=Succeeded dv/moved --timeout=120s
moved=$(k_field pvc/moved .spec.volumeName)
check "as it was" on_node 1 sh -c "head -c 1048576 $pool/vms/$moved/disk.img | sha256sum | grep -q $(sha256sum <"$TEST_DIR/moved.raw" | cut -d' ' -f1)"
check "delete that one" k delete dv/moved --timeout=60s
check "a clone of it is refused, and says why" eventually 30 matches 'PVC e2e-nfs/root is on an NFS server: only disks in directories of this node are cloned' k describe pvc copy
check "delete" k delete vmi/imported dv/root dv/copy --timeout=120s
check "the volumes go" eventually 30 matches '^0$' volumes
check "the class goes" k delete storageclass e2e-nfs
no_rules() { ! refused_servers; }
check "and the rules, with the last volume" eventually 30 no_rules
nfs_server_down
finish
