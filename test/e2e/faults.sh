#!/bin/bash
# What can go wrong on a node: each is told where one looks for it, is tried again, ends by itself when the cause
# does, and harms no one else.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-faults

# The others: a container and a machine that must not notice any of it.
cat >"$TEST_DIR/others.yaml" <<'END'
apiVersion: v1
kind: Pod
metadata: {name: bystander, labels: {app: bystander}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: registry.lab:5000/web:latest
    ports: [{containerPort: 80, hostPort: 18080}]
    readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: bystander-vm}
spec:
  terminationGracePeriodSeconds: 0
  domain: {memory: {guest: 96Mi}, devices: {disks: [{name: root, disk: {bus: virtio}}], interfaces: [{name: default, bridge: {}}]}}
  networks: [{name: default, pod: {}}]
  volumes: [{name: root, containerDisk: {image: "registry.lab:5000/vm-web:latest"}}]
END
check "apply the bystanders" k apply -f "$TEST_DIR/others.yaml"
check "the container runs" k wait --for=condition=Ready pod/bystander --timeout=120s
check "the machine runs" k wait --for=condition=Ready vmi/bystander-vm --timeout=240s
container_id() { k_field pod/bystander '.status.containerStatuses[0].containerID' '.status.containerStatuses[0].state.running.startedAt' '.status.containerStatuses[0].restartCount'; }
guest_process() { on_node 1 sh -c 'for f in /proc/[0-9]*/cmdline; do case $(tr "\0" " " <$f 2>/dev/null) in /usr/bin/qemu-system*guest=e2e-faults_bystander-vm*) cut -d" " -f1,22 ${f%cmdline}stat ;; esac; done'; }
container_before=$(container_id) guest_before=$(guest_process)
check "there is a guest process" test -n "$guest_before"
check_output "its host port answers" '^container bystander' lab_in fabric curl -s --max-time 30 http://172.31.0.1:18080/

# A manifest that is not one.
malformed() { printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {containers: [{name: c, image: i, ports: [{containerPort: 99999}]}]}\n' | k create -f -; }
check_refused "a wrong value is named by its path" 'spec.containers\[0\].ports\[0\].containerPort: Invalid value: 99999' malformed
no_image() { printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {containers: [{name: c}]}\n' | k create -f -; }
check_refused "a missing one too" 'spec.containers\[0\].image: Required value' no_image

# Images that do not exist, and a registry that does not.
for image in registry.lab:5000/none:latest 172.31.0.254:1/none:latest; do
	check "image $image: a pod that asks for it" k run lost --image="$image" --restart=Never
	check "image $image: the reason is told" eventually 60 matches 'ErrImagePull|ImagePullBackOff' \
		k_field pod/lost '.status.containerStatuses[0].state.waiting.reason'
	check "image $image: and tried again with back-off" eventually 90 matches 'ImagePullBackOff.*Back-off pulling image' \
		k_field pod/lost '.status.containerStatuses[0].state.waiting.reason' '.status.containerStatuses[0].state.waiting.message'
	check "image $image: an event names the cause" eventually 20 matches 'Failed to pull image.*(not found|manifest unknown|refused)' k describe pod lost
	check "image $image: delete it" k delete pod lost --timeout=120s --grace-period=1
done

# Ports in use.
k create -f - >/dev/null <<'END'
apiVersion: v1
kind: Pod
metadata: {name: same-port}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: "registry.lab:5000/web:latest", ports: [{containerPort: 80, hostPort: 18080}]}]
END
check "a host port that is taken keeps a pod from every node, and that is told" eventually 30 \
	matches "didn't have free ports" k describe pod same-port
check "delete it" k delete pod same-port --timeout=120s
second_server() { timeout 20 "$LAB/bin/hanok" server --data "$TEST_DIR/second" --listen "127.0.0.1:$(lab_port)"; }
check_refused "a server whose port is taken ends and names it" "$(lab_port).*in use" second_server

# Configuration that is not there yet.
k create -f - >/dev/null <<'END'
apiVersion: v1
kind: Pod
metadata: {name: waits}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: registry.lab:5000/web:latest
    env: [{name: X, valueFrom: {configMapKeyRef: {name: later, key: x}}}]
END
check "a missing config map is named" eventually 30 matches 'configmap "later" not found' k describe pod waits
check "the config map comes" k create configmap later --from-literal=x=y
check "and the pod starts" k wait --for=condition=Ready pod/waits --timeout=120s
check "delete it" k delete pod waits --timeout=120s

# containerd away and back.
check "containerd is killed" lab_service_end node1 containerd 0
check "the node says so" eventually 60 matches '^False .*(untime|containerd)' k_field node/node1 \
	'.status.conditions[?(@.type=="Ready")].status' '.status.conditions[?(@.type=="Ready")].message'
check_output "the container serves on" '^container bystander' lab_in fabric curl -s --max-time 30 http://172.31.0.1:18080/
check "the machine runs on" test "$(guest_process)" = "$guest_before"
check "a pod that is created meanwhile" k run patient --image=registry.lab:5000/web:latest
check "containerd is back" lab_containerd_up 1
check "the node is Ready by itself" k wait --for=condition=Ready node/node1 --timeout=120s
check "the waiting pod starts" k wait --for=condition=Ready pod/patient --timeout=120s
check "the container was not restarted" eventually 10 matches "^$container_before\$" container_id
check "and is Ready" k wait --for=condition=Ready pod/bystander --timeout=120s
check "delete the patient one" k delete pod patient --timeout=120s --grace-period=1

# libvirt away and back. Guests are not its children.
check "libvirtd is killed" lab_service_end node1 libvirtd 0
check "the node says so" eventually 60 matches '^False .*[Ll]ibvirt' k_field node/node1 \
	'.status.conditions[?(@.type=="VirtualMachinesReady")].status' '.status.conditions[?(@.type=="VirtualMachinesReady")].message'
check_output "the node takes containers on" '^True$' k_field node/node1 '.status.conditions[?(@.type=="Ready")].status'
check "the guest runs on" test "$(guest_process)" = "$guest_before"
check "libvirtd is back" lab_libvirt_up 1
check "the node says so too" k wait --for=condition=VirtualMachinesReady node/node1 --timeout=120s
check "the guest is the same" test "$(guest_process)" = "$guest_before"
check "and Ready" k wait --for=condition=Ready vmi/bystander-vm --timeout=120s

# Disks that are not disks.
on_node 1 sh -c 'mkdir -p /var/lib/e2e-faults && head -c 3000 /dev/urandom >/var/lib/e2e-faults/broken.qcow2 && printf "QFI\373" | dd of=/var/lib/e2e-faults/broken.qcow2 conv=notrunc 2>/dev/null'
for path in missing.img broken.qcow2; do
	k create -f - >/dev/null <<-END
		apiVersion: kubevirt.io/v1
		kind: VirtualMachineInstance
		metadata: {name: bad-disk}
		spec:
		  terminationGracePeriodSeconds: 0
		  domain: {memory: {guest: 64Mi}, devices: {disks: [{name: root, disk: {bus: virtio}}]}}
		  volumes: [{name: root, hostDisk: {path: /var/lib/e2e-faults/$path, type: Disk}}]
	END
	check "disk $path: an event names it" eventually 60 matches "$path" k get events --field-selector involvedObject.name=bad-disk,type=Warning
	check_output "disk $path: a condition too" "False.*$path" k_field vmi/bad-disk '.status.conditions[?(@.status=="False")]'
	check "disk $path: delete it" k delete vmi bad-disk --timeout=120s
done

check "the container never noticed" test "$(container_id)" = "$container_before"
check_output "it answers" '^container bystander' lab_in fabric curl -s --max-time 30 http://172.31.0.1:18080/
check "nor did the guest" test "$(guest_process)" = "$guest_before"
check "delete all" k delete namespace e2e-faults --timeout=240s
on_node 1 rm -rf /var/lib/e2e-faults
finish
