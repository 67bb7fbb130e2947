#!/bin/bash
# StatefulSet, DaemonSet, their revisions, and disruption budgets, with kubectl, on nodes that only the API knows.
. "$(dirname "$0")/../lib.sh"

start_server
use_namespace default
raw /version >/dev/null
python3 "$TEST_ROOT/test/api/play_nodes.py" "$SERVER_URL" "$TEST_DIR/ca.crt" "$TEST_DIR/client.crt" "$TEST_DIR/client.key" \
	n1 n2 n3 >"$TEST_DIR/nodes.log" 2>&1 & # ends with the server

eventually 10 grep -q ready "$TEST_DIR/nodes.log"

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
	k rollout status statefulset/web --timeout=20s
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
check "is rolled out" k rollout status statefulset/web --timeout=20s
check_output "to all pods" "^web:2 web:2 web:2$" k get pods -l app=web -o "jsonpath={.items[*].spec.containers[0].image}"
check_output "history has both" $'1 +<none>\n2 +<none>' k rollout history statefulset/web
check_output "and each one's template" "web:1" k rollout history statefulset/web --revision=1
check_output "an update of the present template is none" "skipped rollback" k rollout undo statefulset/web --to-revision=2
check "undo" k rollout undo statefulset/web
check "is rolled out, too" k rollout status statefulset/web --timeout=20s
check_output "the old template is back" "^web:1 web:1 web:1$" \
	k get pods -l app=web -o "jsonpath={.items[*].spec.containers[0].image}"
check_output "as a revision of its own" $'2 +<none>\n3 +<none>' k rollout history statefulset/web
check_output "with the name that it had" "^$revision $revision$" k_field sts/web .status.currentRevision .status.updateRevision
check "restart" k rollout restart statefulset/web
check "makes all pods anew" k rollout status statefulset/web --timeout=20s
check "scale" k scale statefulset/web --replicas=1
check "takes the highest away" eventually 10 pods_are web web-0

finish
