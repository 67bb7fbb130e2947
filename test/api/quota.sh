#!/bin/bash
# Quotas: what counts, what is refused, that many at once never exceed one, and the status that tells of it.
. "$(dirname "$0")/../lib.sh"
start_server
use_namespace quota-test
raw /version >/dev/null # leaves the client's certificate in files

object() { k create -f - <<<"$1"; }
quota() { object "{apiVersion: v1, kind: ResourceQuota, metadata: {name: $1}, spec: {hard: {$2}${3:+, $3}}}"; }
# pod NAME [RESOURCES [SPEC-FIELD]]
pod() {
	local resources=
	[ -z "${2:-}" ] || resources=", resources: {$2}"
	object "{apiVersion: v1, kind: Pod, metadata: {name: $1}, spec: {${3:+$3, }containers: [{name: c, image: i$resources}]}}"
}
used() { k get resourcequota "$1" -o "jsonpath={.status.used.${2//./\\.}}"; }
is_used() { matches "^$3\$" used "$1" "$2"; }

check "a pod before there is a quota" pod early 'requests: {cpu: 100m}'
check "a quota" quota q 'pods: 2, requests.cpu: "1", count/configmaps: 3, services: 2, services.nodeports: 1, persistentvolumeclaims: 5, requests.storage: 10Gi, gold.storageclass.storage.k8s.io/requests.storage: 3Gi, count/deployments.apps: 1'
check "its status tells what is used already" eventually 20 is_used q pods 1
check "of everything" eventually 20 matches '^100m 1 0 0 0$' k_field resourcequota/q '.status.used.requests\.cpu' '.status.used.count/configmaps' .status.used.services '.status.used.requests\.storage' '.status.used.count/deployments\.apps'
check_refused "what is bounded must be named" 'pods "p" is forbidden: failed quota: q: must specify requests.cpu for: c$' pod p
check_refused "too much cpu" 'pods "p" is forbidden: exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=100m, limited: requests.cpu=1$' pod p 'requests: {cpu: 1}'
check "what fits" pod second 'requests: {cpu: 500m}'
check_refused "one too many" 'exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2' pod third 'requests: {cpu: 100m}'
check "the status follows" eventually 20 is_used q pods 2
check_refused "a dry run is refused alike" 'exceeded quota' k run third --image=i --dry-run=server --overrides='{"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"100m"}}}]}}'
k delete pod second --now >/dev/null
check "a deletion makes room at once" pod third 'requests: {cpu: 100m}'
k delete pod third --now >/dev/null
check "a dry run that fits" k run third --image=i --dry-run=server --overrides='{"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"100m"}}}]}}'
check "takes no room" pod fourth 'requests: {cpu: 100m}'
raw /api/v1/namespaces/quota-test/pods/fourth/status -X PATCH -H 'Content-Type: application/merge-patch+json' -d '{"status":{"phase":"Succeeded"}}' >/dev/null
check "a pod that ended takes none either" pod fifth 'requests: {cpu: 100m}'

map() { k create configmap "$1"; }
check "config maps count" map one
check "by their name as a kind" map two
check_refused "up to the bound" 'configmaps "three" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=3, limited: count/configmaps=3' map three
check "any kind can be counted" k create deployment d --image=i
check_refused "by its name" 'deployments.apps "e" is forbidden: exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: count/deployments.apps=1' k create deployment e --image=i
service() {
	local second=
	[ -z "${3:-}" ] || second=', {port: 81, name: b}'
	object "{apiVersion: v1, kind: Service, metadata: {name: $1}, spec: {type: ${2:-ClusterIP}, ports: [{port: 80, name: a}$second]}}"
}
check_refused "ports of nodes" 'services "s" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1' service s NodePort more
check "one is fine" service s NodePort
check_refused "a change that asks for more" 'services "s" is forbidden: exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1' \
	k patch service s --type json -p '[{"op":"add","path":"/spec/ports/-","value":{"port":81,"name":"b"}},{"op":"replace","path":"/spec/ports/0/name","value":"a"}]'
check "a change that gives back" k patch service s --type merge -p '{"spec":{"type":"ClusterIP"}}'
check "makes room" service t NodePort
claim() { object "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: $1}, spec: {accessModes: [ReadWriteOnce], ${3:+storageClassName: $3,} resources: {requests: {storage: $2}}}}"; }
check "storage" claim c 6Gi
check_refused "in all" 'exceeded quota: q, requested: requests.storage=6Gi, used: requests.storage=6Gi, limited: requests.storage=10Gi' claim d 6Gi
check_refused "and of one class" 'exceeded quota: q, requested: gold.storageclass.storage.k8s.io/requests.storage=4Gi, used: gold.storageclass.storage.k8s.io/requests.storage=0, limited: gold.storageclass.storage.k8s.io/requests.storage=3Gi' claim d 4Gi gold
k patch resourcequota q --type merge -p '{"spec":{"hard":{"count/configmaps":"2"}}}' >/dev/null
check_refused "other bounds hold at once" 'exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=3, limited: count/configmaps=2' map three
check "and are told" eventually 20 matches '^2 3$' k_field resourcequota/q '.status.hard.count/configmaps' '.status.used.count/configmaps'
check_output "describe shows it" 'count/configmaps +3 +2' k describe resourcequota q
k delete resourcequota q >/dev/null
check "no quota, no bounds" map three

# Scopes.
quota ending 'pods: 0' 'scopes: [Terminating]' >/dev/null
quota high 'pods: 1' 'scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: [high]}]}' >/dev/null
object '{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: high}, value: 5}' >/dev/null
check "a pod of no scope" pod plain
check_refused "pods with a deadline" 'exceeded quota: ending, requested: pods=1, used: pods=0, limited: pods=0' pod p '' 'activeDeadlineSeconds: 5'
check "a pod of a class" pod high1 '' 'priorityClassName: high'
check_refused "and another" 'exceeded quota: high, requested: pods=1, used: pods=1, limited: pods=1' pod high2 '' 'priorityClassName: high'

# Control loops meet them, too.
k create namespace loops >/dev/null
use_namespace loops
quota q 'pods: 3' >/dev/null
k create deployment d --image=i --replicas=5 >/dev/null
check "a deployment gets as far as its quota" eventually 20 matches '^3$' k_count pods
check "and says why" eventually 20 matches 'pods "d-.*" is forbidden: exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3' k get events
k patch resourcequota q --type merge -p '{"spec":{"hard":{"pods":"5"}}}' >/dev/null
check "more when there is more" eventually 20 matches '^5$' k_count pods

# Sixteen at once.
k create namespace busy >/dev/null
use_namespace busy
check "the new namespace has its account" eventually 20 k get serviceaccount default
quota q 'pods: 20, requests.cpu: "10"' >/dev/null
check "many at once never exceed it, and nothing stays charged" python3 "$TEST_ROOT/test/api/quota_workers.py" "$SERVER_URL" "$TEST_DIR" busy 20 4
check "in the end the status agrees" eventually 20 is_used q pods 0
check_output "in all" '^0$' used q requests.cpu

# After a restart the accounts are what is there.
k run one --image=i --overrides='{"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"9500m"}}}]}}' >/dev/null
kill_server
start_server
check_refused "after a crash everything still counts" 'exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=9500m, limited: requests.cpu=10' \
	k run two --image=i --overrides='{"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"1"}}}]}}'
finish
