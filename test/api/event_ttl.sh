#!/bin/bash
# Events go some time after their last change; an update prolongs it, other objects stay.
. "$(dirname "$0")/../lib.sh"
start_server --event-ttl 15s
use_namespace ttl
events=/api/v1/namespaces/ttl/events

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
eventually 20 grep -q ADDED "$TEST_DIR/watch.out"
gone() { ! raw "$events/$1" -f -o /dev/null; }
first_goes() {
	raw "$events/prolonged" -f -o /dev/null -X PATCH -H 'Content-Type: application/merge-patch+json' -d "{\"message\":\"$EPOCHREALTIME\"}"
	gone first
}
check "the one that nobody wrote goes" eventually 30 first_goes
check "the one that was updated is there" k get event prolonged
check "and goes when it is not updated any more" eventually 30 gone prolonged
check "watchers are told" eventually 20 grep -q 'DELETED' "$TEST_DIR/watch.out"
check "other objects stay" k get configmap stays
check_refused "a bad duration" "--event-ttl 'soon': want a duration" "$HANOK" server --data "$TEST_DIR/none" --event-ttl soon
kill $watcher
wait $watcher 2>/dev/null
finish
