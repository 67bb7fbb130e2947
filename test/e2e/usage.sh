#!/bin/bash
# What guests use: the node's own figures, metrics.k8s.io and `kubectl top`, on a container that really works, one that
# sleeps, and a virtual machine.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-usage

node=$(k get nodes -o 'jsonpath={.items[0].metadata.name}')
image=registry.lab:5000/web:latest
k create -f - >/dev/null <<END
apiVersion: v1
kind: Pod
metadata: {name: busy, labels: {kind: busy}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: works, image: "$image", command: [sh, -c, "while :; do :; done"], resources: {limits: {cpu: 200m}}}
  - {name: sleeps, image: "$image", command: [sleep, "1000"]}
END
check "the pod runs" k wait --for=condition=Ready pod/busy --timeout=240s
figures() { k get --raw "/api/v1/nodes/$node/proxy/metrics/resource"; }
check_output "the node tells of its containers" 'container_cpu_usage_seconds_total\{container="works",namespace="e2e-usage",pod="busy"\} [0-9.]+ [0-9]+' figures
check_output "and of itself" 'node_memory_working_set_bytes [1-9][0-9]+ [0-9]+' figures
check_output "also of swap" 'container_swap_usage_bytes\{container="works",namespace="e2e-usage",pod="busy"\} [0-9]+' figures
check_output "nothing failed" 'resource_scrape_error 0' figures
check_output "the summary has the pod" '"podRef":\{"name":"busy","namespace":"e2e-usage"' k get --raw "/api/v1/nodes/$node/proxy/stats/summary"

used() { k get podmetrics.v1beta1.metrics.k8s.io busy -o json 2>/dev/null; }
check "metrics of the pod come" eventually 60 matches '"name": ?"works"' k get --raw /apis/metrics.k8s.io/v1beta1/namespaces/e2e-usage/pods/busy
millis() { # of the container $1
	k get --raw /apis/metrics.k8s.io/v1beta1/namespaces/e2e-usage/pods/busy |
		python3 -c '
import json, sys
for c in json.load(sys.stdin)["containers"]:
    if c["name"] == sys.argv[1]:
        text = c["usage"]["cpu"]
        unit = {"n": 1e-6, "u": 1e-3, "m": 1}.get(text[-1])
        print(round(float(text[:-1]) * unit if unit else float(text) * 1000))' "$1"
}
within() { local n; n=$(millis "$1") && [ "$n" -ge "$2" ] && [ "$n" -le "$3" ]; }
check "the working container uses its 200m" eventually 60 within works 50 280
check "the sleeping one next to nothing" within sleeps 0 20
check_output "kubectl top pod" 'NAME +CPU\(cores\) +MEMORY\(bytes\).*busy +[0-9]+m +[0-9]+Mi' k top pod busy
check_output "by container" 'busy +sleeps +[0-9]+m +[0-9]+Mi.*busy +works +[0-9]+m +[0-9]+Mi' k top pod busy --containers
check_output "by label" 'busy +[0-9]+m' k top pod -l kind=busy
check_output "kubectl top node" "$node +[0-9]+m +[0-9]+% +[0-9]+Mi +[0-9]+%" k top node
check_output "as a table" 'NAME +CPU +MEMORY +WINDOW.*busy +[0-9]+[num] +[0-9]+[KM]i' k get pods.metrics.k8s.io
check_fails "what is not there" k get --raw /apis/metrics.k8s.io/v1beta1/namespaces/e2e-usage/pods/nobody

k create -f - >/dev/null <<END
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: guest}
spec:
  terminationGracePeriodSeconds: 0
  domain: {devices: {disks: [{name: scratch, disk: {bus: virtio}}]}, resources: {requests: {memory: 128Mi}}}
  volumes: [{name: scratch, emptyDisk: {capacity: 8Mi}}]
END
check "the guest runs" k wait --for=jsonpath='{.status.phase}'=Running vmi/guest --timeout=240s
check_output "the node tells of it" 'kubevirt_vmi_cpu_usage_seconds_total\{name="guest",namespace="e2e-usage"' figures
check_output "and of its disk" 'kubevirt_vmi_storage_read_traffic_bytes_total\{drive="scratch",name="guest",namespace="e2e-usage"' figures
check_output "and of its interface" 'kubevirt_vmi_network_receive_bytes_total\{interface="default",name="guest",namespace="e2e-usage"' figures
check "metrics of the guest" eventually 60 matches '"memory": ?"[1-9]' k get --raw /apis/metrics.k8s.io/v1beta1/namespaces/e2e-usage/virtualmachineinstances/guest
k delete vmi/guest pod/busy --timeout=120s >/dev/null
finish
