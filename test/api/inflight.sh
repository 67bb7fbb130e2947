#!/bin/bash
# How many requests may be under way at once: of which sort, whose, and what the others are told.
. "$(dirname "$0")/../lib.sh"
here=$(dirname "$0")
printf 'alice-token,alice,1\nroot-token,root,2,system:masters\n' >"$TEST_DIR/tokens"
start_server --token-auth-file "$TEST_DIR/tokens" --max-requests-inflight 2 --max-mutating-requests-inflight 3 '--controllers=-*' --scheduler=off
raw /version >/dev/null
k create clusterrolebinding alice --clusterrole cluster-admin --user alice >/dev/null
json=(-H 'Content-Type: application/json')
maps=/api/v1/namespaces/default/configmaps
pods=/api/v1/namespaces/default/pods

head -c 900000 /dev/zero | tr '\0' x >"$TEST_DIR/large"
for i in {1..10}; do
	k create configmap large-$i --from-file="$TEST_DIR/large" -o name >/dev/null
done

# as TOKEN PATH CURL-ARG...
as() { curl -sS --max-time 60 --cacert "$SERVER_DIR/pki/ca.crt" -H "Authorization: Bearer $1" "https://127.0.0.1:$SERVER_PORT$2" "${@:3}"; }
code() { as "$@" -o /dev/null -w '%{http_code}'; }
count() { raw /metrics | sed -n "s/^apiserver_current_inflight_requests{request_kind=\"$1\"} //p"; }
hold() { # TOKEN COUNT METHOD PATH [BODY]
	rm -f "$TEST_DIR/held"
	mkfifo "$TEST_DIR/end.$((++holds))"
	python3 "$here/inflight.py" "127.0.0.1:$SERVER_PORT" "$SERVER_DIR/pki/ca.crt" "$@" <"$TEST_DIR/end.$holds" >"$TEST_DIR/held" &
	hold_pid=$!
	exec {hold_end}>"$TEST_DIR/end.$holds"
	eventually 20 grep -q open "$TEST_DIR/held"
}
cut() { exec {hold_end}>&-; wait "$hold_pid"; }
counted() { [ "$(count "$1")" = "$2" ]; }

check_output "nothing is under way" '^0 0$' echo "$(count readOnly) $(count mutating)"
hold alice-token 2 GET $maps
check "two lists that no one reads are under way" eventually 20 counted readOnly 2
check_output "a third read is told to come again" '^429$' code alice-token $maps/large-1
check_output "when" '[Rr]etry-[Aa]fter: 1' as alice-token $maps/large-1 -D - -o /dev/null
check_output "in words" '^Too many requests, please try again later\.$' as alice-token $maps/large-1
check_output "on HTTP/1.1 too" '^429$' code alice-token $maps/large-1 --http1.1
check_output "that it is refused does not count" '^2$' count readOnly
check_output "writes go on" '^201$' code alice-token $maps "${json[@]}" -d '{"metadata":{"name":"small"}}'
check_output "administrators go on" '^200$' code root-token $maps/small
check_output "watches too" '"type":"ADDED"' as alice-token "$maps?watch=true&timeoutSeconds=1&fieldSelector=metadata.name=small"
check_output "and health checks" '^200$' code alice-token /readyz
check_output "logs are not counted" '^404$' code alice-token $pods/none/log
cut
check "clients that go are no longer counted" eventually 20 counted readOnly 0
check_output "and reads are answered again" '^200$' code alice-token $maps/small
for i in {1..8}; do
	code alice-token $maps/small >/dev/null
	code alice-token $maps/none >/dev/null
	code alice-token /api/v1/nonsense >/dev/null
	code alice-token $maps/small -X DELETE >/dev/null
	code alice-token $maps "${json[@]}" -d '{' >/dev/null
done
check_output "what was answered is not counted" '^0 0$' echo "$(count readOnly) $(count mutating)"

# Without controllers no service account comes, so that these are under way for a second.
k create namespace bare >/dev/null
pod='{"metadata":{"name":"p-NUMBER"},"spec":{"containers":[{"name":"c","image":"i"}]}}'
fourth() { code alice-token "$maps$1" "${json[@]}" -d '{"metadata":{"name":"fourth"}}'; }
# A busy machine may take more than that second to ask.
for _ in {1..20}; do
	hold alice-token 3 POST /api/v1/namespaces/bare/pods "$pod"
	answer=$(fourth "?dryRun=All")
	[ "$answer" != 429 ] || break
	cut
done
check_output "three writes are under way: a fourth is told to come again" '^429$' echo "$answer"
check_output "reads go on" '^200$' code alice-token $maps/large-1
check "they end" eventually 20 counted mutating 0
check_output "so the fourth is taken" '^201$' fourth ''
cut
hold alice-token 3 POST /api/v1/namespaces/bare/pods "$pod"
cut
check "clients that go before their writes end are counted until then, and no longer" eventually 20 counted mutating 0

stop_server
for value in -1 x 1000001; do
	check_refused "a limit of $value" "want a number from 0" "$HANOK" server --data "$SERVER_DIR" --max-requests-inflight=$value
done
finish
