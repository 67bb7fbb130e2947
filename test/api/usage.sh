#!/bin/bash
# metrics.k8s.io where no node tells anything: its place among the groups, and what clients say then. With figures:
# test/e2e/usage.sh.
. "$(dirname "$0")/../lib.sh"
start_server
check_output "discovery" '"name":"nodes".*"name":"pods".*"name":"virtualmachineinstances"' k get --raw /apis/metrics.k8s.io/v1beta1
check_output "pods are still the pods" 'No resources found' k get pods
check_output "a list" '^\{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":\{"resourceVersion":"[0-9]+"\},"items":\[\]\}' \
	k get --raw /apis/metrics.k8s.io/v1beta1/pods
check_refused "of a node that is not there" 'nodemetrics.metrics.k8s.io "n" not found' \
	k get --raw /apis/metrics.k8s.io/v1beta1/nodes/n
check_refused "of a pod that is not there" 'podmetrics.metrics.k8s.io "default/nope" not found' k top pod nope
check_refused "kubectl top node" 'metrics not available yet' k top node
check_output "kubectl top pod" 'No resources found in default namespace' k top pod
check_refused "they can't be written" '(MethodNotAllowed|not allow this method)' \
	k delete --raw /apis/metrics.k8s.io/v1beta1/namespaces/default/pods/p
# More pods of which nothing is known than one slice of a list has.
for i in $(seq 40); do
	printf -- '---\napiVersion: v1\nkind: Pod\nmetadata: {name: p%02d}\nspec: {containers: [{name: c, image: i}]}\n' "$i"
done >"$TEST_DIR/pods"
k create -f "$TEST_DIR/pods" >/dev/null
check_output "none of them is in a list" '"items":\[[[:space:]]*\]\}' k get --raw /apis/metrics.k8s.io/v1beta1/pods
check_output "in YAML neither" 'items: \[\]' raw /apis/metrics.k8s.io/v1beta1/pods -H 'Accept: application/yaml'
check_output "a limit holds" '"continue":"[^"]+"\}' k get --raw '/apis/metrics.k8s.io/v1beta1/pods?limit=5'
check_output "a name, too" '"metadata":\{"resourceVersion":"[0-9]+"\},"items":\[\]' k get --raw '/apis/metrics.k8s.io/v1beta1/pods?fieldSelector=metadata.name%3Dp01'
k create serviceaccount reader >/dev/null
k create rolebinding reader --clusterrole=view --serviceaccount=default:reader >/dev/null
check_output "who may view, may read them" '^yes$' k auth can-i get pods.metrics.k8s.io --as system:serviceaccount:default:reader
finish
