#!/bin/bash
# Two families: a lab of its own whose cluster has ranges of IPv4 and IPv6. Pods and services with both; by IPv6 alone.
. "$(dirname "$0")/../lib.sh"
[ -e /proc/net/if_inet6 ] || { echo "1..0 # SKIP this kernel has no IPv6"; exit 0; }
unset HANOK_TEST_LAB
HANOK_PORT=$(free_port)
export LAB_DUAL=1 HANOK_PORT
use_lab
use_namespace e2e-dual

outside() { lab_in fabric curl -s --max-time 3 "$@" || echo "curl: $?"; }
check_output "the node has two pod ranges" '^10.244.0.0/24 fd00:10:244::/64$' k get node node1 -o 'jsonpath={.spec.podCIDRs[0]} {.spec.podCIDRs[1]}'
check_output "and two addresses" '172.31.0.1.*fd00:172:31::1' k get node node1 -o 'jsonpath={.status.addresses[*].address}'
cat >"$TEST_DIR/objects.yaml" <<'END'
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - name: web
    image: registry.lab:5000/web
    ports: [{containerPort: 80, hostPort: 8088}]
    env:
    - {name: POD_IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
    - {name: HOST_IPS, valueFrom: {fieldRef: {fieldPath: status.hostIPs}}}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  containers: [{name: web, image: registry.lab:5000/web}]
---
apiVersion: v1
kind: Service
metadata: {name: both}
spec: {type: NodePort, ipFamilyPolicy: RequireDualStack, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: six}
spec: {ipFamilies: [IPv6], selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: four}
spec: {selector: {app: web}, ports: [{port: 80}]}
END
check "pods and services" k apply -f "$TEST_DIR/objects.yaml"
check "they are Ready" k wait --for=condition=Ready pod/web pod/client --timeout=120s
check_output "a pod has both addresses" '^10\.244\.0\.[0-9]+ fd00:10:244::' k get pod web -o 'jsonpath={.status.podIPs[0].ip} {.status.podIPs[1].ip}'
check_output "and its host's" '^172.31.0.1 fd00:172:31::1$' k get pod web -o 'jsonpath={.status.hostIPs[0].ip} {.status.hostIPs[1].ip}'
check_output "its containers are told both" '^10\.244\.0\.[0-9]+,fd00:10:244::[0-9a-f]+ 172.31.0.1,fd00:172:31::1$' \
	k exec web -- sh -c 'echo "$POD_IPS $HOST_IPS"'
pod=$(k get pod web -o 'jsonpath={.status.podIPs[1].ip}')
both=$(k get service both -o 'jsonpath={.spec.clusterIPs[1]}')
six=$(k_field service/six .spec.clusterIP)
port=$(k_field service/both '.spec.ports[0].nodePort')
check_output "a service has both" '^10\.96\.[0-9.]+ fd00:10:96::[0-9a-f]+$' k get service both -o 'jsonpath={.spec.clusterIPs[0]} {.spec.clusterIPs[1]}'
check_refused "the second one stays, too" 'may not change once set' k patch service both --type=json -p '[{"op":"replace","path":"/spec/clusterIPs/1","value":"2001:db8::1"}]'
check_output "one of IPv6 alone" '^fd00:10:96::' echo "$six"
check_output "by default it is IPv4" '^\["IPv4"\] SingleStack$' k get service four -o 'jsonpath={.spec.ipFamilies} {.spec.ipFamilyPolicy}'
slices() { k get endpointslices -l kubernetes.io/service-name=both -o 'jsonpath={range .items[*]}{.addressType}{"\n"}{end}' | sort | tr '\n' ' '; }
check "slices of both kinds" eventually 10 matches '^IPv4 IPv6 $' slices
from_pod() { k exec client -- wget -q -O - "$1"; }
check "the pod answers a pod by IPv6" eventually 20 matches 'container web' from_pod "http://[$pod]/"
check "the ClusterIP of IPv6 answers a pod" eventually 10 matches 'container web' from_pod "http://[$both]/"
check "the one of IPv6 alone" eventually 20 matches 'container web' from_pod "http://[$six]/"
check "that of IPv4 as well" eventually 20 matches 'container web' from_pod "http://$(k_field service/both .spec.clusterIP)/"
check "the node itself" eventually 20 matches 'container web' on_node 1 curl -s --max-time 3 "http://[$both]/"
check "the NodePort by IPv6, from outside" eventually 20 matches 'container web' outside "http://[fd00:172:31::1]:$port/"
check "from a pod" eventually 20 matches 'container web' from_pod "http://[fd00:172:31::1]:$port/"
check "and by IPv4" eventually 20 matches 'container web' outside "http://172.31.0.1:$port/"
check "a host port by IPv6" eventually 20 matches 'container web' outside "http://[fd00:172:31::1]:8088/"
check "what is no service is refused" eventually 20 matches 'curl: 7' outside "http://[fd00:172:31::1]:8090/"
check "no endpoints" k delete pod web --grace-period=0 --force
refusal() { on_node 1 curl -s --max-time 3 "http://[$both]/" || echo "curl: $?"; }
check "are refused by IPv6 too" eventually 10 matches 'curl: 7' refusal
finish
