#!/bin/bash
# Disks of virtual machines: claims, data volumes from HTTP, a registry and uploads, and what becomes of bad ones.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-disks

# ---- images, and a web server beside the registry that writes down who asked for what ----
mkdir -p "$TEST_DIR/www"
python3 - "$TEST_DIR/plain.raw" <<'END'
import random, sys
random.seed(7)
with open(sys.argv[1], "wb") as f:
    f.write(random.randbytes(9000000))
    f.truncate(24 << 20)
END
(
	cd "$TEST_DIR/www" || exit 1
	qemu-img convert -f raw -O qcow2 ../plain.raw disk.qcow2
	qemu-img convert -f raw -O vmdk -o subformat=streamOptimized ../plain.raw disk.vmdk
	qemu-img convert -f raw -O vdi ../plain.raw disk.vdi
	qemu-img convert -f raw -O vhdx ../plain.raw disk.vhdx
	qemu-img convert -f raw -O vpc -o force_size=on ../plain.raw disk.vhd
	xz -0 -c ../plain.raw >disk.raw.xz
	cp ../plain.raw disk.raw
	printf '<Envelope><File ovf:id="f" ovf:href="disk.vmdk"/><Disk ovf:fileRef="f"/></Envelope>' >vm.ovf
	tar --format=ustar -cf disk.ova vm.ovf disk.vmdk
	qemu-img create -q -u -f qcow2 -b /etc/passwd -F raw evil.qcow2 1M
)
cat >"$TEST_DIR/web.py" <<'END'
import http.server, os, re, ssl, sys, threading

root, address = sys.argv[1:]


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        name = os.path.basename(self.path)
        path = os.path.join(root, name)
        h = self.headers
        with open(root + "/../web.log", "a") as log:
            print(name, h.get("Range"), h.get("If-Range"), h.get("Authorization"), h.get("X-Extra"), file=log)
        if self.path.startswith("/secret/") and h.get("Authorization") != "Basic dXNlcjprZXk=":
            return self.send_error(401)
        if not os.path.exists(path):
            return self.send_error(404)
        with open(path, "rb") as f:
            data = f.read()
        start = 0
        m = re.match(r"bytes=(\d+)-$", h.get("Range") or "")
        if m and h.get("If-Range") == '"one"':
            start = int(m[1])
            self.send_response(206)
            self.send_header("Content-Range", "bytes %d-%d/%d" % (start, len(data) - 1, len(data)))
        else:
            self.send_response(200)
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        # The first time it breaks in the middle: the rest is asked for.
        if self.path.startswith("/breaks/") and not m:
            self.wfile.write(data[:1000000])
            self.close_connection = True
            return
        self.wfile.write(data[start:])

    def log_message(self, *a):
        pass


s = http.server.ThreadingHTTPServer((address, 0), Web)
secure = http.server.ThreadingHTTPServer((address, 0), Web)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
here = os.path.dirname(os.path.abspath(sys.argv[0]))
context.load_cert_chain(here + "/web.crt", here + "/web.key")
secure.socket = context.wrap_socket(secure.socket, server_side=True)
threading.Thread(target=secure.serve_forever, daemon=True).start()
with open(root + "/../web.secure-port", "w") as f:
    f.write(str(secure.server_address[1]))
with open(root + "/../web.port.new", "w") as f:
    f.write(str(s.server_address[1]))
os.rename(root + "/../web.port.new", root + "/../web.port")
s.serve_forever()
END
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=web -addext "subjectAltName=IP:$LAB_FABRIC_ADDRESS" \
	-keyout "$TEST_DIR/web.key" -out "$TEST_DIR/web.crt" 2>/dev/null
nsenter -t "$(lab_pid fabric)" -n python3 "$TEST_DIR/web.py" "$TEST_DIR/www" "$LAB_FABRIC_ADDRESS" &
WEB_PID=$!
end_web() {
	local status=$?
	kill "$WEB_PID" ${LOCAL_PID:+"$LOCAL_PID"} 2>/dev/null
	(exit $status)
	test_at_exit
}
trap end_web EXIT
check "a web server" eventually 10 test -s "$TEST_DIR/web.port"
url=http://$LAB_FABRIC_ADDRESS:$(cat "$TEST_DIR/web.port")
secure_url=https://$LAB_FABRIC_ADDRESS:$(cat "$TEST_DIR/web.secure-port")

# Another, of the node alone; and one in a pod.
mkdir -p "$TEST_DIR/local/www"
cp "$TEST_DIR/www/disk.raw" "$TEST_DIR/local/www/"
nsenter -t "$(lab_pid node1)" -n python3 "$TEST_DIR/web.py" "$TEST_DIR/local/www" 127.0.0.1 &
LOCAL_PID=$!
check "a web server on the node's loopback" eventually 10 test -s "$TEST_DIR/local/web.port"
local_url=http://127.0.0.1:$(cat "$TEST_DIR/local/web.port")
check "the node itself gets there" on_node 1 curl -sf -o /dev/null "$local_url/disk.raw"
check "and is seen" rm "$TEST_DIR/local/web.log"
cat >"$TEST_DIR/store.yaml" <<'END'
apiVersion: v1
kind: Pod
metadata: {name: store, labels: {app: store}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: store
    image: registry.lab:5000/web:latest
    command: [/bin/busybox, sh, -c, "cd /tmp && busybox dd if=/dev/zero of=disk.raw bs=1048576 count=2 && exec busybox httpd -f -p 80"]
---
apiVersion: v1
kind: Service
metadata: {name: store}
spec:
  selector: {app: store}
  ports: [{port: 8080, targetPort: 80}]
END
check "a web server in a pod" k apply -f "$TEST_DIR/store.yaml"

# data_volume NAME SOURCE SIZE: bound at once
data_volume() {
	cat <<END
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: $1, annotations: {cdi.kubevirt.io/storage.bind.immediate.requested: ""}}
spec:
  source: {$2}
  storage: {resources: {requests: {storage: $3}}}
---
END
}
phase_is() { eventually 60 matches "^$2$" k_field "dv/$1" .status.phase; }
running_says() { eventually 60 matches "$2" k_field "dv/$1" '.status.conditions[?(@.type=="Running")].message'; }
disk_of() { echo "$LAB/node1/var/lib/hanok/local/$(k_field "pvc/$1" .spec.volumeName)"; }
top_of() { sed -n 's/.*"top":"\([^"]*\)".*/\1/p' "$(disk_of "$1")/disk.json"; }
same_as_plain() { qemu-img compare -f raw -F qcow2 "$TEST_DIR/plain.raw" "$(disk_of "$1")/$(top_of "$1")"; }
virtual_size() {
	qemu-img info -U -f qcow2 --output=json "$(disk_of "$1")/$(top_of "$1")" | sed -n 's/.*"virtual-size": \([0-9]*\).*/\1/p' | tail -1
}
half_made() {
	find "$LAB/node1/var/lib/hanok/local" -name '.new-*' -not -path "$(disk_of missing)/*" -not -path "$(disk_of local)/*"
}

formats="qcow2 vmdk vdi vhdx vhd raw raw.xz ova"
{
	for format in $formats; do data_volume "from-${format//./-}" "http: {url: \"$url/disk.$format\"}" 32Mi; done
	data_volume blank 'blank: {}' 48Mi
	data_volume summed "http: {url: \"$url/disk.raw\", checksum: \"sha256:$(sha256sum "$TEST_DIR/plain.raw" | cut -d' ' -f1)\"}" 32Mi
	data_volume other-sum "http: {url: \"$url/disk.raw\", checksum: \"md5:00000000000000000000000000000000\"}" 32Mi
	data_volume resumed "http: {url: \"$url/breaks/disk.raw\"}" 32Mi
	data_volume secret "http: {url: \"$url/secret/disk.raw\", secretRef: web, extraHeaders: [\"X-Extra: yes\"]}" 32Mi
	data_volume certified "http: {url: \"$secure_url/disk.raw\", certConfigMap: web}" 32Mi
	data_volume uncertified "http: {url: \"$secure_url/disk.raw\"}" 32Mi
	data_volume small "http: {url: \"$url/disk.qcow2\"}" 16Mi
	data_volume evil "http: {url: \"$url/evil.qcow2\"}" 16Mi
	data_volume missing "http: {url: \"$url/nothing\"}" 16Mi
	data_volume linked 'registry: {url: "docker://registry.lab:5000/vm-web:latest"}' 512Mi
	data_volume thief "http: {url: \"$url/thief.raw\", extraHeaders: [\"@/etc/passwd\"]}" 16Mi
	data_volume local "http: {url: \"$local_url/disk.raw\"}" 32Mi
	data_volume of-pod "http: {url: \"http://store.e2e-disks.svc:8080/disk.raw\"}" 32Mi
	data_volume foreign 'vddk: {url: "https://x", secretRef: s, uuid: u, backingFile: b, thumbprint: t}' 16Mi
} >"$TEST_DIR/volumes.yaml"
check "a secret for the web server" k create secret generic web --from-literal=accessKeyId=user --from-literal=secretKey=key
check "a certificate of the web server" k create configmap web --from-file=ca.pem="$TEST_DIR/web.crt"
check "data volumes" k apply -f "$TEST_DIR/volumes.yaml"
for format in $formats; do check "$format becomes a disk" phase_is "from-${format//./-}" Succeeded; done
for format in $formats; do check "$format has the same bytes" same_as_plain "from-${format//./-}"; done
check "the disk is as large as its claim" matches '^33554432$' virtual_size from-qcow2
check "progress is told" matches '^100.0%$' k_field dv/from-qcow2 .status.progress
check "conditions are CDI's" matches '^True True False Completed$' k_field dv/from-qcow2 \
	'.status.conditions[?(@.type=="Bound")].status' '.status.conditions[?(@.type=="Ready")].status' \
	'.status.conditions[?(@.type=="Running")].status' '.status.conditions[?(@.type=="Running")].reason'
check "its claim says so, too" eventually 20 matches '^Succeeded$' k_field pvc/from-qcow2 \
	'.metadata.annotations.cdi\.kubevirt\.io/storage\.pod\.phase'
check "events" eventually 20 matches 'Successfully imported into PVC from-qcow2' \
	k get events --field-selector involvedObject.name=from-qcow2
check "a blank one" phase_is blank Succeeded
check "a checksum holds" phase_is summed Succeeded
check "another does not" phase_is other-sum Failed
check "and it is said" running_says other-sum 'the checksum of what came is md5:'
check "a transfer that broke" phase_is resumed Succeeded
check "was gone on with" grep -q '^disk.raw bytes=1000000- "one"' "$TEST_DIR/web.log"
check "and is whole" same_as_plain resumed
check "with a name and a password" phase_is secret Succeeded
check "extra headers were sent" grep -q 'Basic dXNlcjprZXk= yes$' "$TEST_DIR/web.log"
check "by HTTPS, with the certificate" phase_is certified Succeeded
check "with the same bytes (HTTPS)" same_as_plain certified
check "without one it is not trusted" running_says uncertified 'certificate'
check "it goes" k delete dv uncertified --timeout=60s
check "too small a claim" running_says small \
	'Virtual image size 25165824 is larger than the reported available storage 16777216. A larger PVC is required'
check "a backing file" running_says evil 'the disk has a backing file, which is not allowed'
check "nothing there: it is tried again" running_says missing 'Unable to connect to http data source.*404'
check "of a pod, by the name of its service" phase_is of-pod Succeeded
check "the node's loopback is none of a user's" running_says local 'Unable to connect to http data source: curl:.*127.0.0.1'
check_fails "nobody asked there" test -e "$TEST_DIR/local/web.log"
check "a source that is none" running_says foreign 'spec.source.vddk: this source is not supported'
check "a file of the host as headers" running_says thief "an extra header begins with '@'"
check_fails "is not even begun with" grep -q thief "$TEST_DIR/web.log"
check "from a registry" phase_is linked Succeeded
cat >"$TEST_DIR/curious.yaml" <<'END'
apiVersion: v1
kind: Pod
metadata: {name: curious}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "registry.lab:5000/web:latest", volumeMounts: [{name: v, mountPath: /v}]}]
  volumes: [{name: v, persistentVolumeClaim: {claimName: linked}}]
END
check "a pod with its claim" k apply -f "$TEST_DIR/curious.yaml"
check "does not get layers that others share" eventually 30 matches 'it is the disk of a virtual machine' \
	k get events --field-selector involvedObject.name=curious
check "the pod goes" k delete pod curious --timeout=60s
check "nothing half-made stays" eventually 20 matches '^$' half_made

# ---- a file system that becomes full in the midst ----
small=/var/lib/hanok-e2e-small
on_node 1 sh -c "mkdir -p $small && mount -t tmpfs -o size=14m none $small && mkdir $small/disk && chmod 777 $small/disk"
cat >"$TEST_DIR/full.yaml" <<END
apiVersion: v1
kind: PersistentVolume
metadata: {name: e2e-disks-small}
spec:
  capacity: {storage: 32Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  local: {path: $small/disk}
  claimRef: {namespace: e2e-disks, name: full}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node1]}]}]}}
---
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: full}
spec:
  source: {http: {url: "$url/disk.vhd"}}
  pvc: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: e2e-disks-small, resources: {requests: {storage: 32Mi}}}
END
check "a data volume where there is little room" k apply -f "$TEST_DIR/full.yaml"
check "says that it is full" running_says full "the file system of '$small/disk' is full: make room in it, it is tried again"
check_fails "what is half-made is no disk" on_node 1 test -e "$small/disk/disk.json"
check "room is made" on_node 1 mount -o remount,size=64m "$small"
check "it goes on" phase_is full Succeeded
check "the disk is whole" on_node 1 sh -c "qemu-img check -q -f qcow2 $small/disk/*.qcow2"
check "and nothing else is there" eventually 20 matches '^2$' on_node 1 sh -c "ls -A $small/disk | wc -l"
check "it goes" k delete dv full --timeout=60s
check "its volume goes" k delete pv e2e-disks-small --timeout=60s
on_node 1 sh -c "umount $small && rmdir $small"

# ---- upload, in the order of virtctl ----
cat >"$TEST_DIR/uploaded.yaml" <<'END'
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: uploaded}
spec:
  source: {upload: {}}
  pvc: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 32Mi}}}
END
cat >"$TEST_DIR/token.yaml" <<'END'
apiVersion: upload.cdi.kubevirt.io/v1beta1
kind: UploadTokenRequest
metadata: {name: token-for-virtctl}
spec: {pvcName: uploaded}
END
check "a data volume for an upload" k apply -f "$TEST_DIR/uploaded.yaml"
check "waits for the bytes" phase_is uploaded UploadReady
upload=$(k get cdiconfig config -o jsonpath='{.status.uploadProxyURL}')
token=$(k create -o jsonpath='{.status.token}' -f "$TEST_DIR/token.yaml")
up() { curl -sk "$protocol" -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $1" "${@:2}"; }
protocol=--http1.1
check "is there an asynchronous endpoint?" matches '^200$' up "$token" -I "$upload/v1beta1/upload-async"
check "no token, no upload" matches '^401$' up "${token}x" --data-binary @"$TEST_DIR/www/disk.qcow2" "$upload/v1beta1/upload"
check "what is no good disk is refused" matches '^400$' up "$token" --data-binary @"$TEST_DIR/www/evil.qcow2" "$upload/v1beta1/upload"
check "another try" eventually 60 matches '^200$' up "$token" -H 'Content-Type: application/octet-stream' \
	--data-binary @"$TEST_DIR/www/disk.vmdk" "$upload/v1beta1/upload-async"
check "it becomes a disk" phase_is uploaded Succeeded
check "with the same bytes" same_as_plain uploaded

# By HTTP/2, as clients do that trust the server's certificate.
protocol=--http2
# upload_ready NAME: a data volume that waits for its bytes, and the token for it
upload_ready() {
	sed "s/uploaded/$1/" "$TEST_DIR/uploaded.yaml" >"$TEST_DIR/$1.yaml"
	sed "s/uploaded/$1/" "$TEST_DIR/token.yaml" >"$TEST_DIR/$1-token.yaml"
	check "a data volume for an upload ($1)" k apply -f "$TEST_DIR/$1.yaml"
	check "waits for the bytes ($1)" phase_is "$1" UploadReady
	token=$(k create -o jsonpath='{.status.token}' -f "$TEST_DIR/$1-token.yaml")
}
up_part() { ! up "$token" --limit-rate 4M --max-time 2 --data-binary @"$TEST_DIR/www/disk.raw" "$upload/v1beta1/upload"; }
upload_ready second
check "what is no good disk is refused (HTTP/2)" matches '^400$' up "$token" --data-binary @"$TEST_DIR/www/evil.qcow2" "$upload/v1beta1/upload"
check "so is a token that is none (HTTP/2)" matches '^401$' up "${token}x" --data-binary @"$TEST_DIR/www/disk.raw" "$upload/v1beta1/upload"
check "a client that goes in the midst" eventually 20 up_part
check "it waits again" phase_is second UploadReady
check_fails "a client that says another length" matches '^200$' up "$token" -H 'Content-Length: 1048576' \
	--data-binary @"$TEST_DIR/www/disk.raw" "$upload/v1beta1/upload"
check "uploaded by HTTP/2" eventually 60 matches '^200$' up "$token" --data-binary @"$TEST_DIR/www/disk.raw" "$upload/v1beta1/upload"
check "it is a disk" eventually 20 matches '^Succeeded$' k_field dv/second .status.phase
check "with the same bytes (HTTP/2)" same_as_plain second
upload_ready third
check "uploaded by HTTP/2, asynchronously" eventually 60 matches '^200$' up "$token" --data-binary @"$TEST_DIR/www/disk.vmdk" "$upload/v1beta1/upload-async"
check "it becomes a disk (HTTP/2)" phase_is third Succeeded
check "with the same bytes (HTTP/2, vmdk)" same_as_plain third

# Into a claim that is there: virtctl image-upload pvc.
cat >"$TEST_DIR/plain.yaml" <<'END'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: plain, annotations: {cdi.kubevirt.io/storage.upload.target: ""}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 32Mi}}}
END
sed "s/uploaded/plain/" "$TEST_DIR/token.yaml" >"$TEST_DIR/plain-token.yaml"
pod_of() { k_field pvc/plain ".metadata.annotations.cdi\.kubevirt\.io/storage\.pod\.$1"; }
check "a claim that asks for an upload" k apply -f "$TEST_DIR/plain.yaml"
check "says when it takes bytes" eventually 60 matches '^true$' pod_of ready
token=$(k create -o jsonpath='{.status.token}' -f "$TEST_DIR/plain-token.yaml")
check "uploaded into the claim" eventually 60 matches '^200$' up "$token" --data-binary @"$TEST_DIR/www/disk.qcow2" "$upload/v1beta1/upload"
check "which says that it is there" eventually 20 matches '^Succeeded$' pod_of phase
check "with the same bytes (claim)" same_as_plain plain
check "the claim goes" k delete pvc plain --timeout=60s
check "and nothing stays of the upload" eventually 20 matches '^0$' k_count dv/plain

# ---- a guest ----
cat >"$TEST_DIR/guest.yaml" <<'END'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 32Mi}}}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: guest}
spec:
  runStrategy: Always
  dataVolumeTemplates:
  - metadata: {name: guest-root}
    spec:
      source: {registry: {url: "docker://registry.lab:5000/vm-web:latest"}}
      storage: {resources: {requests: {storage: 512Mi}}}
  template:
    spec:
      terminationGracePeriodSeconds: 30
      domain:
        memory: {guest: 128Mi}
        devices:
          disks:
          - {name: root, disk: {bus: virtio}}
          - {name: data, disk: {bus: virtio}}
          - {name: base, disk: {bus: virtio}}
          interfaces: [{name: default, bridge: {}}]
      networks: [{name: default, pod: {}}]
      volumes:
      - {name: root, dataVolume: {name: guest-root}}
      - {name: data, persistentVolumeClaim: {claimName: data}}
      - {name: base, ephemeral: {persistentVolumeClaim: {claimName: from-raw}}}
END
answers() { on_node 1 curl -s --max-time 3 "http://$(k_field vmi/guest '.status.interfaces[0].ipAddress')/"; }
check "a machine on disks that nobody has made yet" k apply -f "$TEST_DIR/guest.yaml"
check "Ready" k wait --for=condition=Ready vm/guest --timeout=240s
check "its system is up" eventually 150 matches '^virtual machine' answers
check "the claim's size is the disk's" matches '^33554432$' virtual_size data
top=$(top_of guest-root)
instance=$(k_field vmi/guest .metadata.uid)
check "the node's agent goes" lab_node_end 1
check "and comes" lab_node_up 1
check "the guest has not noticed" eventually 60 matches '^virtual machine' answers
check "the same instance" matches "^$instance$" k_field vmi/guest .metadata.uid
check "stop" k patch vm guest --type merge -p '{"spec":{"runStrategy":"Halted"}}'
check "the instance is gone" k wait --for=delete vmi/guest --timeout=120s
check "the claim grows" k patch pvc data --type merge -p '{"spec":{"resources":{"requests":{"storage":"48Mi"}}}}'
check "the claim has grown" eventually 30 matches '^48Mi$' k_field pvc/data .status.capacity.storage
check "start" k patch vm guest --type merge -p '{"spec":{"runStrategy":"Always"}}'
check "Ready again" eventually 60 matches '^Running$' k_field vmi/guest .status.phase
check "on the same disk" matches "^$top$" top_of guest-root
check "and a larger one" matches '^50331648$' virtual_size data
check "it grows again, under the guest" k patch pvc data --type merge -p '{"spec":{"resources":{"requests":{"storage":"64Mi"}}}}'
check "and so does the disk" eventually 60 matches '^67108864$' virtual_size data
check "which is told" eventually 20 matches "Disk 'data' has 67108864 bytes now" k get events --field-selector reason=VolumeResized
check "in use, a claim can't go" k delete pvc data --wait=false
check "it waits" matches 'pvc-protection' k_field pvc/data .metadata.finalizers
check "delete the machine" k delete vm guest --timeout=240s
check "its root goes with it" eventually 60 matches '^0$' k_count dv/guest-root
check "and the claim that waited" k wait --for=delete pvc/data --timeout=120s
check "all data volumes go" k delete dv --all --timeout=240s
check "with their claims" eventually 60 matches '^0$' k_count pvc
finish
