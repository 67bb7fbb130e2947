#!/bin/bash
# StatefulSet, DaemonSet, their revisions, and disruption budgets, with kubectl, on nodes that only the API knows.
. "$(dirname "$0")/../lib.sh"

start_server
use_namespace default
raw /version >/dev/null
python3 "$TEST_ROOT/test/api/play_nodes.py" "$SERVER_URL" "$TEST_DIR/ca.crt" "$TEST_DIR/client.crt" "$TEST_DIR/client.key" \
	n1 n2 n3 >"$TEST_DIR/nodes.log" 2>&1 & # ends with the server

eventually 20 grep -q ready "$TEST_DIR/nodes.log"

stateful() {
	cat <<-EOF
		apiVersion: apps/v1
		kind: StatefulSet
		metadata: {name: $1}
		spec:
		  replicas: $2
		  serviceName: web
		  selector: {matchLabels: {app: $1}}
		  ${3:-}
		  template:
		    metadata: {labels: {app: $1}}
		    spec:
		      terminationGracePeriodSeconds: 1
		      containers: [{name: c, image: "web:1"}]
	EOF
}
apply() { k apply -f - <<<"$1"; }

# pods_are APP NAMES...
pods_are() { [ "$(k get pods -l "app=$1" -o "jsonpath={.items[*].metadata.name}")" = "$2" ]; }

# Ordered pods, their names and labels.
check "a set is made" apply "$(stateful web 3)"
check_output "its rollout ends" "partitioned roll out complete|statefulset rolling update complete 3 pods at revision web-" \
	k rollout status statefulset/web --timeout=120s
check_output "pods come one after the other" "^web-0 web-1 web-2$" \
	k get pods -l app=web --sort-by=.metadata.creationTimestamp -o "jsonpath={.items[*].metadata.name}"
check_output "a pod knows its place" "^web-1 1 web-1 web web-1$" k get pod web-1 -o \
	"jsonpath={.metadata.labels.statefulset\.kubernetes\.io/pod-name} {.metadata.labels.apps\.kubernetes\.io/pod-index} {.spec.hostname} {.spec.subdomain} {.metadata.name}"
revision=$(k get sts web -o "jsonpath={.status.currentRevision}")
check_output "it has the revision's name" "^$revision$" \
	k get pod web-1 -o "jsonpath={.metadata.labels.controller-revision-hash}"
check_output "the table counts" "web +3/3 " k get sts web
check_output "events in the usual words" "create Pod web-0 in StatefulSet web successful" \
	k get events --field-selector reason=SuccessfulCreate,involvedObject.name=web
check "revisions belong to the set" matches "statefulset.apps/web" k get controllerrevisions

# Update, history, undo.
check "an update by kubectl" k set image statefulset/web c=web:2
check "is rolled out" k rollout status statefulset/web --timeout=120s
check_output "to all pods" "^web:2 web:2 web:2$" k get pods -l app=web -o "jsonpath={.items[*].spec.containers[0].image}"
check_output "history has both" $'1 +<none>\n2 +<none>' k rollout history statefulset/web
check_output "and each one's template" "web:1" k rollout history statefulset/web --revision=1
check_output "an update of the present template is none" "skipped rollback" k rollout undo statefulset/web --to-revision=2
check "undo" k rollout undo statefulset/web
check "is rolled out, too" k rollout status statefulset/web --timeout=120s
check_output "the old template is back" "^web:1 web:1 web:1$" \
	k get pods -l app=web -o "jsonpath={.items[*].spec.containers[0].image}"
check_output "as a revision of its own" $'2 +<none>\n3 +<none>' k rollout history statefulset/web
check "with the name that it had" eventually 20 matches "^$revision $revision$" k_field sts/web .status.currentRevision .status.updateRevision
check "restart" k rollout restart statefulset/web
check "makes all pods anew" k rollout status statefulset/web --timeout=120s
check "scale" k scale statefulset/web --replicas=1
check "takes the highest away" eventually 20 pods_are web web-0

# Claims that go with their pods, and with the set.
claims='volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]
  podManagementPolicy: Parallel
  persistentVolumeClaimRetentionPolicy: {whenScaled: Delete, whenDeleted: Delete}'
check "a set with claims" apply "$(stateful db 3 "$claims")"
check "makes a claim for each pod" eventually 20 matches '^data-db-0 data-db-1 data-db-2$' \
	k get pvc -l app=db -o "jsonpath={.items[*].metadata.name}"
check_output "which its pod names" "^data-db-1$" k get pod db-1 -o "jsonpath={.spec.volumes[0].persistentVolumeClaim.claimName}"
check "claims belong to the set" eventually 20 matches "^StatefulSet StatefulSet StatefulSet$" \
	k get pvc -l app=db -o "jsonpath={.items[*].metadata.ownerReferences[0].kind}"
check "fewer pods" k scale statefulset/db --replicas=1
check "take their claims with them" eventually 20 matches '^data-db-0$' \
	k get pvc -l app=db -o "jsonpath={.items[*].metadata.name}"
check "the set is deleted" k delete statefulset/db --wait=false
check "with its last claim" eventually 20 matches '^$' k get pvc -l app=db -o name

# A pod on each node.
daemon() {
	cat <<-EOF
		apiVersion: apps/v1
		kind: DaemonSet
		metadata: {name: agent}
		spec:
		  selector: {matchLabels: {app: agent}}
		  updateStrategy: {rollingUpdate: {maxUnavailable: 2}}
		  template:
		    metadata: {labels: {app: agent}}
		    spec:
		      terminationGracePeriodSeconds: 1
		      containers: [{name: c, image: "agent:1"}]
	EOF
}
check "a daemon set is made" apply "$(daemon)"
check_output "its rollout ends" "daemon set \"agent\" successfully rolled out" k rollout status daemonset/agent --timeout=120s
nodes_of() { k get pods -l "app=$1" -o "jsonpath={.items[*].spec.nodeName}" | tr ' ' '\n' | sort | xargs; }
check_output "on each node" "^n1 n2 n3$" nodes_of agent
check_output "the table counts" "agent +3 +3 +3 +3 +3 " k get ds agent
check_output "its pods tolerate what nodes suffer" "unschedulable" k get pods -l app=agent -o "jsonpath={.items[0].spec.tolerations[*].key}"
check "an update" k set image daemonset/agent c=agent:2
check "is rolled out" k rollout status daemonset/agent --timeout=120s
check_output "history has both" $'1 +<none>\n2 +<none>' k rollout history daemonset/agent
check_output "and the present one's template" "agent:2" k rollout history daemonset/agent --revision=2
check "undo" k rollout undo daemonset/agent
check "is rolled out, too" k rollout status daemonset/agent --timeout=120s
check_output "the old template is back" "^agent:1 agent:1 agent:1$" \
	k get pods -l app=agent -o "jsonpath={.items[*].spec.containers[0].image}"
check_output "as a revision of its own" $'2 +<none>\n3 +<none>' k rollout history daemonset/agent
check "a node for some only" k taint node n3 only=others:NoExecute
check "loses its pod" eventually 20 matches "^n1 n2$" nodes_of agent
check "for all again" k taint node n3 only-
check "has one again" eventually 20 matches "^n1 n2 n3$" nodes_of agent
pod=$(k get pods -l app=agent -o "jsonpath={.items[0].metadata.name}")
check "a pod that failed" k annotate pod "$pod" test/phase=Failed
check "is removed" k wait --for=delete "pod/$pod" --timeout=120s
check "is replaced" k rollout status daemonset/agent --timeout=120s
check_output "an event says why" "Found failed daemon pod default/$pod on node n[123], will try to kill it" \
	k get events --field-selector reason=FailedDaemonPod

# Budgets and drain.
check "a deployment" k create deployment shop --image=shop:1 --replicas=4
check "is rolled out" k rollout status deployment/shop --timeout=120s
check "a budget" k create poddisruptionbudget shop --selector=app=shop --max-unavailable=1
budget() { k_field pdb/shop .status.expectedPods .status.desiredHealthy .status.currentHealthy .status.disruptionsAllowed; }
check "is counted" eventually 20 matches "^4 3 4 1$" budget
check_output "the table shows it" "shop +N/A +1 +1 " k get pdb shop
check_output "and a condition" "^True SufficientPods$" k get pdb shop -o \
	"jsonpath={.status.conditions[?(@.type=='DisruptionAllowed')].status} {.status.conditions[?(@.type=='DisruptionAllowed')].reason}"
check "no pod may go" k patch pdb shop -p '{"spec":{"maxUnavailable":0}}'
check "is counted, too" eventually 20 matches "^4 4 4 0$" budget
node=$(k get pods -l app=shop -o "jsonpath={.items[0].spec.nodeName}")
check_refused "drain is kept from evicting" "would violate the pod's disruption budget" \
	k drain "$node" --ignore-daemonsets --delete-emptydir-data --timeout=12s --pod-selector=app=shop
check "half of the pods must be there" k patch pdb shop -p '{"spec":{"maxUnavailable":"50%"}}'
check_output "then drain goes on, a few pods at a time" "node/$node drained" \
	k drain "$node" --ignore-daemonsets --delete-emptydir-data --force --timeout=120s
check_output "nothing of it is left there" "^$" \
	k get pods -l app=shop --field-selector "spec.nodeName=$node" -o name
check "and all are well again" eventually 20 matches "^4 2 4 2$" budget
check_output "daemons stay on a node that is drained" "^1$" \
	k_count pods -l app=agent --field-selector "spec.nodeName=$node"

finish
