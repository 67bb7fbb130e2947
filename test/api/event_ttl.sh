#!/bin/bash
# Events go some time after their last change; an update prolongs it, other objects stay.
. "$(dirname "$0")/../lib.sh"
start_server --event-ttl 3s
use_namespace ttl

event() {
	cat <<-END
		apiVersion: v1
		kind: Event
		metadata: {name: $1, namespace: ttl}
		involvedObject: {kind: Pod, name: none, namespace: ttl}
		reason: Test
		type: Normal
	END
}
event first >"$TEST_DIR/first.yaml"
event prolonged >"$TEST_DIR/prolonged.yaml"
check "create events" k create -f "$TEST_DIR/first.yaml" -f "$TEST_DIR/prolonged.yaml"
k create configmap stays >/dev/null
k get events -w --output-watch-events >"$TEST_DIR/watch.out" 2>&1 &
watcher=$!
check "they are there" matches 'first' k get events -o name
for count in 2 3 4 5 6 7 8 9; do
	k patch event prolonged --type merge -p "{\"count\":$count}" >/dev/null
	k get event first >/dev/null 2>&1 || break
	sleep 0.7
done
check "the one that nobody wrote goes" eventually 10 bash -c "! kubectl --kubeconfig $KUBECONFIG_FILE -n ttl get event first"
check "the one that was updated is there" k get event prolonged
check "and goes when it is not updated any more" eventually 15 bash -c "! kubectl --kubeconfig $KUBECONFIG_FILE -n ttl get event prolonged"
check_output "watchers are told" 'DELETED' cat "$TEST_DIR/watch.out"
check "other objects stay" k get configmap stays
check_refused "a bad duration" "--event-ttl 'soon': want a duration" "$HANOK" server --data "$TEST_DIR/none" --event-ttl soon
kill $watcher
wait $watcher 2>/dev/null
finish
