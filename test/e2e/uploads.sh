#!/bin/bash
# Uploads by a client that does what virtctl image-upload does, and what is told to one whose upload can't be.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-uploads

python3 - "$TEST_DIR/plain.raw" <<'END_OF_IMAGE'
import random, sys
random.seed(11)
with open(sys.argv[1], "wb") as f:
    f.write(random.randbytes(5000000))
    f.truncate(12 << 20)
END_OF_IMAGE
qemu-img convert -f raw -O qcow2 "$TEST_DIR/plain.raw" "$TEST_DIR/disk.qcow2"
qemu-img convert -f raw -O vdi "$TEST_DIR/plain.raw" "$TEST_DIR/disk.vdi"
gzip -1 -c "$TEST_DIR/plain.raw" >"$TEST_DIR/disk.raw.gz"
tar -C "$TEST_DIR" -cf "$TEST_DIR/files.tar" plain.raw
qemu-img create -q -u -f qcow2 -b /etc/passwd -F raw "$TEST_DIR/evil.qcow2" 1M
k config view --raw -o json >"$TEST_DIR/kubeconfig.json"

# upload dv|pvc NAME FLAG...
upload() { python3 "$TEST_ROOT/test/e2e/image_upload.py" "$TEST_DIR/kubeconfig.json" e2e-uploads "$@" --insecure --wait-secs=$((60 * PATIENCE)); }
disk_of() { echo "$LAB/node1/var/lib/hanok/local/$(k_field "pvc/$1" .spec.volumeName)"; }
same_as_plain() {
	qemu-img compare -f raw -F qcow2 "$TEST_DIR/plain.raw" "$(disk_of "$1")/$(sed -n 's/.*"top":"\([^"]*\)".*/\1/p' "$(disk_of "$1")/disk.json")"
}

label() { k_field "$1" ".metadata.labels.instancetype\.kubevirt\.io/default-$2"; }

# ---- one that sends nothing: what becomes of it is seen at the end ----
cat >"$TEST_DIR/silent.yaml" <<'END'
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: silent}
spec:
  source: {upload: {}}
  storage: {resources: {requests: {storage: 16Mi}}}
END
cat >"$TEST_DIR/silent-token.yaml" <<'END'
apiVersion: upload.cdi.kubevirt.io/v1beta1
kind: UploadTokenRequest
metadata: {name: token-for-virtctl}
spec: {pvcName: silent}
END
check "a data volume for one that is silent" k create -f "$TEST_DIR/silent.yaml"
check "waits for it" eventually 60 matches '^UploadReady$' k_field dv/silent .status.phase
silent_token=$(k create -o jsonpath='{.status.token}' -f "$TEST_DIR/silent-token.yaml")
silent_url=$(k get cdiconfig config -o jsonpath='{.status.uploadProxyURL}')
# Says that 1 MiB comes, sends the first bytes of it alone, and waits for what is said to that.
python3 - "$silent_url" "$silent_token" >"$TEST_DIR/silent.answer" 2>&1 <<'END' &
import socket, ssl, sys, urllib.parse
url = urllib.parse.urlsplit(sys.argv[1])
s = ssl._create_unverified_context().wrap_socket(socket.create_connection((url.hostname, url.port)))
s.sendall(b"POST /v1beta1/upload HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nContent-Length: 1048576\r\n\r\n" % sys.argv[2].encode() + bytes(512))
while data := s.recv(4096):
    print(data.decode(), flush=True)
END
SILENT_PID=$!
end_silent() {
	local status=$?
	kill "$SILENT_PID" 2>/dev/null
	(exit $status)
	test_at_exit
}
trap end_silent EXIT

# ---- data volumes ----
check_output "virtctl image-upload dv" 'DataVolume e2e-uploads/first created.*Uploading .*disk.qcow2 completed successfully' \
	upload dv first --size=16Mi --image-path="$TEST_DIR/disk.qcow2"
check "its bytes" same_as_plain first
check_refused "a second time" 'PVC first already successfully imported/cloned/updated' upload dv first --size=16Mi --image-path="$TEST_DIR/disk.qcow2"
check_refused "none to create" 'persistentvolumeclaims "none" not found' upload dv none --no-create --image-path="$TEST_DIR/disk.qcow2"
check_output "with all its flags" 'completed successfully' upload dv flags --size=16Mi --image-path="$TEST_DIR/disk.vdi" --force-bind --access-mode=ReadWriteOnce \
	--volume-mode=filesystem --storage-class=hanok-local --uploadproxy-url="${silent_url#https://}" --datasource --default-instancetype=u1.medium --default-preference=fedora
check "its bytes (flags)" same_as_plain flags
check "an instance type for whoever boots it" matches '^u1.medium VirtualMachineClusterInstancetype$' echo "$(label dv/flags instancetype) $(label dv/flags instancetype-kind)"
check "on the claim, too" matches '^fedora VirtualMachineClusterPreference$' echo "$(label pvc/flags preference) $(label pvc/flags preference-kind)"
check "a data source" matches '^flags e2e-uploads$' k_field datasource/flags .spec.source.pvc.name .spec.source.pvc.namespace
check "which is ready" eventually 20 matches '^True$' k_field datasource/flags '.status.conditions[?(@.type=="Ready")].status'
check_output "by the older address, packed" 'completed successfully' upload dv packed --size=16Mi --image-path="$TEST_DIR/disk.raw.gz" --upload-version=v1alpha1
check "its bytes (packed)" same_as_plain packed
check_refused "a class that is none" 'storageclasses.storage.k8s.io "nowhere" not found' upload dv bad --size=16Mi --storage-class=nowhere --image-path="$TEST_DIR/disk.qcow2"
check_refused "an archive" 'archives of files are not supported here' upload dv bad --size=16Mi --archive-path="$TEST_DIR/files.tar"
check_refused "a block volume" 'provisioning failed: .*not block devices: use Filesystem' \
	upload dv block --size=16Mi --volume-mode=block --image-path="$TEST_DIR/disk.qcow2"
check_refused "too small a claim" 'unexpected return value 400, Virtual image size 12582912 is larger than the reported available storage 8388608. A larger PVC is required|503.*A larger PVC is required' \
	upload dv small --size=8Mi --image-path="$TEST_DIR/disk.qcow2"
check "says so" eventually 20 matches 'UploadError.*A larger PVC is required' k get events --field-selector involvedObject.name=small
check_refused "what is no disk" 'the disk has a backing file, which is not allowed' upload dv evil --size=16Mi --image-path="$TEST_DIR/evil.qcow2"
check_output "the same, with a good one" 'Using existing PVC e2e-uploads/evil.*completed successfully' upload dv evil --no-create --image-path="$TEST_DIR/disk.qcow2"
check "its bytes (again)" same_as_plain evil

# ---- claims ----
check_output "virtctl image-upload pvc" 'PersistentVolumeClaim e2e-uploads/claim created.*completed successfully' \
	upload pvc claim --size=16Mi --image-path="$TEST_DIR/plain.raw" --default-instancetype=u1.small
check "its bytes (claim)" same_as_plain claim
check "its label" matches '^u1.small$' label pvc/claim instancetype
check_refused "not as a data volume's" 'PVC claim already successfully imported' upload dv claim --size=16Mi --image-path="$TEST_DIR/plain.raw"
check_refused "an archive into a claim" 'provisioning failed: .*archives of files are not supported here' upload pvc archive --size=16Mi --archive-path="$TEST_DIR/files.tar"
cat >"$TEST_DIR/mine.yaml" <<'END'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: mine}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 16Mi}}}
END
check "a claim of another's making" k create -f "$TEST_DIR/mine.yaml"
check_refused "is not taken unasked" 'PVC mine not available for upload' upload pvc mine --size=16Mi --image-path="$TEST_DIR/disk.qcow2"
check_output "but when it is asked for" 'Using existing PVC e2e-uploads/mine.*completed successfully' upload pvc mine --no-create --image-path="$TEST_DIR/disk.qcow2"
check "its bytes (mine)" same_as_plain mine

# ---- the silent one ----
check "a minute of silence ends it" eventually 90 matches 'nothing has come for 60 seconds' cat "$TEST_DIR/silent.answer"
check_output "and another may come" 'completed successfully' upload dv silent --no-create --image-path="$TEST_DIR/disk.qcow2"
check "with its bytes" same_as_plain silent
check "all go" k delete dv,pvc,datasource --all --timeout=240s
check "and nothing stays" eventually 60 matches '^0$' k_count dv,pvc
finish
