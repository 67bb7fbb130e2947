#!/bin/bash
# Endpoints and slices: of services with a selector, and mirrored ones.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=*,-nodelifecycle' --scheduler=off
use_namespace slices

k create -f - >/dev/null <<-END
	{"apiVersion": "v1", "kind": "List", "items": [
	{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z1"}}},
	{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"app": "web"}}, "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}},
	{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"clusterIP": "None", "selector": {"app": "web"}, "ports": [{"port": 80}]}},
	{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "outside"}, "spec": {"ports": [{"port": 80}]}},
	{"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "outside", "labels": {"team": "a"}},
	 "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "notReadyAddresses": [{"ip": "192.0.2.2"}], "ports": [{"port": 8080}]}]}]}
END
raw /api/v1/namespaces/slices/pods/p/status -X PATCH -H 'Content-Type: application/merge-patch+json' -o /dev/null \
	-d '{"status": {"phase": "Running", "podIP": "10.1.1.1", "podIPs": [{"ip": "10.1.1.1"}], "conditions": [{"type": "Ready", "status": "True"}]}}'

slice() { k get endpointslices -l "kubernetes.io/service-name=$1" -o "jsonpath=$2"; }
check "a pod comes into its service's slice" eventually 20 matches '^\["10.1.1.1"\] n1 z1 true$' \
	slice web '{.items[0].endpoints[0].addresses} {.items[0].endpoints[0].nodeName} {.items[0].endpoints[0].zone} {.items[0].endpoints[0].conditions.ready}'
check_output "which says whose it is" '^endpointslice-controller.k8s.io Service web ' slice web \
	'{.items[0].metadata.labels.endpointslice\.kubernetes\.io/managed-by} {.items[0].metadata.ownerReferences[0].kind} {.items[0].metadata.ownerReferences[0].name} {.items[0].metadata.labels.service\.kubernetes\.io/headless}'
check "and into its endpoints" eventually 20 matches '10.1.1.1 p$' k get endpoints web -o 'jsonpath={.subsets[0].addresses[0].ip} {.subsets[0].addresses[0].targetRef.name}'
check_output "which say when" '20..-..-..T' k get endpoints web -o 'jsonpath={.metadata.annotations.endpoints\.kubernetes\.io/last-change-trigger-time}'
check "endpoints by hand are mirrored" eventually 20 matches '^192.0.2.1 true 192.0.2.2 false 8080 a$' \
	slice outside '{range .items[0].endpoints[*]}{.addresses[0]} {.conditions.ready} {end}{.items[0].ports[0].port} {.items[0].metadata.labels.team}'
check_output "as such" '^endpointslicemirroring-controller.k8s.io Endpoints$' slice outside \
	'{.items[0].metadata.labels.endpointslice\.kubernetes\.io/managed-by} {.items[0].metadata.ownerReferences[0].kind}'
k delete endpoints outside >/dev/null
check "and go with them" eventually 20 matches '^$' slice outside '{.items[*].metadata.name}'
finish
