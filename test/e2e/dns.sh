#!/bin/bash
# The cluster's names from inside containers: kinds of services, what pods' resolv.conf makes of short names,
# the Service kube-dns, and that names go on when the agent or the DNS server is killed.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-dns

cat >"$TEST_DIR/names.yaml" <<END
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: names}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: peers}
spec: {clusterIP: None, selector: {app: names}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere}
spec: {type: ExternalName, externalName: web.e2e-dns.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: nobody}
spec: {clusterIP: None, selector: {app: nobody}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: one, labels: {app: names}}
spec:
  hostname: first
  subdomain: peers
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: "registry.lab:5000/web:latest", readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Pod
metadata: {name: host}
spec:
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: "registry.lab:5000/web:latest", command: [sleep, "1000"]}]
END
check "apply" k apply -f "$TEST_DIR/names.yaml"
check "pods are ready" k wait --for=condition=Ready pod/one pod/host --timeout=120s
check_output "the Service kube-dns has the tenth address" '^10\.96\.0\.10$' k -n kube-system get service kube-dns -o 'jsonpath={.spec.clusterIP}'
check_output "with an endpoint for the node" '10\.244\.[0-9]+\.1' k -n kube-system get endpointslices -l kubernetes.io/service-name=kube-dns
web=$(k_field service/web .spec.clusterIP)
one=$(k_field pod/one .status.podIP)
# busybox's nslookup asks for A and AAAA; a name without AAAA is no failure of its.
lookup() { k exec one -- nslookup "$@"; }
known() { matches "$1" lookup "${@:2}"; }
check "a service's name" eventually 20 known "Address: $web" web.e2e-dns.svc.cluster.local
check "a headless service's: its pods" eventually 20 known "Address: $one" peers.e2e-dns.svc.cluster.local
check "a pod's hostname below its service" eventually 10 known "Address: $one" first.peers.e2e-dns.svc.cluster.local
check_output "the API's own" 'Address: 10\.96\.0\.1' lookup kubernetes.default.svc.cluster.local
check_output "an ExternalName that leads back into the cluster" "Address: $web" lookup elsewhere.e2e-dns.svc.cluster.local
check_output "the address's name" "web.e2e-dns.svc.cluster.local" lookup "$web"
check_output "the pod's" "first.peers.e2e-dns.svc.cluster.local" lookup "$one"
check_refused "a name that is not there" 'NXDOMAIN' lookup none.e2e-dns.svc.cluster.local
check_fails "a headless service without pods has no address" matches "Name:" lookup nobody.e2e-dns.svc.cluster.local
check_output "short names: resolv.conf has the namespace first" 'search e2e-dns\.svc\.cluster\.local svc\.cluster\.local cluster\.local' \
	k exec one -- cat /etc/resolv.conf
check_output "and the cluster's DNS server" 'nameserver 10\.96\.0\.10' k exec one -- cat /etc/resolv.conf
check_output "wget by the short name" 'container one|container first' k exec one -- wget -q -O - http://web/
check_output "and with the namespace" 'container one|container first' k exec one -- wget -q -O - http://web.e2e-dns/
check_output "in the host's network, with ClusterFirstWithHostNet" "Address: $web" k exec host -- nslookup web.e2e-dns.svc.cluster.local
check_refused "what no resolver can answer fails at once" SERVFAIL lookup www.example.com

# Killed, it is started again; the agent killed, names go on meanwhile and one server is left.
servers() { on_node 1 sh -c 'for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>/dev/null)" = hanok-dns ] && echo ${p#/proc/}; done; true'; }
one_server() { [ "$(servers | wc -l)" = 1 ] || { servers; return 1; }; }
before=$(servers)
on_node 1 kill -KILL "$before"
check "killed, it is started again" eventually 20 known "Address: $web" web.e2e-dns.svc.cluster.local
check "and it is another one" test "$before" != "$(servers)"
before=$(servers)
on_node 1 sh -c 'kill -KILL $(cut -d" " -f1 /run/lab/hanok-node.pid)'
check_output "the agent killed: names go on" "Address: $web" on_node 1 busybox nslookup web.e2e-dns.svc.cluster.local 10.96.0.10
check "the agent comes back" lab_node_up 1
check "one server is left" eventually 30 one_server
other_server() { [ "$(servers)" != "$before" ]; }
check "the new agent's" eventually 30 other_server
check_output "which answers" "Address: $web" lookup web.e2e-dns.svc.cluster.local
k delete service web --wait >/dev/null
gone() { ! lookup web.e2e-dns.svc.cluster.local; }
check "a deleted service's name is gone" eventually 10 gone
k delete -f "$TEST_DIR/names.yaml" --ignore-not-found --wait --timeout=120s >/dev/null
finish
