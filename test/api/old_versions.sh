#!/bin/bash
# Beta versions that clients of Kubernetes 1.20 use, over the kinds of today.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off
use_namespace old
NS=/apis/policy/v1beta1/namespaces/old

# post PATH DOCUMENT [CURL-OPTION...]
post() { raw "$1" -H 'Content-Type: application/json' -d "$2" "${@:3}"; }

check_output "discovery names v1 first" '"name":"policy","versions":\[.*"v1".*"v1beta1".*"preferredVersion":\{"groupVersion":"policy/v1"' \
	raw /apis/policy
check_output "an answer warns" '299 - "policy/v1beta1 PodDisruptionBudget is deprecated in v1.21\+, unavailable in v1.25\+; use policy/v1 PodDisruptionBudget"' \
	raw $NS/poddisruptionbudgets -o /dev/null -D -
warnings() { raw "$1" -o /dev/null -D - | grep -ci ^warning || true; }
check_output "v1 does not" '^0$' warnings /apis/policy/v1/poddisruptionbudgets

evict() {
	k create serviceaccount default >/dev/null; k run p --image=i >/dev/null && post /api/v1/namespaces/old/pods/p/eviction '{"apiVersion":"policy/v1beta1","kind":"Eviction","metadata":{"name":"p"}}'
}

# An empty selector is about no pods in v1beta1, about all in v1.
check_output "none, in v1beta1's words" '"apiVersion":"policy/v1beta1".*"selector":\{\}' post $NS/poddisruptionbudgets \
	'{"apiVersion":"policy/v1beta1","kind":"PodDisruptionBudget","metadata":{"name":"none"},"spec":{"minAvailable":1,"selector":{}}}'
check_output "in v1's" '"matchExpressions":\[\{"key":"pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match","operator":"Exists"\}\]' \
	k get pdb.v1.policy none -o jsonpath='{.spec.selector}'
k create -f - >/dev/null <<-END
	{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: all}, spec: {minAvailable: 1, selector: {}}}
END
check_output "all, in v1beta1's words" '"operator":"DoesNotExist"' k get poddisruptionbudgets.v1beta1.policy all -o jsonpath='{.spec.selector}'
k label poddisruptionbudgets.v1beta1.policy all a=b >/dev/null 2>&1
check_output "written as v1beta1 it stays all" '^\{\}$' k get pdb.v1.policy all -o jsonpath='{.spec.selector}'
check_output "its status by the old version" '"disruptionsAllowed":2' raw $NS/poddisruptionbudgets/all/status -X PATCH \
	-H 'Content-Type: application/merge-patch+json' -d '{"status":{"disruptionsAllowed":2,"currentHealthy":3,"desiredHealthy":1,"expectedPods":3}}'

# Labels of the node in v1beta1, fields in v1.
check_output "a slice with topology" '"topology":\{' post /apis/discovery.k8s.io/v1beta1/namespaces/old/endpointslices \
	'{"apiVersion":"discovery.k8s.io/v1beta1","kind":"EndpointSlice","metadata":{"name":"s"},"addressType":"IPv4","ports":[{"port":80}],
	"endpoints":[{"addresses":["10.0.0.1"],"nodeName":"n1","topology":{"kubernetes.io/hostname":"n1","topology.kubernetes.io/zone":"z","rack":"7"}},
	{"addresses":["10.0.0.2"],"topology":{"kubernetes.io/hostname":"n2"}}]}'
check_output "zone and node in v1" '^n1 z \{"rack":"7"\}  \{"kubernetes.io/hostname":"n2"\}$' k get endpointslices.v1.discovery.k8s.io s -o \
	jsonpath='{.endpoints[0].nodeName} {.endpoints[0].zone} {.endpoints[0].deprecatedTopology} {.endpoints[1].zone} {.endpoints[1].deprecatedTopology}'
check_output "and back" '\{"kubernetes.io/hostname":"n1","rack":"7","topology.kubernetes.io/zone":"z"\}$' \
	k get endpointslices.v1beta1.discovery.k8s.io s -o 'jsonpath={.endpoints[0].topology}'

post /apis/batch/v1beta1/namespaces/old/cronjobs '{"apiVersion":"batch/v1beta1","kind":"CronJob","metadata":{"name":"c"},"spec":
	{"schedule":"0 * * * *","jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}}}' >/dev/null
check_output "cron jobs" '^cronjob.batch/c$' k get cronjobs.v1.batch c -o name
check_output "eviction in the old words" '"code":429|"status":"Success"' evict
finish
