#!/bin/bash
# Service addresses, node ports and pod ranges are given once, also over restarts, and come back.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off --service-cidr=10.96.0.0/28 --pod-cidr=10.244.0.0/22
raw /version >/dev/null

service() { raw /api/v1/namespaces/default/services -H 'Content-Type: application/json' -d "{\"metadata\":{\"name\":\"$1\"},\"spec\":${2:-{\}}}"; }
ports='"ports":[{"port":80}]'
check_output "the API's own service has the first address" '^10\.96\.0\.1$' k_field svc/kubernetes .spec.clusterIP
check_output "a chosen address" '"clusterIP":"10.96.0.9"' service chosen "{\"clusterIP\":\"10.96.0.9\",$ports}"
check_output "is not given again" 'already allocated' service twice "{\"clusterIP\":\"10.96.0.9\",$ports}"
check_output "a node port" '"nodePort":30080' service node '{"type":"NodePort","ports":[{"port":80,"nodePort":30080}]}'
check_output "is not given again" 'spec.ports\[0\].nodePort: Invalid value: 30080: provided port is already allocated' \
	service node2 '{"type":"NodePort","ports":[{"port":80,"nodePort":30080}]}'
check_output "what a refused service took is free" '"nodePort":30081' service node3 '{"type":"NodePort","ports":[{"port":80,"nodePort":30081}]}'
check_output "a dry run takes nothing" '"nodePort":30082' raw '/api/v1/namespaces/default/services?dryRun=All' \
	-H 'Content-Type: application/json' -d '{"metadata":{"name":"dry"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":30082}]}}'
check_output "so it can be had" '"nodePort":30082' service node4 '{"type":"NodePort","ports":[{"port":80,"nodePort":30082}]}'
check_output "a headless service takes none" '"clusterIP":"None"' service headless "{\"clusterIP\":\"None\",$ports}"
node() { raw /api/v1/nodes -H 'Content-Type: application/json' -d "{\"metadata\":{\"name\":\"$1\"}}" "${@:2}"; }
check_output "the first node's range" '"podCIDR":"10.244.0.0/24"' node n1
check_output "the second one's" '"podCIDR":"10.244.1.0/24"' node n2

kill_server
start_server '--controllers=-*' --scheduler=off --service-cidr=10.96.0.0/28 --pod-cidr=10.244.0.0/22
check_output "still taken after a restart" 'already allocated' service twice "{\"clusterIP\":\"10.96.0.9\",$ports}"
check_output "the port too" 'already allocated' service node2 '{"type":"NodePort","ports":[{"port":80,"nodePort":30080}]}'
check_output "the next node" '"podCIDR":"10.244.2.0/24"' node n3
check "a node goes" k delete node n2
check_output "its range is free" '"podCIDR":"10.244.1.0/24"' node n4
check "a service goes" k delete service chosen
check_output "its address is free" '"clusterIP":"10.96.0.9"' service again "{\"clusterIP\":\"10.96.0.9\",$ports}"
check_output "to another type" '"type":"ClusterIP"' raw /api/v1/namespaces/default/services/node -X PATCH \
	-H 'Content-Type: application/merge-patch+json' -d '{"spec":{"type":"ClusterIP"}}'
check_output "its port is free" '"nodePort":30080' service node5 '{"type":"NodePort","ports":[{"port":80,"nodePort":30080}]}'
check_output "a name instead of an address" '"externalName":"x.y"' raw /api/v1/namespaces/default/services/again -X PATCH \
	-H 'Content-Type: application/merge-patch+json' -d '{"spec":{"type":"ExternalName","externalName":"x.y","ports":null}}'
check_output "frees the address" '"clusterIP":"10.96.0.9"' service last "{\"clusterIP\":\"10.96.0.9\",$ports}"
fill() { for i in $(seq 16); do service "fill$i" "{$ports}" | grep -o 'range is full' && return; done; return 1; }
check_output "when all are taken it is said" 'range is full' fill
unique() { k get svc -A -o 'jsonpath={range .items[*]}{.spec.clusterIP}{"\n"}{end}' | grep -v None | grep . | sort | uniq -d; }
check_output "no address twice" '^$' unique
last_range() { node n5 | grep -o '10.244.3.0/24' | head -1; node n6 -i; }
check_output "no range left for one node more: it has none" '10.244.3.0/24.*no pod range is left.*"spec":\{"taints"' last_range
finish
