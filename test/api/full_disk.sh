#!/bin/bash
# A disk that takes no more: writes are refused with the reason, reads go on, and it heals by itself. The limit
# on file sizes stands for the disk; the server sees the same failing write(2).
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off
maps=/api/v1/namespaces/default/configmaps
json=(-H 'Content-Type: application/json')
merge=(-X PATCH -H 'Content-Type: application/merge-patch+json')
raw $maps "${json[@]}" -d '{"metadata":{"name":"before"},"data":{"a":"1"}}' >/dev/null
revision=$(k_field configmap/before .metadata.resourceVersion)

raw "$maps?watch=true&resourceVersion=$revision&timeoutSeconds=600" --no-buffer >"$TEST_DIR/watch" &
watch=$!
prlimit --pid "$SERVER_PID" --fsize=$(($(stat -c %s "$SERVER_DIR/hanok.db-wal") + 1000)):unlimited
check_output "a creation is refused, with the reason" "hanok.db' can't be written, nothing was changed.*\"reason\":\"InternalError\".*\"code\":500" \
	raw $maps "${json[@]}" -d '{"metadata":{"name":"refused"}}'
check_output "so is a change" '"code":500' raw $maps/before "${merge[@]}" -d '{"data":{"a":"2"}}'
check_output "and a deletion" '"code":500' raw $maps/before -X DELETE
check_output "kubectl says why" "can't be written" sh -c '! "$@"' sh "$KUBECTL" --kubeconfig "$KUBECONFIG_FILE" create configmap refused
check_output "what is there can be read" '^1$' k_field configmap/before .data.a
check_output "lists too" 'configmap/before' k get configmaps -o name
check "the server lives" raw /livez
check_output "the failures are counted" 'hanok_store_failed_total [1-9]' raw /metrics

prlimit --pid "$SERVER_PID" --fsize=unlimited:unlimited
check_output "with room again the next write is taken" '"a":"3"' raw $maps/before "${merge[@]}" -d '{"data":{"a":"3"}}'
check "watchers were told of that one" eventually 20 grep -q '"a":"3"' "$TEST_DIR/watch"
check_fails "and of no other" grep -qE '"a":"2"|DELETED|refused' "$TEST_DIR/watch"
kill $watch 2>/dev/null
wait $watch 2>/dev/null
kill_server
start_server '--controllers=-*' --scheduler=off
check_output "nor is anything refused there after a kill" '^3$' k_field configmap/before .data.a
check_fails "nothing at all" k get configmap refused
finish
